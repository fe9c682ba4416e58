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

// kVectors vectors of one head's rows, from number `at` of a row of all heads on; the last vector
// holds `last` numbers.
template <class T, int kVectors>
struct Piece {
  static constexpr int vectors = kVectors;
  using A = acc_t<T>;
  int64_t at, last;

  TEDG_INLINE vec<A> load(const T* row, int v) const {
    row += at + v * kLanes<A>;
    return v + 1 < kVectors ? TEDG_LEVEL::load(row) : load_some(row, last);
  }
  template <class S>
  TEDG_INLINE void store(S* row, int v, vec<A> value) const {
    store_some(row + at + v * kLanes<A>, value, v + 1 < kVectors ? kLanes<A> : last);
  }
};

template <class T>
struct Walk {
  using A = acc_t<T>;
  const GatV2Problem& p;
  int64_t sample, row;  // numbers in a row of all heads
  const T *src, *dst, *edge, *att;
  vec<A> slope;

  Walk(const GatV2Problem& problem, int64_t b)
      : p(problem),
        sample(b),
        row(p.heads * p.width),
        src(static_cast<const T*>(p.x_src) + b * p.sources * row),
        dst(static_cast<const T*>(p.x_dst) + b * p.targets * row),
        edge(static_cast<const T*>(p.x_edge)),
        att(static_cast<const T*>(p.att)),
        slope(splat<A>(static_cast<A>(p.negative_slope))) {}

  // The derivative of the LeakyReLU.
  TEDG_INLINE vec<A> factor(vec<A> z) const { return z > A{0} ? splat<A>(1) : slope; }

  // Vector v of x_src[j] + x_dst[i] + x_edge[id], of which one end is at hand in `own`.
  template <class P>
  TEDG_INLINE vec<A> sum(const P& piece, int v, vec<A> own, const T* other, int64_t id) const {
    const vec<A> z = own + piece.load(other, v);
    return edge == nullptr ? z : z + piece.load(edge + id * row, v);
  }

  // Calls f(piece) for all of head h, in pieces that fit the registers; at least once.
  template <class F>
  TEDG_INLINE void each_piece(int64_t h, const F& f) const {
    int64_t d = 0;
    const auto piece = [&]<int kVectors>() {
      constexpr int64_t numbers = kVectors * kLanes<A>;
      const int64_t left = p.width - d - (numbers - kLanes<A>);
      f(Piece<T, kVectors>{h * p.width + d, left < kLanes<A> ? left : kLanes<A>});
      d += numbers;
    };
    while (p.width - d > 3 * kLanes<A>) piece.template operator()<4>();
    while (p.width - d > kLanes<A>) piece.template operator()<2>();
    if (p.width > d || d == 0) piece.template operator()<1>();
  }

  // Fetches rows [begin, end) of `from`, some edges ahead in a walk that ends at `last`.
  TEDG_INLINE void fetch(const T* from, const int32_t* index, int64_t begin, int64_t end,
                         int64_t last, const GatRange& r) const {
    const Rows<T> rows{from + r.first_head * p.width, row, p.width, index};
    const auto within = [&](int64_t k) { return k < last ? k : last; };
    rows.fetch(within(begin + kFetchAhead), within(end + kFetchAhead),
               (r.last_head - r.first_head) * p.width);
  }
};

template <class T>
void forward(const GatV2Problem& p, const GatRange& r) {
  using A = acc_t<T>;
  const Walk<T> w(p, r.sample);
  A* score = static_cast<A*>(p.score) + r.sample * p.edges * p.heads;
  for (int64_t i = r.begin; i < r.end; ++i) {
    const int64_t begin = p.rowptr[i], end = p.rowptr[i + 1];
    w.fetch(w.src, p.col, begin, end, p.rowptr[r.end], r);
    for (int64_t h = r.first_head; h < r.last_head; ++h) {
      bool first = true;
      w.each_piece(h, [&](const auto& piece) {
        constexpr int kVectors = piece.vectors;
        vec<A> own[kVectors], att[kVectors];
        for (int v = 0; v < kVectors; ++v) own[v] = piece.load(w.dst + i * w.row, v);
        for (int v = 0; v < kVectors; ++v) att[v] = piece.load(w.att, v);
        for (int64_t k = begin; k < end; ++k) {
          const int64_t id = p.edge_id[k];
          vec<A> sum = {};
          for (int v = 0; v < kVectors; ++v) {
            const vec<A> z = w.sum(piece, v, own[v], w.src + p.col[k] * w.row, id);
            sum += att[v] * (z * w.factor(z));
          }
          A& to = score[id * p.heads + h];
          to = sum_lanes<A>(sum) + (first ? A{0} : to);
        }
        first = false;
      });
    }
  }
}

template <class T>
void backward_targets(const GatV2Problem& p, const GatRange& r, double* att_grad) {
  using A = acc_t<T>;
  const Walk<T> w(p, r.sample);
  const A* grad = static_cast<const A*>(p.grad) + r.sample * p.edges * p.heads;
  A* grad_edge = static_cast<A*>(p.grad_x_edge);
  T* grad_dst = static_cast<T*>(p.grad_x_dst) + r.sample * p.targets * w.row;
  for (int64_t i = r.begin; i < r.end; ++i) {
    const int64_t begin = p.rowptr[i], end = p.rowptr[i + 1];
    w.fetch(w.src, p.col, begin, end, p.rowptr[r.end], r);
    for (int64_t h = r.first_head; h < r.last_head; ++h) {
      w.each_piece(h, [&](const auto& piece) {
        constexpr int kVectors = piece.vectors;
        vec<A> own[kVectors], att[kVectors], by_att[kVectors] = {}, by_dst[kVectors] = {};
        for (int v = 0; v < kVectors; ++v) own[v] = piece.load(w.dst + i * w.row, v);
        for (int v = 0; v < kVectors; ++v) att[v] = piece.load(w.att, v);
        for (int64_t k = begin; k < end; ++k) {
          const int64_t id = p.edge_id[k];
          const A g = grad[id * p.heads + h];
          if (g == 0) continue;
          for (int v = 0; v < kVectors; ++v) {
            const vec<A> z = w.sum(piece, v, own[v], w.src + p.col[k] * w.row, id);
            const vec<A> by = g * w.factor(z), by_sum = by * att[v];
            by_att[v] += by * z;
            by_dst[v] += by_sum;
            if (grad_edge == nullptr) continue;
            const int64_t n = v + 1 < kVectors ? kLanes<A> : piece.last;
            A* to = grad_edge + id * w.row + piece.at + v * kLanes<A>;
            store_some(to, load_some(to, n) + by_sum, n);
          }
        }
        for (int v = 0; v < kVectors; ++v) {
          piece.store(grad_dst + i * w.row, v, by_dst[v]);
          double* to = att_grad + piece.at + v * kLanes<A>;
          const int64_t n = v + 1 < kVectors ? kLanes<A> : piece.last;
          for (int64_t d = 0; d < n; ++d) to[d] += by_att[v][d];
        }
      });
    }
  }
}

template <class T>
void backward_sources(const GatV2Problem& p, const GatRange& r) {
  using A = acc_t<T>;
  const Walk<T> w(p, r.sample);
  const A* grad = static_cast<const A*>(p.grad) + r.sample * p.edges * p.heads;
  T* grad_src = static_cast<T*>(p.grad_x_src) + r.sample * p.sources * w.row;
  for (int64_t j = r.begin; j < r.end; ++j) {
    const int64_t begin = p.t_rowptr[j], end = p.t_rowptr[j + 1];
    w.fetch(w.dst, p.t_target, begin, end, p.t_rowptr[r.end], r);
    for (int64_t h = r.first_head; h < r.last_head; ++h) {
      w.each_piece(h, [&](const auto& piece) {
        constexpr int kVectors = piece.vectors;
        vec<A> own[kVectors], att[kVectors], by_src[kVectors] = {};
        for (int v = 0; v < kVectors; ++v) own[v] = piece.load(w.src + j * w.row, v);
        for (int v = 0; v < kVectors; ++v) att[v] = piece.load(w.att, v);
        for (int64_t k = begin; k < end; ++k) {
          const int64_t id = p.edge_id[p.t_edge[k]];
          const A g = grad[id * p.heads + h];
          if (g == 0) continue;
          for (int v = 0; v < kVectors; ++v) {
            const vec<A> z = w.sum(piece, v, own[v], w.dst + p.t_target[k] * w.row, id);
            by_src[v] += g * att[v] * w.factor(z);
          }
        }
        for (int v = 0; v < kVectors; ++v) piece.store(grad_src + j * w.row, v, by_src[v]);
      });
    }
  }
}

template <class T>
constexpr GatV2Kernels table() {
  return {forward<T>, backward_targets<T>, backward_sources<T>};
}

}  // namespace

const GatV2Kernels gatv2_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                                   table<f16>()};

}  // namespace tedg::TEDG_LEVEL
