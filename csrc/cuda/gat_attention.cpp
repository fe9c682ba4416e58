// CUDA: gat_attention, its backward and its weights. The kernels are in kernels/gat_*.cu.
//
// Shapes and dtypes are checked here. Indices lie on the device, and reading them here would wait
// for it: the kernels check each one before they use it, and end the launch with an error.
#include <algorithm>

#include "support.h"

namespace tedg {
namespace {

constexpr int64_t kScratchBytes = int64_t{64} << 20;  // of the general path, an array

// The arguments that forward, backward and weights share, contiguous.
struct Arguments {
  Tensor x, score_src, score_dst, rowptr, col;
  OptionalTensor relation, edge_bias, node_mask;
  int64_t batch, sources, targets, edges, heads, width, relations;
  double slope;

  ScalarType type() const { return score_src.scalar_type(); }
};

// x may be absent.
Arguments checked_arguments(const OptionalTensor& x, const Tensor& score_src,
                            const Tensor& score_dst, const Tensor& rowptr, const Tensor& col,
                            const OptionalTensor& relation, const OptionalTensor& edge_bias,
                            const OptionalTensor& node_mask, double slope) {
  check_floating("score_src", score_src);
  const ScalarType type = score_src.scalar_type();
  check_dim("score_src", score_src, 3, "[B, N, H]");
  check_dim("score_dst", score_dst, 3, "[B, M, H]");
  const int64_t batch = score_src.size(0), sources = score_src.size(1);
  const int64_t heads = score_src.size(2), targets = score_dst.size(1);
  check_tensor("score_dst", score_dst, {batch, targets, heads}, type, score_src);
  int64_t width = 0, relations = 0;
  if (x.has_value()) {
    check_dim("x", *x, 4, "[B, N, H, D]");
    width = x->size(3);
    check_tensor("x", *x, {batch, sources, heads, width}, type, score_src);
  }
  check_dim("col", col, 1, "[E]");
  const int64_t edges = col.size(0);
  check_tensor("rowptr", rowptr, {targets + 1}, ScalarType::Int, score_src);
  check_tensor("col", col, {edges}, ScalarType::Int, score_src);
  if (edge_bias.has_value()) {
    if (!relation.has_value()) refuse("edge_bias needs relation, got none");
    check_dim("edge_bias", *edge_bias, 2, "[R, H]");
    relations = edge_bias->size(0);
    check_tensor("edge_bias", *edge_bias, {relations, heads}, type, score_src);
    check_tensor("relation", *relation, {edges}, ScalarType::Int, score_src);
  }
  check_optional("node_mask", node_mask, {batch, sources}, ScalarType::Bool, score_src);
  return {x.has_value() ? packed(*x) : score_src,
          packed(score_src),
          packed(score_dst),
          packed(rowptr),
          packed(col),
          edge_bias.has_value() ? packed(relation) : std::nullopt,
          packed(edge_bias),
          packed(node_mask),
          batch, sources, targets, edges, heads, width, relations, slope};
}

template <class T>
gpu::GatProblem<T> problem_of(const Arguments& a) {
  gpu::GatProblem<T> p{};
  p.batch = a.batch;
  p.sources = a.sources;
  p.targets = a.targets;
  p.edges = a.edges;
  p.heads = a.heads;
  p.width = a.width;
  p.relations = a.relations;
  p.rowptr = data<int32_t>(a.rowptr);
  p.col = data<int32_t>(a.col);
  p.relation = data_or_null<int32_t>(a.relation);
  p.x = data<T>(a.x);
  p.score_src = data<T>(a.score_src);
  p.score_dst = data<T>(a.score_dst);
  p.edge_bias = data_or_null<T>(a.edge_bias);
  p.node_mask = data_or_null<bool>(a.node_mask);
  p.slope = static_cast<gpu::acc_t<T>>(a.slope);
  return p;
}

bool at_16_bytes(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Samples whose weights fit the scratch memory; at least one.
template <class T>
int64_t samples_at_once(const gpu::GatProblem<T>& p) {
  const int64_t bytes = p.heads * p.edges * static_cast<int64_t>(sizeof(gpu::acc_t<T>));
  return std::max<int64_t>(1, std::min(p.batch, kScratchBytes / std::max<int64_t>(bytes, 1)));
}

std::tuple<Tensor, Tensor> gat_attention(
    const Tensor& x, const Tensor& score_src, const Tensor& score_dst, const Tensor& rowptr,
    const Tensor& col, const Tensor&, const Tensor&, const Tensor&, OptionalTensor relation,
    OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask) {
  const Arguments a = checked_arguments(x, score_src, score_dst, rowptr, col, relation,
                                        edge_bias, node_mask, negative_slope);
  const DeviceGuard guard(x.get_device_index());
  const ScalarType acc = accumulate_type(a.type());
  Tensor out = new_tensor(a.x, {a.batch, a.targets, a.heads, a.width}, a.type());
  Tensor lse = new_tensor(a.x, {a.batch, a.targets, a.heads}, acc);
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::GatProblem<T> p = problem_of<T>(a);
    p.out = mutable_data<T>(out);
    p.lse = mutable_data<A>(lse);
    p.aligned = at_16_bytes(p.x) && at_16_bytes(p.out) && p.width * sizeof(T) % 16 == 0;
    OptionalTensor scratch;
    if (!gpu::gat_forward_fits_tile(p)) {
      p.chunk = samples_at_once(p);
      scratch = new_tensor(a.x, {p.chunk, a.heads, a.edges}, acc);
      p.weight = mutable_data<A>(*scratch);
    }
    gpu::gat_forward(p, current_stream(a.x));
  });
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gat_attention_backward(
    const Tensor& grad_out, OptionalTensor grad_lse, const Tensor& x, const Tensor& score_src,
    const Tensor& score_dst, const Tensor& rowptr, const Tensor& col, const Tensor& t_rowptr,
    const Tensor& t_target, const Tensor& t_edge, OptionalTensor relation,
    OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask,
    const Tensor& lse) {
  const Arguments a = checked_arguments(x, score_src, score_dst, rowptr, col, relation,
                                        edge_bias, node_mask, negative_slope);
  const ScalarType acc = accumulate_type(a.type());
  check_tensor("grad_out", grad_out, {a.batch, a.targets, a.heads, a.width}, a.type(), x);
  check_optional("grad_lse", grad_lse, {a.batch, a.targets, a.heads}, acc, x);
  check_tensor("lse", lse, {a.batch, a.targets, a.heads}, acc, x);
  check_tensor("t_rowptr", t_rowptr, {a.sources + 1}, ScalarType::Int, x);
  check_tensor("t_target", t_target, {a.edges}, ScalarType::Int, x);
  check_tensor("t_edge", t_edge, {a.edges}, ScalarType::Int, x);
  const DeviceGuard guard(x.get_device_index());
  const Tensor grad = packed(grad_out), saved = packed(lse);
  const OptionalTensor by_lse = packed(grad_lse);
  const Tensor pointers = packed(t_rowptr), targets = packed(t_target), edges = packed(t_edge);

  Tensor grad_x = new_tensor(a.x, {a.batch, a.sources, a.heads, a.width}, a.type());
  Tensor grad_src = new_tensor(a.x, {a.batch, a.sources, a.heads}, a.type());
  Tensor grad_dst = new_tensor(a.x, {a.batch, a.targets, a.heads}, a.type());
  Tensor grad_bias = new_tensor(a.x, {a.relations, a.heads}, a.type());
  Tensor parts = new_tensor(a.x, {a.batch, a.heads, a.relations}, acc);
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::GatProblem<T> p = problem_of<T>(a);
    p.t_rowptr = data<int32_t>(pointers);
    p.t_target = data<int32_t>(targets);
    p.t_edge = data<int32_t>(edges);
    p.grad_out = data<T>(grad);
    p.grad_lse = data_or_null<A>(by_lse);
    p.lse = const_cast<A*>(data<A>(saved));
    p.grad_x = mutable_data<T>(grad_x);
    p.grad_score_src = mutable_data<T>(grad_src);
    p.grad_score_dst = mutable_data<T>(grad_dst);
    p.grad_edge_bias = mutable_data<T>(grad_bias);
    p.bias_parts = mutable_data<A>(parts);
    p.aligned = at_16_bytes(p.x) && at_16_bytes(p.grad_out) && at_16_bytes(p.grad_x) &&
                p.width * sizeof(T) % 16 == 0;
    OptionalTensor weight, dscore;
    if (!gpu::gat_backward_fits_tile(p)) {
      p.chunk = samples_at_once(p);
      weight = new_tensor(a.x, {p.chunk, a.heads, a.edges}, acc);
      dscore = new_tensor(a.x, {p.chunk, a.heads, a.edges}, acc);
      p.weight = mutable_data<A>(*weight);
      p.dscore = mutable_data<A>(*dscore);
    }
    gpu::gat_backward(p, current_stream(a.x));
  });
  return {grad_x, grad_src, grad_dst, grad_bias};
}

Tensor gat_attention_weights(const Tensor& score_src, const Tensor& score_dst,
                             const Tensor& lse, const Tensor& rowptr, const Tensor& col,
                             const Tensor& edge_id, OptionalTensor relation,
                             OptionalTensor edge_bias, double negative_slope,
                             OptionalTensor node_mask) {
  const Arguments a = checked_arguments(std::nullopt, score_src, score_dst, rowptr, col,
                                        relation, edge_bias, node_mask, negative_slope);
  check_tensor("lse", lse, {a.batch, a.targets, a.heads}, accumulate_type(a.type()), score_src);
  check_tensor("edge_id", edge_id, {a.edges}, ScalarType::Int, score_src);
  const DeviceGuard guard(score_src.get_device_index());
  const Tensor saved = packed(lse), places = packed(edge_id);
  Tensor out = new_tensor(a.score_src, {a.batch, a.edges, a.heads}, a.type());
  for_storage(a.type(), [&](auto zero) {
    using T = decltype(zero);
    using A = gpu::acc_t<T>;
    gpu::GatProblem<T> p = problem_of<T>(a);
    p.lse = const_cast<A*>(data<A>(saved));
    gpu::gat_weights(p, data<int32_t>(places), mutable_data<T>(out), current_stream(a.score_src));
  });
  return out;
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("gat_attention", TORCH_BOX(&tedg::gat_attention));
  m.impl("gat_attention_backward", TORCH_BOX(&tedg::gat_attention_backward));
  m.impl("gat_attention_weights", TORCH_BOX(&tedg::gat_attention_weights));
}
