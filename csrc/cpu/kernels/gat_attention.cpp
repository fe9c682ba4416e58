// Sparse graph attention of one sample and head over a range of targets or sources.
//
// Forward, for the edges of the range in CSR order:
//   1. scores relative to their row's largest one, row by row;
//   2. exp of them all, in full vectors across rows;
//   3. per row: total, then sum_j weight_j x[j] with the row of the output in registers.
// Backward recomputes the weights as exp(score - lse). Walking the targets gives
//   p_j = <grad_out[i], x[j]>,  dscore_j = weight_j (p_j - sum_j weight_j p_j + grad_lse[i]),
// walking the transpose gives grad_x[j] = sum_i weight_ij grad_out[i]: no sum is ever shared
// between threads, so the order of every sum is fixed.
//
// A source that is masked, or whose score is -inf, takes no part: its weight is 0, and an edge of
// weight 0 is skipped, whatever x holds there. Only one head of one sample is touched at a
// time: its features (N x D values) stay in the second-level cache.
#include "../vector_math.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

constexpr float kInfinity = __builtin_inff();

template <class A>
int64_t padded(int64_t n) {
  return (n + kLanes<A>) / kLanes<A> * kLanes<A>;
}

// Where one (sample, head)'s numbers lie: entry i of a [B, count, H] tensor is p[i * heads].
template <class T>
TEDG_INLINE T* head_of(void* p, int64_t b, int64_t count, int64_t heads, int64_t h) {
  return static_cast<T*>(p) + b * count * heads + h;
}
template <class T>
TEDG_INLINE const T* head_of(const void* p, int64_t b, int64_t count, int64_t heads, int64_t h) {
  return static_cast<const T*>(p) + b * count * heads + h;
}

// The parts of the scores that do not depend on the edge, one sample and head, in acc.
template <class A>
struct ScoreTables {
  const A* source;  // [N], -inf where the source takes no part
  const A* bias;    // [R] or null
};

// Fills them into scratch and moves it past them.
template <class T>
ScoreTables<acc_t<T>> score_tables(const GatProblem& p, int64_t b, int64_t h,
                                   acc_t<T>*& scratch) {
  using A = acc_t<T>;
  A* source = scratch;
  A* bias = scratch + p.sources;
  scratch = bias + p.relations;
  const T* from = head_of<T>(p.score_src, b, p.sources, p.heads, h);
  for (int64_t j = 0; j < p.sources; ++j) source[j] = widen(from[j * p.heads]);
  if (p.node_mask != nullptr) {
    const bool* mask = p.node_mask + b * p.sources;
    for (int64_t j = 0; j < p.sources; ++j) source[j] = mask[j] ? source[j] : -kInfinity;
  }
  if (p.edge_bias == nullptr) return {source, nullptr};
  const T* rows = static_cast<const T*>(p.edge_bias) + h;
  for (int64_t r = 0; r < p.relations; ++r) bias[r] = widen(rows[r * p.heads]);
  return {source, bias};
}

// The score of CSR edge k into a target whose own part is `target`; slope <- its derivative.
template <class A>
TEDG_INLINE A edge_score(const GatProblem& p, const ScoreTables<A>& tables, int64_t k, A target,
                         A& slope) {
  const A source = tables.source[p.col[k]];
  A sum = source + target;
  if (tables.bias != nullptr) sum += tables.bias[p.relation[k]];
  slope = sum > 0 ? A{1} : static_cast<A>(p.negative_slope);
  return source == -kInfinity ? -kInfinity : sum * slope;
}

template <class A>
void exp_all(A* values, int64_t count) {  // values has room up to a multiple of the lanes
  for (int64_t k = 0; k < count; k += kLanes<A>) store(values + k, exp_of(load(values + k)));
}

// out[0..width) = sum_k weight[k] rows[index[k]], times scale. `Edge` gives k's place in weight.
template <class T, int kVectors, bool kTail, class Edge>
TEDG_INLINE void gather_block(T* out, const acc_t<T>* weight, const T* rows, int64_t stride,
                              const int32_t* index, int64_t begin, int64_t end, int tail,
                              acc_t<T> scale, Edge edge) {
  using A = acc_t<T>;
  vec<A> sum[kVectors] = {};
  for (int64_t k = begin; k < end; ++k) {
    const A w = weight[edge(k)];
    if (w == 0) continue;
    const T* row = rows + index[k] * stride;
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

template <class T, class Edge>
TEDG_INLINE void gather_rows(T* out, const acc_t<T>* weight, const T* rows, int64_t stride,
                             const int32_t* index, int64_t begin, int64_t end, int64_t width,
                             acc_t<T> scale, Edge edge) {
  using A = acc_t<T>;
  int64_t d = 0;
  const auto block = [&]<int kVectors, bool kTail>(int tail) {
    gather_block<T, kVectors, kTail>(out + d, weight, rows + d, stride, index, begin, end, tail,
                                     scale, edge);
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

template <class T>
int64_t scratch(const GatProblem& p) {
  using A = acc_t<T>;
  return p.sources + p.relations + 2 * padded<A>(p.edges) + 2 * padded<A>(p.targets);
}

template <class T>
void forward(const GatProblem& p, int64_t b, int64_t h, int64_t begin, int64_t end,
             void* memory) {
  using A = acc_t<T>;
  A* room = static_cast<A*>(memory);
  const ScoreTables<A> tables = score_tables<T>(p, b, h, room);
  const int64_t first = p.rowptr[begin];
  const int64_t edges = p.rowptr[end] - first;
  A* weight = room;
  A* top = weight + padded<A>(edges);
  A* total = top + padded<A>(end - begin);
  const T* score_dst = head_of<T>(p.score_dst, b, p.targets, p.heads, h);
  A* lse = head_of<A>(p.lse, b, p.targets, p.heads, h);

  for (int64_t i = begin; i < end; ++i) {
    const A target = widen(score_dst[i * p.heads]);
    A largest = -kInfinity;
    A slope;
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
      const A score = edge_score(p, tables, k, target, slope);
      weight[k - first] = score;
      largest = score > largest ? score : largest;
    }
    top[i - begin] = largest;
    // In a row of nothing but -inf every difference is taken from 0: all weights become 0.
    const A shift = largest == -kInfinity ? A{0} : largest;
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) weight[k - first] -= shift;
  }
  exp_all(weight, edges);

  const T* x = static_cast<const T*>(p.x) + (b * p.sources * p.heads + h) * p.width;
  T* out = static_cast<T*>(p.out) + (b * p.targets * p.heads + h) * p.width;
  const int64_t stride = p.heads * p.width;
  for (int64_t i = begin; i < end; ++i) {
    A sum = 0;
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) sum += weight[k - first];
    total[i - begin] = sum == 0 ? A{1} : sum;
    gather_rows(out + i * stride, weight, x, stride, p.col, p.rowptr[i], p.rowptr[i + 1],
                p.width, 1 / total[i - begin], [&](int64_t k) { return k - first; });
  }
  for (int64_t i = 0; i < end - begin; i += kLanes<A>) {
    store(total + i, log_of(load(total + i)) + load(top + i));
  }
  for (int64_t i = begin; i < end; ++i) lse[i * p.heads] = total[i - begin];
}

// weight <- exp(score - lse), slope <- the LeakyReLU's derivative, for the edges of the range.
template <class T>
void recompute_weights(const GatProblem& p, int64_t b, int64_t h, int64_t begin, int64_t end,
                       const ScoreTables<acc_t<T>>& tables, acc_t<T>* weight, acc_t<T>* slope) {
  using A = acc_t<T>;
  const int64_t first = p.rowptr[begin];
  const T* score_dst = head_of<T>(p.score_dst, b, p.targets, p.heads, h);
  const A* lse = head_of<A>(static_cast<const void*>(p.lse), b, p.targets, p.heads, h);
  for (int64_t i = begin; i < end; ++i) {
    const A target = widen(score_dst[i * p.heads]);
    const A shift = lse[i * p.heads] == -kInfinity ? A{0} : lse[i * p.heads];
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
      weight[k - first] = edge_score(p, tables, k, target, slope[k - first]) - shift;
    }
  }
  exp_all(weight, p.rowptr[end] - first);
}

template <class T>
void backward_targets(const GatProblem& p, int64_t b, int64_t h, int64_t begin, int64_t end,
                      void* all_weights, void* all_dscores, double* bias, void* memory) {
  using A = acc_t<T>;
  A* room = static_cast<A*>(memory);
  const ScoreTables<A> tables = score_tables<T>(p, b, h, room);
  const int64_t first = p.rowptr[begin];
  const int64_t edges = p.rowptr[end] - first;
  A* recomputed = room;
  A* slope = recomputed + padded<A>(edges);
  recompute_weights<T>(p, b, h, begin, end, tables, recomputed, slope);
  A* weight = static_cast<A*>(all_weights);
  A* dscore = static_cast<A*>(all_dscores);
  __builtin_memcpy(weight + first, recomputed, sizeof(A) * edges);

  const T* x = static_cast<const T*>(p.x) + (b * p.sources * p.heads + h) * p.width;
  const T* grad = static_cast<const T*>(p.grad_out) + (b * p.targets * p.heads + h) * p.width;
  const A* grad_lse =
      p.grad_lse == nullptr ? nullptr : head_of<A>(p.grad_lse, b, p.targets, p.heads, h);
  T* grad_dst = head_of<T>(p.grad_score_dst, b, p.targets, p.heads, h);
  const int64_t stride = p.heads * p.width;
  for (int64_t i = begin; i < end; ++i) {
    A mean = 0;
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
      if (weight[k] == 0) continue;
      dscore[k] = dot(grad + i * stride, x + p.col[k] * stride, p.width);
      mean += weight[k] * dscore[k];
    }
    if (grad_lse != nullptr) mean -= grad_lse[i * p.heads];
    A sum = 0;
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
      dscore[k] = weight[k] == 0 ? A{0} : weight[k] * (dscore[k] - mean) * slope[k - first];
      sum += dscore[k];
      if (bias != nullptr) bias[p.relation[k]] += dscore[k];
    }
    grad_dst[i * p.heads] = narrow<T, A>(sum);
  }
}

template <class T>
void backward_sources(const GatProblem& p, int64_t b, int64_t h, int64_t begin, int64_t end,
                      const void* all_weights, const void* all_dscores) {
  using A = acc_t<T>;
  const A* weight = static_cast<const A*>(all_weights);
  const A* dscore = static_cast<const A*>(all_dscores);
  const T* grad = static_cast<const T*>(p.grad_out) + (b * p.targets * p.heads + h) * p.width;
  T* grad_x = static_cast<T*>(p.grad_x) + (b * p.sources * p.heads + h) * p.width;
  T* grad_src = head_of<T>(p.grad_score_src, b, p.sources, p.heads, h);
  const int64_t stride = p.heads * p.width;
  for (int64_t j = begin; j < end; ++j) {
    A sum = 0;
    for (int64_t k = p.t_rowptr[j]; k < p.t_rowptr[j + 1]; ++k) sum += dscore[p.t_edge[k]];
    grad_src[j * p.heads] = narrow<T, A>(sum);
    gather_rows(grad_x + j * stride, weight, grad, stride, p.t_target, p.t_rowptr[j],
                p.t_rowptr[j + 1], p.width, A{1}, [&](int64_t k) { return p.t_edge[k]; });
  }
}

template <class T>
void weights(const GatProblem& p, int64_t b, int64_t h, const int32_t* edge_id, void* out,
             void* memory) {
  using A = acc_t<T>;
  A* room = static_cast<A*>(memory);
  const ScoreTables<A> tables = score_tables<T>(p, b, h, room);
  A* weight = room;
  A* slope = weight + padded<A>(p.edges);
  recompute_weights<T>(p, b, h, 0, p.targets, tables, weight, slope);
  T* to = head_of<T>(out, b, p.edges, p.heads, h);
  for (int64_t k = 0; k < p.edges; ++k) to[edge_id[k] * p.heads] = narrow<T, A>(weight[k]);
}

template <class T>
constexpr GatKernels table() {
  return {scratch<T>, forward<T>, backward_targets<T>, backward_sources<T>, weights<T>};
}

}  // namespace

const GatKernels gat_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                               table<f16>()};

}  // namespace tedg::TEDG_LEVEL
