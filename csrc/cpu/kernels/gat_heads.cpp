// Sparse graph attention over a range of rows of one sample, all heads of it at once.
//
// For graphs whose features do not stay in a cache, few samples and narrow heads: a row is then
// fetched once for all heads, and what belongs to an edge or a row is one short vector, a lane a
// head, however few edges a row has. The formulas are those of gat_attention.cpp.
#include "dropout.h"
#include "gat_scores.h"
#include "heads.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

int64_t padded_heads(int64_t heads) {
  return by_heads(heads, [](auto count) { return int64_t{count.value}; });
}

int64_t record_size(int64_t heads) { return 2 * padded_heads(heads); }

int64_t table_size(const GatProblem& p, int64_t heads) {
  return (p.sources + p.relations) * padded_heads(heads);
}

// The source scores [N, kHeads], -inf where the source takes no part, then the biases [R, kHeads].
template <class T>
void fill_table(const GatProblem& p, int64_t b, int64_t first_head, int64_t last_head,
                void* table) {
  using A = acc_t<T>;
  const int64_t heads = last_head - first_head;
  by_heads(heads, [&](auto count) {
    constexpr int kHeads = count.value;
    A* to = static_cast<A*>(table);
    const auto copy = [&](const T* from, int64_t rows) {
      for (int64_t i = 0; i < rows; ++i, to += kHeads) {
        store_heads(to, widen_heads<T, kHeads>(from + i * p.heads, heads));
      }
    };
    copy(head_of<T>(p.score_src, b, p.sources, p.heads, first_head), p.sources);
    if (p.edge_bias != nullptr) {
      copy(static_cast<const T*>(p.edge_bias) + first_head, p.relations);
    }
    if (p.node_mask == nullptr) return;
    const bool* mask = p.node_mask + b * p.sources;
    for (int64_t j = 0; j < p.sources; ++j) {
      if (mask[j]) continue;
      A* row = static_cast<A*>(table) + j * kHeads;
      for (int h = 0; h < kHeads; ++h) row[h] = -kInfinity;
    }
  });
}

// The range's edges, and how its arrays lie in scratch: numbers of edges [E, kHeads].
template <class A>
struct Walk {
  int64_t first, edges, rows, heads;
  int64_t edge_room, row_room;

  Walk(int64_t first_edge, int64_t edge_count, int64_t row_count, int64_t head_count)
      : first(first_edge),
        edges(edge_count),
        rows(row_count),
        heads(head_count),
        edge_room(padded<A>(edge_count * padded_heads(head_count))),
        row_room(padded<A>(row_count * padded_heads(head_count))) {}

  Walk(const GatProblem& p, const GatRange& r)
      : Walk(p.rowptr[r.begin], p.rowptr[r.end] - p.rowptr[r.begin], r.end - r.begin,
             r.last_head - r.first_head) {}

  // Where backward adds up the biases' gradients, in doubles.
  static int64_t bias_room(const GatProblem& p, int64_t heads) {
    const int64_t numbers = p.edge_bias == nullptr ? 0 : p.relations * padded_heads(heads);
    return numbers * static_cast<int64_t>(sizeof(double) / sizeof(A));
  }
};

template <class T>
int64_t scratch(const GatProblem& p, int64_t heads, int64_t rows, int64_t edges) {
  using A = acc_t<T>;
  const Walk<A> w(0, edges, rows, heads);
  return 3 * w.edge_room + 2 * w.row_room + padded<A>(edges) + Walk<A>::bias_room(p, heads);
}

// score [E, kHeads] <- the scores of the range's edges less shift(row, the row's largest ones);
// slope (may be null) <- the LeakyReLU's derivative.
template <class T, int kHeads, class Shift>
TEDG_INLINE void shifted_scores(const GatProblem& p, const GatRange& r, const acc_t<T>* table,
                                acc_t<T>* score, acc_t<T>* slope, const Shift& shift) {
  using A = acc_t<T>;
  using V = heads_vec<A, kHeads>;
  const int64_t heads = r.last_head - r.first_head, first = p.rowptr[r.begin];
  const T* to = head_of<T>(p.score_dst, r.sample, p.targets, p.heads, r.first_head);
  const A* bias = p.edge_bias == nullptr ? nullptr : table + p.sources * kHeads;
  const A* own = p.score_edge == nullptr ? nullptr
                                         : static_cast<const A*>(p.score_edge) +
                                               r.sample * p.score_edge_stride + r.first_head;
  const V one = V{} + A{1}, below = V{} + static_cast<A>(p.negative_slope);
  const V absent = V{} - kInfinity;
  for (int64_t i = r.begin; i < r.end; ++i) {
    const V target = widen_heads<T, kHeads>(to + i * p.heads, heads);
    const int64_t begin = p.rowptr[i], end = p.rowptr[i + 1];
    V top = absent;
    for (int64_t k = begin; k < end; ++k) {
      const V source = load_heads<A, kHeads>(table + int64_t{p.col[k]} * kHeads);
      V sum = source + target;
      auto out = source == absent;
      if (bias != nullptr) sum += load_heads<A, kHeads>(bias + int64_t{p.relation[k]} * kHeads);
      if (own != nullptr) {
        const V edge = widen_heads<A, kHeads>(own + p.edge_id[k] * p.heads, heads);
        sum += edge;
        out |= edge == absent;
      }
      const V factor = sum > A{0} ? one : below;
      const V value = out ? absent : sum * factor;
      store_heads(score + (k - first) * kHeads, value);
      if (slope != nullptr) store_heads(slope + (k - first) * kHeads, factor);
      top = value > top ? value : top;
    }
    // What this changes of the next row is written after it.
    subtract_heads<A, kHeads>(score, begin - first, end - first, shift(i, top));
  }
}

template <class A>
void exp_all(A* values, int64_t count) {
  for (int64_t k = 0; k < count; k += kLanes<A>) store(values + k, exp_of(load(values + k)));
}

// to [E, kHeads] <- from times dropout's factors; factor is room for one head's.
template <class T, int kHeads>
void drop(const GatProblem& p, const GatRange& r, const Walk<acc_t<T>>& w, const acc_t<T>* from,
          acc_t<T>* to, acc_t<T>* factor) {
  for (int64_t h = 0; h < w.heads; ++h) {
    keep_factors(p, r.sample, r.first_head + h, w.first, w.edges, factor);
    for (int64_t k = 0; k < w.edges; ++k) {
      const int64_t at = k * kHeads + h;
      to[at] = factor[k] == 0 ? acc_t<T>{0} : from[at] * factor[k];
    }
  }
}

template <class T>
Rows<T> rows_of(const GatProblem& p, const GatRange& r, const void* features, int64_t count,
                const int32_t* index) {
  const T* data =
      static_cast<const T*>(features) + (r.sample * count * p.heads + r.first_head) * p.width;
  return {data, p.heads * p.width, p.width, index};
}

template <class T>
void forward(const GatProblem& p, const GatRange& r, const void* tables, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  by_heads(w.heads, [&](auto count) {
    constexpr int kHeads = count.value;
    using V = heads_vec<A, kHeads>;
    A* weight = static_cast<A*>(memory);
    A* total = weight + w.edge_room;
    A* top = total + w.row_room;
    A* factor = top + w.row_room;
    shifted_scores<T, kHeads>(p, r, static_cast<const A*>(tables), weight, nullptr,
                              [&](int64_t i, const V& highest) {
                                store_heads(top + (i - r.begin) * kHeads, highest);
                                // In a row of nothing but -inf every difference is taken from 0:
                                // all weights become 0.
                                return highest == V{} - kInfinity ? V{} : highest;
                              });
    exp_all(weight, w.edges * kHeads);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const V sum = sum_heads<A, kHeads>(weight, p.rowptr[i] - w.first, p.rowptr[i + 1] - w.first);
      store_heads(total + (i - r.begin) * kHeads, sum == A{0} ? V{} + A{1} : sum);
    }
    if (p.dropout > 0) drop<T, kHeads>(p, r, w, weight, weight, factor);

    const Rows<T> x = rows_of<T>(p, r, p.x, p.sources, p.col);
    T* out = static_cast<T*>(p.out) +
             ((r.sample * p.targets + r.begin) * p.heads + r.first_head) * p.width;
    for (int64_t i = r.begin; i < r.end; ++i, out += p.heads * p.width) {
      const int64_t begin = p.rowptr[i], end = p.rowptr[i + 1];
      fetch_ahead(p, x, w.heads, begin, end, w.first + w.edges);
      const V scale = A{1} / load_heads<A, kHeads>(total + (i - r.begin) * kHeads);
      gather_all<T, kHeads>(out, x, w.heads, begin, end, scale,
                            [&](int64_t k) { return weight + (k - w.first) * kHeads; });
    }
    A* lse = head_of<A>(p.lse, r.sample, p.targets, p.heads, r.first_head) + r.begin * p.heads;
    for (int64_t k = 0; k < w.rows * kHeads; k += kLanes<A>) {
      store(total + k, log_of(load(total + k)) + load(top + k));
    }
    for (int64_t i = 0; i < w.rows; ++i) {
      narrow_heads(lse + i * p.heads, load_heads<A, kHeads>(total + i * kHeads), w.heads);
    }
  });
}

// weight [E, kHeads] <- the softmax of the scores; slope (may be null) as above.
template <class T, int kHeads>
TEDG_INLINE void recompute_weights(const GatProblem& p, const GatRange& r, const Walk<acc_t<T>>& w,
                                   const void* tables, acc_t<T>* weight, acc_t<T>* slope) {
  using A = acc_t<T>;
  using V = heads_vec<A, kHeads>;
  const A* lse =
      head_of<A>(static_cast<const void*>(p.lse), r.sample, p.targets, p.heads, r.first_head);
  shifted_scores<T, kHeads>(p, r, static_cast<const A*>(tables), weight, slope,
                            [&](int64_t i, const V&) {
                              const V saved = widen_heads<A, kHeads>(lse + i * p.heads, w.heads);
                              return saved == V{} - kInfinity ? V{} : saved;
                            });
  exp_all(weight, w.edges * kHeads);
  for (int64_t i = r.begin; i < r.end; ++i) {
    const int64_t begin = p.rowptr[i] - w.first, end = p.rowptr[i + 1] - w.first;
    const V sum = sum_heads<A, kHeads>(weight, begin, end);
    const V scale = sum == A{0} ? V{} : A{1} / sum;
    for (int64_t k = begin; k < end; ++k) {
      store_heads(weight + k * kHeads, load_heads<A, kHeads>(weight + k * kHeads) * scale);
    }
  }
}

template <class T>
void backward_weights(const GatProblem& p, const GatRange& r, const void* tables, void* records,
                      void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  by_heads(w.heads, [&](auto count) {
    constexpr int kHeads = count.value;
    using V = heads_vec<A, kHeads>;
    A* weight = static_cast<A*>(memory);
    A* slope = weight + w.edge_room;
    A* kept = slope + w.edge_room;
    recompute_weights<T, kHeads>(p, r, w, tables, weight, slope);
    if (p.dropout > 0) {
      drop<T, kHeads>(p, r, w, weight, kept, kept + w.edge_room);
    } else {
      kept = weight;
    }
    A* record = static_cast<A*>(records) + w.first * 2 * kHeads;
    for (int64_t k = 0; k < w.edges * kHeads; k += kHeads) {
      const V own = load_heads<A, kHeads>(weight + k);
      store_heads(record + 2 * k, load_heads<A, kHeads>(kept + k));
      store_heads(record + 2 * k + kHeads, load_heads<A, kHeads>(slope + k) == A{1} ? own : -own);
    }
  });
}

template <class T>
void backward_features(const GatProblem& p, const GatRange& r, void* records, void* memory) {
  using A = acc_t<T>;
  // Rows are met twice, by products and by sums, and stay near in between.
  constexpr int64_t kNearBytes = 32 << 10;
  const int64_t last = p.t_rowptr[r.end], stride = p.heads * p.width;
  const Walk<A> w(p.t_rowptr[r.begin], last - p.t_rowptr[r.begin], r.end - r.begin,
                  r.last_head - r.first_head);
  const int64_t near = kNearBytes / (w.heads * p.width * int64_t{sizeof(T)} + 1) + 1;
  by_heads(w.heads, [&](auto count) {
    constexpr int kHeads = count.value;
    using V = heads_vec<A, kHeads>;
    A* product = static_cast<A*>(memory);
    A* kept = product + w.edge_room;
    int32_t* source = reinterpret_cast<int32_t*>(kept + w.edge_room);
    const auto record = [&](int64_t k) {
      return static_cast<A*>(records) + int64_t{p.t_edge[k]} * 2 * kHeads;
    };
    const Rows<T> grad = rows_of<T>(p, r, p.grad_out, p.targets, p.t_target);
    const int64_t at = ((r.sample * p.sources + r.begin) * p.heads + r.first_head) * p.width;
    const T* x = static_cast<const T*>(p.x) + at;
    T* grad_x = static_cast<T*>(p.grad_x) + at;
    for (int64_t j = r.begin, next; j < r.end; j = next) {
      const int64_t begin = p.t_rowptr[j];
      for (next = j; next < r.end && p.t_rowptr[next] < begin + near; ++next) {
        for (int64_t k = p.t_rowptr[next]; k < p.t_rowptr[next + 1]; ++k) {
          source[k - begin] = static_cast<int32_t>(next - r.begin);
        }
      }
      const int64_t end = p.t_rowptr[next];
      dot_all<T, kHeads>(x, source, grad, w.heads, begin, end, product);
      for (int64_t k = begin; k < end; ++k) {
        const V own = load_heads<A, kHeads>(record(k));
        const V by = load_heads<A, kHeads>(product + (k - begin) * kHeads);
        store_heads(kept + (k - begin) * kHeads, own);
        store_heads(record(k), own == A{0} ? V{} : by);
      }
      for (int64_t i = j; i < next; ++i, grad_x += stride) {
        const int64_t from = p.t_rowptr[i], to = p.t_rowptr[i + 1];
        for (int64_t k = from + end - begin; k < to + end - begin && k < last; ++k) {
          grad.fetch(k, k + 1, w.heads * p.width);
          __builtin_prefetch(record(k), 1, 2);
        }
        gather_all<T, kHeads>(grad_x, grad, w.heads, from, to, V{} + A{1},
                              [&](int64_t k) { return kept + (k - begin) * kHeads; });
      }
    }
  });
}

template <class T>
void backward_scores(const GatProblem& p, const GatRange& r, void* records, double* bias_grad,
                     void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  const A* grad_lse = p.grad_lse == nullptr
                          ? nullptr
                          : head_of<A>(p.grad_lse, r.sample, p.targets, p.heads, r.first_head);
  T* grad_dst = head_of<T>(p.grad_score_dst, r.sample, p.targets, p.heads, r.first_head);
  A* grad_edge = p.grad_score_edge == nullptr
                     ? nullptr
                     : head_of<A>(p.grad_score_edge, r.sample, p.edges, p.heads, r.first_head);
  by_heads(w.heads, [&](auto count) {
    constexpr int kHeads = count.value;
    using V = heads_vec<A, kHeads>;
    const V one = V{} + A{1}, below = V{} + static_cast<A>(p.negative_slope);
    const A grown = grown_by<A>(p);
    double* bias = bias_grad == nullptr ? nullptr : static_cast<double*>(memory);
    if (bias != nullptr) {
      for (int64_t k = 0; k < p.relations * kHeads; ++k) bias[k] = 0;
    }
    A* edges = static_cast<A*>(records);
    const auto product = [&](int64_t k) {
      return load_heads<A, kHeads>(edges + 2 * k * kHeads) * grown;
    };
    const auto weight = [&](int64_t k) {
      return load_heads<A, kHeads>(edges + (2 * k + 1) * kHeads);
    };
    for (int64_t i = r.begin; i < r.end; ++i) {
      V mean = {}, sum = {};
      for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
        const V own = weight(k);
        mean += (own < A{0} ? -own : own) * product(k);
      }
      if (grad_lse != nullptr) mean -= widen_heads<A, kHeads>(grad_lse + i * p.heads, w.heads);
      for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
        const V own = weight(k);
        const V by = (own < A{0} ? -own : own) * (product(k) - mean) * (own < A{0} ? below : one);
        const V grad = own == A{0} ? V{} : by;
        store_heads(edges + (2 * k + 1) * kHeads, grad);
        sum += grad;
        if (bias != nullptr) {
          double* to = bias + int64_t{p.relation[k]} * kHeads;
          for (int h = 0; h < kHeads; ++h) to[h] += grad[h];
        }
        if (grad_edge != nullptr) narrow_heads(grad_edge + p.edge_id[k] * p.heads, grad, w.heads);
      }
      narrow_heads(grad_dst + i * p.heads, sum, w.heads);
    }
    if (bias == nullptr) return;
    for (int64_t h = 0; h < w.heads; ++h) {
      double* to = bias_grad + (r.first_head + h) * p.relations;
      for (int64_t k = 0; k < p.relations; ++k) to[k] += bias[k * kHeads + h];
    }
  });
}

template <class T>
void backward_sources(const GatProblem& p, const GatRange& r, const void* records) {
  using A = acc_t<T>;
  const int64_t heads = r.last_head - r.first_head;
  T* grad_src = head_of<T>(p.grad_score_src, r.sample, p.sources, p.heads, r.first_head);
  by_heads(heads, [&](auto count) {
    constexpr int kHeads = count.value;
    const A* grad = static_cast<const A*>(records) + kHeads;
    for (int64_t j = r.begin; j < r.end; ++j) {
      heads_vec<A, kHeads> sum = {};
      for (int64_t k = p.t_rowptr[j]; k < p.t_rowptr[j + 1]; ++k) {
        sum += load_heads<A, kHeads>(grad + int64_t{p.t_edge[k]} * 2 * kHeads);
      }
      narrow_heads(grad_src + j * p.heads, sum, heads);
    }
  });
}

template <class T>
void weights(const GatProblem& p, const GatRange& r, const void* tables, const int32_t* edge_id,
             void* out, void* memory) {
  using A = acc_t<T>;
  const Walk<A> w(p, r);
  by_heads(w.heads, [&](auto count) {
    constexpr int kHeads = count.value;
    A* weight = static_cast<A*>(memory);
    recompute_weights<T, kHeads>(p, r, w, tables, weight, nullptr);
    if (p.dropout > 0) drop<T, kHeads>(p, r, w, weight, weight, weight + w.edge_room);
    T* to = head_of<T>(out, r.sample, p.edges, p.heads, r.first_head);
    for (int64_t k = 0; k < w.edges; ++k) {
      narrow_heads(to + edge_id[w.first + k] * p.heads, load_heads<A, kHeads>(weight + k * kHeads),
                   w.heads);
    }
  });
}

template <class T>
constexpr GatKernels table() {
  return {table_size,          fill_table<T>,       record_size,          scratch<T>,
          forward<T>,          backward_weights<T>, backward_features<T>, backward_scores<T>,
          backward_sources<T>, weights<T>};
}

}  // namespace

const GatKernels gat_heads_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                                     table<f16>()};

}  // namespace tedg::TEDG_LEVEL
