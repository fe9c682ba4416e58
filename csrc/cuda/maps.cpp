// CUDA: sparsemax and the Fenchel-Young loss. The kernels are in kernels/maps.cu.
#include "support.h"

namespace tedg {
namespace {

Tensor sparsemax(const Tensor& x) {
  check_rows("x", x);
  const DeviceGuard guard(x.get_device_index());
  const Tensor in = packed(x);
  const int64_t rows = in.size(0), count = in.size(1);
  Tensor out = new_tensor(in, {rows, count}, in.scalar_type());
  for_storage(in.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::sparsemax(data<T>(in), mutable_data<T>(out), rows, count, current_stream(in));
  });
  return out;
}

Tensor sparsemax_backward(const Tensor& grad, const Tensor& out) {
  check_rows("out", out);
  const int64_t rows = out.size(0), count = out.size(1);
  check_tensor("grad", grad, {rows, count}, out.scalar_type(), out);
  const DeviceGuard guard(out.get_device_index());
  const Tensor g = packed(grad), alpha = packed(out);
  Tensor grad_x = new_tensor(alpha, {rows, count}, alpha.scalar_type());
  for_storage(alpha.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::sparsemax_backward(data<T>(g), data<T>(alpha), mutable_data<T>(grad_x), rows, count,
                            current_stream(alpha));
  });
  return grad_x;
}

std::tuple<Tensor, Tensor> fenchel_young_loss(const Tensor& scores, const Tensor& target,
                                              bool sparse) {
  check_rows("scores", scores);
  const int64_t rows = scores.size(0), count = scores.size(1);
  check_tensor("target", target, {rows, count}, scores.scalar_type(), scores);
  const DeviceGuard guard(scores.get_device_index());
  const Tensor z = packed(scores), q = packed(target);
  const ScalarType acc = accumulate_type(z.scalar_type());
  Tensor loss = new_tensor(z, {}, acc);
  Tensor parts = new_tensor(z, {gpu::map_loss_parts(rows)}, acc);
  Tensor residual = new_tensor(z, {rows, count}, z.scalar_type());
  for_storage(z.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::fenchel_young_loss(sparse, data<T>(z), data<T>(q), mutable_data<T>(residual),
                            mutable_data<A>(parts), mutable_data<A>(loss), rows, count,
                            current_stream(z));
  });
  return {loss, residual};
}

Tensor fenchel_young_loss_backward(const Tensor& grad, const Tensor& residual) {
  check_rows("residual", residual);
  check_tensor("grad", grad, {}, accumulate_type(residual.scalar_type()), residual);
  const DeviceGuard guard(residual.get_device_index());
  const int64_t rows = residual.size(0), count = residual.size(1);
  const Tensor rest = packed(residual);
  Tensor out = new_tensor(rest, {rows, count}, rest.scalar_type());
  for_storage(rest.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::fenchel_young_loss_backward<T>(data<gpu::acc_t<T>>(grad), data<T>(rest),
                                        mutable_data<T>(out), rows, count, current_stream(rest));
  });
  return out;
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("sparsemax", TORCH_BOX(&tedg::sparsemax));
  m.impl("sparsemax_backward", TORCH_BOX(&tedg::sparsemax_backward));
  m.impl("fenchel_young_loss", TORCH_BOX(&tedg::fenchel_young_loss));
  m.impl("fenchel_young_loss_backward", TORCH_BOX(&tedg::fenchel_young_loss_backward));
}
