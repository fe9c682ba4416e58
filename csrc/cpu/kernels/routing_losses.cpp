// The losses on the routing: all of them come from the K x K cosines of a sample's expert logits
// and from alpha, so one pass over the logits gives them, and one more their gradients.
//
// With c_ij = cos(z_i, z_j), n_i = 1 / |z_i| and w_ij the derivative of the losses by c_ij (both
// c_ij and c_ji counted), the gradient is
//   dz_i = sum_{j != i} w_ij n_i (n_j z_j - c_ij n_i z_i),
// so a K x K matrix of coefficients times the logits. A zero vector has n_i = 0: cosine 0 and
// gradient 0.
#include "../vector_math.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

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

template <class A>
TEDG_INLINE A square_root(A v) {
  if constexpr (sizeof(A) == 4) return __builtin_sqrtf(v);
  else return __builtin_sqrt(v);
}

// 1 / |z| and the factor that keeps |z|^2 inside the range of A, both exact enough for any
// finite z that is not subnormal.
template <class T>
TEDG_INLINE void safe_norm(const T* z, int64_t width, acc_t<T>& inverse, acc_t<T>& factor) {
  using A = acc_t<T>;
  A square = dot(z, z, width);
  factor = 1;
  if (square > A(1e-30) && square < A(1e30)) {
    inverse = 1 / square_root(square);
    return;
  }
  A largest = 0;
  for (int64_t a = 0; a < width; ++a) {
    const A v = widen(z[a]);
    const A size = v < 0 ? -v : v;
    largest = (size > largest) | (size != size) ? size : largest;
  }
  if (largest == 0) {
    inverse = 0;
    return;
  }
  factor = 1 / (largest > A(1e-37) ? largest : A(1e-37));
  square = 0;
  for (int64_t a = 0; a < width; ++a) {
    const A v = widen(z[a]) * factor;
    square += v * v;
  }
  inverse = 1 / square_root(square);
}

// <a, b> of two vectors that are each scaled first.
template <class T>
TEDG_INLINE acc_t<T> scaled_dot(const T* a, acc_t<T> fa, const T* b, acc_t<T> fb,
                                int64_t width) {
  if (fa == 1 && fb == 1) return dot(a, b, width);
  acc_t<T> sum = 0;
  for (int64_t d = 0; d < width; ++d) sum += (widen(a[d]) * fa) * (widen(b[d]) * fb);
  return sum;
}

// The cosines [K, K] with a zero diagonal; inverse[i] = 1 / |z_i|.
template <class T>
void cosines(const T* z, int64_t count, int64_t width, acc_t<T>* inverse, acc_t<T>* factor,
             acc_t<T>* cosine) {
  for (int64_t i = 0; i < count; ++i) safe_norm(z + i * width, width, inverse[i], factor[i]);
  for (int64_t i = 0; i < count; ++i) {
    cosine[i * count + i] = 0;
    for (int64_t j = i + 1; j < count; ++j) {
      const acc_t<T> product =
          scaled_dot(z + i * width, factor[i], z + j * width, factor[j], width);
      const acc_t<T> c = product * inverse[i] * inverse[j];
      cosine[i * count + j] = c;
      cosine[j * count + i] = c;
    }
    inverse[i] *= factor[i];
  }
}

template <class A>
TEDG_INLINE A natural_log(A v) {
  if constexpr (sizeof(A) == 4) return __builtin_logf(v);
  else return __builtin_log(v);
}

template <class T>
int64_t scratch(const LossProblem& p) {
  return p.experts * (2 * p.experts + 3);
}

template <class T>
void forward(const LossProblem& p, int64_t begin, int64_t end, double* sums, void* memory) {
  using A = acc_t<T>;
  const int64_t count = p.experts;
  A* inverse = static_cast<A*>(memory);
  A* factor = inverse + count;
  A* cosine = factor + count;
  for (int64_t row = begin; row < end; ++row) {
    const T* alpha = static_cast<const T*>(p.alpha) + row * count;
    const T* z = static_cast<const T*>(p.expert_logits) + row * count * p.actions;
    cosines(z, count, p.actions, inverse, factor, cosine);
    A overlap = 0, absolute = 0, plain = 0, entropy = 0;
    for (int64_t i = 0; i < count; ++i) {
      const A a = widen(alpha[i]);
      A weighted = 0;
      for (int64_t j = 0; j < count; ++j) {
        const A c = cosine[i * count + j];
        weighted += widen(alpha[j]) * c;
        plain += c;
        absolute += c < 0 ? -c : c;
      }
      overlap += a * weighted;
      if (p.all) {
        entropy -= a * (a > 0 ? natural_log(a) : A{0});
        sums[4 + i] += a;
      }
    }
    sums[0] += overlap;
    sums[1] += absolute;
    sums[2] += plain;
    sums[3] += entropy;
  }
}

// out[0..width) = sum_j coefficient[j] z[j], for one expert.
template <class T>
TEDG_INLINE void combine(const acc_t<T>* coefficient, const T* z, T* out, int64_t count,
                         int64_t width) {
  using A = acc_t<T>;
  for (int64_t d = 0; d < width; d += kLanes<A>) {
    vec<A> sum = {};
    for (int64_t j = 0; j < count; ++j) {
      sum += coefficient[j] * load_some(z + j * width + d, width - d);
    }
    store_some(out + d, sum, width - d);
  }
}

template <class T>
void backward(const LossProblem& p, int64_t begin, int64_t end, void* memory) {
  using A = acc_t<T>;
  const int64_t count = p.experts;
  A* inverse = static_cast<A*>(memory);
  A* factor = inverse + count;
  A* cosine = factor + count;
  A* coefficient = cosine + count * count;
  const double batch = static_cast<double>(p.batch);
  const double pairs = count > 1 ? static_cast<double>(count) * (count - 1) : 1;
  const A by_overlap = static_cast<A>(2 * p.grad[0] / batch);
  const A by_semantic = static_cast<A>(2 * p.grad[1] / (batch * count * count));
  const A by_diversity = static_cast<A>(2 * p.grad[2] / (batch * pairs));
  const A by_balance = static_cast<A>(2 * p.grad[3] / (batch * count));
  const A by_entropy = static_cast<A>(p.grad[4] / batch);
  const A* mean_alpha = static_cast<const A*>(p.mean_alpha);
  for (int64_t row = begin; row < end; ++row) {
    const T* alpha = static_cast<const T*>(p.alpha) + row * count;
    const T* z = static_cast<const T*>(p.expert_logits) + row * count * p.actions;
    T* grad_alpha = static_cast<T*>(p.grad_alpha) + row * count;
    T* grad_z = static_cast<T*>(p.grad_expert_logits) + row * count * p.actions;
    cosines(z, count, p.actions, inverse, factor, cosine);
    for (int64_t i = 0; i < count; ++i) {
      const A a = widen(alpha[i]);
      A weighted = 0;
      A own = 0;
      for (int64_t j = 0; j < count; ++j) {
        const A c = cosine[i * count + j];
        const A other = widen(alpha[j]);
        weighted += other * c;
        const A sign = c > 0 ? A{1} : (c < 0 ? A{-1} : A{0});
        const A w = by_overlap * a * other + by_semantic * sign + by_diversity;
        coefficient[j] = w * inverse[i] * inverse[j];
        own += w * c;
      }
      coefficient[i] = -own * inverse[i] * inverse[i];
      A grad = by_overlap * weighted;
      if (p.all) {
        grad += by_balance * (mean_alpha[i] - A{1} / static_cast<A>(count));
        if (a > 0) grad -= by_entropy * (natural_log(a) + 1);
      }
      grad_alpha[i] = narrow<T, A>(grad);
      combine(coefficient, z, grad_z + i * p.actions, count, p.actions);
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
