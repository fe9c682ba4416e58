// CUDA: gat_attention and gat_attention_edges, their backwards and weights. The kernels are in
// kernels/gat_*.cu.
//
// Shapes and dtypes are checked before. Indices lie on the device, and reading them here would wait
// for it: the kernels check each one before they use it, and end the launch with an error.
#include <cmath>

#include "../ops/gat_attention.h"
#include "graph.h"

namespace tedg {
namespace {

template <class T>
gpu::GatProblem<T> problem_of(const GatArguments& a) {
  using A = gpu::acc_t<T>;
  gpu::GatProblem<T> p{};
  set_graph(p, a);
  p.relations = a.relations();
  p.score_edge_stride = a.score_edge_stride();
  p.relation = data_or_null<int32_t>(a.relation);
  p.x = data_or_null<T>(a.x);
  p.score_src = data<T>(a.score_src);
  p.score_dst = data<T>(a.score_dst);
  p.edge_bias = data_or_null<T>(a.edge_bias);
  p.score_edge = data_or_null<A>(a.score_edge);
  p.edge_id = data_or_null<int32_t>(a.edge_id);
  p.node_mask = data_or_null<bool>(a.node_mask);
  if (a.dropout > 0) {
    // Words below dropout * 2^32 drop a weight.
    p.dropout_seed = data<int64_t>(*a.dropout_seed);
    p.dropout_least = static_cast<uint64_t>(std::ceil(a.dropout * 0x1p32));
    p.dropout_scale = a.dropout < 1 ? static_cast<A>(1 / (1 - a.dropout)) : A{0};
  }
  return p;
}

std::tuple<Tensor, Tensor> forward(const GatArguments& a) {
  const DeviceGuard guard(a.x->get_device_index());
  Tensor out = new_tensor(*a.x, {a.batch(), a.targets(), a.heads(), a.width()}, a.type());
  Tensor lse = new_tensor(*a.x, {a.batch(), a.targets(), a.heads()}, accumulate_type(a.type()));
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::GatProblem<T> p = problem_of<T>(a);
    p.out = mutable_data<T>(out);
    p.lse = mutable_data<gpu::acc_t<T>>(lse);
    p.aligned = rows_at_16_bytes<T>(p.width, {p.x, p.out});
    Tensor parts;
    if (!gpu::gat_forward_fits_tile(p)) {
      const int64_t numbers = gpu::gat_part_numbers(p);
      p.chunk = samples_at_once(p, numbers);
      parts = new_scratch(*a.x, p, numbers);
      p.part = mutable_data<gpu::acc_t<T>>(parts);
    }
    gpu::gat_forward(p, current_stream(*a.x));
  });
  return {out, lse};
}

GatGradients backward(const GatArguments& a, const GatBackwardArguments& b) {
  const Tensor& x = *a.x;
  const DeviceGuard guard(x.get_device_index());
  const ScalarType type = a.type(), acc = accumulate_type(type);
  GatGradients out{new_tensor(x, {a.batch(), a.sources(), a.heads(), a.width()}, type),
                   new_tensor(x, {a.batch(), a.sources(), a.heads()}, type),
                   new_tensor(x, {a.batch(), a.targets(), a.heads()}, type),
                   new_tensor(x, {a.relations(), a.heads()}, type), std::nullopt};
  if (a.score_edge.has_value()) {
    out.score_edge = new_tensor(x, {a.batch(), a.edges(), a.heads()}, acc);
  }
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::GatProblem<T> p = problem_of<T>(a);
    p.t_rowptr = data<int32_t>(b.t_rowptr);
    p.t_target = data<int32_t>(b.t_target);
    p.t_edge = data<int32_t>(b.t_edge);
    p.grad_out = data<T>(b.grad_out);
    p.grad_lse = data_or_null<A>(b.grad_lse);
    p.grad_x = mutable_data<T>(out.x);
    p.grad_score_src = mutable_data<T>(out.score_src);
    p.grad_score_dst = mutable_data<T>(out.score_dst);
    p.grad_edge_bias = mutable_data<T>(out.edge_bias);
    if (out.score_edge.has_value()) p.grad_score_edge = mutable_data<A>(*out.score_edge);
    p.aligned = rows_at_16_bytes<T>(p.width, {p.x, p.grad_out, p.grad_x});
    Tensor parts, each_edge;
    if (!gpu::gat_backward_fits_tile(p)) {
      const int64_t numbers = gpu::gat_part_numbers(p);
      p.chunk = samples_at_once(p, std::max(numbers, 2 * p.edges));
      parts = new_scratch(x, p, numbers);
      p.part = mutable_data<A>(parts);
      each_edge = new_scratch(x, p, 2 * p.edges);
      p.edge = mutable_data<A>(each_edge);
    }
    Tensor bias = new_tensor(x, {p.batch, p.heads, gpu::gat_bias_parts(p), p.relations}, acc);
    p.bias_parts = mutable_data<A>(bias);
    gpu::gat_backward(p, current_stream(x));
  });
  return out;
}

Tensor weights(const GatArguments& a, const Tensor&) {
  const Tensor& like = a.score_src;
  const DeviceGuard guard(like.get_device_index());
  Tensor out = new_tensor(like, {a.batch(), a.edges(), a.heads()}, a.type());
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::GatProblem<T> p = problem_of<T>(a);
    const int64_t numbers = gpu::gat_part_numbers(p);
    p.chunk = samples_at_once(p, numbers);
    Tensor parts = new_scratch(like, p, numbers);
    p.part = mutable_data<gpu::acc_t<T>>(parts);
    gpu::gat_weights(p, mutable_data<T>(out), current_stream(like));
  });
  return out;
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  tedg::GatOps<tedg::forward, tedg::backward, tedg::weights>::implement(m);
}
