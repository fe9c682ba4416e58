// The losses on the routing: all of them come from the K x K cosines of a sample's expert logits
// and from alpha, so one pass over the logits gives them, and one more their gradients.
//
// With c_ij = cos(z_i, z_j), n_i = 1 / |z_i| and w_ij the derivative of the losses by c_ij (both
// c_ij and c_ji counted), the gradient is
//   dz_i = sum_{j != i} w_ij n_i (n_j z_j - c_ij n_i z_i),
// so a K x K matrix of coefficients times the logits. A zero vector has n_i = 0: cosine 0 and
// gradient 0.
//
// Rows are taken in blocks of as many as a vector has lanes, and turned so that a lane holds a
// row: everything from the inner products to the gradients is then arithmetic on such vectors.
// Only the gradients of many actions are computed along the actions.
#include "cosines.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

// A block's numbers, each a vector with a lane a row.
template <class A>
struct Block {
  vec<A>* alpha;        // [K]
  vec<A>* inverse;      // [K] 1 / |z_k|
  vec<A>* cosine;       // [K, K], diagonal 0
  vec<A>* coefficient;  // [K, K]
  vec<A>* grad;         // [K]
  vec<A>* turned;       // [K, chunk] logits, and kColumns more that may be read
  vec<A>* staged;       // the gradients of the block's logits, on their way past the caches

  Block(void* memory, int64_t count, int64_t chunk) {
    alpha = static_cast<vec<A>*>(memory);
    inverse = alpha + count;
    grad = inverse + count;
    cosine = grad + count;
    coefficient = cosine + count * count;
    turned = coefficient + count * count;
    staged = turned + count * chunk + kColumns<A>;
  }
};

// Whether gradients are gathered block by block before they are written past the caches; a block
// that would not stay near the core meanwhile is not.
inline bool stages(const LossProblem& p, int64_t sample) {
  constexpr int64_t kMostNumbers = 2048;  // in a sample
  return p.stream && sample <= kMostNumbers;
}

template <class T>
int64_t scratch(const LossProblem& p) {
  const int64_t turned = p.experts * chunk_width(p.experts, p.actions) + kColumns<acc_t<T>>;
  const int64_t sample = p.experts * p.actions;
  const int64_t staged = stages(p, sample) ? sample : 0;
  return (p.experts * (2 * p.experts + 3) + turned + staged) * kLanes<acc_t<T>>;
}

// True if the gradients need scaled_gradients.
template <class T>
bool load_block(const LossProblem& p, int64_t row, int64_t rows, Block<acc_t<T>>& block) {
  const int64_t count = p.experts;
  load_rows(static_cast<const T*>(p.alpha) + row * count, count, rows, count, block.alpha);
  return cosines(static_cast<const T*>(p.expert_logits) + row * count * p.actions, rows, count,
                 p.actions, block.turned, block.inverse, block.cosine);
}

template <class A>
TEDG_INLINE vec<A> absolute(vec<A> v) {
  return v < A{0} ? -v : v;
}

// a ln a, with 0 ln 0 = 0.
template <class A>
TEDG_INLINE vec<A> a_log_a(vec<A> a) {
  return a * log_of(a > A{0} ? a : splat<A>(1));
}

template <class T>
void forward(const LossProblem& p, int64_t begin, int64_t end, double* sums, void* memory) {
  using A = acc_t<T>;
  using V = vec<A>;
  const int64_t count = p.experts;
  Block<A> block(memory, count, chunk_width(count, p.actions));
  V overlap = {}, magnitude = {}, plain = {}, entropy = {};
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = end - row < kLanes<A> ? end - row : kLanes<A>;
    load_block<T>(p, row, rows, block);
    V row_overlap = {}, row_magnitude = {}, row_plain = {}, row_entropy = {};
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = i + 1; j < count; ++j) {
        const V c = block.cosine[i * count + j];
        row_overlap += block.alpha[i] * block.alpha[j] * c;
        row_magnitude += absolute<A>(c);
        row_plain += c;
      }
      if (p.all) {
        const V a = first_lanes<A>(block.alpha[i], rows, A{0});
        row_entropy -= a_log_a<A>(a);
        sums[4 + i] += sum_lanes<A>(a);
      }
    }
    overlap += first_lanes<A>(row_overlap, rows, A{0});
    magnitude += first_lanes<A>(row_magnitude, rows, A{0});
    plain += first_lanes<A>(row_plain, rows, A{0});
    entropy += row_entropy;
  }
  sums[0] += 2 * static_cast<double>(sum_lanes<A>(overlap));
  sums[1] += 2 * static_cast<double>(sum_lanes<A>(magnitude));
  sums[2] += 2 * static_cast<double>(sum_lanes<A>(plain));
  sums[3] += sum_lanes<A>(entropy);
}

// What a unit of each loss adds to the gradient of one row.
template <class A>
struct Scales {
  A overlap, semantic, diversity, balance, entropy;

  explicit Scales(const LossProblem& p) {
    const double batch = static_cast<double>(p.batch), count = static_cast<double>(p.experts);
    overlap = static_cast<A>(2 * p.grad[0] / batch);
    semantic = static_cast<A>(2 * p.grad[1] / (batch * count * count));
    diversity = static_cast<A>(2 * p.grad[2] / (batch * (count > 1 ? count * (count - 1) : 1)));
    balance = static_cast<A>(2 * p.grad[3] / (batch * count));
    entropy = static_cast<A>(p.grad[4] / batch);
  }
};

// block.coefficient and block.grad (of alpha) from the cosines.
template <class A>
void coefficients(const LossProblem& p, const Scales<A>& by, Block<A>& block) {
  using V = vec<A>;
  const int64_t count = p.experts;
  const A* mean_alpha = static_cast<const A*>(p.mean_alpha);
  for (int64_t i = 0; i < count; ++i) {
    const V a = block.alpha[i];
    V weighted = {}, own = {};
    for (int64_t j = 0; j < count; ++j) {
      const V c = block.cosine[i * count + j];
      const V sign = c > A{0} ? splat<A>(1) : (c < A{0} ? splat<A>(-1) : V{});
      const V w = by.overlap * a * block.alpha[j] + by.semantic * sign + by.diversity;
      weighted += block.alpha[j] * c;
      block.coefficient[i * count + j] = w * block.inverse[i] * block.inverse[j];
      own += w * c;
    }
    block.coefficient[i * count + i] = -own * block.inverse[i] * block.inverse[i];
    V grad = by.overlap * weighted;
    if (p.all) {
      grad += by.balance * (mean_alpha[i] - A{1} / static_cast<A>(count));
      const V slope = log_of(a > A{0} ? a : splat<A>(1)) + A{1};
      grad -= a > A{0} ? by.entropy * slope : V{};
    }
    block.grad[i] = grad;
  }
}

// The gradients of kExperts logits, from expert i on, of kColumns actions from d on: coefficient
// [K, K] times turned [K, chunk].
template <class A, int kExperts>
TEDG_INLINE void combine(const vec<A>* coefficient, const vec<A>* turned, int64_t i, int64_t d,
                         int64_t count, int64_t chunk, vec<A> (&sum)[kExperts][kColumns<A>]) {
#pragma GCC unroll 4
  for (int e = 0; e < kExperts; ++e) {
#pragma GCC unroll 8
    for (int c = 0; c < kColumns<A>; ++c) sum[e][c] = vec<A>{};
  }
  for (int64_t j = 0; j < count; ++j) {
    const vec<A>* z = turned + j * chunk + d;
    for (int e = 0; e < kExperts; ++e) {
      const vec<A> by = coefficient[(i + e) * count + j];
      for (int c = 0; c < kColumns<A>; ++c) sum[e][c] += by * z[c];
    }
  }
}

// A block's gradients of kExperts logits and `columns` <= kColumns actions, into out [rows, K, A].
template <class T, int kExperts>
TEDG_INLINE void store_gradients(const Block<acc_t<T>>& block, T* out, int64_t rows, int64_t i,
                                 int64_t d, int64_t columns, int64_t count, int64_t width,
                                 int64_t chunk) {
  using A = acc_t<T>;
  vec<A> sum[kExperts][kColumns<A>];
  combine<A, kExperts>(block.coefficient, block.turned, i, d, count, chunk, sum);
#pragma GCC unroll 4
  for (int e = 0; e < kExperts; ++e) {
    T* target = out + (i + e) * width + d;
    if (rows >= kLanes<A> && columns == kColumns<A>) {
      store_columns<kColumns<A>>(target, count * width, sum[e]);
    } else {
      store_rows(target, count * width, rows, columns, sum[e]);
    }
  }
}

// A block's gradients of a chunk of actions, into out [rows, K, A].
template <class T>
void chunk_gradients(const Block<acc_t<T>>& block, T* out, int64_t rows, int64_t count,
                     int64_t width, int64_t chunk) {
  using A = acc_t<T>;
  constexpr int kExperts = kTileAcross / 2;  // as many sums fit into the registers
  const int64_t columns = chunk < kColumns<A> ? chunk : kColumns<A>;
  for (int64_t d = 0; d < chunk; d += columns) {
    // The last ones may begin among those before.
    const int64_t from = d + columns <= chunk ? d : chunk - columns;
    int64_t i = 0;
    for (; i + kExperts <= count; i += kExperts) {
      store_gradients<T, kExperts>(block, out, rows, i, from, columns, count, width, chunk);
    }
    for (; i < count; ++i) {
      store_gradients<T, 1>(block, out, rows, i, from, columns, count, width, chunk);
    }
  }
}

// One sample's gradients of kExperts logits, from expert i on: coefficient [K, K] times z [K, A],
// into out [K, A]. A coefficient lies kLanes apart from the next.
template <class T, int kExperts>
TEDG_INLINE void row_gradients(const acc_t<T>* coefficient, const T* z, T* out, int64_t i,
                               int64_t count, int64_t width) {
  using A = acc_t<T>;
  const A* of[kExperts];
  for (int e = 0; e < kExperts; ++e) of[e] = coefficient + (i + e) * count * kLanes<A>;
  for (int64_t d = 0; d < width; d += kLanes<A>) {
    vec<A> sum[kExperts] = {};
    for (int64_t j = 0; j < count; ++j) {
      const vec<A> v = load_some(z + j * width + d, width - d);
      for (int e = 0; e < kExperts; ++e) sum[e] += of[e][j * kLanes<A>] * v;
    }
    for (int e = 0; e < kExperts; ++e) {
      store_some(out + (i + e) * width + d, sum[e], width - d);
    }
  }
}

// A block's gradients, into out [rows, K, A].
template <class T>
void gradients(const Block<acc_t<T>>& block, const T* z, T* out, int64_t rows, int64_t count,
               int64_t width) {
  using A = acc_t<T>;
  if (width >= 4 * kLanes<A>) {
    // Little is wasted on the last vector of a row, and a row is written in order: the blocks of
    // such samples fill the first cache several times.
    for (int64_t r = 0; r < rows; ++r) {
      const A* coefficient = reinterpret_cast<const A*>(block.coefficient) + r;
      const int64_t at = r * count * width;
      int64_t i = 0;
      for (; i + 4 <= count; i += 4) {
        row_gradients<T, 4>(coefficient, z + at, out + at, i, count, width);
      }
      for (; i < count; ++i) {
        row_gradients<T, 1>(coefficient, z + at, out + at, i, count, width);
      }
    }
    return;
  }
  const int64_t chunk = chunk_width(count, width);
  for (int64_t d = 0; d < width; d += chunk) {
    const int64_t part = width - d < chunk ? width - d : chunk;
    if (chunk < width) turn_chunk(z, rows, count, width, d, part, block.turned);
    chunk_gradients(block, out + d, rows, count, width, part);
  }
}

template <class T>
void backward(const LossProblem& p, int64_t begin, int64_t end, void* memory) {
  using A = acc_t<T>;
  const int64_t count = p.experts, sample = count * p.actions;
  const int64_t block_bytes = kLanes<A> * sample * static_cast<int64_t>(sizeof(T));
  Block<A> block(memory, count, chunk_width(count, p.actions));
  const Scales<A> by(p);
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = end - row < kLanes<A> ? end - row : kLanes<A>;
    T* target = static_cast<T*>(p.grad_expert_logits) + row * sample;
    const bool streams = stages(p, sample) && rows == kLanes<A> && can_stream(target, block_bytes);
    T* out = streams ? reinterpret_cast<T*>(block.staged) : target;
    if (!streams) fetch<true>(out, rows * sample * static_cast<int64_t>(sizeof(T)));
    const bool scaled = load_block<T>(p, row, rows, block);
    coefficients(p, by, block);
    store_rows(static_cast<T*>(p.grad_alpha) + row * count, count, rows, count, block.grad);
    const T* z = static_cast<const T*>(p.expert_logits) + row * sample;
    if (scaled && p.actions > 0) {  // the norms take the place of turned logits
      A* norms = reinterpret_cast<A*>(block.turned);
      for (int64_t r = 0; r < rows; ++r) {
        scaled_gradients(reinterpret_cast<const A*>(block.coefficient) + r, z + r * sample,
                         out + r * sample, count, p.actions, norms, norms + count);
      }
    } else {
      gradients(block, z, out, rows, count, p.actions);
    }
    if (streams) stream(target, out, block_bytes);
  }
  if (p.stream) end_stream();
}

template <class T>
constexpr LossKernels table() {
  return {scratch<T>, forward<T>, backward<T>};
}

}  // namespace

const LossKernels loss_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                                 table<f16>()};

}  // namespace tedg::TEDG_LEVEL
