// The scores of GATv2 (Brody, Alon & Yahav 2022, equation 7), and their gradients, over a range of
// targets or sources of one sample.
//
// With z = x_src[j] + x_dst[i] + x_edge[e] and s = 1 where z > 0, else the slope, the score of edge
// e = j -> i is sum_d att[d] s[d] z[d]. From g, the gradient of a score, every row gets g att s
// (x_src[j] along the transpose, so that no sum is shared between threads) and att gets g s z. An
// edge whose g is 0 is skipped, whatever its rows hold.
#include "gat_rows.h"
#include "gat_scores.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

constexpr int64_t kFetchAhead = 4;  // edges

// The rows of one edge, from the range's first head on. `edge` may be null.
template <class T>
struct EdgeRows {
  const T *src, *dst, *edge;

  TEDG_INLINE vec<acc_t<T>> sum(int64_t d, int64_t n) const {
    vec<acc_t<T>> z = load_some(src + d, n) + load_some(dst + d, n);
    if (edge != nullptr) z += load_some(edge + d, n);
    return z;
  }
};

template <class T>
struct Walk {
  const GatV2Problem& p;
  int64_t sample, offset, row;  // numbers before the first head's, and in a row of all heads
  const T *src, *dst, *edge, *att;
  vec<acc_t<T>> slope;

  Walk(const GatV2Problem& problem, const GatRange& r)
      : p(problem), sample(r.sample), offset(r.first_head * p.width), row(p.heads * p.width),
        src(static_cast<const T*>(p.x_src) + sample * p.sources * row + offset),
        dst(static_cast<const T*>(p.x_dst) + sample * p.targets * row + offset),
        edge(p.x_edge == nullptr ? nullptr : static_cast<const T*>(p.x_edge) + offset),
        att(static_cast<const T*>(p.att) + offset),
        slope(splat<acc_t<T>>(static_cast<acc_t<T>>(p.negative_slope))) {}

  TEDG_INLINE EdgeRows<T> rows(int64_t source, int64_t target, int64_t id) const {
    return {src + source * row, dst + target * row, edge == nullptr ? nullptr : edge + id * row};
  }

  TEDG_INLINE vec<acc_t<T>> factor(vec<acc_t<T>> z) const {
    return z > acc_t<T>{0} ? splat<acc_t<T>>(1) : slope;
  }

  // Calls f(place in the head's row, numbers) for every vector of it.
  template <class F>
  TEDG_INLINE void each(const F& f) const {
    for (int64_t d = 0; d < p.width; d += kLanes<acc_t<T>>) f(d, p.width - d);
  }

  TEDG_INLINE void fetch(const T* from, const int32_t* index, int64_t begin, int64_t end,
                         int64_t last, int64_t heads) const {
    const Rows<T> rows{from, row, p.width, index};
    const auto within = [&](int64_t k) { return k < last ? k : last; };
    rows.fetch(within(begin + kFetchAhead), within(end + kFetchAhead), heads * p.width);
  }
};

template <class T>
void forward(const GatV2Problem& p, const GatRange& r) {
  using A = acc_t<T>;
  const Walk<T> w(p, r);
  A* score = static_cast<A*>(p.score) + r.sample * p.edges * p.heads;
  for (int64_t i = r.begin; i < r.end; ++i) {
    w.fetch(w.src, p.col, p.rowptr[i], p.rowptr[i + 1], p.rowptr[r.end],
            r.last_head - r.first_head);
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
      const int64_t id = p.edge_id[k];
      const EdgeRows<T> rows = w.rows(p.col[k], i, id);
      for (int64_t h = r.first_head; h < r.last_head; ++h) {
        const int64_t at = (h - r.first_head) * p.width;
        vec<A> sum = {};
        w.each([&](int64_t d, int64_t n) {
          const vec<A> z = rows.sum(at + d, n);
          sum += load_some(w.att + at + d, n) * (z * w.factor(z));
        });
        score[id * p.heads + h] = sum_lanes<A>(sum);
      }
    }
  }
}

// Numbers of type A that a row's sums take: every head's, padded.
template <class A>
int64_t row_step(const GatV2Problem& p) {
  return padded<A>(p.width);
}

template <class T>
int64_t scratch(const GatV2Problem& p) {
  return 2 * p.heads * row_step<acc_t<T>>(p);
}

template <class A>
void clear(A* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = 0;
}

template <class T>
void backward_targets(const GatV2Problem& p, const GatRange& r, double* att_grad, void* memory) {
  using A = acc_t<T>;
  const Walk<T> w(p, r);
  const int64_t heads = r.last_head - r.first_head, step = row_step<A>(p);
  A* by_att = static_cast<A*>(memory);
  A* by_dst = by_att + heads * step;
  const A* grad = static_cast<const A*>(p.grad) + r.sample * p.edges * p.heads;
  A* by_edge = p.grad_x_edge == nullptr ? nullptr : static_cast<A*>(p.grad_x_edge) + w.offset;
  T* out = static_cast<T*>(p.grad_x_dst) + r.sample * p.targets * w.row + w.offset;
  for (int64_t i = r.begin; i < r.end; ++i) {
    clear(by_att, 2 * heads * step);
    w.fetch(w.src, p.col, p.rowptr[i], p.rowptr[i + 1], p.rowptr[r.end], heads);
    for (int64_t k = p.rowptr[i]; k < p.rowptr[i + 1]; ++k) {
      const int64_t id = p.edge_id[k];
      const EdgeRows<T> rows = w.rows(p.col[k], i, id);
      for (int64_t h = 0; h < heads; ++h) {
        const A g = grad[id * p.heads + r.first_head + h];
        if (g == 0) continue;
        const int64_t at = h * p.width;
        w.each([&](int64_t d, int64_t n) {
          const vec<A> z = rows.sum(at + d, n);
          const vec<A> by = g * w.factor(z);
          A* to_att = by_att + h * step + d;
          A* to_dst = by_dst + h * step + d;
          const vec<A> own = by * load_some(w.att + at + d, n);
          store(to_att, load(to_att) + by * z);
          store(to_dst, load(to_dst) + own);
          if (by_edge != nullptr) {
            A* to = by_edge + id * w.row + at + d;
            store_some(to, load_some(to, n) + own, n);
          }
        });
      }
    }
    for (int64_t h = 0; h < heads; ++h) {
      w.each([&](int64_t d, int64_t n) {
        store_some(out + i * w.row + h * p.width + d, load(by_dst + h * step + d), n);
      });
      double* sums = att_grad + (r.first_head + h) * p.width;
      for (int64_t d = 0; d < p.width; ++d) sums[d] += by_att[h * step + d];
    }
  }
}

template <class T>
void backward_sources(const GatV2Problem& p, const GatRange& r, void* memory) {
  using A = acc_t<T>;
  const Walk<T> w(p, r);
  const int64_t heads = r.last_head - r.first_head, step = row_step<A>(p);
  A* by_src = static_cast<A*>(memory);
  const A* grad = static_cast<const A*>(p.grad) + r.sample * p.edges * p.heads;
  T* out = static_cast<T*>(p.grad_x_src) + r.sample * p.sources * w.row + w.offset;
  for (int64_t j = r.begin; j < r.end; ++j) {
    clear(by_src, heads * step);
    w.fetch(w.dst, p.t_target, p.t_rowptr[j], p.t_rowptr[j + 1], p.t_rowptr[r.end], heads);
    for (int64_t k = p.t_rowptr[j]; k < p.t_rowptr[j + 1]; ++k) {
      const int64_t id = p.edge_id[p.t_edge[k]];
      const EdgeRows<T> rows = w.rows(j, p.t_target[k], id);
      for (int64_t h = 0; h < heads; ++h) {
        const A g = grad[id * p.heads + r.first_head + h];
        if (g == 0) continue;
        const int64_t at = h * p.width;
        w.each([&](int64_t d, int64_t n) {
          A* to = by_src + h * step + d;
          const vec<A> own = load_some(w.att + at + d, n);
          store(to, load(to) + g * own * w.factor(rows.sum(at + d, n)));
        });
      }
    }
    for (int64_t h = 0; h < heads; ++h) {
      w.each([&](int64_t d, int64_t n) {
        store_some(out + j * w.row + h * p.width + d, load(by_src + h * step + d), n);
      });
    }
  }
}

template <class T>
constexpr GatV2Kernels table() {
  return {scratch<T>, forward<T>, backward_targets<T>, backward_sources<T>};
}

}  // namespace

const GatV2Kernels gatv2_kernels[kStorageCount] = {table<float>(), table<double>(),
                                                   table<bf16>(), table<f16>()};

}  // namespace tedg::TEDG_LEVEL
