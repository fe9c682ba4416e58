// Sparse graph attention over a range of targets or sources of one sample.
//
// Forward, for each head and the edges of the range in CSR order:
//   1. scores relative to their row's largest one, row by row;
//   2. exp of them all, in full vectors across rows;
//   3. per row: total, then sum_j weight_j x[j] with the row of the output in registers.
// Backward recomputes the weights as exp(score - lse), divided by their sum: lse is rounded, and
// for large scores that is more than a weight's digits. Walking the targets gives
//   p_j = kept_j <grad_out[i], x[j]>,
//   dscore_j = weight_j (p_j - sum_j weight_j p_j + grad_lse[i]),
// walking the transpose gives grad_x[j] = sum_i weight_ij kept_ij grad_out[i]: no sum is ever
// shared between threads, so the order of every sum is fixed. kept_j is dropout's factor.
//
// A source that is masked, or whose score is -inf, takes no part: its weight is 0, and an edge of
// weight 0 is skipped, whatever x holds there. A range takes one head if that head's features stay
// in the cache; otherwise all heads, so that a row is fetched once for all of them.
#include "dropout.h"
#include "gat_rows.h"
#include "gat_scores.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

constexpr int64_t kFetchAhead = 8;  // edges

// The range's edges and heads, and how its arrays lie in scratch.
template <class A>
struct Walk {
  int64_t first, edges, rows, heads;
  int64_t edge_step, row_step;  // from one head's array to the next one's

  Walk(int64_t first_edge, int64_t edge_count, int64_t row_count, int64_t head_count)
      : first(first_edge), edges(edge_count), rows(row_count), heads(head_count),
        edge_step(padded<A>(edge_count)), row_step(padded<A>(row_count)) {}

  Walk(const GatProblem& p, const GatRange& r)
      : Walk(p.rowptr[r.begin], p.rowptr[r.end] - p.rowptr[r.begin], r.end - r.begin,
             r.last_head - r.first_head) {}

  // Weights, slopes, products and records of all heads, totals and tops, and one array more.
  int64_t scratch() const {
    return 4 * heads * edge_step + 2 * edge_step + 2 * heads * row_step + kLanes<A>;
  }
};

template <class T>
int64_t scratch(const GatProblem&, int64_t heads, int64_t rows, int64_t edges) {
  return Walk<acc_t<T>>(0, edges, rows, heads).scratch();
}

template <class T>
Rows<T> rows_of(const GatProblem& p, const void* features, int64_t count, int64_t b, int64_t h,
                const int32_t* index) {
  const T* data = static_cast<const T*>(features) + (b * count * p.heads + h) * p.width;
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

// Fetches the rows of the edges that come after [begin, end) of a walk that ends at `last`.
template <class T>
TEDG_INLINE void fetch_ahead(const GatProblem& p, const Rows<T>& rows, int64_t heads,
                             int64_t begin, int64_t end, int64_t last) {
  if (!p.by_rows) return;
  const auto within = [&](int64_t k) { return k < last ? k : last; };
  rows.fetch(within(begin + kFetchAhead), within(end + kFetchAhead), heads * p.width);
}

// record[k, h] <- values[h, k]: an edge's numbers side by side.
template <class A>
void to_records(const Walk<A>& w, const A* values, A* record, int64_t stride) {
  for (int64_t h = 0; h < w.heads; ++h) {
    const A* from = values + h * w.edge_step;
    for (int64_t k = 0; k < w.edges; ++k) record[k * stride + h] = from[k];
  }
}

template <class T>
void forward(const GatProblem& p, const GatRange& r, const void* tables, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* weight = static_cast<A*>(memory);
  A* record = weight + w.heads * w.edge_step;
  A* shift = record + w.heads * w.edge_step + kLanes<A>;
  A* total = shift + w.edge_step;
  A* top = total + w.heads * w.row_step;
  const A* table = static_cast<const A*>(tables);
  for (int64_t h = 0; h < w.heads; ++h) {
    A* own = weight + h * w.edge_step;
    A* sums = total + h * w.row_step;
    A* tops = top + h * w.row_step;
    score_edges<T>(p, table + h * table_size<T>(p), r.sample, r.first_head + h, r.begin, r.end,
                   own, nullptr);
    for (int64_t i = 0; i < w.rows; ++i) {
      const int64_t at = p.rowptr[r.begin + i] - w.first, end = p.rowptr[r.begin + i + 1] - w.first;
      tops[i] = row_top(own + at, end - at);
      // In a row of nothing but -inf every difference is taken from 0: all weights become 0.
      spread<A>(shift, at, end, tops[i] == -kInfinity ? A{0} : tops[i]);
    }
    exp_shifted(own, shift, w.edges);
    for (int64_t i = 0; i < w.rows; ++i) {
      const int64_t at = p.rowptr[r.begin + i] - w.first, end = p.rowptr[r.begin + i + 1] - w.first;
      const A sum = row_sum(own + at, end - at);
      sums[i] = sum == 0 ? A{1} : sum;
    }
    if (p.dropout > 0) {
      keep_factors(p, r.sample, r.first_head + h, w.first, w.edges, shift);
      for (int64_t k = 0; k < w.edges; ++k) own[k] *= shift[k];
    }
  }
  if (w.heads > 1) {
    to_records(w, weight, record, w.heads);
  } else {
    record = weight;
  }

  const Rows<T> x = rows_of<T>(p, p.x, p.sources, r.sample, r.first_head, p.col);
  T* out = static_cast<T*>(p.out) +
           ((r.sample * p.targets + r.begin) * p.heads + r.first_head) * p.width;
  const NextSlab<T> next(p.x, p.sources, p, r);
  const bool together = heads_together<A>(w.heads, p.width);
  for (int64_t i = 0; i < w.rows; ++i, out += p.heads * p.width) {
    const int64_t begin = p.rowptr[r.begin + i], end = p.rowptr[r.begin + i + 1];
    if (r.begin + i < p.sources) next.fetch(r.begin + i);
    fetch_ahead(p, x, w.heads, begin, end, w.first + w.edges);
    if (together) {
      vec<A> scale = {};
      for (int64_t h = 0; h < w.heads; ++h) scale[h] = 1 / total[h * w.row_step + i];
      gather_together(out, x, w.heads, begin, end, scale,
                      [&](int64_t k) { return record + (k - w.first) * w.heads; });
      continue;
    }
    for (int64_t h = 0; h < w.heads; ++h) {
      const Rows<T> own{x.data + h * p.width, x.stride, x.width, x.index};
      gather_rows(out + h * p.width, own, begin, end, 1 / total[h * w.row_step + i],
                  [&](int64_t k) { return record + (k - w.first) * w.heads + h; });
    }
  }
  for (int64_t h = 0; h < w.heads; ++h) {
    A* sums = total + h * w.row_step;
    for (int64_t i = 0; i < w.rows; i += kLanes<A>) {
      store(sums + i, log_of(load(sums + i)) + load(top + h * w.row_step + i));
    }
    A* lse = head_of<A>(p.lse, r.sample, p.targets, p.heads, r.first_head + h);
    for (int64_t i = 0; i < w.rows; ++i) lse[(r.begin + i) * p.heads] = sums[i];
  }
}

// weight <- softmax of the scores, slope <- the LeakyReLU's derivative (may be null), for the
// edges of the range and head h of it; shift is scratch for as many values.
template <class T>
void recompute_weights(const GatProblem& p, const GatRange& r, const Walk<acc_t<T>>& w, int64_t h,
                       const acc_t<T>* tables, acc_t<T>* weight, acc_t<T>* shift,
                       acc_t<T>* slope) {
  using A = acc_t<T>;
  score_edges<T>(p, tables + h * table_size<T>(p), r.sample, r.first_head + h, r.begin, r.end,
                 weight, slope);
  const A* lse = head_of<A>(p.lse, r.sample, p.targets, p.heads, r.first_head + h);
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
void backward_targets(const GatProblem& p, const GatRange& r, const void* tables,
                      void* all_records, double* bias, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* weight = static_cast<A*>(memory);
  A* slope = weight + w.heads * w.edge_step;
  A* product = slope + w.heads * w.edge_step;
  A* kept = product + w.heads * w.edge_step;
  A* factor = kept + w.heads * w.edge_step;  // one head's
  const int64_t stride = 2 * w.heads;
  A* record = static_cast<A*>(all_records) + w.first * stride;
  for (int64_t h = 0; h < w.heads; ++h) {
    A* own = weight + h * w.edge_step;
    recompute_weights<T>(p, r, w, h, static_cast<const A*>(tables), own, factor,
                         slope + h * w.edge_step);
    if (p.dropout > 0) {
      A* rest = kept + h * w.edge_step;
      keep_factors(p, r.sample, r.first_head + h, w.first, w.edges, factor);
      for (int64_t k = 0; k < w.edges; ++k) rest[k] = own[k] * factor[k];
    }
  }
  to_records(w, p.dropout > 0 ? kept : weight, record, stride);

  const Rows<T> x = rows_of<T>(p, p.x, p.sources, r.sample, r.first_head, p.col);
  const T* grad = static_cast<const T*>(p.grad_out) +
                  ((r.sample * p.targets + r.begin) * p.heads + r.first_head) * p.width;
  const bool together = heads_together<A>(w.heads, p.width);
  for (int64_t i = 0; i < w.rows; ++i, grad += p.heads * p.width) {
    const int64_t begin = p.rowptr[r.begin + i], end = p.rowptr[r.begin + i + 1];
    fetch_ahead(p, x, w.heads, begin, end, w.first + w.edges);
    A* to = product + begin - w.first;
    if (together) {
      dots_together(grad, x, w.heads, begin, end, to, w.edge_step,
                    [&](int64_t k) { return record + (k - w.first) * stride; });
      continue;
    }
    for (int64_t h = 0; h < w.heads; ++h) {
      const Rows<T> own{x.data + h * p.width, x.stride, x.width, x.index};
      dots(grad + h * p.width, own, begin, end, to + h * w.edge_step,
           [&](int64_t k) { return record + (k - w.first) * stride + h; });
    }
  }
  for (int64_t h = 0; h < w.heads; ++h) {
    const int64_t head = r.first_head + h;
    const A* own = weight + h * w.edge_step;
    const A* by = slope + h * w.edge_step;
    A* score = product + h * w.edge_step;
    if (p.dropout > 0) {
      keep_factors(p, r.sample, head, w.first, w.edges, factor);
      for (int64_t k = 0; k < w.edges; ++k) score[k] = factor[k] == 0 ? A{0} : score[k] * factor[k];
    }
    const A* grad_lse = p.grad_lse == nullptr
                            ? nullptr
                            : head_of<A>(p.grad_lse, r.sample, p.targets, p.heads, head);
    T* grad_dst = head_of<T>(p.grad_score_dst, r.sample, p.targets, p.heads, head);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t at = p.rowptr[i] - w.first, end = p.rowptr[i + 1] - w.first;
      A mean = 0;
      for (int64_t k = at; k < end; ++k) mean += own[k] * score[k];
      if (grad_lse != nullptr) mean -= grad_lse[i * p.heads];
      A sum = 0;
      for (int64_t k = at; k < end; ++k) {
        score[k] = own[k] == 0 ? A{0} : own[k] * (score[k] - mean) * by[k];
        sum += score[k];
      }
      grad_dst[i * p.heads] = narrow<T, A>(sum);
    }
    if (bias != nullptr) {
      double* sums = bias + head * p.relations;
      for (int64_t k = 0; k < w.edges; ++k) sums[p.relation[w.first + k]] += score[k];
    }
    if (p.grad_score_edge != nullptr) {
      A* to = head_of<A>(p.grad_score_edge, r.sample, p.edges, p.heads, head);
      for (int64_t k = 0; k < w.edges; ++k) to[p.edge_id[w.first + k] * p.heads] = score[k];
    }
  }
  to_records(w, product, record + w.heads, stride);
}

template <class T>
void backward_sources(const GatProblem& p, const GatRange& r, const void* all_records) {
  using A = acc_t<T>;
  const A* records = static_cast<const A*>(all_records);
  const int64_t heads = r.last_head - r.first_head, stride = 2 * heads;
  const auto record = [&](int64_t k) { return records + p.t_edge[k] * stride; };
  const Rows<T> grad =
      rows_of<T>(p, p.grad_out, p.targets, r.sample, r.first_head, p.t_target);
  T* grad_x = static_cast<T*>(p.grad_x) +
              ((r.sample * p.sources + r.begin) * p.heads + r.first_head) * p.width;
  T* grad_src = head_of<T>(p.grad_score_src, r.sample, p.sources, p.heads, r.first_head);
  const NextSlab<T> next_x(p.x, p.sources, p, r);
  const NextSlab<T> next_grad(p.grad_out, p.targets, p, r);
  const bool together = heads_together<A>(heads, p.width);
  for (int64_t j = r.begin; j < r.end; ++j, grad_x += p.heads * p.width) {
    const int64_t begin = p.t_rowptr[j], end = p.t_rowptr[j + 1];
    next_x.fetch(j);
    if (j < p.targets) next_grad.fetch(j);
    fetch_ahead(p, grad, heads, begin, end, p.t_rowptr[r.end]);
    if (p.by_rows) {
      const int64_t last = p.t_rowptr[r.end];
      for (int64_t k = begin + kFetchAhead; k < end + kFetchAhead && k < last; ++k) {
        __builtin_prefetch(record(k), 0, 2);
      }
    }
    for (int64_t h = 0; h < heads; ++h) {
      A sum = 0;
      for (int64_t k = begin; k < end; ++k) sum += record(k)[heads + h];
      grad_src[j * p.heads + h] = narrow<T, A>(sum);
    }
    if (together) {
      gather_together(grad_x, grad, heads, begin, end, splat<A>(1), record);
      continue;
    }
    for (int64_t h = 0; h < heads; ++h) {
      const Rows<T> own{grad.data + h * p.width, grad.stride, grad.width, grad.index};
      gather_rows(grad_x + h * p.width, own, begin, end, A{1},
                  [&](int64_t k) { return record(k) + h; });
    }
  }
}

template <class T>
void weights(const GatProblem& p, const GatRange& r, const void* tables, const int32_t* edge_id,
             void* out, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  A* weight = static_cast<A*>(memory);
  A* shift = weight + w.edge_step;
  for (int64_t h = 0; h < w.heads; ++h) {
    const int64_t head = r.first_head + h;
    recompute_weights<T>(p, r, w, h, static_cast<const A*>(tables), weight, shift, nullptr);
    if (p.dropout > 0) {
      keep_factors(p, r.sample, head, w.first, w.edges, shift);
      for (int64_t k = 0; k < w.edges; ++k) weight[k] *= shift[k];
    }
    T* to = head_of<T>(out, r.sample, p.edges, p.heads, head);
    for (int64_t k = 0; k < w.edges; ++k) {
      to[edge_id[w.first + k] * p.heads] = narrow<T, A>(weight[k]);
    }
  }
}

template <class T>
constexpr GatKernels table() {
  return {table_size<T>, fill_table<T>, scratch<T>, forward<T>, backward_targets<T>,
          backward_sources<T>, weights<T>};
}

}  // namespace

const GatKernels gat_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                               table<f16>()};

}  // namespace tedg::TEDG_LEVEL
