// Conditions about what is on and around the player's square, and in sight
// (detectors/surroundings.py).
#pragma once

#include "../view.h"

namespace tedg::nethack {

// Whether a hostile monster is exactly two squares away.
inline bool hostile_at_two(const View& view) {
  const Board& hostile = view.memory.map.of(LevelMap::kHostile);
  const Place at = place_of(view.scene.position);
  // Five squares of a column, from two north of the player to two south.
  auto five = [&](int column) { return (uint64_t{hostile[column]} << 2) >> at.row & 31; };
  constexpr uint64_t kEnds = 0b10001;
  return (five(at.column - 2) | five(at.column + 2)) ||
         ((five(at.column - 1) | five(at.column) | five(at.column + 1)) & kEnds);
}

template <class Out>
void find_surroundings(const View& view, Out& out) {
  const uint8_t here = view.here;
  out("on_stairs_down", here == Terrain::STAIRS_DOWN);
  out("on_stairs_up", here == Terrain::STAIRS_UP);
  out("on_hole", here == Terrain::HOLE);
  out("on_doorway", here == Terrain::DOORWAY || here == Terrain::OPEN_DOOR);
  out("on_open_door", here == Terrain::OPEN_DOOR);
  out("in_corridor", here == Terrain::CORRIDOR);
  out("in_room", here == Terrain::FLOOR);
  out("on_unknown_ground", here == Terrain::UNKNOWN || here == Terrain::COVERED);
  out("on_furniture", here == Terrain::FURNITURE);

  auto in_sight = [&](uint32_t flags) { return (view.seen & flags) != 0; };
  out("engulfed", in_sight(Flag::ENGULFED));
  out("hostile_in_sight", in_sight(Flag::HOSTILE));
  out("strong_hostile_in_sight", in_sight(Flag::STRONG));
  out("untouchable_in_sight", in_sight(Flag::UNTOUCHABLE));
  out("keeper_in_sight", in_sight(Flag::KEEPER));
  out("gold_in_sight", in_sight(Flag::GOLD));
  out("magic_item_in_sight", in_sight(Flag::MAGIC_ITEM));

  auto adjacent = [&](uint32_t flags) { return (view.near_flags & flags) != 0; };
  out("exploder_adjacent", adjacent(Flag::EXPLODER));
  out("untouchable_adjacent", adjacent(Flag::UNTOUCHABLE));
  out("cockatrice_adjacent", adjacent(Flag::COCKATRICE));
  out("passive_adjacent", adjacent(Flag::PASSIVE));
  out("unseen_adjacent", adjacent(Flag::UNSEEN));
  out("keeper_adjacent", adjacent(Flag::KEEPER));
  out("food_adjacent", adjacent(Flag::FOOD));
  out("magic_item_adjacent", adjacent(Flag::MAGIC_ITEM));
  out("boulder_adjacent", adjacent(Flag::BOULDER));

  auto hostile = [&](uint32_t flags) { return (view.hostile_flags & flags) != 0; };
  out("strong_hostile_adjacent", hostile(Flag::STRONG));
  out("weak_hostile_adjacent", hostile(Flag::WEAK));
  out("fast_hostile_adjacent", hostile(Flag::FAST));
  out("slow_hostile_adjacent", hostile(Flag::SLOW));
  out("thief_adjacent", hostile(Flag::THIEF));

  const int count = view.num_hostile;
  const unsigned shunned = view.showing(Flag::UNTOUCHABLE | Flag::EXPLODER);
  out.towards("hostile_{}", view.hostile & ~shunned);
  out("hostile_adjacent", count >= 1);
  out("hostiles_adjacent_two", count >= 2 && count <= 3);
  out("hostiles_adjacent_many", count >= 4);
  out("hostile_close", hostile_at_two(view));
  out("nobody_in_sight", !in_sight(Flag::HOSTILE | Flag::UNSEEN));
  out("pet_in_fight", adjacent(Flag::PET) && count > 0);
  out("pet_in_the_way", adjacent(Flag::PET) && view.scene.says(Said::IN_THE_WAY));
  out("peaceful_adjacent", view.spared != 0);
  out("food_wanted_in_sight", view.scene.hungry() && in_sight(Flag::FOOD));
  out("trap_adjacent", view.on(Terrain::TRAP, Terrain::PIT) != 0);
  const unsigned liquid = view.on(Terrain::LIQUID);
  out("liquid_adjacent", liquid != 0);
  out.towards("closed_door_{}", view.on(Terrain::CLOSED_DOOR) & 15 & ~view.locked, 4);
  out.towards("locked_door_{}", view.locked, 4);

  const unsigned solid = view.on(Terrain::UNKNOWN) | view.on(Terrain::WALL);
  const int free = std::popcount(0xff & ~(solid | liquid));
  out("dead_end", free <= 1);
  out("narrow_place", free == 2);
  out("fight_in_the_open", free >= 7 && count > 0);
}

}  // namespace tedg::nethack
