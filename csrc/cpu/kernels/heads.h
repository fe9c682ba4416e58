// Numbers of several heads side by side: short vectors of a lane a head, and sums and inner
// products over rows of features that hold all heads.
//
// Heads are padded to a power of two, kHeads; what the lanes beyond hold is never stored. A
// record holds an edge's numbers, one a head. An edge whose number is 0 is skipped, whatever its
// row holds.
#pragma once

#include "gat_rows.h"

namespace tedg::TEDG_LEVEL {

template <class A, int kHeads>
struct HeadLanes {
  typedef A V __attribute__((vector_size(kHeads * sizeof(A))));
};
template <class A, int kHeads>
using heads_vec = typename HeadLanes<A, kHeads>::V;

template <class A, int kHeads>
TEDG_INLINE heads_vec<A, kHeads> load_heads(const A* p) {
  return load_bytes<heads_vec<A, kHeads>>(p);
}
template <class A, class V>
TEDG_INLINE void store_heads(A* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

// The first `heads` of them as they are stored in a tensor, the others 0.
template <class T, int kHeads>
TEDG_INLINE heads_vec<acc_t<T>, kHeads> widen_heads(const T* p, int64_t heads) {
  if constexpr (__is_same(T, acc_t<T>)) {
    if (heads == kHeads) return load_heads<T, kHeads>(p);
  }
  heads_vec<acc_t<T>, kHeads> v = {};
  for (int64_t h = 0; h < heads; ++h) v[h] = widen(p[h]);
  return v;
}
template <class T, class V>
TEDG_INLINE void narrow_heads(T* p, const V& v, int64_t heads) {
  if constexpr (__is_same(T, acc_t<T>)) {
    if (heads * sizeof(T) == sizeof(V)) return store_heads(p, v);
  }
  for (int64_t h = 0; h < heads; ++h) p[h] = narrow<T, acc_t<T>>(v[h]);
}

// Calls f with kHeads, the power of two that `heads` numbers find room in, as a type.
template <int kCount>
struct HeadCount {
  static constexpr int value = kCount;
};
template <class F>
TEDG_INLINE auto by_heads(int64_t heads, const F& f) {
  static_assert(kMostHeads == 8);
  if (heads <= 2) return f(HeadCount<2>{});
  if (heads <= 4) return f(HeadCount<4>{});
  return f(HeadCount<8>{});
}

// The sums of entries [begin, end) of values, kHeads numbers each, by blocks of kSumBlock.
template <class A, int kHeads>
TEDG_INLINE heads_vec<A, kHeads> sum_heads(const A* values, int64_t begin, int64_t end) {
  heads_vec<A, kHeads> total = {};
  for (int64_t at = begin; at < end; at += kSumBlock) {
    const int64_t stop = end - at < kSumBlock ? end : at + kSumBlock;
    heads_vec<A, kHeads> sum = {};
    if constexpr (kHeads < kLanes<A>) {  // in full vectors, whose parts are added last
      vec<A> all = {};
      for (int64_t k = at * kHeads; k < stop * kHeads; k += kLanes<A>) {
        all += first_lanes<A>(load(values + k), stop * kHeads - k, A{0});
      }
      A lanes[kLanes<A>];
      store(lanes, all);
      for (int i = 0; i < kLanes<A>; i += kHeads) sum += load_heads<A, kHeads>(lanes + i);
    } else {
      for (int64_t k = at; k < stop; ++k) sum += load_heads<A, kHeads>(values + k * kHeads);
    }
    total += sum;
  }
  return total;
}

// Entries [begin, end) of values, and up to a vector's worth more, less `by`.
template <class A, int kHeads>
TEDG_INLINE void subtract_heads(A* values, int64_t begin, int64_t end, heads_vec<A, kHeads> by) {
  if constexpr (kHeads < kLanes<A>) {
    A lanes[kLanes<A>];
    for (int i = 0; i < kLanes<A>; i += kHeads) store_heads(lanes + i, by);
    const vec<A> all = load(lanes);
    for (int64_t k = begin * kHeads; k < end * kHeads; k += kLanes<A>) {
      store(values + k, load(values + k) - all);
    }
  } else {
    for (int64_t k = begin; k < end; ++k) {
      store_heads(values + k * kHeads, load_heads<A, kHeads>(values + k * kHeads) - by);
    }
  }
}

// ---- sums over rows ---------------------------------------------------------------------------

template <class A>
using Index = typename Lanes<A>::I;

// Whether a vector holds whole heads, and one vector the numbers of all heads: vector v of a row
// then meets the numbers of several heads, which one shuffle spreads over its lanes.
template <class A>
TEDG_INLINE bool heads_together(int64_t heads, int64_t width) {
  return heads <= kLanes<A> && width > 1 && width <= kLanes<A> && (width & (width - 1)) == 0;
}

// Of numbers of all heads, one a lane: which of them meets each lane of a row's first vector, and
// by how many heads the next vector is further.
template <class A>
struct Spread {
  Index<A> head;
  int each;

  TEDG_INLINE explicit Spread(int width) : each(kLanes<A> / width) {
    using I = typename Lanes<A>::Integer;
    for (int i = 0; i < kLanes<A>; ++i) head[i] = static_cast<I>(i / width);
  }
  TEDG_INLINE Index<A> of(int64_t vector) const {
    return head + static_cast<typename Lanes<A>::Integer>(vector * each);
  }
};

template <class T, int kVectors, class Record>
TEDG_INLINE void gather_piece(T* out, const Rows<T>& rows, const Spread<acc_t<T>>& spread,
                              int64_t d, int64_t total, int64_t begin, int64_t end,
                              vec<acc_t<T>> scale, const Record& record) {
  using A = acc_t<T>;
  vec<A> sum[kVectors] = {};
  Index<A> head[kVectors];
  for (int v = 0; v < kVectors; ++v) head[v] = spread.of(d / kLanes<A> + v);
  const int64_t last = total - d - (kVectors - 1) * kLanes<A>;
  for (int64_t k = begin; k < end; ++k) {
    const T* row = rows.of(k) + d;
    const vec<A> numbers = load(record(k));
    for (int v = 0; v < kVectors; ++v) {
      const vec<A> weight = __builtin_shuffle(numbers, head[v]);
      const vec<A> x =
          v + 1 < kVectors ? load(row + v * kLanes<A>) : load_some(row + v * kLanes<A>, last);
      sum[v] += weight * (weight == A{0} ? vec<A>{} : x);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    const vec<A> value = sum[v] * __builtin_shuffle(scale, head[v]);
    store_some(out + d + v * kLanes<A>, value, v + 1 < kVectors ? kLanes<A> : last);
  }
}

// out [heads, width] <- the sum over edges [begin, end) of record(k)[h] * row(k)[h], times
// scale[h]. record(k) is followed by a vector's worth of memory.
template <class T, int kHeads, class Record>
TEDG_INLINE void gather_all(T* out, const Rows<T>& rows, int64_t heads, int64_t begin, int64_t end,
                            heads_vec<acc_t<T>, kHeads> scale, const Record& record) {
  using A = acc_t<T>;
  if (!heads_together<A>(heads, rows.width)) {
    for (int64_t h = 0; h < heads; ++h) {
      const Rows<T> own{rows.data + h * rows.width, rows.stride, rows.width, rows.index};
      gather_rows(out + h * rows.width, own, begin, end, scale[h],
                  [&](int64_t k) { return record(k) + h; });
    }
    return;
  }
  if constexpr (kHeads <= kLanes<A>) {
    vec<A> wide = {};
    __builtin_memcpy(&wide, &scale, sizeof(scale));
    const Spread<A> spread(static_cast<int>(rows.width));
    const int64_t total = heads * rows.width;
    const auto piece = [&]<int kVectors>(int64_t d) {
      gather_piece<T, kVectors>(out, rows, spread, d, total, begin, end, wide, record);
    };
    int64_t d = 0;
    for (; total - d > 3 * kLanes<A>; d += 4 * kLanes<A>) piece.template operator()<4>(d);
    for (; total - d > kLanes<A>; d += 2 * kLanes<A>) piece.template operator()<2>(d);
    if (total > d) piece.template operator()<1>(d);
  }
}

// ---- inner products ---------------------------------------------------------------------------

// The sums of neighbours in a, then those in b.
template <class A>
TEDG_INLINE vec<A> fold(vec<A> a, vec<A> b) {
  using I = typename Lanes<A>::Integer;
  Index<A> even;
  for (int i = 0; i < kLanes<A>; ++i) even[i] = static_cast<I>(2 * i);
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, even + I{1});
}

// leaf(first), leaf(first + 1), ..., kCount of them, folded to one vector: each run of kCount lanes
// of theirs becomes its sum.
template <class A, int kCount, class Leaf>
TEDG_INLINE vec<A> fold_all(int first, const Leaf& leaf) {
  if constexpr (kCount == 1) {
    return leaf(first);
  } else {
    return fold<A>(fold_all<A, kCount / 2>(first, leaf),
                   fold_all<A, kCount / 2>(first + kCount / 2, leaf));
  }
}

// Products of kHeads heads of width kWidth, a block of edges at a time: as many as give a vector of
// products. A vector of their rows holds whole heads, or (kWidth = kLanes) a part of one.
template <int kWidth>
struct HeadWidth {
  static constexpr int value = kWidth;
};
template <class T, int kHeads, int kWidth>
TEDG_INLINE void dot_blocks(const T* grad, const int32_t* target, const Rows<T>& x, int64_t begin,
                            int64_t end, acc_t<T>* product) {
  using A = acc_t<T>;
  constexpr int kEdges = kLanes<A> / kHeads, kEach = kHeads * kWidth / kLanes<A>;
  const int64_t parts = x.width / kWidth;
  for (int64_t k = begin; k < end; k += kEdges) {
    const T *from[kEdges], *to[kEdges];
    for (int e = 0; e < kEdges; ++e) {
      const int64_t edge = k + e < end ? k + e : end - 1;
      from[e] = x.of(edge);
      to[e] = grad + target[edge - begin] * x.stride;
    }
    const vec<A> all = fold_all<A, kWidth>(0, [&](int j) {
      const T *a = from[j / kEach], *b = to[j / kEach];
      const int64_t at = j % kEach * parts * kLanes<A>;
      vec<A> sum = load(a + at) * load(b + at);
      for (int64_t part = 1; part < parts; ++part) {
        sum += load(a + at + part * kLanes<A>) * load(b + at + part * kLanes<A>);
      }
      return sum;
    });
    store(product + (k - begin) * kHeads, all);
  }
}

// product[(k - begin) * kHeads + h] <- <row(target[k - begin]) of grad, row(k) of x>, head by head,
// for edges [begin, end), and anything up to a vector beyond.
template <class T, int kHeads>
TEDG_INLINE void dot_all(const T* grad, const int32_t* target, const Rows<T>& x, int64_t heads,
                         int64_t begin, int64_t end, acc_t<T>* product) {
  using A = acc_t<T>;
  const int64_t width = x.width;
  if constexpr (kHeads <= kLanes<A>) {
    bool done = false;
    const auto blocks = [&](auto count) {
      constexpr int kWidth = count.value;
      if constexpr (kHeads * kWidth % kLanes<A> == 0) {
        dot_blocks<T, kHeads, kWidth>(grad, target, x, begin, end, product);
        done = true;
      }
    };
    if (heads == kHeads && width % kLanes<A> == 0 && width > 0) {
      blocks(HeadWidth<kLanes<A>>{});
    } else if (heads == kHeads && width == 8) {
      if constexpr (kLanes<A> > 8) blocks(HeadWidth<8>{});
    } else if (heads == kHeads && width == 4) {
      if constexpr (kLanes<A> > 4) blocks(HeadWidth<4>{});
    }
    if (done) return;
  }
  for (int64_t k = begin; k < end; ++k) {
    const T *a = x.of(k), *b = grad + target[k - begin] * x.stride;
    for (int64_t h = 0; h < heads; ++h) {
      product[(k - begin) * kHeads + h] = dot(a + h * width, b + h * width, width);
    }
  }
}

}  // namespace tedg::TEDG_LEVEL
