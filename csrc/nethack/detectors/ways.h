// Conditions about ways to walk (detectors/ways.py).
#pragma once

#include "../view.h"

namespace tedg::nethack {

// The neighbours that can be stepped on and have no hostile monster next to them.
inline unsigned escapes(const View& view) {
  if (view.num_hostile == 0 || view.scene.prompt) return 0;
  unsigned free = view.on(Terrain::FLOOR, Terrain::FURNITURE) & ~view.on(Terrain::CLOSED_DOOR);
  free &= ~view.showing(kAnyMonster | Flag::BOULDER);
  free &= ~(kDiagonals & (view.here == Terrain::OPEN_DOOR ? 0xff : view.on(Terrain::OPEN_DOOR)));
  Board hostile = view.memory.map.of(LevelMap::kHostile);
  const Place at = place_of(view.scene.position);
  hostile[at.column] &= ~at.bit();  // the player is no monster to himself
  for (int way = 0; way < 8; ++way) {
    const int column = at.column + kStepColumn[way], row = at.row + kStepRow[way];
    if (!(free >> way & 1)) continue;
    const unsigned near = three(hostile, column - 1, row) | three(hostile, column, row) |
                          three(hostile, column + 1, row);
    if (near != 0) free &= ~(1u << way);
  }
  return free;
}

template <class Out>
void find_ways(const View& view, Out& out) {
  const Way& down = view.ways[Goal::STAIRS_DOWN];
  const Way& frontier = view.ways[Goal::FRONTIER];
  const Way& gold = view.ways[Goal::GOLD];
  const Way& search = view.ways[Goal::SEARCH_SPOT];
  const Way& meal = view.ways[Goal::MEAL];
  auto towards = [&](const Way& way) {
    // At a prompt a direction key answers the prompt instead of moving.
    return way.direction < 0 || view.scene.prompt ? 0u : 1u << way.direction;
  };
  out.towards("way_to_stairs_{}", towards(down));
  out.towards("way_to_frontier_{}", towards(frontier));
  out.towards("way_to_gold_{}", towards(gold));
  out.towards("way_to_search_spot_{}", towards(search));
  out.towards("way_to_meal_{}", towards(meal));
  const bool stairs = view.memory.map.stairs_down_known();
  out("stairs_down_known", stairs);
  out("stairs_down_unknown", !stairs);
  out("way_down_reachable", down.reachable());
  out("way_down_near", down.steps <= 5);
  out("way_down_blocked", stairs && !down.reachable());
  out("frontier_near", frontier.steps <= 4);
  out("frontier_far", frontier.reachable() && frontier.steps > 4);
  out("nothing_to_explore", !frontier.reachable());
  constexpr int64_t kCharting = 200;
  const bool unfinished = frontier.reachable() &&
                          wrap_sub(view.scene.time, view.memory.arrival) < kCharting;
  out("level_unfinished", unfinished);
  out("level_finished", !unfinished);
  out("gold_near", gold.steps <= 6);
  out("gold_far", gold.reachable() && gold.steps > 6);
  out("at_search_spot", search.steps == 0);
  out("nowhere_to_search", !frontier.reachable() && !search.reachable());
  out.towards("escape_{}", escapes(view));
}

}  // namespace tedg::nethack
