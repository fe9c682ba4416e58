// CUDA: gat_attention and gat_attention_edges, their backwards and weights. The kernels are in
// kernels/gat_*.cu.
//
// Shapes and dtypes are checked here. Indices lie on the device, and reading them here would wait
// for it: the kernels check each one before they use it, and end the launch with an error.
#include <cmath>

#include "graph.h"

namespace tedg {
namespace {

// What forward, backward and weights share.
struct Arguments {
  OptionalTensor x = {};  // weights have none
  Tensor score_src = {}, score_dst = {}, rowptr = {}, col = {};
  OptionalTensor relation = {}, edge_bias = {}, score_edge = {}, edge_id = {}, node_mask = {};
  double negative_slope = 0;
  double dropout = 0;
  OptionalTensor dropout_seed = {};

  ScalarType type() const { return score_src.scalar_type(); }
};

// Sizes alone are set, of a problem of no type yet; the arguments are made contiguous.
gpu::GatProblem<float> checked(Arguments& a) {
  gpu::GatProblem<float> p{};
  check_floating("score_src", a.score_src);
  const ScalarType type = a.type();
  const Tensor& like = a.score_src;
  check_dim("score_src", a.score_src, 3, "[B, N, H]");
  check_dim("score_dst", a.score_dst, 3, "[B, M, H]");
  p.batch = a.score_src.size(0);
  p.sources = a.score_src.size(1);
  p.heads = a.score_src.size(2);
  p.targets = a.score_dst.size(1);
  check_tensor("score_dst", a.score_dst, {p.batch, p.targets, p.heads}, type, like);
  if (a.x.has_value()) {
    check_dim("x", *a.x, 4, "[B, N, H, D]");
    p.width = a.x->size(3);
    check_tensor("x", *a.x, {p.batch, p.sources, p.heads, p.width}, type, like);
  }
  check_dim("col", a.col, 1, "[E]");
  p.edges = a.col.size(0);
  check_tensor("rowptr", a.rowptr, {p.targets + 1}, ScalarType::Int, like);
  check_tensor("col", a.col, {p.edges}, ScalarType::Int, like);
  if (a.edge_bias.has_value()) {
    if (!a.relation.has_value()) refuse("edge_bias needs relation, got none");
    check_dim("edge_bias", *a.edge_bias, 2, "[R, H]");
    p.relations = a.edge_bias->size(0);
    check_tensor("edge_bias", *a.edge_bias, {p.relations, p.heads}, type, like);
    check_tensor("relation", *a.relation, {p.edges}, ScalarType::Int, like);
  } else {
    a.relation = std::nullopt;
  }
  check_optional("node_mask", a.node_mask, {p.batch, p.sources}, ScalarType::Bool, like);
  if (a.score_edge.has_value()) {
    check_given("score_edge", *a.score_edge);
    if (a.score_edge->dim() == 2) {
      check_tensor("score_edge", *a.score_edge, {p.edges, p.heads}, accumulate_type(type), like);
    } else {
      check_tensor("score_edge", *a.score_edge, {p.batch, p.edges, p.heads},
                   accumulate_type(type), like);
      p.score_edge_stride = p.edges * p.heads;
    }
  }
  check_optional("edge_id", a.edge_id, {p.edges}, ScalarType::Int, like);
  check_slope(a.negative_slope);
  check_dropout(a.dropout, a.dropout_seed, like);

  for (Tensor* tensor : {&a.score_src, &a.score_dst, &a.rowptr, &a.col}) *tensor = packed(*tensor);
  for (OptionalTensor* tensor :
       {&a.x, &a.relation, &a.edge_bias, &a.score_edge, &a.edge_id, &a.node_mask}) {
    *tensor = packed(*tensor);
  }
  return p;
}

template <class T>
gpu::GatProblem<T> problem_of(const Arguments& a, const gpu::GatProblem<float>& sizes) {
  using A = gpu::acc_t<T>;
  gpu::GatProblem<T> p{};
  p.batch = sizes.batch;
  p.sources = sizes.sources;
  p.targets = sizes.targets;
  p.edges = sizes.edges;
  p.heads = sizes.heads;
  p.width = sizes.width;
  p.relations = sizes.relations;
  p.score_edge_stride = sizes.score_edge_stride;
  p.rowptr = data<int32_t>(a.rowptr);
  p.col = data<int32_t>(a.col);
  p.relation = data_or_null<int32_t>(a.relation);
  p.x = data_or_null<T>(a.x);
  p.score_src = data<T>(a.score_src);
  p.score_dst = data<T>(a.score_dst);
  p.edge_bias = data_or_null<T>(a.edge_bias);
  p.score_edge = data_or_null<A>(a.score_edge);
  p.edge_id = data_or_null<int32_t>(a.edge_id);
  p.node_mask = data_or_null<bool>(a.node_mask);
  p.slope = static_cast<A>(a.negative_slope);
  if (a.dropout > 0) {
    // Words below dropout * 2^32 drop a weight.
    p.dropout_seed = data<int64_t>(*a.dropout_seed);
    p.dropout_least = static_cast<uint64_t>(std::ceil(a.dropout * 0x1p32));
    p.dropout_scale = a.dropout < 1 ? static_cast<A>(1 / (1 - a.dropout)) : A{0};
  }
  return p;
}

std::tuple<Tensor, Tensor> forward(Arguments a) {
  if (!a.x.has_value()) refuse("x must be a tensor, got None");
  const auto sizes = checked(a);
  const DeviceGuard guard(a.x->get_device_index());
  Tensor out = new_tensor(*a.x, {sizes.batch, sizes.targets, sizes.heads, sizes.width}, a.type());
  Tensor lse = new_tensor(*a.x, {sizes.batch, sizes.targets, sizes.heads},
                          accumulate_type(a.type()));
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::GatProblem<T> p = problem_of<T>(a, sizes);
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

struct Gradients {
  Tensor x, score_src, score_dst, edge_bias, score_edge;
};

Gradients backward(Arguments a, const Tensor& grad_out, const OptionalTensor& grad_lse,
                   const Tensor& t_rowptr, const Tensor& t_target, const Tensor& t_edge,
                   const Tensor& lse) {
  if (!a.x.has_value()) refuse("x must be a tensor, got None");
  const auto sizes = checked(a);
  const Tensor& x = *a.x;
  const ScalarType type = a.type(), acc = accumulate_type(type);
  const int64_t batch = sizes.batch, sources = sizes.sources, targets = sizes.targets;
  const int64_t heads = sizes.heads, edges = sizes.edges;
  check_tensor("grad_out", grad_out, {batch, targets, heads, sizes.width}, type, x);
  check_optional("grad_lse", grad_lse, {batch, targets, heads}, acc, x);
  check_tensor("lse", lse, {batch, targets, heads}, acc, x);
  check_tensor("t_rowptr", t_rowptr, {sources + 1}, ScalarType::Int, x);
  check_tensor("t_target", t_target, {edges}, ScalarType::Int, x);
  check_tensor("t_edge", t_edge, {edges}, ScalarType::Int, x);
  const DeviceGuard guard(x.get_device_index());
  const Tensor grad = packed(grad_out);
  const OptionalTensor by_lse = packed(grad_lse);
  const Tensor pointers = packed(t_rowptr), t_targets = packed(t_target), places = packed(t_edge);

  const bool own = a.score_edge.has_value();
  Gradients out{new_tensor(x, {batch, sources, heads, sizes.width}, type),
                new_tensor(x, {batch, sources, heads}, type),
                new_tensor(x, {batch, targets, heads}, type),
                new_tensor(x, {sizes.relations, heads}, type),
                own ? new_tensor(x, {batch, edges, heads}, acc) : new_tensor(x, {0}, acc)};
  for_storage(type, [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::GatProblem<T> p = problem_of<T>(a, sizes);
    p.t_rowptr = data<int32_t>(pointers);
    p.t_target = data<int32_t>(t_targets);
    p.t_edge = data<int32_t>(places);
    p.grad_out = data<T>(grad);
    p.grad_lse = data_or_null<A>(by_lse);
    p.grad_x = mutable_data<T>(out.x);
    p.grad_score_src = mutable_data<T>(out.score_src);
    p.grad_score_dst = mutable_data<T>(out.score_dst);
    p.grad_edge_bias = mutable_data<T>(out.edge_bias);
    if (own) p.grad_score_edge = mutable_data<A>(out.score_edge);
    p.aligned = rows_at_16_bytes<T>(p.width, {p.x, p.grad_out, p.grad_x});
    Tensor parts, each_edge;
    if (!gpu::gat_backward_fits_tile(p)) {
      const int64_t numbers = gpu::gat_part_numbers(p);
      p.chunk = samples_at_once(p, std::max(numbers, 2 * edges));
      parts = new_scratch(x, p, numbers);
      p.part = mutable_data<A>(parts);
      each_edge = new_scratch(x, p, 2 * edges);
      p.edge = mutable_data<A>(each_edge);
    }
    Tensor bias = new_tensor(x, {batch, heads, gpu::gat_bias_parts(p), sizes.relations}, acc);
    p.bias_parts = mutable_data<A>(bias);
    gpu::gat_backward(p, current_stream(x));
  });
  return out;
}

Tensor weights(Arguments a, const Tensor& lse) {
  const auto sizes = checked(a);
  const Tensor& like = a.score_src;
  check_tensor("lse", lse, {sizes.batch, sizes.targets, sizes.heads}, accumulate_type(a.type()),
               like);
  const DeviceGuard guard(like.get_device_index());
  Tensor out = new_tensor(like, {sizes.batch, sizes.edges, sizes.heads}, a.type());
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::GatProblem<T> p = problem_of<T>(a, sizes);
    const int64_t numbers = gpu::gat_part_numbers(p);
    p.chunk = samples_at_once(p, numbers);
    Tensor parts = new_scratch(like, p, numbers);
    p.part = mutable_data<gpu::acc_t<T>>(parts);
    gpu::gat_weights(p, mutable_data<T>(out), current_stream(like));
  });
  return out;
}

// ---- the ops --------------------------------------------------------------------------------

std::tuple<Tensor, Tensor> gat_attention(
    const Tensor& x, const Tensor& score_src, const Tensor& score_dst, const Tensor& rowptr,
    const Tensor& col, const Tensor&, const Tensor&, const Tensor&, OptionalTensor relation,
    OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask) {
  return forward({.x = x, .score_src = score_src, .score_dst = score_dst, .rowptr = rowptr,
                  .col = col, .relation = relation, .edge_bias = edge_bias,
                  .node_mask = node_mask, .negative_slope = negative_slope});
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gat_attention_backward(
    const Tensor& grad_out, OptionalTensor grad_lse, const Tensor& x, const Tensor& score_src,
    const Tensor& score_dst, const Tensor& rowptr, const Tensor& col, const Tensor& t_rowptr,
    const Tensor& t_target, const Tensor& t_edge, OptionalTensor relation,
    OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask,
    const Tensor& lse) {
  const Gradients grads =
      backward({.x = x, .score_src = score_src, .score_dst = score_dst, .rowptr = rowptr,
                .col = col, .relation = relation, .edge_bias = edge_bias,
                .node_mask = node_mask, .negative_slope = negative_slope},
               grad_out, grad_lse, t_rowptr, t_target, t_edge, lse);
  return {grads.x, grads.score_src, grads.score_dst, grads.edge_bias};
}

Tensor gat_attention_weights(const Tensor& score_src, const Tensor& score_dst,
                             const Tensor& lse, const Tensor& rowptr, const Tensor& col,
                             const Tensor& edge_id, OptionalTensor relation,
                             OptionalTensor edge_bias, double negative_slope,
                             OptionalTensor node_mask) {
  return weights({.score_src = score_src, .score_dst = score_dst, .rowptr = rowptr, .col = col,
                  .relation = relation, .edge_bias = edge_bias, .edge_id = edge_id,
                  .node_mask = node_mask, .negative_slope = negative_slope},
                 lse);
}

std::tuple<Tensor, Tensor> gat_attention_edges(
    const Tensor& x, const Tensor& score_src, const Tensor& score_dst, OptionalTensor score_edge,
    const Tensor& rowptr, const Tensor& col, const Tensor& edge_id, const Tensor&, const Tensor&,
    const Tensor&, OptionalTensor relation, OptionalTensor edge_bias, double negative_slope,
    OptionalTensor node_mask, double dropout_p, OptionalTensor dropout_seed) {
  return forward({.x = x, .score_src = score_src, .score_dst = score_dst, .rowptr = rowptr,
                  .col = col, .relation = relation, .edge_bias = edge_bias,
                  .score_edge = score_edge, .edge_id = edge_id, .node_mask = node_mask,
                  .negative_slope = negative_slope, .dropout = dropout_p,
                  .dropout_seed = dropout_seed});
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gat_attention_edges_backward(
    const Tensor& grad_out, OptionalTensor grad_lse, const Tensor& x, const Tensor& score_src,
    const Tensor& score_dst, OptionalTensor score_edge, const Tensor& rowptr, const Tensor& col,
    const Tensor& edge_id, const Tensor& t_rowptr, const Tensor& t_target, const Tensor& t_edge,
    OptionalTensor relation, OptionalTensor edge_bias, double negative_slope,
    OptionalTensor node_mask, double dropout_p, OptionalTensor dropout_seed, const Tensor& lse) {
  const Gradients grads =
      backward({.x = x, .score_src = score_src, .score_dst = score_dst, .rowptr = rowptr,
                .col = col, .relation = relation, .edge_bias = edge_bias,
                .score_edge = score_edge, .edge_id = edge_id, .node_mask = node_mask,
                .negative_slope = negative_slope, .dropout = dropout_p,
                .dropout_seed = dropout_seed},
               grad_out, grad_lse, t_rowptr, t_target, t_edge, lse);
  return {grads.x, grads.score_src, grads.score_dst, grads.edge_bias, grads.score_edge};
}

Tensor gat_attention_edges_weights(
    const Tensor& score_src, const Tensor& score_dst, OptionalTensor score_edge,
    const Tensor& lse, const Tensor& rowptr, const Tensor& col, const Tensor& edge_id,
    OptionalTensor relation, OptionalTensor edge_bias, double negative_slope,
    OptionalTensor node_mask, double dropout_p, OptionalTensor dropout_seed) {
  return weights({.score_src = score_src, .score_dst = score_dst, .rowptr = rowptr, .col = col,
                  .relation = relation, .edge_bias = edge_bias, .score_edge = score_edge,
                  .edge_id = edge_id, .node_mask = node_mask,
                  .negative_slope = negative_slope, .dropout = dropout_p,
                  .dropout_seed = dropout_seed},
                 lse);
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("gat_attention", TORCH_BOX(&tedg::gat_attention));
  m.impl("gat_attention_backward", TORCH_BOX(&tedg::gat_attention_backward));
  m.impl("gat_attention_weights", TORCH_BOX(&tedg::gat_attention_weights));
  m.impl("gat_attention_edges", TORCH_BOX(&tedg::gat_attention_edges));
  m.impl("gat_attention_edges_backward", TORCH_BOX(&tedg::gat_attention_edges_backward));
  m.impl("gat_attention_edges_weights", TORCH_BOX(&tedg::gat_attention_edges_weights));
}
