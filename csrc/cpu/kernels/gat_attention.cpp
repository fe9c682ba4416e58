// Sparse graph attention over a range of targets or sources of one head of one sample.
//
// Forward, for the edges of the range in CSR order:
//   1. scores relative to their row's largest one, row by row;
//   2. exp of them all, in full vectors across rows;
//   3. per row: total, then sum_j weight_j x[j] with the row of the output in registers.
// Backward recomputes the weights as exp(score - lse), divided by their sum: lse is rounded, and
// for large scores that is more than a weight's digits. Walking the transpose, where one visit to
// the row grad_out[i] serves both, gives
//   p_ij = kept_ij <grad_out[i], x[j]>,
//   grad_x[j] = sum_i weight_ij kept_ij grad_out[i],
// walking the targets again
//   dscore_j = weight_j (p_j - sum_j weight_j p_j + grad_lse[i]),
// and the transpose again the sums of these: no sum is ever shared between threads, so the order
// of every sum is fixed. kept_ij is dropout's factor.
//
// A source that is masked, or whose score is -inf, takes no part: its weight is 0, and an edge of
// weight 0 is skipped, whatever x holds there.
#include "dropout.h"
#include "gat_rows.h"
#include "gat_scores.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

// The range's edges and rows, and how their arrays lie in scratch.
template <class A>
struct Walk {
  int64_t first, edges, rows;
  int64_t edge_room, row_room;

  Walk(int64_t first_edge, int64_t edge_count, int64_t row_count)
      : first(first_edge),
        edges(edge_count),
        rows(row_count),
        edge_room(padded<A>(edge_count)),
        row_room(padded<A>(row_count)) {}

  Walk(const GatProblem& p, const GatRange& r)
      : Walk(p.rowptr[r.begin], p.rowptr[r.end] - p.rowptr[r.begin], r.end - r.begin) {}
};

// Weights, slopes, those that dropout keeps and its factors; totals and largest scores.
template <class T>
int64_t scratch(const GatProblem&, int64_t, int64_t rows, int64_t edges) {
  const Walk<acc_t<T>> w(0, edges, rows);
  return 4 * w.edge_room + 2 * w.row_room;
}

int64_t record_size(int64_t) { return 2; }

template <class T>
Rows<T> rows_of(const GatProblem& p, const GatRange& r, const void* features, int64_t count,
                const int32_t* index) {
  const T* data =
      static_cast<const T*>(features) + (r.sample * count * p.heads + r.first_head) * p.width;
  return {data, p.heads * p.width, p.width, index};
}

// The features of the (sample, head) that the thread turns to next, so that they can be fetched
// while this one's are at work: rows are visited in random order, which no hardware foresees.
template <class T>
struct NextSlab {
  const T* rows;  // null at the last one, and where rows are fetched edge by edge
  int64_t stride, width;

  NextSlab(const void* tensor, int64_t count, const GatProblem& p, const GatRange& r)
      : rows(nullptr), stride(p.heads * p.width), width(p.width) {
    const int64_t next = r.sample * p.heads + r.first_head + 1;
    if (p.by_rows || next >= p.batch * p.heads) return;
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

// to <- from times dropout's factors of the range, which factor gets.
template <class A>
void drop(const GatProblem& p, const GatRange& r, const Walk<A>& w, const A* from, A* to,
          A* factor) {
  keep_factors(p, r.sample, r.first_head, w.first, w.edges, factor);
  for (int64_t k = 0; k < w.edges; ++k) to[k] = factor[k] == 0 ? A{0} : from[k] * factor[k];
}

template <class T>
void forward(const GatProblem& p, const GatRange& r, const void* table, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* weight = static_cast<A*>(memory);
  A* shift = weight + w.edge_room;
  A* total = shift + w.edge_room;
  A* top = total + w.row_room;
  score_edges<T>(p, static_cast<const A*>(table), r.sample, r.first_head, r.begin, r.end, weight,
                 nullptr);
  for (int64_t i = 0; i < w.rows; ++i) {
    const int64_t at = p.rowptr[r.begin + i] - w.first, end = p.rowptr[r.begin + i + 1] - w.first;
    top[i] = row_top(weight + at, end - at);
    // In a row of nothing but -inf every difference is taken from 0: all weights become 0.
    spread<A>(shift, at, end, top[i] == -kInfinity ? A{0} : top[i]);
  }
  exp_shifted(weight, shift, w.edges);
  for (int64_t i = 0; i < w.rows; ++i) {
    const int64_t at = p.rowptr[r.begin + i] - w.first, end = p.rowptr[r.begin + i + 1] - w.first;
    const A sum = row_sum(weight + at, end - at);
    total[i] = sum == 0 ? A{1} : sum;
  }
  if (p.dropout > 0) drop(p, r, w, weight, weight, shift);

  const Rows<T> x = rows_of<T>(p, r, p.x, p.sources, p.col);
  T* out = static_cast<T*>(p.out) +
           ((r.sample * p.targets + r.begin) * p.heads + r.first_head) * p.width;
  const NextSlab<T> next(p.x, p.sources, p, r);
  for (int64_t i = 0; i < w.rows; ++i, out += p.heads * p.width) {
    const int64_t begin = p.rowptr[r.begin + i], end = p.rowptr[r.begin + i + 1];
    if (r.begin + i < p.sources) next.fetch(r.begin + i);
    fetch_ahead(p, x, 1, begin, end, w.first + w.edges);
    gather_rows(out, x, begin, end, 1 / total[i], [&](int64_t k) { return weight + k - w.first; });
  }
  for (int64_t i = 0; i < w.rows; i += kLanes<A>) {
    store(total + i, log_of(load(total + i)) + load(top + i));
  }
  A* lse = head_of<A>(p.lse, r.sample, p.targets, p.heads, r.first_head);
  for (int64_t i = 0; i < w.rows; ++i) lse[(r.begin + i) * p.heads] = total[i];
}

// weight <- softmax of the scores, slope <- the LeakyReLU's derivative (may be null), for the
// edges of the range; shift is scratch for as many values.
template <class T>
void recompute_weights(const GatProblem& p, const GatRange& r, const Walk<acc_t<T>>& w,
                       const void* table, acc_t<T>* weight, acc_t<T>* shift, acc_t<T>* slope) {
  using A = acc_t<T>;
  score_edges<T>(p, static_cast<const A*>(table), r.sample, r.first_head, r.begin, r.end, weight,
                 slope);
  const A* lse = head_of<A>(p.lse, r.sample, p.targets, p.heads, r.first_head);
  const auto per_row = [&](const auto& value) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t at = p.rowptr[i] - w.first, end = p.rowptr[i + 1] - w.first;
      spread<A>(shift, at, end, value(i, at, end));
    }
  };
  per_row([&](int64_t i, int64_t, int64_t) {
    return lse[i * p.heads] == -kInfinity ? A{0} : lse[i * p.heads];
  });
  exp_shifted(weight, shift, w.edges);
  per_row([&](int64_t, int64_t at, int64_t end) {
    const A sum = row_sum(weight + at, end - at);
    return sum == 0 ? A{1} : 1 / sum;
  });
  for (int64_t k = 0; k < w.edges; k += kLanes<A>) {
    store(weight + k, load(weight + k) * load(shift + k));
  }
}

template <class T>
void backward_weights(const GatProblem& p, const GatRange& r, const void* table, void* records,
                      void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* weight = static_cast<A*>(memory);
  A* slope = weight + w.edge_room;
  A* kept = slope + w.edge_room;
  A* factor = kept + w.edge_room;
  recompute_weights<T>(p, r, w, table, weight, factor, slope);
  if (p.dropout > 0) {
    drop(p, r, w, weight, kept, factor);
  } else {
    kept = weight;
  }
  A* record = static_cast<A*>(records) + 2 * w.first;
  for (int64_t k = 0; k < w.edges; ++k) {
    record[2 * k] = kept[k];
    record[2 * k + 1] = slope[k] == 1 ? weight[k] : -weight[k];
  }
}

template <class T>
void backward_features(const GatProblem& p, const GatRange& r, void* records, void* memory) {
  using A = acc_t<T>;
  A* product = static_cast<A*>(memory);
  const auto record = [&](int64_t k) {
    return static_cast<A*>(records) + 2 * int64_t{p.t_edge[k]};
  };
  const Rows<T> grad = rows_of<T>(p, r, p.grad_out, p.targets, p.t_target);
  const int64_t at = ((r.sample * p.sources + r.begin) * p.heads + r.first_head) * p.width;
  const T* x = static_cast<const T*>(p.x) + at;
  T* grad_x = static_cast<T*>(p.grad_x) + at;
  const NextSlab<T> next_x(p.x, p.sources, p, r);
  const NextSlab<T> next_grad(p.grad_out, p.targets, p, r);
  const int64_t stride = p.heads * p.width;
  for (int64_t j = r.begin; j < r.end; ++j, x += stride, grad_x += stride) {
    const int64_t begin = p.t_rowptr[j], end = p.t_rowptr[j + 1];
    next_x.fetch(j);
    if (j < p.targets) next_grad.fetch(j);
    fetch_ahead(p, grad, 1, begin, end, p.t_rowptr[r.end]);
    gather_rows(grad_x, grad, begin, end, A{1}, record);
    dots(x, grad, begin, end, product, record);
    for (int64_t k = begin; k < end; ++k) *record(k) = product[k - begin];
  }
}

template <class T>
void backward_scores(const GatProblem& p, const GatRange& r, void* records, double* bias,
                     void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* record = static_cast<A*>(records) + 2 * w.first;
  A* weight = static_cast<A*>(memory);
  A* slope = weight + w.edge_room;
  A* score = slope + w.edge_room;
  const A below = static_cast<A>(p.negative_slope), grown = grown_by<A>(p);
  for (int64_t k = 0; k < w.edges; ++k) {
    const A own = record[2 * k + 1];
    weight[k] = own < 0 ? -own : own;
    slope[k] = own < 0 ? below : A{1};
    score[k] = record[2 * k] * grown;
  }

  const A* grad_lse = p.grad_lse == nullptr
                          ? nullptr
                          : head_of<A>(p.grad_lse, r.sample, p.targets, p.heads, r.first_head);
  T* grad_dst = head_of<T>(p.grad_score_dst, r.sample, p.targets, p.heads, r.first_head);
  for (int64_t i = r.begin; i < r.end; ++i) {
    const int64_t at = p.rowptr[i] - w.first, end = p.rowptr[i + 1] - w.first;
    A mean = 0;
    for (int64_t k = at; k < end; ++k) mean += weight[k] * score[k];
    if (grad_lse != nullptr) mean -= grad_lse[i * p.heads];
    A sum = 0;
    for (int64_t k = at; k < end; ++k) {
      score[k] = weight[k] == 0 ? A{0} : weight[k] * (score[k] - mean) * slope[k];
      sum += score[k];
    }
    grad_dst[i * p.heads] = narrow<T, A>(sum);
  }
  if (bias != nullptr) {
    double* sums = bias + r.first_head * p.relations;
    for (int64_t k = 0; k < w.edges; ++k) sums[p.relation[w.first + k]] += score[k];
  }
  if (p.grad_score_edge != nullptr) {
    A* to = head_of<A>(p.grad_score_edge, r.sample, p.edges, p.heads, r.first_head);
    for (int64_t k = 0; k < w.edges; ++k) to[p.edge_id[w.first + k] * p.heads] = score[k];
  }
  for (int64_t k = 0; k < w.edges; ++k) record[2 * k + 1] = score[k];
}

template <class T>
void backward_sources(const GatProblem& p, const GatRange& r, const void* records) {
  using A = acc_t<T>;
  T* grad_src = head_of<T>(p.grad_score_src, r.sample, p.sources, p.heads, r.first_head);
  for (int64_t j = r.begin; j < r.end; ++j) {
    A sum = 0;
    for (int64_t k = p.t_rowptr[j]; k < p.t_rowptr[j + 1]; ++k) {
      sum += static_cast<const A*>(records)[2 * int64_t{p.t_edge[k]} + 1];
    }
    grad_src[j * p.heads] = narrow<T, A>(sum);
  }
}

template <class T>
void weights(const GatProblem& p, const GatRange& r, const void* table, const int32_t* edge_id,
             void* out, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* weight = static_cast<A*>(memory);
  A* shift = weight + w.edge_room;
  recompute_weights<T>(p, r, w, table, weight, shift, nullptr);
  if (p.dropout > 0) drop(p, r, w, weight, weight, shift);
  T* to = head_of<T>(out, r.sample, p.edges, p.heads, r.first_head);
  for (int64_t k = 0; k < w.edges; ++k) {
    to[edge_id[w.first + k] * p.heads] = narrow<T, A>(weight[k]);
  }
}

template <class T>
constexpr GatKernels table() {
  return {table_size,          fill_table<T>,       record_size,          scratch<T>,
          forward<T>,          backward_weights<T>, backward_features<T>, backward_scores<T>,
          backward_sources<T>, weights<T>};
}

}  // namespace

const GatKernels gat_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                               table<f16>()};

}  // namespace tedg::TEDG_LEVEL
