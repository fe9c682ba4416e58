// The cosines between a sample's K vectors, for a block of samples: a lane a sample.
#pragma once

#include "rows.h"

namespace tedg::TEDG_LEVEL {

// Lane i of the result is the sum over v[i]. Every step adds the halves of each group of lanes
// and puts two vectors' results side by side.
template <class A, int kGroup = kLanes<A>>
TEDG_INLINE vec<A> sum_each(vec<A>* v) {
  if constexpr (kGroup == 1) {
    return v[0];
  } else {
    using I = typename Lanes<A>::I;
    I low, high;
    for (int lane = 0; lane < kLanes<A>; ++lane) {
      const int group = lane / kGroup * kGroup, at = lane % kGroup;
      const int from = at < kGroup / 2 ? group + at : kLanes<A> + group + at - kGroup / 2;
      low[lane] = from;
      high[lane] = from + kGroup / 2;
    }
    for (int i = 0; i < kGroup / 2; ++i) {
      const vec<A> other = v[i + kGroup / 2];
      v[i] = __builtin_shuffle(v[i], other, low) + __builtin_shuffle(v[i], other, high);
    }
    return sum_each<A, kGroup / 2>(v);
  }
}

template <class A>
TEDG_INLINE A square_root(A v) {
  if constexpr (sizeof(A) == 4) {
    return __builtin_sqrtf(v);
  } else {
    return __builtin_sqrt(v);
  }
}

// 1 / |z| of one vector whose square may leave the range of A: z is scaled by factor first.
template <class T>
void scaled_norm(const T* z, int64_t width, acc_t<T>& inverse, acc_t<T>& factor) {
  using A = acc_t<T>;
  A largest = 0;
  for (int64_t a = 0; a < width; ++a) {
    const A v = widen(z[a]);
    const A size = v < 0 ? -v : v;
    largest = (size > largest) | (size != size) ? size : largest;
  }
  factor = 1 / (largest > A(1e-37) || largest != largest ? largest : A(1e-37));
  A square = 0;
  for (int64_t a = 0; a < width; ++a) {
    const A v = widen(z[a]) * factor;
    square += v * v;
  }
  inverse = square == 0 ? A{0} : 1 / square_root(square);
}

// One sample's cosines, for vectors of any finite length; into one lane of the block's.
template <class T>
void scaled_cosines(const T* z, int64_t count, int64_t width, acc_t<T>* inverse,
                    acc_t<T>* cosine) {
  using A = acc_t<T>;
  constexpr int kStep = kLanes<A>;
  for (int64_t i = 0; i < count; ++i) {
    A unit_i, factor_i;
    scaled_norm(z + i * width, width, unit_i, factor_i);
    inverse[i * kStep] = unit_i * factor_i;
    for (int64_t j = i + 1; j < count; ++j) {
      A unit_j, factor_j;
      scaled_norm(z + j * width, width, unit_j, factor_j);
      A sum = 0;
      for (int64_t d = 0; d < width; ++d) {
        sum += (widen(z[i * width + d]) * factor_i) * (widen(z[j * width + d]) * factor_j);
      }
      cosine[(i * count + j) * kStep] = sum * unit_i * unit_j;
      cosine[(j * count + i) * kStep] = sum * unit_i * unit_j;
    }
  }
}

constexpr int kTile = 4;

// The inner products of vectors i..i+3 with j..j+3 of every sample of the block, into dots [K, K].
// Vectors past the last are the last again, their products dropped. On the diagonal (i = j) only
// the upper half is computed.
template <class T, bool kDiagonal>
void dot_tile(const T* z, int64_t rows, int64_t count, int64_t width, int64_t i, int64_t j,
              vec<acc_t<T>>* dots) {
  using A = acc_t<T>;
  using V = vec<A>;
  V partial[kTile][kTile][kLanes<A>];
  int64_t offset_i[kTile], offset_j[kTile];
  for (int e = 0; e < kTile; ++e) {
    offset_i[e] = (i + e < count ? i + e : count - 1) * width;
    offset_j[e] = (j + e < count ? j + e : count - 1) * width;
  }
  const int64_t full = width / kLanes<A> * kLanes<A>;
  const int tail = static_cast<int>(width - full);
  for (int r = 0; r < kLanes<A>; ++r) {
    const T* sample = z + (r < rows ? r : 0) * count * width;
    V sum[kTile][kTile];
    // Unrolled, the sums are registers; left to itself the compiler clears them in memory.
#pragma GCC unroll 4
    for (int e = 0; e < kTile; ++e) {
#pragma GCC unroll 4
      for (int f = 0; f < kTile; ++f) sum[e][f] = V{};
    }
    const auto step = [&](auto read) {
      V a[kTile], b[kTile];
      for (int e = 0; e < kTile; ++e) a[e] = read(sample + offset_i[e]);
      for (int f = 0; f < kTile; ++f) b[f] = kDiagonal ? a[f] : read(sample + offset_j[f]);
      for (int e = 0; e < kTile; ++e) {
        for (int f = kDiagonal ? e : 0; f < kTile; ++f) sum[e][f] += a[e] * b[f];
      }
    };
    for (int64_t d = 0; d < full; d += kLanes<A>) step([d](const T* p) { return load(p + d); });
    if (tail > 0) step([full, tail](const T* p) { return load(p + full, tail); });
    for (int e = 0; e < kTile; ++e) {
      for (int f = kDiagonal ? e : 0; f < kTile; ++f) partial[e][f][r] = sum[e][f];
    }
  }
  for (int e = 0; e < kTile && i + e < count; ++e) {
    for (int f = kDiagonal ? e : 0; f < kTile && j + f < count; ++f) {
      dots[(i + e) * count + j + f] = sum_each<A>(partial[e][f]);
    }
  }
}

// Blocks up to this size are fetched while the one before is at work.
constexpr int64_t kFetchBytes = 16384;

// For samples z [rows, K, A], rows <= lanes: inverse[k] = 1 / |z_k| (0 for a zero vector) and the
// cosines [K, K] with a zero diagonal. Unused lanes repeat the first sample.
template <class T>
void cosines(const T* z, int64_t rows, int64_t count, int64_t width, vec<acc_t<T>>* inverse,
             vec<acc_t<T>>* cosine) {
  using A = acc_t<T>;
  using V = vec<A>;
  const int64_t sample = count * width;
  const int64_t block = sample * static_cast<int64_t>(sizeof(T)) * kLanes<A>;
  if (block <= kFetchBytes) {
    const char* next = reinterpret_cast<const char*>(z) + block;
    for (int64_t byte = 0; byte < block; byte += 64) __builtin_prefetch(next + byte);
  }
  for (int64_t i = 0; i < count; i += kTile) {
    dot_tile<T, true>(z, rows, count, width, i, i, cosine);
    for (int64_t j = i + kTile; j < count; j += kTile) {
      dot_tile<T, false>(z, rows, count, width, i, j, cosine);
    }
  }
  typename Lanes<A>::I odd = {};
  for (int64_t i = 0; i < count; ++i) {
    V& square = cosine[i * count + i];
    odd |= ~((square > A(1e-30)) & (square < A(1e30)));
    A roots[kLanes<A>];
    for (int r = 0; r < kLanes<A>; ++r) roots[r] = square_root<A>(square[r]);
    inverse[i] = A{1} / load(roots);
    square = V{};
  }
  if (any(odd)) {  // some vector is zero, huge, tiny or not finite
    for (int r = 0; r < kLanes<A>; ++r) {
      scaled_cosines(z + (r < rows ? r : 0) * sample, count, width,
                     reinterpret_cast<A*>(inverse) + r, reinterpret_cast<A*>(cosine) + r);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = i + 1; j < count; ++j) {
      const V c = cosine[i * count + j] * inverse[i] * inverse[j];
      cosine[i * count + j] = c;
      cosine[j * count + i] = c;
    }
  }
}

}  // namespace tedg::TEDG_LEVEL
