// route: scores to weights (a lane a row), then the weighted sum of the experts' logits (lanes
// along the actions), so that every input is read once and every output written once.
#include "rows.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

template <class T>
struct Lowest;
template <>
struct Lowest<float> {
  static float value() { return -0x1.fffffep127f; }
};
template <>
struct Lowest<double> {
  static double value() { return -0x1.fffffffffffffp1023; }
};
template <>
struct Lowest<bf16> {
  static float value() { return -0x1.fep127f; }
};
template <>
struct Lowest<f16> {
  static float value() { return -65504.0f; }
};

// n <= lanes bytes of a mask as lanes.
template <class A>
TEDG_INLINE typename Lanes<A>::I load_mask(const bool* p, int64_t n) {
  using I = typename Lanes<A>::I;
  if constexpr (sizeof(A) == 4) {
    Byte8 bytes = {};
    if (n >= kLanes<A>) {
      __builtin_memcpy(&bytes, p, sizeof(bytes));
    } else {
#if defined(__AVX512F__)
      bytes = bit_cast<Byte8>(_mm_maskz_loadu_epi8((1u << n) - 1, p));
#else
      for (int64_t i = 0; i < n; ++i) bytes[i] = p[i];
#endif
    }
    return __builtin_convertvector(bytes, I) != 0;
  } else {
    I lanes = {};
    for (int64_t i = 0; i < n && i < kLanes<A>; ++i) lanes[i] = p[i];
    return lanes != 0;
  }
}

// logits[a] = sum_k weight[k * stride] experts[k, a], for one row. An expert of weight 0 takes no
// part, whatever its logits are.
template <class T>
TEDG_INLINE void mix_row(const acc_t<T>* weight, const T* experts, const bool* mask, T* logits,
                         int64_t count, int64_t actions) {
  using A = acc_t<T>;
  constexpr int64_t kStep = 2 * kLanes<A>;
  for (int64_t a = 0; a < actions; a += kStep) {
    const int64_t n0 = actions - a;
    const int64_t n1 = n0 - kLanes<A>;
    vec<A> sum0 = {}, sum1 = {};
    for (int64_t k = 0; k < count; ++k) {
      const T* z = experts + k * actions + a;
      const A w = weight[k * kLanes<A>];
      if (w == 0) continue;
      sum0 += w * load_some(z, n0);
      if (n1 > 0) sum1 += w * load_some(z + kLanes<A>, n1);
    }
    if (mask != nullptr) {
      const vec<A> lowest = splat<A>(Lowest<T>::value());
      sum0 = load_mask<A>(mask + a, n0) ? sum0 : lowest;
      if (n1 > 0) sum1 = load_mask<A>(mask + a + kLanes<A>, n1) ? sum1 : lowest;
    }
    store_some(logits + a, sum0, n0);
    if (n1 > 0) store_some(logits + a + kLanes<A>, sum1, n1);
  }
}

template <class T, bool kSparse>
void forward_rows(const RouteProblem& p, int64_t begin, int64_t end, void* scratch) {
  using A = acc_t<T>;
  const int64_t count = p.experts, actions = p.actions;
  vec<A>* z = static_cast<vec<A>*>(scratch);
  const A temperature = static_cast<A>(p.temperature);
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = end - row < kLanes<A> ? end - row : kLanes<A>;
    load_rows(static_cast<const T*>(p.scores) + row * count, count, rows, count, z);
    for (int64_t k = 0; k < count; ++k) z[k] = z[k] / temperature;
    map_row<kSparse>(z, count);
    store_rows(static_cast<T*>(p.alpha) + row * count, count, rows, count, z);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = row + i;
      mix_row(reinterpret_cast<const A*>(z) + i,
              static_cast<const T*>(p.expert_logits) + r * count * actions,
              p.action_mask == nullptr ? nullptr : p.action_mask + r * actions,
              static_cast<T*>(p.logits) + r * actions, count, actions);
    }
  }
}

template <class T>
void forward(const RouteProblem& p, int64_t begin, int64_t end, void* scratch) {
  p.sparse ? forward_rows<T, true>(p, begin, end, scratch)
           : forward_rows<T, false>(p, begin, end, scratch);
}

// One row of backward: grad_experts[k, a] = weight[k] g[a]; adds <experts[k], g> to grad[k],
// with g = grad_logits where allowed, else 0. A logit of -inf passes no gradient and gets none.
template <class T>
TEDG_INLINE void unmix_row(const acc_t<T>* weight, const T* experts, const T* grad_logits,
                           const bool* mask, T* grad_experts, acc_t<T>* grad, int64_t count,
                           int64_t actions) {
  using A = acc_t<T>;
  constexpr int64_t kStep = 2 * kLanes<A>;
  const vec<A> lowest = splat<A>(-__builtin_inff());
  for (int64_t a = 0; a < actions; a += kStep) {
    const int64_t n0 = actions - a;
    const int64_t n1 = n0 - kLanes<A>;
    vec<A> g0 = load_some(grad_logits + a, n0);
    vec<A> g1 = n1 > 0 ? load_some(grad_logits + a + kLanes<A>, n1) : vec<A>{};
    if (mask != nullptr) {
      g0 = load_mask<A>(mask + a, n0) ? g0 : vec<A>{};
      if (n1 > 0) g1 = load_mask<A>(mask + a + kLanes<A>, n1) ? g1 : vec<A>{};
    }
    for (int64_t k = 0; k < count; ++k) {
      const T* z = experts + k * actions + a;
      T* out = grad_experts + k * actions + a;
      const A w = weight[k * kLanes<A>];
      const vec<A> none = {};
      const vec<A> z0 = load_some(z, n0);
      vec<A> dot = z0 == lowest ? none : g0 * z0;
      store_some(out, z0 == lowest ? none : w * g0, n0);
      if (n1 > 0) {
        const vec<A> z1 = load_some(z + kLanes<A>, n1);
        dot += z1 == lowest ? none : g1 * z1;
        store_some(out + kLanes<A>, z1 == lowest ? none : w * g1, n1);
      }
      grad[k * kLanes<A>] += sum_lanes<A>(dot);
    }
  }
}

// The weights are computed again: those of the forward pass were rounded to the storage type, and
// a low temperature would magnify that error.
template <class T, bool kSparse>
void backward_rows(const RouteProblem& p, int64_t begin, int64_t end, void* scratch) {
  using A = acc_t<T>;
  const int64_t count = p.experts, actions = p.actions;
  vec<A>* alpha = static_cast<vec<A>*>(scratch);
  vec<A>* grad = alpha + count;
  const A temperature = static_cast<A>(p.temperature);
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = end - row < kLanes<A> ? end - row : kLanes<A>;
    load_rows(static_cast<const T*>(p.scores) + row * count, count, rows, count, alpha);
    for (int64_t k = 0; k < count; ++k) alpha[k] = alpha[k] / temperature;
    map_row<kSparse>(alpha, count);
    if (p.grad_alpha != nullptr) {
      load_rows(static_cast<const T*>(p.grad_alpha) + row * count, count, rows, count, grad);
    } else {
      for (int64_t k = 0; k < count; ++k) grad[k] = vec<A>{};
    }
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = row + i;
      T* grad_experts = static_cast<T*>(p.grad_expert_logits) + r * count * actions;
      if (p.grad_logits == nullptr) {
        for (int64_t a = 0; a < count * actions; ++a) grad_experts[a] = narrow<T, A>(0);
        continue;
      }
      unmix_row(reinterpret_cast<const A*>(alpha) + i,
                static_cast<const T*>(p.expert_logits) + r * count * actions,
                static_cast<const T*>(p.grad_logits) + r * actions,
                p.action_mask == nullptr ? nullptr : p.action_mask + r * actions, grad_experts,
                reinterpret_cast<A*>(grad) + i, count, actions);
    }
    map_row_backward<kSparse>(grad, alpha, count);
    for (int64_t k = 0; k < count; ++k) grad[k] = grad[k] / temperature;
    store_rows(static_cast<T*>(p.grad_scores) + row * count, count, rows, count, grad);
  }
}

template <class T>
void backward(const RouteProblem& p, int64_t begin, int64_t end, void* scratch) {
  p.sparse ? backward_rows<T, true>(p, begin, end, scratch)
           : backward_rows<T, false>(p, begin, end, scratch);
}

template <class T>
int64_t scratch(const RouteProblem& p) {
  return 2 * p.experts * kLanes<acc_t<T>>;
}

template <class T>
constexpr RouteKernels table() {
  return {scratch<T>, forward<T>, backward<T>};
}

}  // namespace

const RouteKernels route_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                                   table<f16>()};

}  // namespace tedg::TEDG_LEVEL
