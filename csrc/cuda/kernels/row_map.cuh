// softmax and sparsemax of rows that are spread over the lanes of a warp, and their derivatives.
//
// A group of lanes has a row: lane l its entries l, l + lanes, ... Up to 64 entries lie in
// registers (a row of 4 takes 4 lanes, so a warp maps 8 rows at once), longer rows in shared
// memory. The formulas are those of csrc/ops/row_math.h, with the sums over lanes: Martins &
// Astudillo 2016, the threshold by Michelot's projection (1986), which needs no sort.
#pragma once

#include "kernels.h"

namespace tedg::gpu {

constexpr int kRegisterRow = 64;

// One lane's entries of a row: kSize of them in registers.
template <class A, int kSize>
struct Entries {
  A v[kSize];
  TEDG_DEVICE Entries(A*, int, int64_t) {}
  TEDG_DEVICE constexpr int size() const { return kSize; }
  TEDG_DEVICE A& operator[](int j) { return v[j]; }
  TEDG_DEVICE A operator[](int j) const { return v[j]; }
};
// Or as many as there are, in shared memory.
template <class A>
struct Entries<A, 0> {
  A* first;
  int count;
  TEDG_DEVICE Entries(A* memory, int lane, int64_t entries)
      : first(memory + lane), count(static_cast<int>((entries - lane + 31) / 32)) {}
  TEDG_DEVICE int size() const { return count; }
  TEDG_DEVICE A& operator[](int j) { return first[32 * j]; }
  TEDG_DEVICE A operator[](int j) const { return first[32 * j]; }
};

// z <- relative to its largest entry, which is returned; NaN if any is NaN.
template <class A, int kSize>
TEDG_DEVICE A subtract_top(Entries<A, kSize>& z, int lanes) {
  A top = -kInfinity<A>;
  for (int j = 0; j < z.size(); ++j) top = z[j] > top || z[j] != z[j] ? z[j] : top;
  for (int step = lanes / 2; step > 0; step /= 2) {
    const A other = __shfl_xor_sync(kAllLanes, top, step);
    top = other > top || other != other ? other : top;
  }
  for (int j = 0; j < z.size(); ++j) z[j] -= top;
  return top;
}

// z, relative to its top, becomes its softmax or sparsemax. Entries that do not exist are -inf
// before and get 0. `count` is the length of the row.
template <class A, int kSize>
TEDG_DEVICE void map_row(bool sparse, Entries<A, kSize>& z, A top, int lanes, int64_t count) {
  if (!sparse) {
    A total = 0;
    for (int j = 0; j < z.size(); ++j) {
      z[j] = exp_of(z[j]);
      total += z[j];
    }
    const A scale = 1 / group_sum(total, lanes);
    for (int j = 0; j < z.size(); ++j) z[j] *= scale;
    return;
  }
  // The largest entry is 0 and the threshold at least -1: entries below never count, so the sums
  // stay exact for scores of any size. A top that is not finite makes it NaN.
  A threshold = (top - top) - 1;
  for (int64_t round = 0; round < count; ++round) {
    A sum = 0, size = 0;
    for (int j = 0; j < z.size(); ++j) {
      const bool inside = z[j] > threshold;
      sum += inside ? z[j] : A{0};
      size += inside ? A{1} : A{0};
    }
    const A next = (group_sum(sum, lanes) - 1) / group_sum(size, lanes);
    const bool grows = next > threshold;
    if (!__any_sync(kAllLanes, grows)) break;
    if (grows) threshold = next;
  }
  for (int j = 0; j < z.size(); ++j) {
    const A weight = z[j] - threshold;
    z[j] = weight < 0 ? A{0} : weight;  // NaN compares false and stays
  }
}

// grad <- J(alpha)^T grad. Entries that do not exist have alpha 0 and grad 0.
template <class A, int kSize>
TEDG_DEVICE void map_row_backward(bool sparse, Entries<A, kSize>& grad,
                                  const Entries<A, kSize>& alpha, int lanes) {
  A sum = 0, size = 0;
  for (int j = 0; j < grad.size(); ++j) {
    const bool inside = alpha[j] != 0;
    sum += sparse ? (inside ? grad[j] : A{0}) : alpha[j] * grad[j];
    size += inside ? A{1} : A{0};
  }
  sum = group_sum(sum, lanes);
  size = group_sum(size, lanes);
  const A mean = sparse ? sum / (size == 0 ? A{1} : size) : sum;
  for (int j = 0; j < grad.size(); ++j) {
    grad[j] = sparse ? (alpha[j] != 0 ? grad[j] - mean : A{0}) : alpha[j] * (grad[j] - mean);
  }
}

// How rows of `count` entries are laid over warps.
struct RowLayout {
  int lanes;        // a row
  int rows_a_warp;  // fewer than fit while there are too few rows to fill the device
};
constexpr int64_t kWarpsToFill = 4096;  // about 32 a multiprocessor

inline RowLayout row_layout(int64_t rows, int64_t count) {
  const int lanes = power_of_two(count, 32);
  const int64_t wanted = divided(rows, kWarpsToFill);
  const int most = 32 / lanes;
  return {lanes, wanted < most ? static_cast<int>(wanted < 1 ? 1 : wanted) : most};
}

// Calls f with the number of register entries a lane needs (0: shared memory), as a constant.
template <int kSize>
struct Size {};
template <class F>
void for_row_size(int64_t count, const F& f) {
  if (count <= 32) {
    f(Size<1>{});
  } else if (count <= kRegisterRow) {
    f(Size<2>{});
  } else {
    f(Size<0>{});
  }
}

// The row and entries of this lane; `base` is the first row of its warp.
struct Place {
  int64_t row;
  int slot, lane;  // the row's number in the warp, the lane's number in the row
  bool active;
  TEDG_DEVICE Place(const RowLayout& layout, int64_t base, int64_t rows)
      : row(0), slot((threadIdx.x % 32) / layout.lanes), lane(threadIdx.x % layout.lanes) {
    row = base + slot;
    active = slot < layout.rows_a_warp && row < rows;
  }
};

// Fills the entries with value(k), the others with `absent`.
template <class A, int kSize, class F>
TEDG_DEVICE void fill_row(Entries<A, kSize>& z, const Place& at, int lanes, int64_t count, A absent,
                          const F& value) {
  for (int j = 0; j < z.size(); ++j) {
    const int64_t k = at.lane + static_cast<int64_t>(j) * lanes;
    z[j] = at.active && k < count ? value(k) : absent;
  }
}

// Calls f(k, entry) for the entries that exist.
template <class A, int kSize, class F>
TEDG_DEVICE void each_entry(const Entries<A, kSize>& z, const Place& at, int lanes, int64_t count,
                            const F& f) {
  for (int j = 0; j < z.size(); ++j) {
    const int64_t k = at.lane + static_cast<int64_t>(j) * lanes;
    if (at.active && k < count) f(k, z[j]);
  }
}

}  // namespace tedg::gpu
