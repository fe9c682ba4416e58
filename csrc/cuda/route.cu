// CUDA: route and its backward.
//
// A warp owns a row. Its weights lie in shared memory, where one lane maps them (csrc/ops/
// row_math.h, the arithmetic that the CPU runs in its lanes); then the lanes share the actions,
// so that the experts' logits are read once and in order. All sums have a fixed order.
#include "support.cuh"
#include "values.cuh"

#include "../ops/row_math.h"

namespace tedg {
namespace device {
namespace {

template <class T>
struct Rows {
  int64_t batch, experts, actions;
  bool sparse;
  double temperature;
  const T* scores;           // [B, K]
  const T* expert_logits;    // [B, K, A]
  const bool* action_mask;   // [B, A] or null
  T* alpha;                  // [B, K]
  T* logits;                 // [B, A]
  const T* grad_alpha;       // [B, K] or null
  const T* grad_logits;      // [B, A] or null
  T* grad_scores;            // [B, K]
  T* grad_expert_logits;     // [B, K, A]
};

// weight[0..K) <- map(scores / temperature), by all lanes of a warp together.
template <class T>
__device__ void map_scores(const Rows<T>& p, int64_t row, int lane, acc_t<T>* weight) {
  using A = acc_t<T>;
  const A temperature = static_cast<A>(p.temperature);
  for (int64_t k = lane; k < p.experts; k += 32) {
    weight[k] = widen(p.scores[row * p.experts + k]) / temperature;
  }
  __syncwarp();
  if (lane == 0) {
    p.sparse ? map_row<true>(weight, p.experts) : map_row<false>(weight, p.experts);
  }
  __syncwarp();
}

template <class T>
__global__ void route_forward(Rows<T> p) {
  using A = acc_t<T>;
  extern __shared__ __align__(8) unsigned char memory[];
  const int lane = threadIdx.x, warp = threadIdx.y;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + warp;
  if (row >= p.batch) return;  // a whole warp leaves
  A* weight = reinterpret_cast<A*>(memory) + warp * p.experts;
  map_scores(p, row, lane, weight);
  for (int64_t k = lane; k < p.experts; k += 32) {
    narrow(p.alpha[row * p.experts + k], weight[k]);
  }
  const T* experts = p.expert_logits + row * p.experts * p.actions;
  for (int64_t a = lane; a < p.actions; a += 32) {
    A sum = 0;
    for (int64_t k = 0; k < p.experts; ++k) {
      sum += weight[k] * widen(experts[k * p.actions + a]);
    }
    T& out = p.logits[row * p.actions + a];
    if (p.action_mask == nullptr || p.action_mask[row * p.actions + a]) {
      narrow(out, sum);
    } else {
      set_lowest(out);
    }
  }
}

template <class T>
__global__ void route_backward(Rows<T> p) {
  using A = acc_t<T>;
  extern __shared__ __align__(8) unsigned char memory[];
  const int lane = threadIdx.x, warp = threadIdx.y;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + warp;
  if (row >= p.batch) return;
  A* weight = reinterpret_cast<A*>(memory) + 2 * warp * p.experts;
  A* grad = weight + p.experts;
  map_scores(p, row, lane, weight);
  const T* experts = p.expert_logits + row * p.experts * p.actions;
  T* grad_experts = p.grad_expert_logits + row * p.experts * p.actions;
  for (int64_t k = 0; k < p.experts; ++k) {
    A dot = 0;
    for (int64_t a = lane; a < p.actions; a += 32) {
      const bool allowed = p.action_mask == nullptr || p.action_mask[row * p.actions + a];
      const A g = p.grad_logits != nullptr && allowed
                      ? widen(p.grad_logits[row * p.actions + a])
                      : A{0};
      if (allowed && p.grad_logits != nullptr) dot += g * widen(experts[k * p.actions + a]);
      narrow(grad_experts[k * p.actions + a], weight[k] * g);
    }
    dot = warp_sum(dot);
    if (lane == 0) {
      grad[k] = p.grad_alpha == nullptr ? dot
                                        : dot + widen(p.grad_alpha[row * p.experts + k]);
    }
  }
  if (lane == 0) {
    p.sparse ? map_row_backward<true>(grad, weight, p.experts)
             : map_row_backward<false>(grad, weight, p.experts);
  }
  __syncwarp();
  for (int64_t k = lane; k < p.experts; k += 32) {
    narrow(p.grad_scores[row * p.experts + k], grad[k] / static_cast<A>(p.temperature));
  }
}

}  // namespace
}  // namespace device

namespace {

constexpr int kWarps = 4;
constexpr int64_t kSharedBytes = 48 * 1024;  // what every device gives without asking

// Blocks of as many warps (rows) as fit into shared memory.
struct Launch {
  dim3 grid, block;
  size_t shared;
};

Launch launch_of(int64_t batch, int64_t experts, int64_t bytes_a_row) {
  const int64_t fit = kSharedBytes / bytes_a_row;
  if (fit < 1) refuse("router_logits has too many experts for the CUDA kernel, got ", experts);
  const int64_t warps = fit < kWarps ? fit : kWarps;
  return {dim3(static_cast<unsigned>((batch + warps - 1) / warps)),
          dim3(32, static_cast<unsigned>(warps)), static_cast<size_t>(warps * bytes_a_row)};
}

std::tuple<Tensor, Tensor> route_cuda(const Tensor& router_logits, const Tensor& expert_logits,
                                      bool sparse, double temperature,
                                      OptionalTensor action_mask) {
  check_experts("router_logits", router_logits, expert_logits);
  check_temperature(temperature);
  const int64_t batch = router_logits.size(0), experts = router_logits.size(1);
  const int64_t actions = expert_logits.size(2);
  check_optional("action_mask", action_mask, {batch, actions}, ScalarType::Bool, router_logits);
  const DeviceGuard guard(router_logits);
  const Tensor scores = packed(router_logits), logits_in = packed(expert_logits);
  const OptionalTensor mask = packed(action_mask);
  Tensor alpha = new_tensor(scores, {batch, experts}, scores.scalar_type());
  Tensor logits = new_tensor(scores, {batch, actions}, scores.scalar_type());
  for_storage(scores.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    const Launch launch = launch_of(batch, experts, experts * sizeof(device::acc_t<T>));
    if (batch == 0) return;
    device::Rows<T> rows{};
    rows.batch = batch;
    rows.experts = experts;
    rows.actions = actions;
    rows.sparse = sparse;
    rows.temperature = temperature;
    rows.scores = data<T>(scores);
    rows.expert_logits = data<T>(logits_in);
    rows.action_mask = data_or_null<bool>(mask);
    rows.alpha = mutable_data<T>(alpha);
    rows.logits = mutable_data<T>(logits);
    device::route_forward<T>
        <<<launch.grid, launch.block, launch.shared, current_stream(scores)>>>(rows);
    check_launch("route");
  });
  return {alpha, logits};
}

std::tuple<Tensor, Tensor> route_backward_cuda(OptionalTensor grad_alpha,
                                               OptionalTensor grad_logits,
                                               const Tensor& router_logits,
                                               const Tensor& expert_logits, bool sparse,
                                               double temperature, OptionalTensor action_mask) {
  check_experts("router_logits", router_logits, expert_logits);
  check_temperature(temperature);
  const int64_t batch = router_logits.size(0), experts = router_logits.size(1);
  const int64_t actions = expert_logits.size(2);
  const ScalarType type = router_logits.scalar_type();
  check_optional("grad_alpha", grad_alpha, {batch, experts}, type, router_logits);
  check_optional("grad_logits", grad_logits, {batch, actions}, type, router_logits);
  check_optional("action_mask", action_mask, {batch, actions}, ScalarType::Bool, router_logits);
  const DeviceGuard guard(router_logits);
  const Tensor scores = packed(router_logits), logits = packed(expert_logits);
  const OptionalTensor by_alpha = packed(grad_alpha), by_logits = packed(grad_logits),
                       mask = packed(action_mask);
  Tensor grad_scores = new_tensor(scores, {batch, experts}, type);
  Tensor grad_experts = new_tensor(scores, {batch, experts, actions}, type);
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    const Launch launch = launch_of(batch, experts, 2 * experts * sizeof(device::acc_t<T>));
    if (batch == 0) return;
    device::Rows<T> rows{};
    rows.batch = batch;
    rows.experts = experts;
    rows.actions = actions;
    rows.sparse = sparse;
    rows.temperature = temperature;
    rows.scores = data<T>(scores);
    rows.expert_logits = data<T>(logits);
    rows.action_mask = data_or_null<bool>(mask);
    rows.grad_alpha = data_or_null<T>(by_alpha);
    rows.grad_logits = data_or_null<T>(by_logits);
    rows.grad_scores = mutable_data<T>(grad_scores);
    rows.grad_expert_logits = mutable_data<T>(grad_experts);
    device::route_backward<T>
        <<<launch.grid, launch.block, launch.shared, current_stream(scores)>>>(rows);
    check_launch("route_backward");
  });
  return {grad_scores, grad_experts};
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CUDA, m) {
  m.impl("route", TORCH_BOX(&tedg::route_cuda));
  m.impl("route_backward", TORCH_BOX(&tedg::route_backward_cuda));
}
