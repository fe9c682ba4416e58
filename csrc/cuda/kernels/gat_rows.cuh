// The parts of sparse graph attention that work on rows of edges: the scores, the softmax of a
// row, weighted sums of feature rows, and the derivatives of the scores. Both paths are made of
// them: gat_tile.cu with everything in shared memory, gat_general.cu from device memory.
//
// A warp takes several rows at a time, a group of lanes each; a row of more than kHubDegree edges
// waits until the others of its warp are done and is then taken by all 32 lanes. Every sum
// belongs to one group or warp and has a fixed order.
#pragma once

#include "gat_chunk.cuh"

namespace tedg::gpu {

constexpr int kHubDegree = 64;
constexpr int kScoreLanes = 8;  // lanes a row where the edges, not the features, are shared out

// One row and the lanes that work on it; a row that is not `active` has no edges.
struct Share {
  int row, begin, end;
  int lane, lanes;
  bool active;
};

// Calls f(Share) for all rows [0, rows) of a team of `warps` warps, of which this is number
// `warp`. All lanes of a warp call f together.
template <class Index, class F>
TEDG_DEVICE void for_rows(int rows, int64_t edges, const Index* rowptr, int group, int warp,
                          int warps, const F& f) {
  const int lane = threadIdx.x % 32;
  const int rows_a_warp = 32 / group;
  for (int64_t base = static_cast<int64_t>(warp) * rows_a_warp; base < rows;
       base += static_cast<int64_t>(warps) * rows_a_warp) {
    const int row = static_cast<int>(base) + lane / group;
    int begin = 0, end = 0;
    if (row < rows) {
      begin = checked(rowptr[row], edges + 1);
      end = checked(rowptr[row + 1], edges + 1);
    }
    const bool hub = end - begin > kHubDegree;
    f(Share{row, begin, hub ? begin : end, lane % group, group, row < rows && !hub});
    unsigned hubs = __ballot_sync(kAllLanes, hub && lane % group == 0);
    while (hubs != 0) {
      const int leader = __ffs(hubs) - 1;
      hubs &= hubs - 1;
      f(Share{static_cast<int>(base) + leader / group, __shfl_sync(kAllLanes, begin, leader),
              __shfl_sync(kAllLanes, end, leader), lane, 32, true});
    }
  }
}

// The scores of one sample's head. `staged` may hold source_score of every source.
template <class T, class Index>
struct Scores {
  using A = acc_t<T>;
  const T* source;          // [N, H], at this head
  const T* target;          // [M, H], at this head
  const T* bias;            // [R, H], at this head, or null
  const bool* mask;         // [N] or null
  const Index* col;         // [E]
  const int32_t* relation;  // [E] or null
  const A* staged;          // [N] or null
  int64_t sources, relations, heads;
  A slope;

  // -inf where the source takes no part.
  TEDG_DEVICE A source_score(int j) const {
    return mask != nullptr && !mask[j] ? -kInfinity<A> : widen(source[j * heads]);
  }
  TEDG_DEVICE A target_score(int i) const { return widen(target[i * heads]); }

  // The score of CSR edge e into a target whose own part is `to`; factor <- its derivative.
  TEDG_DEVICE A edge_score(int e, A to, A& factor) const {
    const int j = checked(col[e], sources);
    const A from = staged != nullptr ? staged[j] : source_score(j);
    A sum = from + to;
    if (bias != nullptr) sum += widen(bias[checked(relation[e], relations) * heads]);
    factor = sum > 0 ? A{1} : slope;
    return from == -kInfinity<A> ? from : sum * factor;
  }
};

template <class T, class Index>
TEDG_DEVICE Scores<T, Index> scores_of(const GatProblem<T>& p, int64_t b, int64_t h,
                                       const Index* col, const acc_t<T>* staged) {
  return {p.score_src + b * p.sources * p.heads + h,
          p.score_dst + b * p.targets * p.heads + h,
          p.edge_bias == nullptr ? nullptr : p.edge_bias + h,
          p.node_mask == nullptr ? nullptr : p.node_mask + b * p.sources,
          col,
          p.relation,
          staged,
          p.sources,
          p.relations,
          p.heads,
          p.slope};
}

// Calls store(e, weight) with the softmax of the row's scores; lse, if not null, <- the logarithm of
// its denominator, -inf for a row without edges or of nothing but -inf. Backward computes the same
// again: exp(score - lse) would lose digits where scores are large.
template <class T, class Index, class Store>
TEDG_DEVICE void softmax_row(const Share& s, const Scores<T, Index>& scores, acc_t<T>* lse,
                             const Store& store) {
  using A = acc_t<T>;
  const A to = s.active ? scores.target_score(s.row) : A{0};
  A top = -kInfinity<A>, factor;
  for (int e = s.begin + s.lane; e < s.end; e += s.lanes) {
    const A score = scores.edge_score(e, to, factor);
    top = score > top ? score : top;
  }
  top = group_max(top, s.lanes);
  const A shift = top == -kInfinity<A> ? A{0} : top;
  A total = 0;
  for (int e = s.begin + s.lane; e < s.end; e += s.lanes) {
    total += exp_of(scores.edge_score(e, to, factor) - shift);
  }
  total = group_sum(total, s.lanes);
  const A scale = total == 0 ? A{0} : 1 / total;
  for (int e = s.begin + s.lane; e < s.end; e += s.lanes) {
    store(e, exp_of(scores.edge_score(e, to, factor) - shift) * scale);
  }
  if (lse != nullptr && s.active && s.lane == 0) {
    lse[s.row * scores.heads] = total == 0 ? -kInfinity<A> : shift + log_of(total);
  }
}

// For one row: store(row, c, sum over its entries k of weight * chunk c of the feature row), with
// edge(k, weight) giving the feature row's number and chunk(number, c) loading it. Lane c of a
// group of `group` lanes has chunk c. An entry of weight 0 adds nothing, whatever its features
// hold.
template <class T, class Edge, class Load, class Store>
TEDG_DEVICE void gather_row(const Share& s, int group, int chunks, const Edge& edge,
                            const Load& load, const Store& store) {
  using A = acc_t<T>;
  const int c = s.lane % group;
  A sum[Chunk<T>::kSize] = {};
  if (c < chunks) {
#pragma unroll 4
    for (int k = s.begin + s.lane / group; k < s.end; k += s.lanes / group) {
      A weight;
      const int number = edge(k, weight);
      if (weight != 0) {
        const Chunk<T> chunk = load(number, c);
        for (int i = 0; i < Chunk<T>::kSize; ++i) sum[i] += weight * widen(chunk.v[i]);
      }
    }
  }
  for (int step = group; step < s.lanes; step *= 2) {
    for (int i = 0; i < Chunk<T>::kSize; ++i) sum[i] += __shfl_xor_sync(kAllLanes, sum[i], step);
  }
  if (s.active && s.lane / group == 0 && c < chunks) store(s.row, c, sum);
}

// dscore[e] holds <grad_out[i], x[j]> of the row's edges and becomes the derivative by the
// edge's score before the LeakyReLU; grad_target <- its sum over the row.
template <class T, class Index>
TEDG_DEVICE void score_gradients(const Share& s, const Scores<T, Index>& scores,
                                 const acc_t<T>* weight, acc_t<T>* dscore,
                                 const acc_t<T>* grad_lse, T* grad_target) {
  using A = acc_t<T>;
  A mean = 0;
  for (int e = s.begin + s.lane; e < s.end; e += s.lanes) {
    if (weight[e] != 0) mean += weight[e] * dscore[e];
  }
  mean = group_sum(mean, s.lanes);
  A to = 0;
  if (s.active) {
    to = scores.target_score(s.row);
    if (grad_lse != nullptr) mean -= grad_lse[s.row * scores.heads];
  }
  A sum = 0;
  for (int e = s.begin + s.lane; e < s.end; e += s.lanes) {
    A factor, gradient = 0;
    scores.edge_score(e, to, factor);
    if (weight[e] != 0) gradient = weight[e] * (dscore[e] - mean) * factor;
    dscore[e] = gradient;
    sum += gradient;
  }
  sum = group_sum(sum, s.lanes);
  if (s.active && s.lane == 0) narrow(grad_target[s.row * scores.heads], sum);
}

// grad_source <- the sum of dscore over the edges that leave one source.
template <class T, class Index>
TEDG_DEVICE void source_gradient(const Share& s, const Index* t_edge, int64_t edges,
                                 const acc_t<T>* dscore, int64_t heads, T* grad_source) {
  acc_t<T> sum = 0;
  for (int k = s.begin + s.lane; k < s.end; k += s.lanes) sum += dscore[checked(t_edge[k], edges)];
  sum = group_sum(sum, s.lanes);
  if (s.active && s.lane == 0) narrow(grad_source[s.row * heads], sum);
}

// parts[r] <- the sum of dscore over the edges of relation r: a warp a relation.
template <class A>
TEDG_DEVICE void relation_sums(const int32_t* relation, int64_t edges, int64_t relations,
                               const A* dscore, A* parts, int warp, int warps) {
  for (int64_t r = warp; r < relations; r += warps) {
    A sum = 0;
    for (int64_t e = threadIdx.x % 32; e < edges; e += 32) {
      if (relation[e] == r) sum += dscore[e];
    }
    sum = group_sum(sum, 32);
    if (threadIdx.x % 32 == 0) parts[r] = sum;
  }
}

}  // namespace tedg::gpu
