// CUDA: expert_overlap, routing_losses and their backwards. The kernels are in kernels/losses.cu.
#include <array>

#include "support.h"

namespace tedg {
namespace {

// Fills losses[0..5) and mean_alpha, or losses[0] alone where mean_alpha is null.
void forward(const Tensor& alpha_in, const Tensor& logits_in, Tensor* losses, Tensor* mean_alpha) {
  const DeviceGuard guard(alpha_in.get_device_index());
  const Tensor alpha = packed(alpha_in), logits = packed(logits_in);
  const int64_t batch = alpha.size(0), experts = alpha.size(1);
  Tensor parts = new_tensor(alpha, {gpu::loss_parts(batch), 4 + experts},
                            accumulate_type(alpha.scalar_type()));
  for_storage(alpha.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::LossProblem<T> p{};
    p.batch = batch;
    p.experts = experts;
    p.actions = logits.size(2);
    p.all = mean_alpha != nullptr;
    p.alpha = data<T>(alpha);
    p.expert_logits = data<T>(logits);
    p.parts = mutable_data<A>(parts);
    for (int i = 0; i < (p.all ? 5 : 1); ++i) p.loss[i] = mutable_data<A>(losses[i]);
    if (p.all) p.mean_alpha = mutable_data<A>(*mean_alpha);
    gpu::losses_forward(p, current_stream(alpha));
  });
}

Tensor scalar(const Tensor& like) {
  return new_tensor(like, {}, accumulate_type(like.scalar_type()));
}

Tensor expert_overlap(const Tensor& alpha, const Tensor& expert_logits) {
  check_experts("alpha", alpha, expert_logits);
  Tensor loss = scalar(alpha);
  forward(alpha, expert_logits, &loss, nullptr);
  return loss;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> routing_losses(
    const Tensor& alpha, const Tensor& expert_logits) {
  check_experts("alpha", alpha, expert_logits);
  Tensor losses[5] = {scalar(alpha), scalar(alpha), scalar(alpha), scalar(alpha), scalar(alpha)};
  Tensor mean_alpha = new_tensor(alpha, {alpha.size(1)}, accumulate_type(alpha.scalar_type()));
  forward(alpha, expert_logits, losses, &mean_alpha);
  return {losses[0], losses[1], losses[2], losses[3], losses[4], mean_alpha};
}

using Gradients = std::array<OptionalTensor, 5>;

std::tuple<Tensor, Tensor> backward(const Tensor& alpha_in, const Tensor& logits_in,
                                    const Gradients& grads, const OptionalTensor& mean_alpha) {
  const DeviceGuard guard(alpha_in.get_device_index());
  const Tensor alpha = packed(alpha_in), logits = packed(logits_in);
  const OptionalTensor means = packed(mean_alpha);
  const int64_t batch = alpha.size(0), experts = alpha.size(1), actions = logits.size(2);
  const ScalarType type = alpha.scalar_type();
  Tensor grad_alpha = new_tensor(alpha, {batch, experts}, type);
  Tensor grad_logits = new_tensor(alpha, {batch, experts, actions}, type);
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::LossProblem<T> p{};
    p.batch = batch;
    p.experts = experts;
    p.actions = actions;
    p.all = means.has_value();
    p.alpha = data<T>(alpha);
    p.expert_logits = data<T>(logits);
    p.mean_alpha = const_cast<A*>(data_or_null<A>(means));
    for (int i = 0; i < 5; ++i) p.grad[i] = data_or_null<A>(grads[i]);
    p.grad_alpha = mutable_data<T>(grad_alpha);
    p.grad_expert_logits = mutable_data<T>(grad_logits);
    gpu::losses_backward(p, current_stream(alpha));
  });
  return {grad_alpha, grad_logits};
}

std::tuple<Tensor, Tensor> expert_overlap_backward(const Tensor& grad, const Tensor& alpha,
                                                   const Tensor& expert_logits) {
  check_experts("alpha", alpha, expert_logits);
  check_tensor("grad", grad, {}, accumulate_type(alpha.scalar_type()), alpha);
  return backward(alpha, expert_logits, {grad}, std::nullopt);
}

std::tuple<Tensor, Tensor> routing_losses_backward(OptionalTensor overlap, OptionalTensor semantic,
                                                   OptionalTensor diversity,
                                                   OptionalTensor load_balance,
                                                   OptionalTensor entropy, const Tensor& alpha,
                                                   const Tensor& expert_logits,
                                                   const Tensor& mean_alpha) {
  check_experts("alpha", alpha, expert_logits);
  const ScalarType acc = accumulate_type(alpha.scalar_type());
  check_tensor("mean_alpha", mean_alpha, {alpha.size(1)}, acc, alpha);
  check_optional("overlap", overlap, {}, acc, alpha);
  check_optional("semantic", semantic, {}, acc, alpha);
  check_optional("diversity", diversity, {}, acc, alpha);
  check_optional("load_balance", load_balance, {}, acc, alpha);
  check_optional("entropy", entropy, {}, acc, alpha);
  return backward(alpha, expert_logits, {overlap, semantic, diversity, load_balance, entropy},
                  mean_alpha);
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("expert_overlap", TORCH_BOX(&tedg::expert_overlap));
  m.impl("expert_overlap_backward", TORCH_BOX(&tedg::expert_overlap_backward));
  m.impl("routing_losses", TORCH_BOX(&tedg::routing_losses));
  m.impl("routing_losses_backward", TORCH_BOX(&tedg::routing_losses_backward));
}
