#include "action_mask.h"

namespace tedg::nethack {
namespace {

constexpr int kFar = Action::FIRST_FAR_MOVE - Action::FIRST_MOVE;
constexpr int64_t kStuck = 300;  // turns in which nothing new was seen
constexpr uint32_t kMore = 1u << Action::MORE;
// Yes/no questions take capital letters too, which the long moves send.
constexpr uint32_t kYes = 1u << Action::YES | 1u << (Action::YES + kFar);
constexpr uint32_t kNo = 1u << Action::NO | 1u << (Action::NO + kFar);

uint32_t moves(unsigned ways) { return ways << Action::FIRST_MOVE; }
uint32_t far_moves(unsigned ways) { return ways << Action::FIRST_FAR_MOVE; }

bool has(const View& view, int64_t status) { return (view.scene.conditions & status) != 0; }

// Walls, rock, and diagonal steps through a door's frame.
unsigned blocked(const View& view) {
  const unsigned into_door = view.showing(Flag::OPEN_DOOR);
  const unsigned out_of_door = view.here == Terrain::OPEN_DOOR ? view.showing(Flag::WALKABLE) : 0;
  return view.showing(Flag::SOLID) | ((into_door | out_of_door) & kDiagonals);
}

// Keys that answer nothing at the prompt that is up.
uint32_t no_answers(const View& view) {
  const Scene& scene = view.scene;
  uint32_t none = 0;
  if (scene.asks(Said::DIRECTION_PROMPT) && !has(view, Status::CONF | Status::STUN)) {
    none |= ~(kMore | moves(0xff));
  }
  if (scene.asks(Said::EAT_ITEM_PROMPT)) none |= ~(kMore | scene.told.offered);
  constexpr uint64_t kYesOrNo = Said::EAT_HERE_PROMPT | Said::ATTACK_PROMPT | Said::PRAY_PROMPT;
  if (scene.asks(kYesOrNo)) none |= ~(kMore | kYes | kNo);
  return none;
}

// Actions that certainly change neither map nor status nor clock.
uint32_t impossible(const View& view) {
  const Scene& scene = view.scene;
  const uint8_t here = view.here;
  constexpr int64_t kUnsure = Status::CONF | Status::STUN | Status::HALLU | Status::BLIND;
  const bool free = !scene.prompt && !scene.more && !(view.seen & Flag::ENGULFED);
  const bool loose = free && !view.memory.trapped && !(view.near_flags & Flag::STICKY);
  uint32_t nothing = no_answers(view);
  if (free) nothing |= kMore;
  if (loose && !has(view, kUnsure)) {
    const unsigned ways = blocked(view);
    nothing |= moves(ways) | far_moves(ways);
  }
  if (loose && here > Terrain::COVERED && here != Terrain::PIT) {
    const bool top = scene.depth == 1 && scene.blstats[Blstats::DNUM] == 0;
    if (here != Terrain::STAIRS_UP || top) nothing |= 1u << Action::UP;
    if (here != Terrain::STAIRS_DOWN && here != Terrain::HOLE) nothing |= 1u << Action::DOWN;
  }
  return nothing;
}

// Actions that certainly do harm and no good.
uint32_t harmful(const View& view) {
  const Scene& scene = view.scene;
  uint32_t bad = 0;
  if (!scene.prompt && !scene.more) {
    // Leaving the map costs a turn and leads nowhere.
    unsigned shunned = view.showing(Flag::EDGE);
    if (!has(view, Status::LEV | Status::FLY)) shunned |= view.showing(Flag::LAVA_OR_WATER);
    bad |= moves(shunned) | far_moves(shunned);
    // What bars the only way may be worth a blow to those who can pray for help afterwards.
    const bool stuck =
        view.tables.has_prayer() && wrap_sub(scene.time, view.memory.discovery) >= kStuck;
    if (!stuck && !has(view, Status::BLIND)) bad |= moves(view.showing(Flag::UNTOUCHABLE));
    if (scene.blstats[Blstats::HUNGER] == 0) bad |= 1u << Action::EAT;  // risks choking
    if (!scene.in_trouble()) bad |= 1u << Action::PRAY;  // angers the god, or wears the prayer out
  }
  if (scene.asks(Said::DIRECTION_PROMPT)) {
    bad |= moves(view.showing(Flag::SOLID | Flag::UNTOUCHABLE | Flag::COCKATRICE | Flag::PET |
                              Flag::KEEPER));
  }
  const bool deadly = scene.says(Said::EAT_HERE_PROMPT) && scene.says(Said::DEADLY_FOOD);
  if (scene.prompt && (deadly || scene.says(Said::ATTACK_PROMPT))) bad |= kYes;
  return bad;
}

}  // namespace

uint32_t allowed_actions(const View& view) {
  const uint32_t all = view.tables.actions();
  const uint32_t allowed = all & ~(impossible(view) | harmful(view));
  return allowed ? allowed : all;
}

}  // namespace tedg::nethack
