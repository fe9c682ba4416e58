// What the agent remembers of one game: the levels it has been to, its own moves and failures.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "level_map.h"
#include "scene.h"

namespace tedg::nethack {

// A square on which something happened or was seen, and when.
struct Event {
  int square = -1;  // none
  int64_t time = 0;
  // Of a kill: the monster whose corpse was seen there, -1 if none; else the glyph seen.
  int kind = -1;
};

// A kind of monster that the game has called peaceful.
struct Asked {
  int glyph = -1;     // -1: none
  int64_t until = 0;  // turn until which its like count as peaceful
};

// A level that the player has been to.
struct KnownLevel {
  int64_t level = 0;       // Scene::level
  int64_t visits = 0;      // 0: unused
  int64_t last_visit = 0;  // counted in level changes
  LevelMap map;
};

struct Memory {
  static constexpr int kMostLevels = 12;  // the one left longest ago is forgotten beyond
  static constexpr int kFresh = 30;       // turns for which a corpse is fresh
  static constexpr int kKills = 8;
  static constexpr int64_t kNever = -10000;
  static constexpr int kWary = 150;  // turns for which what was out of sight is walked round

  bool fresh = true;  // the next observation is the first of a new game
  int64_t level, depth, time, hp, gold, experience;
  int position;                // squares
  int trail[kTrail];           // positions, newest first
  int64_t steps;               // observations since the game began
  bool prompt;                 // the last observation was a prompt
  bool praying;                // namely whether to pray
  int64_t still;               // observations since the position changed
  int64_t frozen;              // observations since the game's time advanced
  int64_t arrival;             // game turn at which the level was entered
  int64_t discovery;           // game turn at which a new square was last seen
  int64_t hurt;                // HP lost in the last step
  int64_t hurt_at;             // game turn at which HP was last lost, or the level entered
  bool trapped;                // something may hold the player on this square
  bool failed;                 // the last step did not move the player and fought nothing
  std::array<Asked, 4> asked;  // the kinds of monster that the game asked about last, a ring
  int next_asked;
  std::array<Event, kKills> kills;  // of the player's on this level, a ring
  int next_kill;
  std::array<Event, kKills> shunned;  // where something to be walked round was seen, a ring
  int next_shunned;
  int64_t prayed_at;  // game turn after the last prayer, kNever before the first
  bool no_meal;       // the last eating prompt offered no letter that an action sends
  int64_t gold_gained, experience_gained;  // in the last step
  int known;                               // number of squares with known terrain
  int role;                                // place among the words of me.role
  bool on_meal = false;  // food that keeps, not tried, was seen where the player stepped to
  bool poison_proof;     // resists poison, by role and level

  explicit Memory(const Tables& tables);

  // Takes in the observation that followed `last_action`.
  void update(const Tables& tables, const Scene& scene, const uint8_t* glyphs, int64_t last_action);

  LevelMap& map() { return here_->map; }
  const LevelMap& map() const { return here_->map; }
  int64_t visits() const { return here_->visits; }
  // Whether monsters that show this glyph count as peaceful.
  bool spares(uint16_t glyph, int64_t now) const {
    for (const Asked& kind : asked) {
      if (kind.glyph == glyph && kind.until >= now) return true;
    }
    return false;
  }
  // Whether there may be any of those.
  bool sparing() const { return next_asked != 0 || asked[0].glyph >= 0; }
  // Turns since the player killed a monster on a square; 1000 if it did not, or long ago.
  int64_t kill_age(int square, int64_t now) const;
  // The kind of monster whose fresh corpse lies on a square, wise to eat as far as is known; -1 if
  // none.
  int fresh_corpse(const Tables& tables, int square, int64_t now) const;
  bool killed_here(int square, int64_t now) const { return kill_age(square, now) < kFresh; }

 private:
  uint8_t arrival_terrain(const Scene& scene, int64_t last_action) const;
  void enter(const Tables& tables, const Scene& scene);
  void forget(const Tables& tables, const Scene& scene);
  void see(const Tables& tables, const Scene& scene, const uint8_t* glyphs, bool new_level,
           uint8_t implied);
  void judge_step(const Tables& tables, const Scene& scene, int64_t last_action, bool moved);
  void note_kill(const Scene& scene, int64_t last_action, bool moved);
  void note_corpses(const Tables& tables, const Scene& scene);
  void note_shunned(const Tables& tables, const Scene& scene);
  void walk(const Scene& scene, int64_t last_action, bool ran);
  void note_wares(const Tables& tables, const Scene& scene);
  void note_sprung(const Tables& tables, const Scene& scene, bool moved);
  void count(const Scene& scene, int64_t last_action, bool moved, bool new_level);

  std::vector<std::unique_ptr<KnownLevel>> levels_;
  KnownLevel* here_;
  int64_t changes_ = 0;  // of level, in this game
};

}  // namespace tedg::nethack
