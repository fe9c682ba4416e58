#include "memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iterator>

#include "reach.h"

namespace tedg::nethack {
namespace {

constexpr int kPeacefulTurns = 200;

bool is_near_move(int64_t action) {
  return action >= Action::FIRST_MOVE && action < Action::FIRST_FAR_MOVE;
}

bool is_stairs(uint8_t terrain) {
  return terrain == Terrain::STAIRS_UP || terrain == Terrain::STAIRS_DOWN;
}

bool is_far_move(int64_t action) {
  return action >= Action::FIRST_FAR_MOVE && action < Action::FIRST_FAR_MOVE + 8;
}

}  // namespace

Memory::Memory(const Tables& tables) {
  levels_.push_back(std::make_unique<KnownLevel>());
  here_ = levels_.back().get();
  here_->map.clear(tables);
}

void Memory::update(const Tables& tables, const Scene& scene, const uint8_t* glyphs,
                    int64_t last_action) {
  steps = fresh ? 0 : steps + 1;
  const bool new_level = fresh || scene.level != level;
  const bool moved = new_level || scene.position != position;
  const uint8_t implied = new_level ? arrival_terrain(scene, last_action) : 0;
  const bool branched = !fresh && new_level && (scene.level >> 8) != (level >> 8);
  if (branched && is_stairs(map().terrain(position))) map().mark(position, Mark::BRANCH);
  if (moved) {
    // What was left untouched is of no use.
    if (on_meal && !fresh) map().mark(position, Mark::TASTED);
    on_meal = !new_level && map().of(LevelMap::kMeal).has(place_of(scene.position)) &&
              !(map().marks(scene.position) & Mark::TASTED);
  }
  if (new_level) {
    enter(tables, scene);
    forget(tables, scene);
  }
  if (!new_level && scene.time == time && !scene.prompt) {
    const uint8_t ground = map().terrain(position);
    const bool down = ground == Terrain::STAIRS_DOWN || ground == Terrain::HOLE;
    const bool in_vain = (last_action == Action::DOWN && down) ||
                         (last_action == Action::UP && ground == Terrain::STAIRS_UP);
    if (in_vain) map().remember(tables, position, Terrain::FLOOR);  // no stairs here
  }
  see(tables, scene, glyphs, new_level, implied);
  if (branched && is_stairs(map().terrain(scene.position))) {
    map().mark(scene.position, Mark::BRANCH);
  }
  judge_step(tables, scene, last_action, moved);
  note_kill(scene, last_action, moved);
  note_corpses(tables, scene);
  note_shunned(tables, scene);
  walk(scene, last_action, moved && !new_level && is_far_move(last_action));
  count(scene, last_action, moved, new_level);
  // Healers and barbarians from the start, monks from level 3 on.
  const auto& proof_from = tables.poison_proof_from;
  poison_proof = scene.blstats[Blstats::XP] >= proof_from[role];
  note_sprung(tables, scene, moved && !new_level);
  note_wares(tables, scene);
  if (!new_level && last_action == Action::EAT) map().mark(scene.position, Mark::TASTED);
  if (scene.asks(Said::EAT_ITEM_PROMPT)) no_meal = scene.told.offered == 0;
  if (scene.says(Said::NO_FOOD)) no_meal = true;
  fresh = false;
}

// Terrain that the way of arrival puts under the player, 0 where nothing is implied.
uint8_t Memory::arrival_terrain(const Scene& scene, int64_t last_action) const {
  // A game begins on the up stairs of level 1.
  if (fresh) return scene.depth == 1 && scene.time <= 1 ? Terrain::STAIRS_UP : 0;
  const uint8_t left = map().terrain(position);
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

// Finds the level among those known, or forgets the one left longest ago for it.
void Memory::enter(const Tables& tables, const Scene& scene) {
  if (fresh) {
    changes_ = 0;
    for (auto& known_level : levels_) known_level->visits = 0;
  }
  ++changes_;
  KnownLevel* found = nullptr;
  for (auto& known_level : levels_) {
    const bool used = known_level->visits > 0;
    if (used && known_level->level == scene.level) found = known_level.get();
  }
  if (!found) {
    for (auto& known_level : levels_) {
      if (known_level->visits == 0) found = known_level.get();
    }
    if (!found && levels_.size() < kMostLevels) {
      levels_.push_back(std::make_unique<KnownLevel>());
      found = levels_.back().get();
    }
    for (auto& known_level : levels_) {
      if (found && found->visits == 0) break;
      if (!found || known_level->last_visit < found->last_visit) found = known_level.get();
    }
    found->level = scene.level;
    found->visits = 0;
    found->map.clear(tables);
  }
  ++found->visits;
  found->last_visit = changes_;
  here_ = found;
}

// What is remembered of moves on the level just left, or of the game before.
void Memory::forget(const Tables& tables, const Scene& scene) {
  still = frozen = hurt = 0;
  trapped = failed = false;
  asked = {};
  next_asked = 0;
  kills = shunned = {};
  next_kill = next_shunned = 0;
  std::fill_n(trail, kTrail, -1);
  arrival = hurt_at = scene.time;
  known = map().known();
  if (!fresh) return;
  prompt = praying = no_meal = false;
  prayed_at = kNever;
  position = known = 0;
  hp = scene.hp;
  gold = scene.gold;
  experience = scene.experience;
  time = scene.time;
  role = static_cast<int>(tables.speed_of_role.size()) - 1;  // "other"
}

void Memory::see(const Tables& tables, const Scene& scene, const uint8_t* glyphs, bool new_level,
                 uint8_t implied) {
  map().see(tables, glyphs);
  if (scene.says(Said::STAIRS_DOWN_HERE)) implied = Terrain::STAIRS_DOWN;
  if (scene.says(Said::STAIRS_UP_HERE)) implied = Terrain::STAIRS_UP;
  if (implied != 0 && !scene.prompt) map().set_told_terrain(tables, scene.position, implied);
  if (new_level || map().known() > known) discovery = scene.time;
  known = map().known();
  if (fresh) {
    const uint16_t monster = tables.subject[map().glyph(scene.position)];
    if (monster < tables.num_monsters) role = tables.role_of_monster[monster];
  }
}

// Learns from a step that did not move the player: locked door, boulder, unseen block.
void Memory::judge_step(const Tables& tables, const Scene& scene, int64_t last_action, bool moved) {
  failed = false;
  const bool near = is_near_move(last_action);
  if (!near && !is_far_move(last_action)) return;
  const int aim = static_cast<int>(last_action - Action::FIRST_MOVE) % 8;
  const int target = scene.position + neighbour(aim);
  if (near && scene.asks(Said::ATTACK_PROMPT)) {
    const uint16_t glyph = map().glyph(target);
    auto kind = std::find_if(asked.begin(), asked.end(),
                             [&](const Asked& known) { return known.glyph == glyph; });
    if (kind == asked.end()) {
      kind = asked.begin() + next_asked;
      next_asked = (next_asked + 1) % static_cast<int>(asked.size());
    }
    *kind = {glyph, wrap_add(scene.time, kPeacefulTurns)};
  }
  if (prompt || moved || scene.prompt || scene.more) return;
  const uint8_t ground = map().terrain(target);
  const bool idle = scene.time == time;
  failed = idle;
  const bool locked = scene.says(Said::DOOR_LOCKED);
  const bool refused = scene.says(Said::NO_DIAGONAL);
  const bool boulder = scene.says(Said::BOULDER_STUCK);
  const bool monster = tables.properties[map().glyph(target)] & kAnyMonster;
  const bool puzzling = idle && !monster && !locked && !refused && !boulder &&
                        ground != Terrain::UNKNOWN && ground != Terrain::WALL &&
                        !scene.says(Said::IN_THE_WAY | Said::DOOR_RESISTS);
  const bool again = puzzling && (map().marks(target) & Mark::TRIED);
  const bool slanted = kDiagonals >> aim & 1;
  unsigned learnt = 0;
  if (locked) learnt |= Mark::LOCKED;
  if (boulder || (again && !slanted)) learnt |= Mark::BLOCKED;
  if (refused || (again && slanted)) learnt |= Mark::NO_DIAGONAL;
  if (puzzling) learnt |= Mark::TRIED;
  map().mark(target, static_cast<uint8_t>(learnt));
  if (refused && map().terrain(scene.position) <= Terrain::COVERED) {
    map().mark(scene.position, Mark::NO_DIAGONAL);
  }
}

// Remembers where a blow has just killed a monster: its corpse would be fresh.
void Memory::note_kill(const Scene& scene, int64_t last_action, bool moved) {
  if (!is_near_move(last_action) || moved || prompt || !scene.says(Said::KILLED)) return;
  if (scene.says(Said::UNDEAD_KILLED)) return;  // their corpses are old from the start
  const int aim = static_cast<int>(last_action - Action::FIRST_MOVE);
  kills[next_kill] = {scene.position + neighbour(aim), scene.time, -1};
  next_kill = (next_kill + 1) % kKills;
}

// Remembers which kills left a corpse, and where corpses lie that no kill of the last turns
// explains: what falls there later must not be taken for all that is there to eat.
void Memory::note_corpses(const Tables& tables, const Scene& scene) {
  for (Event& kill : kills) {
    if (kill.square < 0 || kill.square == scene.position) continue;
    const uint16_t glyph = map().glyph(kill.square);
    const uint32_t flags = tables.properties[glyph];
    if (flags & Flag::CORPSE) kill.kind = tables.subject[glyph];
    else if (!(flags & kAnyMonster)) kill.kind = -1;
  }
  const Board& corpses = map().of(LevelMap::kCorpse);
  if (!any(corpses)) return;
  const Board& stale = map().of(LevelMap::kStale);
  for (int column = 1; column <= kColumns; ++column) {
    for (uint32_t bits = corpses[column] & ~stale[column] & kMapRows; bits; bits &= bits - 1) {
      const int square = std::countr_zero(bits) * kWidth + column;
      if (!killed_here(square, scene.time)) map().mark(square, Mark::STALE);
    }
  }
}

int Memory::fresh_corpse(const Tables& tables, int square, int64_t now) const {
  if (map().marks(square) & (Mark::STALE | Mark::TASTED)) return -1;
  for (const Event& kill : kills) {
    const bool fresh = wrap_sub(now, kill.time) < kFresh;
    if (kill.square != square || !fresh || kill.kind < 0 || kill.kind >= tables.num_monsters) {
      continue;
    }
    const double* kind = tables.monster(kill.kind);
    const bool poisoned = kind[MonsterTable::poisonous] != 0 && !poison_proof;
    if (kind[MonsterTable::unwise_to_eat] == 0 && !poisoned) return kill.kind;
  }
  return -1;
}

// Remembers where monsters to be walked round are: out of sight they are not shown. Who stands next
// to the square sees that they are gone.
void Memory::note_shunned(const Tables& tables, const Scene& scene) {
  const Place at = place_of(scene.position);
  const Board& shown = map().of(LevelMap::kShunned);
  for (Event& seen : shunned) {
    const Place place = place_of(seen.square);
    const bool near = std::abs(place.row - at.row) <= 1 && std::abs(place.column - at.column) <= 1;
    if (near && !shown.has(place) && !spares(map().glyph(seen.square), scene.time)) seen = {};
  }
  if (!any(shown) && !sparing()) return;
  const Board& monsters = map().of(LevelMap::kMonster);
  for (int column = 1; column <= kColumns; ++column) {
    const uint32_t maybe = shown[column] | (sparing() ? monsters[column] : 0);
    for (uint32_t bits = maybe & kMapRows; bits; bits &= bits - 1) {
      const int square = std::countr_zero(bits) * kWidth + column;
      const uint16_t glyph = map().glyph(square);
      const bool peaceful =
          (tables.properties[glyph] & Flag::KEEPER) != 0 || spares(glyph, scene.time);
      if (square == scene.position || !(peaceful || shown.has(place_of(square)))) continue;
      // Who is peaceful moves about: of a kind, the one seen last counts.
      auto known = std::find_if(shunned.begin(), shunned.end(), [&](const Event& seen) {
        return peaceful ? seen.square != 0 && seen.kind == glyph : seen.square == square;
      });
      if (known == shunned.end()) {
        known = shunned.begin() + next_shunned;
        next_shunned = (next_shunned + 1) % kKills;
      }
      *known = {square, scene.time, glyph};
    }
  }
}

int64_t Memory::kill_age(int square, int64_t now) const {
  int64_t age = 1000;
  for (const Event& kill : kills) {
    if (kill.square == square) age = std::min(age, wrap_sub(now, kill.time));
  }
  return std::max<int64_t>(age, 0);
}

// Marks the squares that the last move passed.
void Memory::walk(const Scene& scene, int64_t last_action, bool ran) {
  map().mark(scene.position, Mark::VISITED);
  if (!ran) return;
  const int step = neighbour(static_cast<int>(last_action - Action::FIRST_FAR_MOVE));
  const Place start = place_of(position), end = place_of(scene.position);
  const int length = std::max(std::abs(end.row - start.row), std::abs(end.column - start.column));
  if (position + length * step == scene.position) {
    for (int along = 0; along < length; ++along) map().mark(position + along * step, Mark::VISITED);
    return;
  }
  // Along corridors a long move takes the bends, too: a shortest way is the one taken, or nearly.
  map().mark(position + step, Mark::VISITED);
  Ground ground;
  for (int i = 0; i < static_cast<int>(std::size(ground.passable.words)); ++i) {
    ground.passable.words[i] = map().of(LevelMap::kWalkable).words[i];
    ground.no_slant.words[i] = map().of(LevelMap::kFrame).words[i];
    ground.upright.words[i] = ground.passable.words[i] & ~ground.no_slant.words[i];
  }
  const Reach reach(start, ground, Reach::kFar);
  Place at = end;
  for (int left = reach.steps_to(end); left > 0; --left) {
    map().mark(at.row * kWidth + at.column, Mark::VISITED);
    at = reach.before(at, left);
  }
}

// What lies in a shop is not to be had: marks what lies around a keeper, or around the player where
// a shop is spoken of, as tried.
void Memory::note_wares(const Tables& tables, const Scene& scene) {
  constexpr int kShop = 10;  // no shop is larger
  const Board& items = map().of(LevelMap::kItem);
  auto note = [&](Place at) {
    for (int column = std::max(at.column - kShop, 1);
         column <= std::min(at.column + kShop, kColumns); ++column) {
      for (uint32_t bits = items[column] & kMapRows; bits; bits &= bits - 1) {
        map().mark(std::countr_zero(bits) * kWidth + column, Mark::TASTED);
      }
    }
  };
  if (scene.says(Said::SHOP)) {
    note(place_of(scene.position));
    map().mark(scene.position, Mark::TASTED);
  }
  if (!(map().seen_without(tables, scene.position) & Flag::KEEPER)) return;
  const Board& shunned = map().of(LevelMap::kShunned);
  for (int column = 1; column <= kColumns; ++column) {
    for (uint32_t bits = shunned[column] & kMapRows; bits; bits &= bits - 1) {
      const Place at = {column, std::countr_zero(bits)};
      const int square = at.row * kWidth + at.column;
      const bool keeper = tables.properties[map().glyph(square)] & Flag::KEEPER;
      if (keeper && square != scene.position) note(at);
    }
  }
}

// A step that hurt although no enemy is near met a trap, which what fell out of it may cover.
void Memory::note_sprung(const Tables& tables, const Scene& scene, bool moved) {
  if (!moved || hurt == 0 || scene.says(Said::HIT_ME)) return;
  for (int way = 0; way < 8; ++way) {
    constexpr uint32_t kCulprit = Flag::HOSTILE | Flag::UNSEEN;
    if (tables.properties[map().glyph(position + neighbour(way))] & kCulprit) return;
  }
  if (map().terrain(position) <= Terrain::CORRIDOR) map().remember(tables, position, Terrain::TRAP);
}

void Memory::count(const Scene& scene, int64_t last_action, bool moved, bool new_level) {
  const int64_t passed = wrap_sub(scene.time, time);
  if (last_action == Action::SEARCH && passed > 0 && !moved && !prompt) {
    map().count_search(scene.position);
  }
  hurt = std::max<int64_t>(wrap_sub(hp, scene.hp), 0);
  if (hurt > 0) {
    hurt_at = scene.time;
    next_asked = 0;
    asked = {};  // another of that kind may be hostile
  }
  gold_gained = wrap_sub(scene.gold, gold);
  experience_gained = wrap_sub(scene.experience, experience);
  // Falling into a pit always hurts; so a painless step shows that nothing holds the player.
  const bool held = scene.says(Said::TRAPPED) || hurt > 0;
  trapped = held || (moved ? map().terrain(scene.position) == Terrain::PIT : trapped);
  still = moved ? 0 : still + 1;
  if (praying && passed > 0) prayed_at = scene.time;
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
  praying = scene.asks(Said::PRAY_PROMPT);
}

}  // namespace tedg::nethack
