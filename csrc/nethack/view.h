// What facts are read off: one game's scene, memory and ways, and what several
// facts share. Sets of neighbours are bits in action order.
#pragma once

#include <bit>
#include <cstdint>

#include "memory.h"
#include "paths.h"
#include "scene.h"
#include "tables.h"

namespace tedg::nethack {

struct View {
  const Tables& tables;
  const Scene& scene;
  const Memory& memory;
  const Ways& ways;
  const Ground& walks;  // where steps are possible, as far as is known
  int64_t last_action;

  uint32_t seen;        // flags of all squares but the player's
  uint32_t near[8];     // flags of the neighbours
  uint8_t ground[8];    // remembered Terrain of the neighbours
  uint8_t here;         // remembered Terrain under the player
  uint32_t near_flags;  // flags of all neighbours together
  unsigned spared;      // neighbours that hold a monster the game has called peaceful
  unsigned hostile;     // neighbours that hold a monster not known to be pet or peaceful
  int num_hostile;
  uint32_t hostile_flags;  // flags of all hostile neighbours together
  unsigned locked;         // doors known to be locked in the four straight directions

  View(const Tables& t, const Scene& s, const Memory& m, const Ways& w, const Ground& g,
       int64_t action)
      : tables(t), scene(s), memory(m), ways(w), walks(g), last_action(action) {
    const LevelMap& map = memory.map();
    seen = map.seen_without(tables, scene.position);
    here = map.terrain(scene.position);
    near_flags = hostile_flags = 0;
    spared = hostile = locked = 0;
    for (int way = 0; way < 8; ++way) {
      const int square = scene.position + neighbour(way);
      const uint16_t glyph = map.glyph(square);
      near[way] = tables.properties[glyph] & kFlagBits;
      ground[way] = map.terrain(square);
      near_flags |= near[way];
      if (near[way] & kAnyMonster && memory.spares(glyph, scene.time)) spared |= 1u << way;
      if (near[way] & (Flag::HOSTILE | Flag::UNSEEN) && !(spared >> way & 1)) {
        hostile |= 1u << way;
        hostile_flags |= near[way];
      }
      if (way < 4 && ground[way] == Terrain::CLOSED_DOOR && map.marks(square) & Mark::LOCKED) {
        locked |= 1u << way;
      }
    }
    num_hostile = std::popcount(hostile);
  }

  // The neighbours with one of these flags.
  unsigned showing(uint32_t flags) const {
    unsigned ways_there = 0;
    if (near_flags & flags) {
      for (int way = 0; way < 8; ++way) ways_there |= ((near[way] & flags) != 0) << way;
    }
    return ways_there;
  }

  // The neighbours with one of the terrains first to last.
  unsigned on(uint8_t first, uint8_t last) const {
    unsigned there = 0;
    for (int way = 0; way < 8; ++way) there |= (ground[way] >= first && ground[way] <= last) << way;
    return there;
  }
  unsigned on(uint8_t terrain) const { return on(terrain, terrain); }
};

}  // namespace tedg::nethack
