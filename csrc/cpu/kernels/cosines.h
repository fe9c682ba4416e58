// The cosines between a sample's K vectors, for a block of samples: a lane a sample.
#pragma once

#include "rows.h"

namespace tedg::TEDG_LEVEL {

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
TEDG_INLINE void scaled_norm(const T* z, int64_t width, acc_t<T>& inverse, acc_t<T>& factor) {
  using A = acc_t<T>;
  A largest = 0;
  for (int64_t a = 0; a < width; ++a) {
    const A v = widen(z[a]);
    const A size = v < 0 ? -v : v;
    largest = (size > largest) | (size != size) ? size : largest;
  }
  const A least = sizeof(A) == 4 ? A(1e-37) : A(1e-300);
  factor = 1 / (largest > least || largest != largest ? largest : least);
  A square = 0;
  for (int64_t a = 0; a < width; ++a) {
    const A v = widen(z[a]) * factor;
    square += v * v;
  }
  inverse = square == 0 ? A{0} : 1 / square_root(square);
}

// One sample's cosines, for vectors of any finite length; into one lane of the block's. `inverse`
// becomes 1 (0 for a zero vector): see scaled_gradients.
template <class T>
void scaled_cosines(const T* z, int64_t count, int64_t width, acc_t<T>* inverse, acc_t<T>* cosine) {
  using A = acc_t<T>;
  constexpr int kStep = kLanes<A>;
  for (int64_t i = 0; i < count; ++i) {
    A unit_i, factor_i;
    scaled_norm(z + i * width, width, unit_i, factor_i);
    inverse[i * kStep] = unit_i == 0 ? A{0} : A{1};
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

// One sample's gradients where its cosines came from scaled_cosines: the coefficients then are
// those of the unit vectors, and 1 / |z_i|, which may be close to overflow, comes last.
template <class T>
void scaled_gradients(const acc_t<T>* coefficient, const T* z, T* out, int64_t count, int64_t width,
                      acc_t<T>* unit, acc_t<T>* factor) {
  using A = acc_t<T>;
  for (int64_t i = 0; i < count; ++i) scaled_norm(z + i * width, width, unit[i], factor[i]);
  for (int64_t i = 0; i < count; ++i) {
    const A* own = coefficient + i * count * kLanes<A>;
    for (int64_t d = 0; d < width; ++d) {
      A sum = 0;
      for (int64_t j = 0; j < count; ++j) {
        sum += own[j * kLanes<A>] * (widen(z[j * width + d]) * factor[j] * unit[j]);
      }
      out[i * width + d] = narrow<T, A>(sum == 0 ? sum : sum * unit[i] * factor[i]);
    }
  }
}

// Vectors that a block's turned logits may take: few enough to stay near the core.
constexpr int64_t kTurnedVectors = 2048;

// How many of a sample's actions are turned at a time.
inline int64_t chunk_width(int64_t count, int64_t width) {
  const int64_t most = kTurnedVectors / count / kQuad * kQuad;
  const int64_t chunk = most > kQuad ? most : kQuad;
  return width < chunk ? width : chunk;
}

// Actions [begin, begin + chunk) of samples z [rows, K, A], turned [K, chunk]: a lane a sample.
template <class T>
void turn_chunk(const T* z, int64_t rows, int64_t count, int64_t width, int64_t begin,
                int64_t chunk, vec<acc_t<T>>* turned) {
  for (int64_t k = 0; k < count; ++k) {
    load_rows(z + k * width + begin, count * width, rows, chunk, turned + k * chunk);
  }
}

constexpr int kTile = 4;
// Off the diagonal 4 x 4 sums need more registers than there are before AVX-512.
constexpr int kTileAcross = TEDG_VECTOR_BYTES == 64 ? 4 : 2;

// Adds the inner products of vectors i..i+3 with j..j+kAcross-1 of turned logits [K, chunk] to
// dots [K, K]. Vectors past the last are the last again, their products dropped. On the diagonal
// (i = j) only the upper half is computed.
template <class A, bool kDiagonal>
void dot_tile(const vec<A>* turned, int64_t count, int64_t chunk, int64_t i, int64_t j,
              vec<A>* dots) {
  constexpr int kAcross = kDiagonal ? kTile : kTileAcross;
  using V = vec<A>;
  const V *left[kTile], *right[kAcross];
  for (int e = 0; e < kTile; ++e) left[e] = turned + (i + e < count ? i + e : count - 1) * chunk;
  for (int f = 0; f < kAcross; ++f) {
    right[f] = turned + (j + f < count ? j + f : count - 1) * chunk;
  }
  V sum[kTile][kAcross];
  // Unrolled, the sums are registers; left to itself the compiler clears them in memory.
#pragma GCC unroll 4
  for (int e = 0; e < kTile; ++e) {
#pragma GCC unroll 4
    for (int f = 0; f < kAcross; ++f) sum[e][f] = V{};
  }
  for (int64_t d = 0; d < chunk; ++d) {
    V a[kTile], b[kAcross];
    for (int e = 0; e < kTile; ++e) a[e] = left[e][d];
    for (int f = 0; f < kAcross; ++f) b[f] = kDiagonal ? a[f] : right[f][d];
    for (int e = 0; e < kTile; ++e) {
      for (int f = kDiagonal ? e : 0; f < kAcross; ++f) sum[e][f] += a[e] * b[f];
    }
  }
#pragma GCC unroll 4
  for (int e = 0; e < kTile; ++e) {
#pragma GCC unroll 4
    for (int f = kDiagonal ? e : 0; f < kAcross; ++f) {
      if (i + e < count && j + f < count) dots[(i + e) * count + j + f] += sum[e][f];
    }
  }
}

// Blocks up to this size are fetched while the one before is at work.
constexpr int64_t kFetchBytes = 16384;

template <bool kToWrite>
TEDG_INLINE void fetch(const void* p, int64_t bytes) {
  if (bytes > kFetchBytes) return;
  for (int64_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(static_cast<const char*>(p) + at, kToWrite);
  }
}

// For samples z [rows, K, A], rows <= lanes: inverse[k] = 1 / |z_k| (0 for a zero vector) and the
// cosines [K, K] with a zero diagonal. Unused lanes repeat the first sample. The last chunk of the
// logits is left in turned [K, chunk]. True if lengths leave the range: then scaled_gradients.
template <class T>
bool cosines(const T* z, int64_t rows, int64_t count, int64_t width, vec<acc_t<T>>* turned,
             vec<acc_t<T>>* inverse, vec<acc_t<T>>* cosine) {
  using A = acc_t<T>;
  using V = vec<A>;
  const int64_t sample = count * width;
  fetch<false>(z + kLanes<A> * sample, kLanes<A> * sample * static_cast<int64_t>(sizeof(T)));
  for (int64_t i = 0; i < count * count; ++i) cosine[i] = V{};
  const int64_t chunk = chunk_width(count, width);
  for (int64_t begin = 0; begin < width; begin += chunk) {
    const int64_t part = width - begin < chunk ? width - begin : chunk;
    turn_chunk(z, rows, count, width, begin, part, turned);
    for (int64_t i = 0; i < count; i += kTile) {
      dot_tile<A, true>(turned, count, part, i, i, cosine);
      for (int64_t j = i + kTile; j < count; j += kTileAcross) {
        dot_tile<A, false>(turned, count, part, i, j, cosine);
      }
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
    return true;
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = i + 1; j < count; ++j) {
      const V c = cosine[i * count + j] * inverse[i] * inverse[j];
      cosine[i * count + j] = c;
      cosine[j * count + i] = c;
    }
  }
  return false;
}

}  // namespace tedg::TEDG_LEVEL
