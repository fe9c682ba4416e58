// Shortest known ways to what is worth walking to, by flooding boards.
//
// A field is the list of boards "at most 0, 1, 2, ... steps from a goal". It grows only until the
// player's neighbourhood is reached, goes on growing when the player leaves that part, and is begun
// anew when its goals or the ground change.
#pragma once

#include <cstdint>
#include <memory>

#include "board.h"
#include "constants.h"
#include "memory.h"
#include "reach.h"

namespace tedg::nethack {

// The player's way to one kind of goal.
struct Way {
  int direction;  // index (0-7) of the first step, -1 where there is none
  int steps;      // length of the way, 0 on the goal, or kUnreached
  int straight;   // so many steps of it go in that direction before it turns
  bool reachable() const { return steps != kUnreached; }
};

struct Ways {
  Way to[Goal::COUNT];
  bool down_known;  // a way down is known that is not known to leave this branch
  int rounds;       // how often every search spot within reach was used up
  const Way& operator[](int goal) const { return to[goal]; }
};

class Field {
 public:
  Field();
  // Whether goal squares or the ground differ from the last call's; then the field begins anew.
  void renew(const Board& goals, bool new_ground);
  // The way from `at`, whose neighbours `legal` (bits in action order) can be stepped on.
  Way way_from(Place at, unsigned legal, const Ground& ground);

 private:
  bool grow(const Ground& ground);
  int straight_from(Place at, int direction, int steps, const Ground& ground) const;

  static constexpr int kLongest = 200;  // longer ways count as unreachable
  std::unique_ptr<Board[]> within_;     // [k]: at most k steps from a goal, up to filled_
  int filled_ = 0;
  bool complete_ = true;  // nothing more can be reached
};

class Paths {
 public:
  Paths();
  const Ground& ground() const { return ground_; }
  // Brings the fields up to date and reads the player's way to each goal from them.
  Ways update(const Tables& tables, const Scene& scene, const Memory& memory);

 private:
  Board search_spots(const LevelMap& map, const Ground& ground) const;

  Ground ground_;
  Field fields_[Goal::COUNT];
  int round_ = 0;  // how often every search spot within reach was used up
};

}  // namespace tedg::nethack
