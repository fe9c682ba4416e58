#include "memory.h"

#include <algorithm>
#include <cstdlib>

namespace tedg::nethack {
namespace {

constexpr int kPeacefulTurns = 30;

bool is_near_move(int64_t action) {
  return action >= Action::FIRST_MOVE && action < Action::FIRST_FAR_MOVE;
}

bool is_far_move(int64_t action) {
  return action >= Action::FIRST_FAR_MOVE && action < Action::FIRST_FAR_MOVE + 8;
}

}  // namespace

void Memory::update(const Tables& tables, const Scene& scene, const uint8_t* glyphs,
                    int64_t last_action) {
  const bool new_level = fresh || scene.level != level;
  const bool moved = new_level || scene.position != position;
  const uint8_t implied = new_level ? arrival_terrain(scene, last_action) : 0;
  if (new_level) forget(tables, scene);
  see(tables, scene, glyphs, new_level, implied);
  judge_step(tables, scene, last_action, moved);
  note_kill(scene, last_action, moved);
  walk(scene, last_action, moved && !new_level && is_far_move(last_action));
  count(scene, last_action, moved, new_level);
  if (!new_level && last_action == Action::EAT) map.mark(scene.position, Mark::TASTED);
  if (scene.asks(Said::EAT_ITEM_PROMPT)) no_meal = scene.told.offered == 0;
  fresh = false;
}

// Terrain that the way of arrival puts under the player, 0 where nothing is implied.
uint8_t Memory::arrival_terrain(const Scene& scene, int64_t last_action) const {
  // A game begins on the up stairs of level 1.
  if (fresh) return scene.depth == 1 && scene.time <= 1 ? Terrain::STAIRS_UP : 0;
  const uint8_t left = map.terrain(position);
  if (last_action == Action::UP && left == Terrain::STAIRS_UP &&
      scene.depth == wrap_sub(depth, 1)) {
    return Terrain::STAIRS_DOWN;
  }
  if (last_action == Action::DOWN && left == Terrain::STAIRS_DOWN &&
      scene.depth == wrap_add(depth, 1)) {
    return Terrain::STAIRS_UP;
  }
  return 0;
}

// A new level, perhaps of a new game.
void Memory::forget(const Tables& tables, const Scene& scene) {
  map.clear(tables);
  still = frozen = hurt = 0;
  trapped = failed = false;
  peaceful = kill = -1;
  std::fill_n(trail, kTrail, -1);
  arrival = scene.time;
  if (!fresh) return;
  prompt = no_meal = false;
  peaceful_until = killed_at = 0;
  position = known = 0;
  hp = scene.hp;
  gold = scene.gold;
  experience = scene.experience;
  time = scene.time;
}

void Memory::see(const Tables& tables, const Scene& scene, const uint8_t* glyphs, bool new_level,
                 uint8_t implied) {
  map.see(tables, glyphs);
  if (scene.says(Said::STAIRS_DOWN_HERE)) implied = Terrain::STAIRS_DOWN;
  if (scene.says(Said::STAIRS_UP_HERE)) implied = Terrain::STAIRS_UP;
  if (implied != 0 && !scene.prompt) map.set_told_terrain(tables, scene.position, implied);
  if (new_level || map.known() > known) discovery = scene.time;
  known = map.known();
}

// Learns from a step that did not move the player: locked door, boulder, unseen block.
void Memory::judge_step(const Tables& tables, const Scene& scene, int64_t last_action,
                        bool moved) {
  failed = false;
  const bool near = is_near_move(last_action);
  if (!near && !is_far_move(last_action)) return;
  const int aim = static_cast<int>(last_action - Action::FIRST_MOVE) % 8;
  const int target = scene.position + neighbour(aim);
  if (near && scene.asks(Said::ATTACK_PROMPT)) {
    peaceful = map.glyph(target);
    peaceful_until = wrap_add(scene.time, kPeacefulTurns);
  }
  if (prompt || moved || scene.prompt || scene.more) return;
  const uint8_t ground = map.terrain(target);
  const bool idle = scene.time == time;
  failed = idle;
  const bool locked = scene.says(Said::DOOR_LOCKED);
  const bool refused = scene.says(Said::NO_DIAGONAL);
  const bool boulder = scene.says(Said::BOULDER_STUCK);
  const bool monster = tables.properties[map.glyph(target)] & kAnyMonster;
  const bool puzzling = near && idle && !monster && !locked && !refused && !boulder &&
                        ground != Terrain::UNKNOWN && ground != Terrain::WALL &&
                        !scene.says(Said::IN_THE_WAY | Said::DOOR_RESISTS);
  const bool again = puzzling && (map.marks(target) & Mark::TRIED);
  const bool slanted = kDiagonals >> aim & 1;
  unsigned learnt = 0;
  if (locked) learnt |= Mark::LOCKED;
  if (boulder || (again && !slanted)) learnt |= Mark::BLOCKED;
  if (refused || (again && slanted)) learnt |= Mark::NO_DIAGONAL;
  if (puzzling) learnt |= Mark::TRIED;
  map.mark(target, static_cast<uint8_t>(learnt));
  if (refused && map.terrain(scene.position) <= Terrain::COVERED) {
    map.mark(scene.position, Mark::NO_DIAGONAL);
  }
}

// Remembers where a blow has just killed a monster: its corpse would be fresh. It is forgotten once
// the player has left it, or a step failed, perhaps the one towards it.
void Memory::note_kill(const Scene& scene, int64_t last_action, bool moved) {
  if (failed || (moved && kill == position)) kill = -1;
  if (!is_near_move(last_action) || moved || !scene.says(Said::KILLED)) return;
  kill = scene.position + neighbour(static_cast<int>(last_action - Action::FIRST_MOVE));
  killed_at = scene.time;
}

// Marks the squares that the last move passed: a long move runs along a straight line.
void Memory::walk(const Scene& scene, int64_t last_action, bool ran) {
  map.mark(scene.position, Mark::VISITED);
  if (!ran) return;
  const int step = neighbour(static_cast<int>(last_action - Action::FIRST_FAR_MOVE));
  const Place start = place_of(position), end = place_of(scene.position);
  const int length = std::max(std::abs(end.row - start.row), std::abs(end.column - start.column));
  if (position + length * step != scene.position) return;
  for (int along = 0; along < length; ++along) map.mark(position + along * step, Mark::VISITED);
}

void Memory::count(const Scene& scene, int64_t last_action, bool moved, bool new_level) {
  const int64_t passed = wrap_sub(scene.time, time);
  if (last_action == Action::SEARCH && passed > 0 && !moved && !prompt) {
    map.count_search(scene.position);
  }
  hurt = std::max<int64_t>(wrap_sub(hp, scene.hp), 0);
  gold_gained = wrap_sub(scene.gold, gold);
  experience_gained = wrap_sub(scene.experience, experience);
  // Falling into a pit always hurts; so a painless step shows that nothing holds the player.
  const bool held = scene.says(Said::TRAPPED) || hurt > 0;
  trapped = held || (moved ? map.terrain(scene.position) == Terrain::PIT : trapped);
  still = moved ? 0 : still + 1;
  frozen = passed != 0 || new_level ? 0 : frozen + 1;
  std::copy_backward(trail, trail + kTrail - 1, trail + kTrail);
  trail[0] = scene.position;
  level = scene.level;
  depth = scene.depth;
  position = scene.position;
  time = scene.time;
  hp = scene.hp;
  gold = scene.gold;
  experience = scene.experience;
  prompt = scene.prompt;
}

}  // namespace tedg::nethack
