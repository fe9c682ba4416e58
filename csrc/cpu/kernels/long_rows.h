// sparsemax of one long row, lanes along its entries, with all sums in double and all counts in
// integers: a float cannot count beyond 2^24.
//
// The threshold is Michelot's (see row_math.h). Entries more than 1 below the largest never count;
// of scores that spread, the rest are few, and fit a buffer.
#pragma once

#include "../vector_math.h"

namespace tedg::TEDG_LEVEL {

constexpr int64_t kLongRow = 256;
constexpr int64_t kCandidates = 8192;  // doubles of scratch

// Numbers of type A in which kCandidates doubles find room.
template <class A>
constexpr int64_t kCandidateRoom = kCandidates * static_cast<int64_t>(sizeof(double) / sizeof(A));

// Calls f(place, numbers, count) for every kLanes<double> of values[0..count) as doubles; where
// fewer are left, the other lanes are `fill`.
template <class T, class F>
TEDG_INLINE void each_wide(const T* values, int64_t count, double fill, const F& f) {
  using A = acc_t<T>;
  for (int64_t k = 0; k < count; k += kLanes<A>) {
    const vec<A> v =
        first_lanes<A>(load_some(values + k, count - k), count - k, static_cast<A>(fill));
    if constexpr (sizeof(A) == 8) {
      f(k, v, count - k);
    } else {
      typedef float Half __attribute__((vector_size(TEDG_VECTOR_BYTES / 2)));
      Half half[2];
      __builtin_memcpy(half, &v, sizeof(v));
      f(k, __builtin_convertvector(half[0], VecD), count - k);
      if (count - k > kLanes<double>) {
        f(k + kLanes<double>, __builtin_convertvector(half[1], VecD), count - k - kLanes<double>);
      }
    }
  }
}

// Stores n or, if that is less, kLanes<double> numbers of type T.
template <class T>
TEDG_INLINE void store_wide(T* to, VecD v, int64_t n) {
  if constexpr (sizeof(acc_t<T>) == 8) {
    store_some(to, v, n);
  } else {
    VecF narrowed = {};
    for (int i = 0; i < kLanes<double>; ++i) narrowed[i] = static_cast<float>(v[i]);
    store_some(to, narrowed, n < kLanes<double> ? n : kLanes<double>);
  }
}

// Sums and counts entries of a row that lie above a threshold.
struct Above {
  VecD sum = {};
  MaskD size = {};

  TEDG_INLINE void add(VecD v, double threshold) {
    const MaskD inside = v > threshold;
    sum += inside ? v : VecD{};
    size -= inside;
  }
  // The threshold that these entries alone would have.
  double threshold() const {
    int64_t count = 0;
    for (int i = 0; i < kLanes<double>; ++i) count += size[i];
    return (sum_lanes<double>(sum) - 1) / static_cast<double>(count);
  }
};

// Raises the threshold until no entry that counts lies below it; pass(threshold) sums those above.
template <class Pass>
TEDG_INLINE double raise(double threshold, const Pass& pass) {
  while (true) {
    const double next = pass(threshold).threshold();
    if (!(next > threshold)) return threshold;
    threshold = next;
  }
}

struct LongRow {
  double top;        // the largest entry; NaN if there is no sparsemax
  double threshold;  // relative to it
};

// `candidates` is room for kCandidates doubles.
template <class T>
LongRow long_row(const T* z, int64_t count, double* candidates) {
  using A = acc_t<T>;
  vec<A> largest = splat<A>(-__builtin_inff());
  for (int64_t k = 0; k < count; k += kLanes<A>) {
    const vec<A> v = first_lanes<A>(load_some(z + k, count - k), count - k, -__builtin_inff());
    largest = (v > largest) | (v != v) ? v : largest;
  }
  A top = largest[0];
  for (int i = 1; i < kLanes<A>; ++i) {
    top = (largest[i] > top) | (largest[i] != largest[i]) ? largest[i] : top;
  }
  if (top - top != 0) return {__builtin_nan(""), 0};  // infinite or NaN
  int64_t found = 0;
  each_wide(z, count, -__builtin_inf(), [&](int64_t, VecD v, int64_t) {
    const VecD below = v - static_cast<double>(top);
    const MaskD inside = below > -1.0;
    if (found > kCandidates || !any(inside)) return;
    for (int i = 0; i < kLanes<double>; ++i) {
      if (inside[i] == 0) continue;
      if (found < kCandidates) candidates[found] = below[i];
      ++found;
    }
  });
  const bool all = found <= kCandidates;
  const double threshold = raise(-1.0, [&](double at) {
    Above above;
    each_wide(candidates, all ? found : kCandidates, -__builtin_inf(),
              [&](int64_t, VecD v, int64_t) { above.add(v, at); });
    return above;
  });
  if (all) return {top, threshold};
  // The threshold of some entries is a bound for that of all.
  return {top, raise(threshold, [&](double at) {
            Above above;
            each_wide(z, count, -__builtin_inf(), [&](int64_t, VecD v, int64_t) {
              above.add(v - static_cast<double>(top), at);
            });
            return above;
          })};
}

// The weight of an entry, NaN in a row that has none.
TEDG_INLINE VecD long_weight(const LongRow& row, VecD z) {
  const VecD weight = z - row.top - row.threshold;
  return weight < VecD{} ? VecD{} : weight;
}

template <class T>
void sparsemax_long(const T* z, T* out, int64_t count, double* candidates) {
  const LongRow row = long_row(z, count, candidates);
  each_wide(z, count, 0.0,
            [&](int64_t k, VecD v, int64_t n) { store_wide(out + k, long_weight(row, v), n); });
}

// grad_z <- grad less its mean over the support of alpha, there; 0 elsewhere.
template <class T>
void sparsemax_long_backward(const T* grad, const T* alpha, T* grad_z, int64_t count) {
  using A = acc_t<T>;
  double total = 0;
  int64_t size = 0;
  constexpr int64_t kBlock = 64 * kLanes<A>;
  const auto inside_of = [&](int64_t k) {
    return first_lanes<A>(load_some(alpha + k, count - k), count - k, A{0}) != A{0};
  };
  for (int64_t begin = 0; begin < count; begin += kBlock) {  // short enough for sums in A
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    vec<A> sum = {};
    typename Lanes<A>::I number = {};
    for (int64_t k = begin; k < end; k += kLanes<A>) {
      const auto inside = inside_of(k);
      if (!any(inside)) continue;
      sum += inside ? load_some(grad + k, count - k) : vec<A>{};
      number -= inside;
    }
    total += sum_lanes<A>(sum);
    for (int i = 0; i < kLanes<A>; ++i) size += number[i];
  }
  const A mean = static_cast<A>(total / static_cast<double>(size > 0 ? size : 1));
  for (int64_t k = 0; k < count; k += kLanes<A>) {
    const auto inside = inside_of(k);
    const vec<A> by = any(inside) ? load_some(grad + k, count - k) - mean : vec<A>{};
    store_some(grad_z + k, inside ? by : vec<A>{}, count - k);
  }
}

}  // namespace tedg::TEDG_LEVEL
