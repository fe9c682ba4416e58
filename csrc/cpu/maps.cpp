// CPU: sparsemax and the Fenchel-Young loss, over rows [rows, K].
#include "support.h"

namespace tedg {
namespace {

Tensor sparsemax(const Tensor& x) {
  check_rows("x", x);
  const Tensor in = packed(x);
  const int64_t rows = in.size(0), count = in.size(1);
  Tensor out = new_output(in, {rows, count}, in.scalar_type());
  const MapKernels& kernel = kernels().map[storage_of(in)];
  const void* from = in.const_data_ptr();
  void* to = out.mutable_data_ptr();
  parallel(rows, 2.0 * count, [&](int64_t begin, int64_t end) {
    Scratch scratch(kernel.scratch(count) * accumulate_bytes(in));
    kernel.sparsemax(from, to, count, begin, end, scratch.get());
  });
  return out;
}

Tensor sparsemax_backward(const Tensor& grad, const Tensor& out) {
  check_rows("out", out);
  const int64_t rows = out.size(0), count = out.size(1);
  check_tensor("grad", grad, {rows, count}, out.scalar_type(), out);
  const Tensor g = packed(grad);
  const Tensor alpha = packed(out);
  Tensor grad_x = new_output(alpha, {rows, count}, alpha.scalar_type());
  const MapKernels& kernel = kernels().map[storage_of(alpha)];
  const void* from = g.const_data_ptr();
  const void* weights = alpha.const_data_ptr();
  void* to = grad_x.mutable_data_ptr();
  parallel(rows, 2.0 * count, [&](int64_t begin, int64_t end) {
    Scratch scratch(kernel.scratch(count) * accumulate_bytes(alpha));
    kernel.sparsemax_backward(from, weights, to, count, begin, end, scratch.get());
  });
  return grad_x;
}

std::tuple<Tensor, Tensor> fenchel_young_loss(const Tensor& scores, const Tensor& target,
                                              bool sparse) {
  check_rows("scores", scores);
  const int64_t rows = scores.size(0), count = scores.size(1);
  check_tensor("target", target, {rows, count}, scores.scalar_type(), scores);
  const Tensor z = packed(scores);
  const Tensor q = packed(target);
  Tensor loss = new_tensor(z, {}, accumulate_type(z.scalar_type()));
  Tensor residual = new_output(z, {rows, count}, z.scalar_type());
  const MapKernels& kernel = kernels().map[storage_of(z)];
  const void* from = z.const_data_ptr();
  const void* to = q.const_data_ptr();
  void* rest = residual.mutable_data_ptr();
  const double total =
      sum_blocks<512>(rows, 1, 4.0 * count, kernel.scratch(count) * accumulate_bytes(z),
                      [&](int64_t begin, int64_t end, double* sum, void* scratch) {
                        *sum = kernel.loss(sparse, from, to, rest, count, begin, end, scratch);
                      })[0];
  write_scalar(loss, rows > 0 ? total / static_cast<double>(rows) : 0.0);
  return {loss, residual};
}

Tensor fenchel_young_loss_backward(const Tensor& grad, const Tensor& residual) {
  check_rows("residual", residual);
  check_tensor("grad", grad, {}, accumulate_type(residual.scalar_type()), residual);
  const int64_t rows = residual.size(0), count = residual.size(1);
  const Tensor rest = packed(residual);
  Tensor out = new_output(rest, {rows, count}, rest.scalar_type());
  const MapKernels& kernel = kernels().map[storage_of(rest)];
  const double factor = rows > 0 ? read_scalar(grad) / static_cast<double>(rows) : 0.0;
  const void* from = rest.const_data_ptr();
  void* to = out.mutable_data_ptr();
  parallel(rows * count, 0.2,
           [&](int64_t begin, int64_t end) { kernel.scale(from, to, factor, begin, end); });
  return out;
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("sparsemax", TORCH_BOX(&tedg::sparsemax));
  m.impl("sparsemax_backward", TORCH_BOX(&tedg::sparsemax_backward));
  m.impl("fenchel_young_loss", TORCH_BOX(&tedg::fenchel_young_loss));
  m.impl("fenchel_young_loss_backward", TORCH_BOX(&tedg::fenchel_young_loss_backward));
}
