// What the agent remembers of one game: the levels it has been to, its own moves and failures.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "level_map.h"
#include "scene.h"

namespace tedg::nethack {

// A square on which the player killed a monster, and when.
struct Kill {
  int square = 0;  // 0: none
  int64_t time = 0;
};

// A level that the player has been to.
struct KnownLevel {
  int64_t level = -1;      // Scene::level; -1: unused
  int64_t visits = 0;
  int64_t last_visit = 0;  // counted in level changes
  LevelMap map;
};

struct Memory {
  static constexpr int kMostLevels = 12;  // the one left longest ago is forgotten beyond
  static constexpr int kFresh = 30;       // turns for which a corpse is fresh
  static constexpr int kKills = 8;

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
  int64_t hurt_at;        // game turn at which HP was last lost, or the level entered
  bool trapped;           // something may hold the player on this square
  bool failed;            // the last step did not move the player and fought nothing
  int peaceful;           // glyph of the monster the game asked about, -1 if none
  int64_t peaceful_until; // turn until which that kind counts as peaceful
  std::array<Kill, kKills> kills;  // on this level, a ring
  int next_kill;
  bool no_meal;           // the last eating prompt offered no letter that an action sends
  int64_t gold_gained, experience_gained;  // in the last step
  int known;              // number of squares with known terrain
  int role;               // place among the words of me.role

  explicit Memory(const Tables& tables);

  // Takes in the observation that followed `last_action`.
  void update(const Tables& tables, const Scene& scene, const uint8_t* glyphs,
              int64_t last_action);

  LevelMap& map() { return here_->map; }
  const LevelMap& map() const { return here_->map; }
  int64_t visits() const { return here_->visits; }
  // Turns since the player killed a monster on a square; 1000 if it did not, or long ago.
  int64_t kill_age(int square, int64_t now) const;
  bool killed_here(int square, int64_t now) const { return kill_age(square, now) < kFresh; }

 private:
  uint8_t arrival_terrain(const Scene& scene, int64_t last_action) const;
  void enter(const Tables& tables, const Scene& scene);
  void forget(const Tables& tables, const Scene& scene);
  void see(const Tables& tables, const Scene& scene, const uint8_t* glyphs, bool new_level,
           uint8_t implied);
  void judge_step(const Tables& tables, const Scene& scene, int64_t last_action, bool moved);
  void note_kill(const Scene& scene, int64_t last_action, bool moved);
  void note_stale(const Scene& scene);
  void walk(const Scene& scene, int64_t last_action, bool ran);
  void count(const Scene& scene, int64_t last_action, bool moved, bool new_level);

  std::vector<std::unique_ptr<KnownLevel>> levels_;
  KnownLevel* here_;
  int64_t changes_ = 0;  // of level, in this game
};

}  // namespace tedg::nethack
