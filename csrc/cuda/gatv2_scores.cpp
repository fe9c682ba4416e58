// CUDA: gatv2_scores and its backward. The kernels are in kernels/gatv2.cu; they check each index
// before they use it, and end the launch with an error.
#include "../ops/gatv2.h"
#include "graph.h"

namespace tedg {
namespace {

template <class T>
gpu::GatV2Problem<T> problem_of(const GatV2Arguments& a) {
  gpu::GatV2Problem<T> p{};
  set_graph(p, a);
  p.t_rowptr = data<int32_t>(a.t_rowptr);
  p.t_target = data<int32_t>(a.t_target);
  p.t_edge = data<int32_t>(a.t_edge);
  p.edge_id = data<int32_t>(a.edge_id);
  p.x_src = data<T>(a.x_src);
  p.x_dst = data<T>(a.x_dst);
  p.att = data<T>(a.att);
  p.x_edge = data_or_null<T>(a.x_edge);
  p.aligned = rows_at_16_bytes(p.width, {p.x_src, p.x_dst, p.att, p.x_edge});
  return p;
}

Tensor gatv2_scores(const Tensor& x_src, const Tensor& x_dst, const Tensor& att,
                    OptionalTensor x_edge, const Tensor& rowptr, const Tensor& col,
                    const Tensor& edge_id, const Tensor& t_rowptr, const Tensor& t_target,
                    const Tensor& t_edge, double negative_slope) {
  GatV2Arguments a(x_src, x_dst, att, x_edge, rowptr, col, edge_id, t_rowptr, t_target, t_edge,
                   negative_slope);
  a.check();
  const DeviceGuard guard(x_src.get_device_index());
  const ScalarType type = x_src.scalar_type();
  Tensor score = new_tensor(x_src, {a.batch(), a.edges(), a.heads()}, accumulate_type(type));
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    gpu::GatV2Problem<T> p = problem_of<T>(a);
    p.score = mutable_data<gpu::acc_t<T>>(score);
    gpu::gatv2_scores(p, current_stream(x_src));
  });
  return score;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gatv2_scores_backward(
    const Tensor& grad, const Tensor& x_src, const Tensor& x_dst, const Tensor& att,
    OptionalTensor x_edge, const Tensor& rowptr, const Tensor& col, const Tensor& edge_id,
    const Tensor& t_rowptr, const Tensor& t_target, const Tensor& t_edge, double negative_slope) {
  GatV2Arguments a(x_src, x_dst, att, x_edge, rowptr, col, edge_id, t_rowptr, t_target, t_edge,
                   negative_slope);
  a.check();
  const ScalarType type = x_src.scalar_type(), acc = accumulate_type(type);
  const int64_t heads = a.heads(), width = a.width();
  check_tensor("grad", grad, {a.batch(), a.edges(), heads}, acc, x_src);
  const DeviceGuard guard(x_src.get_device_index());
  const Tensor by_score = packed(grad);
  Tensor grad_src = new_tensor(x_src, {a.batch(), a.sources(), heads, width}, type);
  Tensor grad_dst = new_tensor(x_src, {a.batch(), a.targets(), heads, width}, type);
  Tensor grad_att = new_tensor(x_src, {heads, width}, type);
  Tensor grad_edge = new_tensor(x_src, {x_edge.has_value() ? a.edges() : 0, heads, width}, type);
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::GatV2Problem<T> p = problem_of<T>(a);
    p.grad = data<A>(by_score);
    p.grad_x_src = mutable_data<T>(grad_src);
    p.grad_x_dst = mutable_data<T>(grad_dst);
    p.grad_att = mutable_data<T>(grad_att);
    p.grad_x_edge = mutable_data<T>(grad_edge);
    p.aligned =
        p.aligned && rows_at_16_bytes<T>(p.width, {p.grad_x_src, p.grad_x_dst, p.grad_x_edge});
    const int64_t numbers = gpu::gat_part_numbers(p);
    p.chunk = samples_at_once(p, numbers);
    Tensor parts = new_scratch(x_src, p, numbers);
    p.part = mutable_data<A>(parts);
    Tensor by_att = new_tensor(x_src, {gpu::gatv2_att_parts(p), heads, width}, acc);
    p.att_parts = mutable_data<A>(by_att);
    gpu::gatv2_scores_backward(p, current_stream(x_src));
  });
  return {grad_src, grad_dst, grad_att, grad_edge};
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("gatv2_scores", TORCH_BOX(&tedg::gatv2_scores));
  m.impl("gatv2_scores_backward", TORCH_BOX(&tedg::gatv2_scores_backward));
}
