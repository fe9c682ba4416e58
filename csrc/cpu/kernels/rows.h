// Moving blocks of rows in and out of lanes: lane i of vector k holds entry k of row i.
//
// Eight columns at a time, or four where eight do not fit: a row's numbers are one load, and
// squares of numbers are turned in registers. Doubles take as many columns as a vector has lanes.
#pragma once

#include "../vector_math.h"
#include "../../ops/row_math.h"

namespace tedg::TEDG_LEVEL {

constexpr int kQuad = 4;
constexpr int kQuads = kLanes<float> / kQuad;  // in a vector
template <class A>
constexpr int kColumns = sizeof(A) == 8 ? kLanes<A> : (kQuads > 1 ? 2 * kQuad : kQuad);

// A number of columns as a type.
template <int kWidth>
struct Width {
  constexpr operator int() const { return kWidth; }
};

// A vector of kWidth numbers from each of at(0), at(1), ..., as many as fill it.
template <int kWidth, class T, class At>
TEDG_INLINE vec<acc_t<T>> load_pieces(const At& at) {
  if constexpr (kWidth == kLanes<acc_t<T>>) {
    return load(at(0));
  } else {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && kWidth == 8) {
      return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(at(0))),
                                _mm256_loadu_ps(at(1)), 1);
    } else if constexpr (sizeof(T) == 4) {
      __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(at(0)));
      v = _mm512_insertf32x4(v, _mm_loadu_ps(at(1)), 1);
      v = _mm512_insertf32x4(v, _mm_loadu_ps(at(2)), 2);
      return _mm512_insertf32x4(v, _mm_loadu_ps(at(3)), 3);
    } else {
      const __m256i raw =
          kWidth == 8 ? _mm256_inserti128_si256(_mm256_castsi128_si256(load_bytes<__m128i>(at(0))),
                                                load_bytes<__m128i>(at(1)), 1)
                      : _mm256_set_epi64x(load_bytes<int64_t>(at(3)), load_bytes<int64_t>(at(2)),
                                          load_bytes<int64_t>(at(1)), load_bytes<int64_t>(at(0)));
      return load(reinterpret_cast<const T*>(&raw));
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at(0))), _mm_loadu_ps(at(1)),
                                  1);
    } else {
      const __m128i raw = _mm_set_epi64x(load_bytes<int64_t>(at(1)), load_bytes<int64_t>(at(0)));
      return load(reinterpret_cast<const T*>(&raw));
    }
#endif
  }
}

template <int kWidth, class T, class At>
TEDG_INLINE void store_pieces(const At& at, vec<acc_t<T>> v) {
  if constexpr (kWidth == kLanes<acc_t<T>>) {
    store(at(0), v);
  } else {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && kWidth == 8) {
      _mm256_storeu_ps(at(0), _mm512_castps512_ps256(v));
      _mm256_storeu_ps(at(1), _mm512_extractf32x8_ps(v, 1));
      return;
    }
#endif
    T raw[kLanes<float>];
    store(raw, v);
    for (int i = 0; i < kLanes<float> / kWidth; ++i) {
      __builtin_memcpy(at(i), raw + i * kWidth, kWidth * sizeof(T));
    }
  }
}

// Turns the 4 x 4 squares of v[0..4), one in every quad.
TEDG_INLINE void turn_quads(VecF* v) {
  MaskF low, high, even, odd;
  for (int lane = 0; lane < kLanes<float>; ++lane) {
    const int begin = lane / kQuad * kQuad, at = lane % kQuad;
    low[lane] = begin + at / 2 + at % 2 * kLanes<float>;
    high[lane] = low[lane] + 2;
    even[lane] = begin + at % 2 + at / 2 * kLanes<float>;
    odd[lane] = even[lane] + 2;
  }
  const VecF a = __builtin_shuffle(v[0], v[1], low);
  const VecF b = __builtin_shuffle(v[0], v[1], high);
  const VecF c = __builtin_shuffle(v[2], v[3], low);
  const VecF d = __builtin_shuffle(v[2], v[3], high);
  v[0] = __builtin_shuffle(a, c, even);
  v[1] = __builtin_shuffle(a, c, odd);
  v[2] = __builtin_shuffle(b, d, even);
  v[3] = __builtin_shuffle(b, d, odd);
}

// Quads of two vectors, a0 b0 a1 b1 ..., to a0 a1 ... and b0 b1 ...; and the reverse.
TEDG_INLINE void part_quads(VecF& v, VecF& w) {
  MaskF even, odd;
  for (int lane = 0; lane < kLanes<float>; ++lane) {
    even[lane] = lane / kQuad * 2 * kQuad + lane % kQuad;
    odd[lane] = even[lane] + kQuad;
  }
  const VecF a = __builtin_shuffle(v, w, even);
  w = __builtin_shuffle(v, w, odd);
  v = a;
}
TEDG_INLINE void join_quads(VecF& v, VecF& w) {
  MaskF low, high;
  for (int lane = 0; lane < kLanes<float>; ++lane) {
    const int quad = lane / kQuad;
    low[lane] = quad / 2 * kQuad + lane % kQuad + quad % 2 * kLanes<float>;
    high[lane] = low[lane] + kLanes<float> / 2;
  }
  const VecF a = __builtin_shuffle(v, w, low);
  w = __builtin_shuffle(v, w, high);
  v = a;
}

// Turns the square of v, as many vectors as lanes.
template <int kHalf = kLanes<double> / 2>
TEDG_INLINE void turn_square(VecD* v) {
  MaskD low, high;
  for (int lane = 0; lane < kLanes<double>; ++lane) {
    const bool first = lane % (2 * kHalf) < kHalf;
    low[lane] = first ? lane : kLanes<double> + lane - kHalf;
    high[lane] = first ? lane + kHalf : kLanes<double> + lane;
  }
  for (int i = 0; i < kLanes<double>; ++i) {
    if (i % (2 * kHalf) >= kHalf) continue;
    const VecD other = v[i + kHalf];
    v[i + kHalf] = __builtin_shuffle(v[i], other, high);
    v[i] = __builtin_shuffle(v[i], other, low);
  }
  if constexpr (kHalf > 1) turn_square<kHalf / 2>(v);
}

// Piece i of v[q] is a part of row row_of(q) + i * kQuad. With pieces of two quads the second four
// vectors hold the second half of the rows.
template <int kWidth, class A>
TEDG_INLINE constexpr int row_of(int q) {
  return q % kQuad + q / kQuad * kQuad * (kLanes<A> / kWidth);
}

// kWidth (kQuad or kColumns) columns of the rows at row(0), row(1), ..., into z[0..kWidth).
template <int kWidth, class T, class Row>
TEDG_INLINE void load_columns(const Row& row, vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  vec<A> v[kWidth];
#pragma GCC unroll 8
  for (int q = 0; q < kWidth; ++q) {
    v[q] = load_pieces<kWidth, T>([&](int i) { return row(row_of<kWidth, A>(q) + i * kQuad); });
  }
  if constexpr (sizeof(A) == 8) {
    turn_square(v);
  } else {
    for (int q = 0; q < kWidth; q += kQuad) turn_quads(v + q);
    if constexpr (kWidth > kQuad) {
      for (int q = 0; q < kQuad; ++q) part_quads(v[q], v[q + kQuad]);
    }
  }
  for (int q = 0; q < kWidth; ++q) z[q] = v[q];
}

// The reverse, for as many rows as there are lanes.
template <int kWidth, class T>
TEDG_INLINE void store_columns(T* p, int64_t stride, const vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  vec<A> v[kWidth];
  for (int q = 0; q < kWidth; ++q) v[q] = z[q];
  if constexpr (sizeof(A) == 8) {
    turn_square(v);
  } else {
    for (int q = 0; q < kWidth; q += kQuad) turn_quads(v + q);
    if constexpr (kWidth > kQuad) {
      for (int q = 0; q < kQuad; ++q) join_quads(v[q], v[q + kQuad]);
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < kWidth; ++q) {
    T* first = p + row_of<kWidth, A>(q) * stride;
    store_pieces<kWidth, T>([&](int i) { return first + i * kQuad * stride; }, v[q]);
  }
}

// Calls each(from) so that [from, from + kWidth) cover [0, count), count >= kWidth; the last ones
// may begin among those before.
template <int kWidth, class Each>
TEDG_INLINE void cover(int64_t count, const Each& each) {
  for (int64_t k = 0; k < count; k += kWidth) each(k + kWidth <= count ? k : count - kWidth);
}

// Calls f with the number of columns that suits rows of `count` numbers stored as T, as a type;
// false if there is none.
template <class T, class F>
TEDG_INLINE bool by_columns(int64_t count, const F& f) {
  using A = acc_t<T>;
  if (count >= kColumns<A>) {
    f(Width<kColumns<A>>{});
    return true;
  }
  if constexpr (sizeof(A) == 4 && kColumns<A> > kQuad) {
    if (count >= kQuad) {
      f(Width<kQuad>{});
      return true;
    }
  }
  return false;
}

// Entries [0, count) of rows [0, rows), rows <= lanes, that lie `stride` apart, into
// z[0..count). Unused lanes repeat the first row, so that they meet no number that the others do
// not.
template <class T>
void load_rows(const T* p, int64_t stride, int64_t rows, int64_t count, vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  const auto load_from = [&](const auto& row) {
    return by_columns<T>(count, [&](auto width) {
      cover<width>(count, [&](int64_t from) {
        load_columns<width, T>([&](int i) { return row(i) + from; }, z + from);
      });
    });
  };
  const bool done = rows >= kLanes<A>
                        ? load_from([=](int i) { return p + i * stride; })
                        : load_from([=](int i) { return p + (i < rows ? i : 0) * stride; });
  if (done) return;
  A* lanes = reinterpret_cast<A*>(z);
  for (int64_t i = 0; i < kLanes<A>; ++i) {
    const T* row = p + (i < rows ? i : 0) * stride;
    for (int64_t k = 0; k < count; ++k) lanes[k * kLanes<A> + i] = widen(row[k]);
  }
}

template <class T>
void store_rows(T* p, int64_t stride, int64_t rows, int64_t count, const vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  const bool done = rows >= kLanes<A> && by_columns<T>(count, [&](auto width) {
                      cover<width>(count, [&](int64_t from) {
                        store_columns<width>(p + from, stride, z + from);
                      });
                    });
  if (done) return;
  const A* lanes = reinterpret_cast<const A*>(z);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < count; ++k) {
      p[i * stride + k] = narrow<T, A>(lanes[k * kLanes<A> + i]);
    }
  }
}

}  // namespace tedg::TEDG_LEVEL
