// CPU: route and its backward.
#include "support.h"

namespace tedg {
namespace {

double row_work(const RouteProblem& p) { return 10.0 + 0.1 * p.experts * (p.actions + 8); }

std::tuple<Tensor, Tensor> route(const Tensor& router_logits, const Tensor& expert_logits,
                                 bool sparse, double temperature, OptionalTensor action_mask) {
  check_experts("router_logits", router_logits, expert_logits);
  check_temperature(temperature);
  const int64_t batch = router_logits.size(0);
  const int64_t actions = expert_logits.size(2);
  check_optional("action_mask", action_mask, {batch, actions}, ScalarType::Bool, router_logits);

  const Tensor scores = packed(router_logits);
  const Tensor experts = packed(expert_logits);
  const OptionalTensor mask = packed(action_mask);
  Tensor alpha = new_output(scores, {batch, scores.size(1)}, scores.scalar_type());
  Tensor logits = new_output(scores, {batch, actions}, scores.scalar_type());
  RouteProblem problem =
      route_problem(scores.size(1), actions, sparse, temperature, scores.const_data_ptr(),
                    experts.const_data_ptr(), data_or_null(mask));
  problem.alpha = alpha.mutable_data_ptr();
  problem.logits = logits.mutable_data_ptr();
  const RouteKernels& kernel = kernels().route[storage_of(scores)];
  parallel(batch, row_work(problem), [&](int64_t begin, int64_t end) {
    Scratch scratch(kernel.scratch(problem) * accumulate_bytes(scores));
    kernel.forward(problem, begin, end, scratch.get());
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

  const Tensor scores = packed(router_logits);
  const Tensor logits = packed(expert_logits);
  const OptionalTensor by_alpha = packed(grad_alpha);
  const OptionalTensor by_logits = packed(grad_logits);
  const OptionalTensor mask = packed(action_mask);
  Tensor grad_scores = new_output(scores, {batch, experts}, type);
  Tensor grad_experts = new_output(scores, {batch, experts, actions}, type);
  RouteProblem problem =
      route_problem(experts, actions, sparse, temperature, scores.const_data_ptr(),
                    logits.const_data_ptr(), data_or_null(mask));
  problem.grad_alpha = data_or_null(by_alpha);
  problem.grad_logits = data_or_null(by_logits);
  problem.grad_scores = grad_scores.mutable_data_ptr();
  problem.grad_expert_logits = grad_experts.mutable_data_ptr();
  const RouteKernels& kernel = kernels().route[storage_of(scores)];
  parallel(batch, 2 * row_work(problem), [&](int64_t begin, int64_t end) {
    Scratch scratch(kernel.scratch(problem) * accumulate_bytes(scores));
    kernel.backward(problem, begin, end, scratch.get());
  });
  return {grad_scores, grad_experts};
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("route", TORCH_BOX(&tedg::route));
  m.impl("route_backward", TORCH_BOX(&tedg::route_backward));
}
