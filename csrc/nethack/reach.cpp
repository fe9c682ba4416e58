#include "reach.h"

#include <bit>

namespace tedg::nethack {

TEDG_VECTOR_CLONES bool flood(const Board& from, const Ground& ground, Board& to) {
  const uint32_t* reached = from.words;
  const uint32_t* passable = ground.passable.words;
  const uint32_t* upright = ground.upright.words;
  uint32_t* next = to.words;
  uint32_t added = 0;
  for (int i = Board::kFirst; i < Board::kEnd; ++i) {
    const uint32_t west = reached[i - 1], here = reached[i], east = reached[i + 1];
    const uint32_t slanted = (west & upright[i - 1]) | (east & upright[i + 1]);
    const uint32_t straight = west | east | here << 1 | here >> 1;
    const uint32_t side = straight | ((slanted << 1 | slanted >> 1) & upright[i]);
    next[i] = here | (side & passable[i]);
    added |= next[i] ^ here;
  }
  to.clear_margins();
  return added != 0;
}

Reach::Reach(Place from, const Ground& ground, int far) : ground_(ground), from_(from) {
  within_[0].clear();
  within_[0][from.column] |= from.bit();
  while (filled_ < far && flood(within_[filled_], ground, within_[filled_ + 1])) ++filled_;
}

int Reach::steps_to(Place target) const {
  if (!within_[filled_].has(target)) return -1;
  int least = 0;
  for (int most = filled_; least < most;) {
    const int middle = (least + most) / 2;
    within_[middle].has(target) ? most = middle : least = middle + 1;
  }
  return least;
}

Place Reach::before(Place at, int steps) const {
  // As the flood went: straight on, or diagonally between two upright squares. So there is one.
  const unsigned slanted = ground_.upright.has(at) ? around(ground_.upright, at) & kDiagonals : 0;
  const int way = std::countr_zero(around(within_[steps - 1], at) & (~kDiagonals | slanted));
  return {at.column + kStepColumn[way], at.row + kStepRow[way]};
}

int Reach::first_step(Place target) const {
  const int steps = steps_to(target);
  if (steps <= 0) return -1;
  Place at = target;
  for (int left = steps; left > 1; --left) at = before(at, left);
  for (int way = 0; way < 8; ++way) {
    if (from_.column + kStepColumn[way] == at.column && from_.row + kStepRow[way] == at.row) {
      return way;
    }
  }
  return -1;
}

}  // namespace tedg::nethack
