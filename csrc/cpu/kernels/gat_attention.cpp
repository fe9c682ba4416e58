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
#include "gat_scores.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

// The features of the (sample, head) that the thread turns to next, so that they can be fetched
// while this one's are at work: rows are visited in random order, which no hardware foresees.
template <class T>
struct NextSlab {
  const T* rows;  // null at the last one
  int64_t stride, width;

  NextSlab(const void* tensor, int64_t count, const GatProblem& p, int64_t b, int64_t h)
      : rows(nullptr), stride(p.heads * p.width), width(p.width) {
    const int64_t next = b * p.heads + h + 1;
    if (next >= p.batch * p.heads) return;
    const int64_t row = (next / p.heads) * count * p.heads + next % p.heads;
    rows = static_cast<const T*>(tensor) + row * p.width;
  }

  TEDG_INLINE void fetch(int64_t row) const {
    if (rows == nullptr) return;
    const char* line = reinterpret_cast<const char*>(rows + row * stride);
    const char* last = reinterpret_cast<const char*>(rows + row * stride + width);
    for (; line < last; line += 64) __builtin_prefetch(line, 0, 2);
  }
};

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

// product[k] <- <a, rows[index[k]]> for the edges of one row whose weight is not 0 (else 0); a
// stays in registers.
template <class T, int kVectors>
TEDG_INLINE void row_dots(const T* a, const T* rows, int64_t stride, const int32_t* index,
                          const acc_t<T>* weight, acc_t<T>* product, int64_t count) {
  using A = acc_t<T>;
  vec<A> own[kVectors];
  for (int v = 0; v < kVectors; ++v) own[v] = load(a + v * kLanes<A>);
  for (int64_t k = 0; k < count; ++k) {
    product[k] = 0;
    if (weight[k] == 0) continue;
    const T* row = rows + index[k] * stride;
    vec<A> sum = own[0] * load(row);
    for (int v = 1; v < kVectors; ++v) sum += own[v] * load(row + v * kLanes<A>);
    product[k] = sum_lanes<A>(sum);
  }
}

template <class T>
TEDG_INLINE void dots(const T* a, const T* rows, int64_t stride, const int32_t* index,
                      const acc_t<T>* weight, acc_t<T>* product, int64_t count, int64_t width) {
  using A = acc_t<T>;
  switch (width / kLanes<A> * (width % kLanes<A> == 0)) {
    case 1: return row_dots<T, 1>(a, rows, stride, index, weight, product, count);
    case 2: return row_dots<T, 2>(a, rows, stride, index, weight, product, count);
    case 4: return row_dots<T, 4>(a, rows, stride, index, weight, product, count);
    case 8: return row_dots<T, 8>(a, rows, stride, index, weight, product, count);
  }
  for (int64_t k = 0; k < count; ++k) {
    product[k] = weight[k] == 0 ? A{0} : dot(a, rows + index[k] * stride, width);
  }
}

template <class T>
int64_t scratch(const GatProblem& p) {
  using A = acc_t<T>;
  return p.sources + p.relations + 3 * padded<A>(p.edges) + 2 * padded<A>(p.targets);
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
  A* shift = weight + padded<A>(edges);
  A* top = shift + padded<A>(edges);
  A* total = top + padded<A>(end - begin);
  score_edges<T>(p, tables, b, h, begin, end, weight, nullptr);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = p.rowptr[i] - first, count = p.rowptr[i + 1] - p.rowptr[i];
    const A largest = row_top(weight + at, count);
    top[i - begin] = largest;
    // In a row of nothing but -inf every difference is taken from 0: all weights become 0.
    spread<A>(shift, at, at + count, largest == -kInfinity ? A{0} : largest);
  }
  exp_shifted(weight, shift, edges);

  const T* x = static_cast<const T*>(p.x) + (b * p.sources * p.heads + h) * p.width;
  T* out = static_cast<T*>(p.out) + (b * p.targets * p.heads + h) * p.width;
  const int64_t stride = p.heads * p.width;
  const NextSlab<T> next(p.x, p.sources, p, b, h);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = p.rowptr[i] - first, count = p.rowptr[i + 1] - p.rowptr[i];
    if (i < p.sources) next.fetch(i);
    const A sum = row_sum(weight + at, count);
    total[i - begin] = sum == 0 ? A{1} : sum;
    gather_rows(out + i * stride, weight, x, stride, p.col, p.rowptr[i], p.rowptr[i + 1],
                p.width, 1 / total[i - begin], [&](int64_t k) { return k - first; });
  }
  for (int64_t i = 0; i < end - begin; i += kLanes<A>) {
    store(total + i, log_of(load(total + i)) + load(top + i));
  }
  A* lse = head_of<A>(p.lse, b, p.targets, p.heads, h);
  for (int64_t i = begin; i < end; ++i) lse[i * p.heads] = total[i - begin];
}

// weight <- exp(score - lse), slope <- the LeakyReLU's derivative, for the edges of the run;
// shift is scratch for as many values.
template <class T>
void recompute_weights(const GatProblem& p, int64_t b, int64_t h, int64_t begin, int64_t end,
                       const ScoreTables<acc_t<T>>& tables, acc_t<T>* weight, acc_t<T>* shift,
                       acc_t<T>* slope) {
  using A = acc_t<T>;
  const int64_t first = p.rowptr[begin];
  score_edges<T>(p, tables, b, h, begin, end, weight, slope);
  const A* lse = head_of<A>(p.lse, b, p.targets, p.heads, h);
  for (int64_t i = begin; i < end; ++i) {
    const A value = lse[i * p.heads];
    spread<A>(shift, p.rowptr[i] - first, p.rowptr[i + 1] - first,
              value == -kInfinity ? A{0} : value);
  }
  exp_shifted(weight, shift, p.rowptr[end] - first);
}

template <class T>
void backward_targets(const GatProblem& p, int64_t b, int64_t h, int64_t begin, int64_t end,
                      void* all_weights, void* all_dscores, double* bias, void* memory) {
  using A = acc_t<T>;
  A* room = static_cast<A*>(memory);
  const ScoreTables<A> tables = score_tables<T>(p, b, h, room);
  const int64_t first = p.rowptr[begin];
  const int64_t edges = p.rowptr[end] - first;
  A* weight = room;
  A* product = weight + padded<A>(edges);
  A* slope = product + padded<A>(edges);
  recompute_weights<T>(p, b, h, begin, end, tables, weight, product, slope);

  const T* x = static_cast<const T*>(p.x) + (b * p.sources * p.heads + h) * p.width;
  const T* grad = static_cast<const T*>(p.grad_out) + (b * p.targets * p.heads + h) * p.width;
  const A* grad_lse =
      p.grad_lse == nullptr ? nullptr : head_of<A>(p.grad_lse, b, p.targets, p.heads, h);
  T* grad_dst = head_of<T>(p.grad_score_dst, b, p.targets, p.heads, h);
  const int64_t stride = p.heads * p.width;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = p.rowptr[i] - first, count = p.rowptr[i + 1] - p.rowptr[i];
    dots(grad + i * stride, x, stride, p.col + p.rowptr[i], weight + at, product + at, count,
         p.width);
    A mean = 0;
    for (int64_t k = at; k < at + count; ++k) mean += weight[k] * product[k];
    if (grad_lse != nullptr) mean -= grad_lse[i * p.heads];
    A sum = 0;
    for (int64_t k = at; k < at + count; ++k) {
      product[k] = weight[k] == 0 ? A{0} : weight[k] * (product[k] - mean) * slope[k];
      sum += product[k];
    }
    grad_dst[i * p.heads] = narrow<T, A>(sum);
  }
  if (bias != nullptr) {
    for (int64_t k = 0; k < edges; ++k) bias[p.relation[first + k]] += product[k];
  }
  __builtin_memcpy(static_cast<A*>(all_weights) + first, weight, sizeof(A) * edges);
  __builtin_memcpy(static_cast<A*>(all_dscores) + first, product, sizeof(A) * edges);
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
  const NextSlab<T> next_x(p.x, p.sources, p, b, h);
  const NextSlab<T> next_grad(p.grad_out, p.targets, p, b, h);
  for (int64_t j = begin; j < end; ++j) {
    next_x.fetch(j);
    if (j < p.targets) next_grad.fetch(j);
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
  A* shift = weight + padded<A>(p.edges);
  recompute_weights<T>(p, b, h, 0, p.targets, tables, weight, shift, nullptr);
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
