// CUDA: route and its backward. The kernels are in kernels/route.cu.
#include "support.h"

namespace tedg {
namespace {

std::tuple<Tensor, Tensor> route(const Tensor& router_logits, const Tensor& expert_logits,
                                 bool sparse, double temperature, OptionalTensor action_mask) {
  check_experts("router_logits", router_logits, expert_logits);
  check_temperature(temperature);
  const int64_t batch = router_logits.size(0), experts = router_logits.size(1);
  const int64_t actions = expert_logits.size(2);
  check_optional("action_mask", action_mask, {batch, actions}, ScalarType::Bool, router_logits);
  const DeviceGuard guard(router_logits.get_device_index());
  const Tensor scores = packed(router_logits), logits_in = packed(expert_logits);
  const OptionalTensor mask = packed(action_mask);
  Tensor alpha = new_tensor(scores, {batch, experts}, scores.scalar_type());
  Tensor logits = new_tensor(scores, {batch, actions}, scores.scalar_type());
  for_storage(scores.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::RouteProblem<T> p{};
    p.batch = batch;
    p.experts = experts;
    p.actions = actions;
    p.sparse = sparse;
    p.temperature = static_cast<gpu::acc_t<T>>(temperature);
    p.scores = data<T>(scores);
    p.expert_logits = data<T>(logits_in);
    p.action_mask = data_or_null<bool>(mask);
    p.alpha = mutable_data<T>(alpha);
    p.logits = mutable_data<T>(logits);
    gpu::route_forward(p, current_stream(scores));
  });
  return {alpha, logits};
}

std::tuple<Tensor, Tensor> route_backward(OptionalTensor grad_alpha, OptionalTensor grad_logits,
                                          const Tensor& router_logits, const Tensor& expert_logits,
                                          bool sparse, double temperature,
                                          OptionalTensor action_mask) {
  check_experts("router_logits", router_logits, expert_logits);
  check_temperature(temperature);
  const int64_t batch = router_logits.size(0), experts = router_logits.size(1);
  const int64_t actions = expert_logits.size(2);
  const ScalarType type = router_logits.scalar_type();
  check_optional("grad_alpha", grad_alpha, {batch, experts}, type, router_logits);
  check_optional("grad_logits", grad_logits, {batch, actions}, type, router_logits);
  check_optional("action_mask", action_mask, {batch, actions}, ScalarType::Bool, router_logits);
  const DeviceGuard guard(router_logits.get_device_index());
  const Tensor scores = packed(router_logits), logits = packed(expert_logits);
  const OptionalTensor by_alpha = packed(grad_alpha), by_logits = packed(grad_logits),
                       mask = packed(action_mask);
  Tensor grad_scores = new_tensor(scores, {batch, experts}, type);
  Tensor grad_experts = new_tensor(scores, {batch, experts, actions}, type);
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    gpu::RouteProblem<T> p{};
    p.batch = batch;
    p.experts = experts;
    p.actions = actions;
    p.sparse = sparse;
    p.temperature = static_cast<gpu::acc_t<T>>(temperature);
    p.scores = data<T>(scores);
    p.expert_logits = data<T>(logits);
    p.action_mask = data_or_null<bool>(mask);
    p.grad_alpha = data_or_null<T>(by_alpha);
    p.grad_logits = data_or_null<T>(by_logits);
    p.grad_scores = mutable_data<T>(grad_scores);
    p.grad_expert_logits = mutable_data<T>(grad_experts);
    gpu::route_backward(p, current_stream(scores));
  });
  return {grad_scores, grad_experts};
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("route", TORCH_BOX(&tedg::route));
  m.impl("route_backward", TORCH_BOX(&tedg::route_backward));
}
