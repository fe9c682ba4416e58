// The scores of the edges of one sample and head, over a run of targets, in full vectors.
//
// Most rows have fewer edges than a vector has lanes, so the work is laid flat over the edges in
// CSR order. What belongs to a row (its target's score, its largest score, its lse) is spread
// over the row's edges by whole-vector stores that run past the row's end: the next row's
// store then overwrites the excess. Every array therefore has room for one vector more.
#pragma once

#include "../kernels.h"
#include "../vector_math.h"

namespace tedg::TEDG_LEVEL {

constexpr float kInfinity = __builtin_inff();

// Room for n values and one vector more.
template <class A>
TEDG_INLINE int64_t padded(int64_t n) {
  return (n + 2 * kLanes<A> - 1) / kLanes<A> * kLanes<A>;
}

// Where one (sample, head)'s numbers lie: entry i of a [B, count, H] tensor is p[i * heads].
template <class T, class P>
TEDG_INLINE auto head_of(P* p, int64_t b, int64_t count, int64_t heads, int64_t h) {
  if constexpr (__is_same(P, const void)) {
    return static_cast<const T*>(p) + b * count * heads + h;
  } else {
    return static_cast<T*>(p) + b * count * heads + h;
  }
}

// values[index[0..lanes)]
template <class A>
TEDG_INLINE vec<A> gather(const A* values, const int32_t* index) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) {
    return _mm512_i32gather_ps(load_bytes<__m512i>(index), values, 4);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(A) == 4) {
    return _mm256_i32gather_ps(values, load_bytes<__m256i>(index), 4);
  }
#endif
  vec<A> v;
  for (int i = 0; i < kLanes<A>; ++i) v[i] = values[index[i]];
  return v;
}

// The sum of values[0..count), by blocks of kSumBlock.
template <class A>
TEDG_INLINE A row_sum(const A* values, int64_t count) {
  A total = 0;
  for (int64_t at = 0; at < count; at += kSumBlock) {
    const int64_t end = count - at < kSumBlock ? count : at + kSumBlock;
    vec<A> sum = {};
    for (int64_t k = at; k < end; k += kLanes<A>) {
      sum += first_lanes<A>(load(values + k), end - k, A{0});
    }
    total += sum_lanes<A>(sum);
  }
  return total;
}

template <class A>
TEDG_INLINE A row_top(const A* values, int64_t count) {
  vec<A> top = splat<A>(-kInfinity);
  for (int64_t k = 0; k < count; k += kLanes<A>) {
    const vec<A> v = first_lanes<A>(load(values + k), count - k, A{-kInfinity});
    top = v > top ? v : top;
  }
  return count > 0 ? max_lanes<A>(top) : A{-kInfinity};
}

// values[begin..end) and up to a vector more <- value.
template <class A>
TEDG_INLINE void spread(A* values, int64_t begin, int64_t end, A value) {
  for (int64_t k = begin; k < end; k += kLanes<A>) store(values + k, splat<A>(value));
}

// A table: the source scores [N] in acc, -inf where the source takes no part, then the bias of each
// relation [R].
inline int64_t table_size(const GatProblem& p, int64_t) { return p.sources + p.relations; }

template <class T>
void fill_table(const GatProblem& p, int64_t b, int64_t h, int64_t, void* table) {
  using A = acc_t<T>;
  A* source = static_cast<A*>(table);
  const T* from = head_of<T>(p.score_src, b, p.sources, p.heads, h);
  for (int64_t j = 0; j < p.sources; ++j) source[j] = widen(from[j * p.heads]);
  if (p.node_mask != nullptr) {
    const bool* mask = p.node_mask + b * p.sources;
    for (int64_t j = 0; j < p.sources; ++j) source[j] = mask[j] ? source[j] : A{-kInfinity};
  }
  A* bias = source + p.sources;
  const T* rows = static_cast<const T*>(p.edge_bias) + h;
  for (int64_t r = 0; r < p.relations; ++r) bias[r] = widen(rows[r * p.heads]);
}

// score[k] for edges k of targets [begin, end), counted from the first of them; slope (may be
// null) gets the LeakyReLU's derivative.
template <class T>
void score_edges(const GatProblem& p, const acc_t<T>* table, int64_t b, int64_t h, int64_t begin,
                 int64_t end, acc_t<T>* score, acc_t<T>* slope) {
  using A = acc_t<T>;
  const int64_t first = p.rowptr[begin];
  const int64_t edges = p.rowptr[end] - first;
  const T* score_dst = head_of<T>(p.score_dst, b, p.targets, p.heads, h);
  for (int64_t i = begin; i < end; ++i) {
    spread<A>(score, p.rowptr[i] - first, p.rowptr[i + 1] - first, widen(score_dst[i * p.heads]));
  }
  const A* bias = p.edge_bias == nullptr ? nullptr : table + p.sources;
  const A* own = p.score_edge == nullptr
                     ? nullptr
                     : static_cast<const A*>(p.score_edge) + b * p.score_edge_stride + h;
  const vec<A> below = splat<A>(static_cast<A>(p.negative_slope));
  const vec<A> absent = splat<A>(-kInfinity);
  const auto block = [&](int64_t k, const int32_t* col, const int32_t* relation) {
    const vec<A> source = gather(table, col);
    vec<A> sum = source + load(score + k);
    auto out = source == absent;
    if (bias != nullptr) sum += gather(bias, relation);
    if (own != nullptr) {
      vec<A> edge = {};
      for (int i = 0; i < kLanes<A> && k + i < edges; ++i) {
        edge[i] = own[p.edge_id[first + k + i] * p.heads];
      }
      sum += edge;
      out |= edge == absent;
    }
    const vec<A> factor = sum > A{0} ? splat<A>(1) : below;
    store(score + k, out ? absent : sum * factor);
    if (slope != nullptr) store(slope + k, factor);
  };
  int64_t k = 0;
  for (; k + kLanes<A> <= edges; k += kLanes<A>) {
    block(k, p.col + first + k, bias == nullptr ? nullptr : p.relation + first + k);
  }
  if (k < edges) {  // the index arrays end here: fill up with index 0
    int32_t col[kLanes<A>] = {}, relation[kLanes<A>] = {};
    for (int64_t i = k; i < edges; ++i) {
      col[i - k] = p.col[first + i];
      if (bias != nullptr) relation[i - k] = p.relation[first + i];
    }
    block(k, col, relation);
  }
}

// values <- exp(values - shift), entry by entry.
template <class A>
void exp_shifted(A* values, const A* shift, int64_t count) {
  for (int64_t k = 0; k < count; k += kLanes<A>) {
    store(values + k, exp_of(load(values + k) - load(shift + k)));
  }
}

}  // namespace tedg::TEDG_LEVEL
