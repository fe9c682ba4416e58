// Moving blocks of rows in and out of lanes: lane i of vector k holds entry k of row i.
#pragma once

#include "../vector_math.h"
#include "../../ops/row_math.h"

namespace tedg::TEDG_LEVEL {

// Rows [0, rows), rows <= lanes, of a [*, count] matrix into z[0..count). Unused lanes repeat
// the first row, so that they meet no number that the others do not.
template <class T>
TEDG_INLINE void load_rows(const T* p, int64_t rows, int64_t count, vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  A* lanes = reinterpret_cast<A*>(z);
  for (int64_t i = 0; i < kLanes<A>; ++i) {
    const T* row = p + (i < rows ? i : 0) * count;
    for (int64_t k = 0; k < count; ++k) lanes[k * kLanes<A> + i] = widen(row[k]);
  }
}

template <class T>
TEDG_INLINE void store_rows(T* p, int64_t rows, int64_t count, const vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  const A* lanes = reinterpret_cast<const A*>(z);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < count; ++k) {
      p[i * count + k] = narrow<T, A>(lanes[k * kLanes<A> + i]);
    }
  }
}

}  // namespace tedg::TEDG_LEVEL
