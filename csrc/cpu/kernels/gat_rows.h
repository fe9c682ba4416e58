// Sums and inner products over the feature rows of a target's (source's) neighbours.
//
// A record holds an edge's numbers, one a head, side by side. An edge whose number is 0 is skipped,
// whatever its row holds. Rows of width a power of two below a vector's lanes are taken with all
// their heads at once ("together"): vector v of the row then meets the numbers of several heads,
// which one shuffle spreads over its lanes.
#pragma once

#include "../vector_math.h"

namespace tedg::TEDG_LEVEL {

// Whether one vector holds the rows of several heads, and one the numbers of all heads.
template <class A>
TEDG_INLINE bool heads_together(int64_t heads, int64_t width) {
  return heads > 1 && heads <= kLanes<A> && width > 1 && width < kLanes<A> &&
         (width & (width - 1)) == 0;
}

// Rows of features that lie `stride` apart, and which of them each edge takes.
template <class T>
struct Rows {
  const T* data;
  int64_t stride, width;
  const int32_t* index;

  TEDG_INLINE const T* of(int64_t k) const { return data + index[k] * stride; }

  // Fetches `width` numbers of the rows of edges [begin, end).
  TEDG_INLINE void fetch(int64_t begin, int64_t end, int64_t count) const {
    for (int64_t k = begin; k < end; ++k) {
      const char* line = reinterpret_cast<const char*>(of(k));
      const char* last = line + count * static_cast<int64_t>(sizeof(T));
      for (; line < last; line += 64) __builtin_prefetch(line, 0, 2);
    }
  }
};

// out[0..width) = sum over edges [begin, end) of record(k)[0] * row(k)[0..width), times scale.
template <class T, int kVectors, bool kTail, class Record>
TEDG_INLINE void gather_block(T* out, const Rows<T>& rows, int64_t offset, int64_t begin,
                              int64_t end, int tail, acc_t<T> scale, const Record& record) {
  using A = acc_t<T>;
  vec<A> sum[kVectors] = {};
  for (int64_t k = begin; k < end; ++k) {
    const A w = *record(k);
    if (w == 0) continue;
    const T* row = rows.of(k) + offset;
    for (int v = 0; v < kVectors - kTail; ++v) sum[v] += w * load(row + v * kLanes<A>);
    if constexpr (kTail) {
      sum[kVectors - 1] += w * load(row + (kVectors - 1) * kLanes<A>, tail);
    }
  }
  for (int v = 0; v < kVectors - kTail; ++v) store(out + v * kLanes<A>, sum[v] * scale);
  if constexpr (kTail) {
    store(out + (kVectors - 1) * kLanes<A>, sum[kVectors - 1] * scale, tail);
  }
}

template <class T, class Record>
TEDG_INLINE void gather_rows(T* out, const Rows<T>& rows, int64_t begin, int64_t end,
                             acc_t<T> scale, const Record& record) {
  using A = acc_t<T>;
  const int64_t width = rows.width;
  int64_t d = 0;
  const auto block = [&]<int kVectors, bool kTail>(int tail) {
    gather_block<T, kVectors, kTail>(out + d, rows, d, begin, end, tail, scale, record);
    d += kVectors * kLanes<A>;
  };
  while (width - d >= 8 * kLanes<A>) block.template operator()<8, false>(0);
  if (width - d >= 4 * kLanes<A>) block.template operator()<4, false>(0);
  if (width - d >= 2 * kLanes<A>) block.template operator()<2, false>(0);
  if (width - d >= kLanes<A>) block.template operator()<1, false>(0);
  if (width > d) block.template operator()<1, true>(static_cast<int>(width - d));
}

template <class T>
TEDG_INLINE acc_t<T> dot(const T* a, const T* b, int64_t width) {
  using A = acc_t<T>;
  vec<A> sum = {};
  int64_t d = 0;
  for (; d + kLanes<A> <= width; d += kLanes<A>) sum += load(a + d) * load(b + d);
  if (d < width) {
    const int tail = static_cast<int>(width - d);
    sum += load(a + d, tail) * load(b + d, tail);
  }
  return sum_lanes<A>(sum);
}

// product[k - begin] <- <a, row(k)> for edges [begin, end) whose number is not 0 (else 0); a stays
// in registers.
template <class T, int kVectors, class Record>
TEDG_INLINE void row_dots(const T* a, const Rows<T>& rows, int64_t begin, int64_t end,
                          acc_t<T>* product, const Record& record) {
  using A = acc_t<T>;
  vec<A> own[kVectors];
  for (int v = 0; v < kVectors; ++v) own[v] = load(a + v * kLanes<A>);
  for (int64_t k = begin; k < end; ++k) {
    product[k - begin] = 0;
    if (*record(k) == 0) continue;
    const T* row = rows.of(k);
    vec<A> sum = own[0] * load(row);
    for (int v = 1; v < kVectors; ++v) sum += own[v] * load(row + v * kLanes<A>);
    product[k - begin] = sum_lanes<A>(sum);
  }
}

template <class T, class Record>
TEDG_INLINE void dots(const T* a, const Rows<T>& rows, int64_t begin, int64_t end,
                      acc_t<T>* product, const Record& record) {
  using A = acc_t<T>;
  switch (rows.width / kLanes<A> * (rows.width % kLanes<A> == 0)) {
    case 1: return row_dots<T, 1>(a, rows, begin, end, product, record);
    case 2: return row_dots<T, 2>(a, rows, begin, end, product, record);
    case 4: return row_dots<T, 4>(a, rows, begin, end, product, record);
    case 8: return row_dots<T, 8>(a, rows, begin, end, product, record);
  }
  for (int64_t k = begin; k < end; ++k) {
    product[k - begin] = *record(k) == 0 ? A{0} : dot(a, rows.of(k), rows.width);
  }
}

// ---- all heads at once ----------------------------------------------------------------------

template <class A>
using Index = typename Lanes<A>::I;

// Calls f with `width`, a power of two below a vector's lanes, as a type.
template <int kWidth>
struct HeadWidth {
  static constexpr int value = kWidth;
};
template <class A, class F>
TEDG_INLINE void by_head_width(int64_t width, const F& f) {
  if constexpr (kLanes<A> > 8) {
    if (width == 8) return f(HeadWidth<8>{});
  }
  if constexpr (kLanes<A> > 4) {
    if (width == 4) return f(HeadWidth<4>{});
  }
  return f(HeadWidth<2>{});
}

// The numbers of heads first, first + 1, ..., each in kWidth lanes.
template <class A, int kWidth>
TEDG_INLINE vec<A> spread_heads(vec<A> numbers, int64_t first) {
  using I = typename Lanes<A>::Integer;
  Index<A> head;
  for (int i = 0; i < kLanes<A>; ++i) head[i] = static_cast<I>(i / kWidth);
  return __builtin_shuffle(numbers, head + static_cast<I>(first));
}

// The sum of each run of kWidth lanes, in every lane of it.
template <class A, int kWidth>
TEDG_INLINE vec<A> sum_runs(vec<A> v) {
  using I = typename Lanes<A>::Integer;
#pragma GCC unroll 3
  for (int step = 1; step < kWidth; step *= 2) {
    Index<A> other;
    for (int i = 0; i < kLanes<A>; ++i) other[i] = static_cast<I>(i ^ step);
    v += __builtin_shuffle(v, other);
  }
  return v;
}

// numbers[0..kVectors) of an edge's row; 0 for a head whose number in w is 0.
template <class T, int kWidth, int kVectors>
TEDG_INLINE void load_row(const T* row, int64_t left, int64_t first, vec<acc_t<T>> w,
                          vec<acc_t<T>> (&weight)[kVectors], vec<acc_t<T>> (&x)[kVectors]) {
  using A = acc_t<T>;
  for (int v = 0; v < kVectors; ++v) {
    weight[v] = spread_heads<A, kWidth>(w, first + v * (kLanes<A> / kWidth));
    x[v] = v + 1 < kVectors ? load(row + v * kLanes<A>)
                            : load_some(row + v * kLanes<A>, left - v * kLanes<A>);
    x[v] = weight[v] == A{0} ? vec<A>{} : x[v];
  }
}

template <class T, int kWidth, int kVectors, class Record>
TEDG_INLINE void gather_heads(T* out, const Rows<T>& rows, int64_t d, int64_t total,
                              int64_t begin, int64_t end, vec<acc_t<T>> scale,
                              const Record& record) {
  using A = acc_t<T>;
  const int64_t first = d / kWidth;
  vec<A> sum[kVectors] = {}, weight[kVectors], x[kVectors];
  for (int64_t k = begin; k < end; ++k) {
    load_row<T, kWidth, kVectors>(rows.of(k) + d, total - d, first, load(record(k)), weight, x);
    for (int v = 0; v < kVectors; ++v) sum[v] += weight[v] * x[v];
  }
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = d + v * kLanes<A>;
    store_some(out + at, sum[v] * spread_heads<A, kWidth>(scale, at / kWidth), total - at);
  }
}

// Calls f(place, vectors as a type) for pieces of up to four vectors of a row of `total` numbers.
template <int kVectors>
struct VectorCount {
  static constexpr int value = kVectors;
};
template <class A, class F>
TEDG_INLINE void each_piece(int64_t total, const F& f) {
  int64_t d = 0;
  for (; total - d > 3 * kLanes<A>; d += 4 * kLanes<A>) f(d, VectorCount<4>{});
  for (; total - d > kLanes<A>; d += 2 * kLanes<A>) f(d, VectorCount<2>{});
  if (total > d) f(d, VectorCount<1>{});
}

// As gather_rows, for a row of all heads: scale holds one number a head, padded to a vector.
template <class T, class Record>
TEDG_INLINE void gather_together(T* out, const Rows<T>& rows, int64_t heads, int64_t begin,
                                 int64_t end, vec<acc_t<T>> scale, const Record& record) {
  using A = acc_t<T>;
  const int64_t total = heads * rows.width;
  by_head_width<A>(rows.width, [&](auto width) {
    each_piece<A>(total, [&](int64_t d, auto vectors) {
      gather_heads<T, width.value, vectors.value>(out, rows, d, total, begin, end, scale, record);
    });
  });
}

// As dots, for a row of all heads: product of head h at product[h * step + k - begin].
template <class T, class Record>
TEDG_INLINE void dots_together(const T* a, const Rows<T>& rows, int64_t heads, int64_t begin,
                               int64_t end, acc_t<T>* product, int64_t step,
                               const Record& record) {
  using A = acc_t<T>;
  const int64_t total = heads * rows.width;
  by_head_width<A>(rows.width, [&](auto width) {
    constexpr int kWidth = width.value;
    each_piece<A>(total, [&](int64_t d, auto vectors) {
      constexpr int kVectors = vectors.value;
      vec<A> own[kVectors], weight[kVectors], x[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        own[v] = load_some(a + d + v * kLanes<A>, total - d - v * kLanes<A>);
      }
      const int64_t first = d / kWidth;
      for (int64_t k = begin; k < end; ++k) {
        load_row<T, kWidth, kVectors>(rows.of(k) + d, total - d, first, load(record(k)), weight,
                                      x);
        for (int v = 0; v < kVectors; ++v) {
          const vec<A> sum = sum_runs<A, kWidth>(own[v] * x[v]);
          const int64_t head = first + v * (kLanes<A> / kWidth);
          for (int i = 0; i < kLanes<A> / kWidth && head + i < heads; ++i) {
            product[(head + i) * step + k - begin] = sum[i * kWidth];
          }
        }
      }
    });
  });
}

}  // namespace tedg::TEDG_LEVEL
