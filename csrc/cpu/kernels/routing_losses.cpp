// The losses on the routing: all of them come from the K x K cosines of a sample's expert logits
// and from alpha, so one pass over the logits gives them, and one more their gradients.
//
// With c_ij = cos(z_i, z_j), n_i = 1 / |z_i| and w_ij the derivative of the losses by c_ij (both
// c_ij and c_ji counted), the gradient is
//   dz_i = sum_{j != i} w_ij n_i (n_j z_j - c_ij n_i z_i),
// so a K x K matrix of coefficients times the logits. A zero vector has n_i = 0: cosine 0 and
// gradient 0.
//
// Rows are taken in blocks of as many as a vector has lanes. Inner products run along the actions
// and are then summed for all rows of the block at once, which leaves a lane for each row; all
// that follows is arithmetic on such vectors.
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

  Block(void* memory, int64_t count) {
    alpha = static_cast<vec<A>*>(memory);
    inverse = alpha + count;
    grad = inverse + count;
    cosine = grad + count;
    coefficient = cosine + count * count;
  }
};

template <class T>
int64_t scratch(const LossProblem& p) {
  return p.experts * (2 * p.experts + 3) * kLanes<acc_t<T>>;
}

template <class T>
void load_block(const LossProblem& p, int64_t row, int64_t rows, Block<acc_t<T>>& block) {
  const int64_t count = p.experts;
  load_rows(static_cast<const T*>(p.alpha) + row * count, rows, count, block.alpha);
  cosines(static_cast<const T*>(p.expert_logits) + row * count * p.actions, rows, count,
          p.actions, block.inverse, block.cosine);
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
  Block<A> block(memory, count);
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

// One row's grad = coefficient [K, K] times z [K, A], kExperts rows of it, from row i on. A
// coefficient lies kLanes apart from the next.
template <class T, int kExperts>
TEDG_INLINE void combine(const acc_t<T>* coefficient, const T* z, T* out, int64_t i,
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

template <class T>
void backward(const LossProblem& p, int64_t begin, int64_t end, void* memory) {
  using A = acc_t<T>;
  const int64_t count = p.experts, width = p.actions;
  Block<A> block(memory, count);
  const Scales<A> by(p);
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = end - row < kLanes<A> ? end - row : kLanes<A>;
    load_block<T>(p, row, rows, block);
    coefficients(p, by, block);
    store_rows(static_cast<T*>(p.grad_alpha) + row * count, rows, count, block.grad);
    for (int64_t r = 0; r < rows; ++r) {
      const A* coefficient = reinterpret_cast<const A*>(block.coefficient) + r;
      const int64_t at = (row + r) * count * width;
      const T* z = static_cast<const T*>(p.expert_logits) + at;
      T* out = static_cast<T*>(p.grad_expert_logits) + at;
      int64_t i = 0;
      for (; i + 4 <= count; i += 4) combine<T, 4>(coefficient, z, out, i, count, width);
      for (; i < count; ++i) combine<T, 1>(coefficient, z, out, i, count, width);
    }
  }
}

template <class T>
constexpr LossKernels table() {
  return {scratch<T>, forward<T>, backward<T>};
}

}  // namespace

const LossKernels loss_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                                 table<f16>()};

}  // namespace tedg::TEDG_LEVEL
