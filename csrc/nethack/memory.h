// What the agent remembers of one game (memory.py): the current level's map, its own moves and
// failures. A level's memory is dropped when the level changes; all of it when a new game begins.
#pragma once

#include <cstdint>

#include "level_map.h"
#include "scene.h"

namespace tedg::nethack {

struct Memory {
  LevelMap map;
  bool fresh = true;  // the next observation is the first of a new game
  int64_t level, depth, time, hp, gold, experience;
  int position;           // squares
  int trail[kTrail];      // positions, newest first
  bool prompt;            // the last observation was a prompt
  int64_t still;          // observations since the position changed
  int64_t frozen;         // observations since the game's time advanced
  int64_t arrival;        // game turn at which the level was entered
  int64_t discovery;      // game turn at which a new square was last seen
  int64_t hurt;           // HP lost in the last step
  bool trapped;           // something may hold the player on this square
  bool failed;            // the last step did not move the player and fought nothing
  int peaceful;           // glyph of the monster the game asked about, -1 if none
  int64_t peaceful_until; // turn until which that kind counts as peaceful
  int kill;               // square of the last kill, or -1
  int64_t killed_at;      // game turn of that kill
  bool no_meal;           // the last eating prompt offered no letter that an action sends
  int64_t gold_gained, experience_gained;  // in the last step
  int known;              // number of squares with known terrain

  explicit Memory(const Tables& tables) { map.clear(tables); }

  // Takes in the observation that followed `last_action`.
  void update(const Tables& tables, const Scene& scene, const uint8_t* glyphs,
              int64_t last_action);

 private:
  uint8_t arrival_terrain(const Scene& scene, int64_t last_action) const;
  void forget(const Tables& tables, const Scene& scene);
  void see(const Tables& tables, const Scene& scene, const uint8_t* glyphs, bool new_level,
           uint8_t implied);
  void judge_step(const Tables& tables, const Scene& scene, int64_t last_action, bool moved);
  void note_kill(const Scene& scene, int64_t last_action, bool moved);
  void walk(const Scene& scene, int64_t last_action, bool ran);
  void count(const Scene& scene, int64_t last_action, bool moved, bool new_level);
};

}  // namespace tedg::nethack
