// Where steps are possible, and what can be walked to from a square in a few of them.
#pragma once

#include "board.h"

namespace tedg::nethack {

struct Ground {
  Board passable;
  Board upright;   // passable, and diagonal steps onto and off it are possible
  Board no_slant;  // no diagonal step onto or off it
};

// One flood step; returns whether it reached anything new.
bool flood(const Board& from, const Ground& ground, Board& to);

class Reach {
 public:
  static constexpr int kFar = 48;

  // Floods from a square, for at most `far` steps.
  Reach(Place from, const Ground& ground, int far);
  // The length of the shortest walk to a square, -1 where there is none.
  int steps_to(Place target) const;
  // The square before `at` on a shortest walk to it, which takes `steps` > 0.
  Place before(Place at, int steps) const;
  // The direction of the first step to a square, -1 where there is none.
  int first_step(Place target) const;

 private:
  const Ground& ground_;
  Place from_;
  int filled_ = 0;
  Board within_[kFar + 1];  // [k]: at most k steps away
};

}  // namespace tedg::nethack
