// CPU: expert_overlap, routing_losses and their backwards.
#include "support.h"

namespace tedg {
namespace {

constexpr int64_t kBlockRows = 64;
constexpr int kNamedSums = 4;
// A gradient of this size would drive the logits out of the last cache on its way to memory.
constexpr int64_t kStreamBytes = int64_t{16} << 20;

double row_work(const LossProblem& p) {
  return 10.0 + 0.02 * p.experts * p.experts * (p.actions + 8);
}

Tensor scalar(const Tensor& like, double value) {
  const Tensor out = new_tensor(like, {}, accumulate_type(like.scalar_type()));
  write_scalar(out, value);
  return out;
}

double grad_of(const char* name, const OptionalTensor& grad, const Tensor& like) {
  if (!grad.has_value()) return 0;
  check_tensor(name, *grad, {}, accumulate_type(like.scalar_type()), like);
  return read_scalar(*grad);
}

LossProblem problem_of(const Tensor& alpha, const Tensor& logits, bool all) {
  LossProblem problem{};
  problem.batch = alpha.size(0);
  problem.experts = alpha.size(1);
  problem.actions = logits.size(2);
  problem.all = all;
  problem.alpha = alpha.const_data_ptr();
  problem.expert_logits = logits.const_data_ptr();
  return problem;
}

// overlap, |cos|, cos, entropy, then K sums of alpha, over the whole batch.
std::vector<double> batch_sums(const Tensor& alpha_in, const Tensor& logits_in, bool all) {
  const Tensor alpha = packed(alpha_in);
  const Tensor logits = packed(logits_in);
  const LossProblem problem = problem_of(alpha, logits, all);
  const LossKernels& kernel = kernels().loss[storage_of(alpha)];
  return sum_blocks<kBlockRows>(problem.batch, kNamedSums + problem.experts, row_work(problem),
                                kernel.scratch(problem) * accumulate_bytes(alpha),
                                [&](int64_t begin, int64_t end, double* sums, void* scratch) {
                                  kernel.forward(problem, begin, end, sums, scratch);
                                });
}

Tensor expert_overlap(const Tensor& alpha, const Tensor& expert_logits) {
  check_experts("alpha", alpha, expert_logits);
  const double batch = std::max<double>(alpha.size(0), 1);
  return scalar(alpha, batch_sums(alpha, expert_logits, false)[0] / batch);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> routing_losses(
    const Tensor& alpha, const Tensor& expert_logits) {
  check_experts("alpha", alpha, expert_logits);
  const int64_t experts = alpha.size(1);
  const double count = static_cast<double>(experts);
  const double batch = std::max<double>(alpha.size(0), 1);
  const std::vector<double> sums = batch_sums(alpha, expert_logits, true);
  const ScalarType type = accumulate_type(alpha.scalar_type());
  Tensor mean_alpha = new_tensor(alpha, {experts}, type);
  void* means = mean_alpha.mutable_data_ptr();
  double balance = 0;
  for (int64_t k = 0; k < experts; ++k) {
    const double mean = sums[kNamedSums + k] / batch;
    if (type == ScalarType::Double) {
      static_cast<double*>(means)[k] = mean;
    } else {
      static_cast<float*>(means)[k] = static_cast<float>(mean);
    }
    balance += (mean - 1 / count) * (mean - 1 / count) / count;
  }
  const double pairs = std::max(count * (count - 1), 1.0);
  return {
      scalar(alpha, sums[0] / batch),           scalar(alpha, sums[1] / (batch * count * count)),
      scalar(alpha, sums[2] / (batch * pairs)), scalar(alpha, alpha.size(0) > 0 ? balance : 0.0),
      scalar(alpha, sums[3] / batch),           mean_alpha,
  };
}

std::tuple<Tensor, Tensor> backward(const Tensor& alpha_in, const Tensor& logits_in,
                                    const double (&grad)[5], const OptionalTensor& mean_alpha) {
  const Tensor alpha = packed(alpha_in);
  const Tensor logits = packed(logits_in);
  const OptionalTensor means = packed(mean_alpha);
  LossProblem problem = problem_of(alpha, logits, means.has_value());
  Tensor grad_alpha = new_output(alpha, {problem.batch, problem.experts}, alpha.scalar_type());
  Tensor grad_logits =
      new_output(alpha, {problem.batch, problem.experts, problem.actions}, alpha.scalar_type());
  problem.mean_alpha = data_or_null(means);
  std::copy(std::begin(grad), std::end(grad), problem.grad);
  problem.grad_alpha = grad_alpha.mutable_data_ptr();
  problem.grad_expert_logits = grad_logits.mutable_data_ptr();
  problem.stream = logits.numel() * logits.element_size() >= kStreamBytes;
  const LossKernels& kernel = kernels().loss[storage_of(alpha)];
  // Whole blocks, so that every thread's part begins at a vector's boundary.
  const int64_t blocks = (problem.batch + kBlockRows - 1) / kBlockRows;
  parallel(blocks, 2 * kBlockRows * row_work(problem), [&](int64_t begin, int64_t end) {
    Scratch scratch(kernel.scratch(problem) * accumulate_bytes(alpha));
    kernel.backward(problem, begin * kBlockRows, std::min(problem.batch, end * kBlockRows),
                    scratch.get());
  });
  return {grad_alpha, grad_logits};
}

std::tuple<Tensor, Tensor> expert_overlap_backward(const Tensor& grad, const Tensor& alpha,
                                                   const Tensor& expert_logits) {
  check_experts("alpha", alpha, expert_logits);
  const double grads[5] = {grad_of("grad", grad, alpha), 0, 0, 0, 0};
  return backward(alpha, expert_logits, grads, std::nullopt);
}

std::tuple<Tensor, Tensor> routing_losses_backward(OptionalTensor overlap, OptionalTensor semantic,
                                                   OptionalTensor diversity,
                                                   OptionalTensor load_balance,
                                                   OptionalTensor entropy, const Tensor& alpha,
                                                   const Tensor& expert_logits,
                                                   const Tensor& mean_alpha) {
  check_experts("alpha", alpha, expert_logits);
  check_tensor("mean_alpha", mean_alpha, {alpha.size(1)}, accumulate_type(alpha.scalar_type()),
               alpha);
  const double grads[5] = {grad_of("overlap", overlap, alpha), grad_of("semantic", semantic, alpha),
                           grad_of("diversity", diversity, alpha),
                           grad_of("load_balance", load_balance, alpha),
                           grad_of("entropy", entropy, alpha)};
  return backward(alpha, expert_logits, grads, mean_alpha);
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("expert_overlap", TORCH_BOX(&tedg::expert_overlap));
  m.impl("expert_overlap_backward", TORCH_BOX(&tedg::expert_overlap_backward));
  m.impl("routing_losses", TORCH_BOX(&tedg::routing_losses));
  m.impl("routing_losses_backward", TORCH_BOX(&tedg::routing_losses_backward));
}
