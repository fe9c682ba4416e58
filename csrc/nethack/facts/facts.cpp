#include "facts.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace tedg::nethack {
namespace {

constexpr int kLongestRun = 30;
constexpr int kFarthest = 16;  // steps of a walk to a monster
constexpr uint16_t kNoSubject = 0xffff;

// Values of wild blstats must not become different doubles on different machines.
double number(int64_t value) { return static_cast<double>(value); }

// Of the eight, by a neighbour's place relative to the player.
int direction_of(int east, int south) {
  for (int way = 0; way < 8; ++way) {
    if (kStepColumn[way] == east && kStepRow[way] == south) return way;
  }
  return -1;
}

constexpr uint64_t kSaidOfToldFact[ToldFact::COUNT] = {
#define TEDG_BITS(name, type, bits, meaning) bits,
    TEDG_TOLD(TEDG_BITS)
#undef TEDG_BITS
};

}  // namespace

Facts::Facts() {
  const std::vector<KindInfo>& kinds = vocabulary();
  for (int kind = 0; kind < Kind::COUNT; ++kind) {
    width_[kind] = kinds[kind].own;
    limit_[kind] = kinds[kind].limit;
  }
  std::memset(values_, 0, sizeof(values_));
  count_[Kind::me] = count_[Kind::level] = count_[Kind::told] = count_[Kind::prompt] = 1;
  count_[Kind::direction] = 8;
  for (int kind = 0; kind < Kind::direction; ++kind) places_[kind][0] = {0, -1, kNoSubject};
  for (int way = 0; way < 8; ++way) {
    places_[Kind::direction][way] = {0, static_cast<int8_t>(way), kNoSubject};
  }
}

void Facts::fill(const View& view) {
  tables_ = &view.tables;
  find_free(view);
  fill_me(view);
  fill_level(view);
  for (int bit = 0; bit < ToldFact::COUNT; ++bit) {
    values_[Kind::told][bit] = view.scene.says(kSaidOfToldFact[bit]);
  }
  fill_prompt(view);
  fill_directions(view);
  fill_monsters(view);
  fill_items(view);
  fill_places(view);
}

void Facts::assign(const Tables& tables, int kind, const double* values, int64_t count,
                   int64_t width, const std::vector<int>& subjects) {
  if (count < 0 || count > limit_[kind] || (count > 0 && width != width_[kind])) {
    throw std::invalid_argument("objects of kind " + vocabulary()[kind].name + " must be at most " +
                                std::to_string(limit_[kind]) + " rows of " +
                                std::to_string(width_[kind]) + " values");
  }
  tables_ = &tables;
  count_[kind] = static_cast<int>(count);
  std::copy(values, values + count * width, values_[kind]);
  for (int i = 0; i < count; ++i) {
    const int subject = i < static_cast<int>(subjects.size()) ? subjects[i] : -1;
    const int8_t direction = kind == Kind::direction ? static_cast<int8_t>(i) : int8_t{-1};
    places_[kind][i] = {0, direction, static_cast<uint16_t>(subject)};
  }
}

// Directions in which a step is possible now.
void Facts::find_free(const View& view) {
  const unsigned blocked = [&] {
    unsigned ways = 0;
    for (int way = 0; way < 8; ++way) {
      const int marks = view.memory.map().marks(view.scene.position + neighbour(way));
      ways |= ((marks & Mark::BLOCKED) != 0 ||
               (kDiagonals >> way & 1 && (marks & Mark::NO_DIAGONAL) != 0))
              << way;
    }
    if (view.memory.map().marks(view.scene.position) & Mark::NO_DIAGONAL) ways |= kDiagonals;
    return ways;
  }();
  free_ = view.on(Terrain::FLOOR, Terrain::HOLE) & ~view.on(Terrain::CLOSED_DOOR) &
          ~view.on(Terrain::TRAP, Terrain::PIT) & ~blocked;
  free_ |= view.on(Terrain::COVERED) & ~blocked;  // something lies there
  free_ &= ~view.showing(kAnyMonster | Flag::BOULDER);
  free_ &= ~(kDiagonals & (view.here == Terrain::OPEN_DOOR ? 0xff : view.on(Terrain::OPEN_DOOR)));
}

void Facts::fill_me(const View& view) {
  const Scene& scene = view.scene;
  const Memory& memory = view.memory;
  const int64_t* blstats = scene.blstats;
  double* me = values_[Kind::me];
  auto has = [&](int64_t bits) { return double((scene.conditions & bits) != 0); };
  me[Me::hp] = number(scene.hp);
  me[Me::max_hp] = number(scene.most_hp);
  me[Me::hp_lost] = number(memory.hurt);
  me[Me::unhurt] = number(wrap_sub(scene.time, memory.hurt_at));
  me[Me::level] = number(blstats[Blstats::XP]);
  me[Me::experience] = number(scene.experience);
  me[Me::experience_gained] = number(memory.experience_gained);
  me[Me::armor_class] = number(blstats[Blstats::AC]);
  me[Me::energy] = number(blstats[Blstats::ENE]);
  me[Me::strength] = number(blstats[Blstats::STR25]);
  me[Me::constitution] = number(blstats[Blstats::CON]);
  me[Me::alignment] = number(blstats[Blstats::ALIGN]);
  me[Me::gold] = number(scene.gold);
  me[Me::gold_gained] = number(memory.gold_gained);
  me[Me::score] = number(blstats[Blstats::SCORE]);
  me[Me::turn] = number(scene.time);
  me[Me::steps_left] = number(view.tables.max_steps - memory.steps);
  me[Me::depth] = number(scene.depth);
  // NetHack's dungeon numbers: 0 main, 1 Gehennom, 2 Mines, 3 Quest, 4 Sokoban, ... 7 the planes.
  me[Me::dungeon] = number(std::clamp<int64_t>(blstats[Blstats::DNUM], -1, 8));
  if (me[Me::dungeon] < 0) me[Me::dungeon] = 8;
  me[Me::hunger] = number(std::clamp<int64_t>(blstats[Blstats::HUNGER], 0, 6));
  me[Me::burden] = number(blstats[Blstats::CAP]);
  me[Me::role] = memory.role;
  me[Me::speed] = view.tables.speed_of_role[memory.role];
  me[Me::blind] = has(Status::BLIND);
  me[Me::confused] = has(Status::CONF);
  me[Me::stunned] = has(Status::STUN);
  me[Me::hallucinating] = has(Status::HALLU);
  me[Me::levitating] = has(Status::LEV | Status::FLY);
  me[Me::dying] = has(Scene::kDying);
  me[Me::in_trouble] = scene.in_trouble();
  me[Me::can_pray] = view.tables.has_prayer();
  me[Me::since_prayer] = number(wrap_sub(scene.time, memory.prayed_at));
  me[Me::trapped] = memory.trapped;
  me[Me::engulfed] = (view.seen & Flag::ENGULFED) != 0;
  me[Me::on] = view.here;
  const bool stale = memory.map().marks(scene.position) & Mark::STALE;
  me[Me::on_kill] = !stale && memory.killed_here(scene.position, scene.time);
  me[Me::on_corpse] = memory.fresh_corpse(view.tables, scene.position, scene.time) >= 0;
  me[Me::on_meal] = memory.on_meal && !(memory.map().marks(scene.position) & Mark::TASTED);
  me[Me::poison_proof] = memory.poison_proof;
  me[Me::may_have_food] = !memory.no_meal;
  me[Me::still] = number(memory.still);
  me[Me::idle] = number(memory.frozen);
  const int* trail = memory.trail;
  me[Me::pacing] = trail[0] == trail[2] && trail[1] == trail[3] && trail[0] != trail[1];
  me[Me::step_failed] = memory.failed;
  const unsigned solid =
      view.on(Terrain::UNKNOWN) | view.on(Terrain::WALL) | view.on(Terrain::LIQUID);
  me[Me::exits] = std::popcount(0xffu & ~solid);
}

void Facts::fill_level(const View& view) {
  const Memory& memory = view.memory;
  double* level = values_[Kind::level];
  level[Level::turns] = number(wrap_sub(view.scene.time, memory.arrival));
  level[Level::unchanged] = number(wrap_sub(view.scene.time, memory.discovery));
  level[Level::known] = memory.map().known();
  level[Level::searched_here] = memory.map().searched(view.scene.position);
  level[Level::searches] = number(memory.map().searches());
  level[Level::rounds] = view.ways.rounds;
  level[Level::stairs_down_known] = view.ways.down_known;
  level[Level::visits] = number(memory.visits());
}

void Facts::fill_prompt(const View& view) {
  const Scene& scene = view.scene;
  double* prompt = values_[Kind::prompt];
  enum { kNone, kMore, kDirection, kEatItem, kEatHere, kAttack, kPray, kOther };
  int kind = kNone;
  if (scene.prompt) {
    kind = scene.says(Said::ATTACK_PROMPT)      ? kAttack
           : scene.says(Said::EAT_HERE_PROMPT)  ? kEatHere
           : scene.says(Said::EAT_ITEM_PROMPT)  ? kEatItem
           : scene.says(Said::DIRECTION_PROMPT) ? kDirection
           : scene.says(Said::PRAY_PROMPT)      ? kPray
                                                : kOther;
  } else if (scene.more) {
    kind = kMore;
  }
  prompt[Prompt::kind] = kind;
  prompt[Prompt::food] = scene.prompt ? std::popcount(scene.told.offered) : 0;
}

void Facts::fill_directions(const View& view) {
  const LevelMap& map = view.memory.map();
  const Board& hostile = map.of(LevelMap::kHostile);
  const Board& walkable = map.of(LevelMap::kWalkable);
  const Board& closed = map.of(LevelMap::kClosed);
  const Board& traps = map.of(LevelMap::kTrap);
  const Board& monsters = map.of(LevelMap::kMonster);
  const Board& blocked = map.of(LevelMap::kBlocked);
  const bool fighting = view.seen & (Flag::HOSTILE | Flag::UNSEEN);
  const Place at = place_of(view.scene.position);
  for (int way = 0; way < 8; ++way) {
    double* d = values_[Kind::direction] + way * Direction::COUNT;
    const int square = view.scene.position + neighbour(way);
    const bool diagonal = kDiagonals >> way & 1;
    const uint8_t marks = map.marks(square);
    d[Direction::name] = way;
    d[Direction::diagonal] = diagonal;
    d[Direction::terrain] = view.ground[way];
    d[Direction::free] = free_ >> way & 1;
    int run = 0;
    if (free_ >> way & 1) {
      Place next = {at.column + kStepColumn[way], at.row + kStepRow[way]};
      for (run = 1; run < kLongestRun; ++run) {
        next.column += kStepColumn[way];
        next.row += kStepRow[way];
        // The padding is no ground, so this ends on the map.
        if (!walkable.has(next) || closed.has(next) || traps.has(next) || blocked.has(next) ||
            monsters.has(next)) {
          break;
        }
        // Nor diagonally through doors.
        if (diagonal && map.of(LevelMap::kFrame).has(next)) break;
      }
    }
    d[Direction::run] = run;
    int threats = 0;
    if (fighting) {
      const int column = at.column + kStepColumn[way], row = at.row + kStepRow[way];
      if (row >= 1 && column >= 1 && row <= kRows && column <= kColumns) {
        threats = std::popcount(three(hostile, column - 1, row)) +
                  std::popcount(three(hostile, column, row) & 5u) +
                  std::popcount(three(hostile, column + 1, row));
        // The player's own square shows the player.
        if (hostile.has(at)) --threats;
      }
    }
    d[Direction::threats] = threats;
    d[Direction::hostile] = view.hostile >> way & 1;
    d[Direction::monster] = (view.near[way] & kAnyMonster) != 0;
    d[Direction::locked] = view.locked >> way & 1;
    d[Direction::visited] = (marks & Mark::VISITED) != 0;
    d[Direction::kill] = view.memory.killed_here(square, view.scene.time);
    d[Direction::boulder] = (view.near[way] & Flag::BOULDER) != 0;
  }
}

double* Facts::add(int kind, ObjectPlace place) {
  const int index = count_[kind]++;
  places_[kind][index] = place;
  return values_[kind] + index * width_[kind];
}

// Lists what a board shows, nearest first (by rows from the top, then from the west, where equally
// near), without the player's own square; fill(square, values) gets the values after TEDG_PLACED.
template <class Fill>
void Facts::list(const View& view, int kind, const Board& shown, Fill fill) {
  const Place at = place_of(view.scene.position);
  uint32_t found[kSquares];  // distance, then the square
  int number_found = 0;
  for (int column = 1; column <= kColumns; ++column) {
    for (uint32_t bits = shown[column] & kMapRows; bits; bits &= bits - 1) {
      const int row = std::countr_zero(bits);
      if (row == at.row && column == at.column) continue;
      const int distance = std::max(std::abs(row - at.row), std::abs(column - at.column));
      found[number_found++] = static_cast<uint32_t>(distance << 16 | (row * kWidth + column));
    }
  }
  const int kept = std::min(number_found, limit_[kind]);
  std::partial_sort(found, found + kept, found + number_found);
  left_out_[kind] = number_found - kept;
  for (int i = 0; i < kept; ++i) {
    const int square = static_cast<int>(found[i] & 0xffff);
    const int distance = static_cast<int>(found[i] >> 16);
    const uint16_t glyph = view.memory.map().glyph(square);
    const int east = square % kWidth - at.column, south = square / kWidth - at.row;
    const int direction = distance == 1 ? direction_of(east, south) : -1;
    double* values = add(kind, {static_cast<int16_t>(square), static_cast<int8_t>(direction),
                                view.tables.subject[glyph]});
    values[Placed::distance] = distance;
    values[Placed::adjacent] = distance == 1;
    values[Placed::east] = east;
    values[Placed::south] = south;
    fill(square, glyph, values);
  }
}

void Facts::fill_monsters(const View& view) {
  count_[Kind::monster] = left_out_[Kind::monster] = 0;
  if (!(view.seen & kAnyMonster)) return;
  const LevelMap& map = view.memory.map();
  const Reach reach(place_of(view.scene.position), view.walks, kFarthest);
  list(view, Kind::monster, map.of(LevelMap::kMonster),
       [&](int square, uint16_t glyph, double* values) {
         const uint32_t flags = view.tables.properties[glyph];
         const bool spared = view.memory.spares(glyph, view.scene.time);
         const int east = static_cast<int>(values[Placed::east]);
         const int south = static_cast<int>(values[Placed::south]);
         values[Monster::aligned] = east == 0 || south == 0 || std::abs(east) == std::abs(south);
         values[Monster::hostile] = (flags & (Flag::HOSTILE | Flag::UNSEEN)) != 0 && !spared;
         values[Monster::peaceful] = spared || (flags & Flag::KEEPER) != 0;
         values[Monster::pet] = (flags & Flag::PET) != 0;
         values[Monster::keeper] = (flags & Flag::KEEPER) != 0;
         values[Monster::unseen] = (flags & Flag::UNSEEN) != 0;
         const int steps = reach.steps_to(place_of(square));
         values[Monster::steps] = steps < 0 ? kUnreached : steps;
         if (values[Placed::adjacent] == 0) {
           const int last = count_[Kind::monster] - 1;
           places_[Kind::monster][last].direction =
               static_cast<int8_t>(reach.first_step(place_of(square)));
         }
       });
}

void Facts::fill_items(const View& view) {
  count_[Kind::item] = left_out_[Kind::item] = 0;
  count_[Kind::corpse] = left_out_[Kind::corpse] = 0;
  const LevelMap& map = view.memory.map();
  if (view.seen & Flag::ITEM) {
    list(view, Kind::item, map.of(LevelMap::kItem), [&](int, uint16_t glyph, double* values) {
      const uint32_t flags = view.tables.properties[glyph];
      values[Item::class_] = view.tables.class_of_object[glyph];
      values[Item::keeps] = (flags & Flag::MEAL) != 0;
      values[Item::magic] = (flags & Flag::MAGIC_ITEM) != 0;
    });
  }
  if (view.seen & Flag::CORPSE) {
    list(view, Kind::corpse, map.of(LevelMap::kCorpse), [&](int square, uint16_t, double* values) {
      values[Corpse::age] = number(view.memory.kill_age(square, view.scene.time));
    });
  }
}

void Facts::fill_places(const View& view) {
  for (int goal = 0; goal < Goal::COUNT; ++goal) {
    const int kind = kFirstPlace + goal;
    const Way& way = view.ways[goal];
    count_[kind] = 0;
    if (!way.reachable()) continue;
    double* values = add(kind, {0, static_cast<int8_t>(way.direction), kNoSubject});
    values[PlaceFact::steps] = way.steps;
    values[PlaceFact::straight] = way.straight;
    const double* d = values_[Kind::direction] + std::max(way.direction, 0) * Direction::COUNT;
    const double run =
        d[Direction::free] == 0 ? kLongestRun : std::max(d[Direction::run] - way.straight, 0.0);
    values[PlaceFact::overrun] = way.direction < 0 ? 0 : run;
  }
}

}  // namespace tedg::nethack
