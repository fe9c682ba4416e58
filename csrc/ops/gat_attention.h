// gat_attention and gat_attention_edges, their backwards and weights: what they take, the same on
// every device, and the ops themselves over what a device does.
#pragma once

#include "tensors.h"

namespace tedg {

// What forward, backward and weights share.
struct GatArguments {
  OptionalTensor x;  // weights have none
  Tensor score_src, score_dst, rowptr, col;
  OptionalTensor relation, edge_bias;
  double negative_slope;
  OptionalTensor node_mask, edge_id = {}, score_edge = {};
  double dropout = 0;
  OptionalTensor dropout_seed = {};

  ScalarType type() const { return score_src.scalar_type(); }
  int64_t batch() const { return score_src.size(0); }
  int64_t sources() const { return score_src.size(1); }
  int64_t targets() const { return score_dst.size(1); }
  int64_t heads() const { return score_src.size(2); }
  int64_t width() const { return x.has_value() ? x->size(3) : 0; }
  int64_t edges() const { return col.size(0); }
  int64_t relations() const { return edge_bias.has_value() ? edge_bias->size(0) : 0; }
  // From the scores of a sample's edges to the next one's; 0 where the samples share them.
  int64_t score_edge_stride() const {
    return score_edge.has_value() && score_edge->dim() == 3 ? edges() * heads() : 0;
  }

  // Checks shapes and dtypes, and makes the tensors contiguous.
  void check() {
    check_floating("score_src", score_src);
    check_dim("score_src", score_src, 3, "[B, N, H]");
    check_dim("score_dst", score_dst, 3, "[B, M, H]");
    check_tensor("score_dst", score_dst, {batch(), targets(), heads()}, type(), score_src);
    if (x.has_value()) {
      check_dim("x", *x, 4, "[B, N, H, D]");
      check_tensor("x", *x, {batch(), sources(), heads(), width()}, type(), score_src);
    }
    check_dim("col", col, 1, "[E]");
    check_tensor("rowptr", rowptr, {targets() + 1}, ScalarType::Int, score_src);
    check_tensor("col", col, {edges()}, ScalarType::Int, score_src);
    if (edge_bias.has_value()) {
      if (!relation.has_value()) refuse("edge_bias needs relation, got none");
      check_dim("edge_bias", *edge_bias, 2, "[R, H]");
      check_tensor("edge_bias", *edge_bias, {relations(), heads()}, type(), score_src);
      check_tensor("relation", *relation, {edges()}, ScalarType::Int, score_src);
    } else {
      relation = std::nullopt;
    }
    check_optional("node_mask", node_mask, {batch(), sources()}, ScalarType::Bool, score_src);
    if (score_edge.has_value()) {
      check_given("score_edge", *score_edge);
      if (score_edge->dim() == 2) {
        check_tensor("score_edge", *score_edge, {edges(), heads()}, accumulate_type(type()),
                     score_src);
      } else {
        check_tensor("score_edge", *score_edge, {batch(), edges(), heads()},
                     accumulate_type(type()), score_src);
      }
    }
    check_optional("edge_id", edge_id, {edges()}, ScalarType::Int, score_src);
    check_slope(negative_slope);
    check_dropout(dropout, dropout_seed, score_src);
    for (Tensor* tensor : {&score_src, &score_dst, &rowptr, &col}) *tensor = packed(*tensor);
    for (OptionalTensor* tensor : {&x, &relation, &edge_bias, &score_edge, &edge_id, &node_mask}) {
      *tensor = packed(*tensor);
    }
  }

  // The logarithm of the sum of exponentials of every row, as forward has returned it.
  void check_lse(Tensor& lse) const {
    check_tensor("lse", lse, {batch(), targets(), heads()}, accumulate_type(type()), score_src);
    lse = packed(lse);
  }
};

// What backward takes besides.
struct GatBackwardArguments {
  Tensor grad_out;
  OptionalTensor grad_lse;
  Tensor t_rowptr, t_target, t_edge, lse;

  // Checks shapes and dtypes, after those of `a`, and makes the tensors contiguous.
  void check(const GatArguments& a) {
    check_tensor("grad_out", grad_out, {a.batch(), a.targets(), a.heads(), a.width()}, a.type(),
                 a.score_src);
    check_optional("grad_lse", grad_lse, {a.batch(), a.targets(), a.heads()},
                   accumulate_type(a.type()), a.score_src);
    a.check_lse(lse);
    check_tensor("t_rowptr", t_rowptr, {a.sources() + 1}, ScalarType::Int, a.score_src);
    check_tensor("t_target", t_target, {a.edges()}, ScalarType::Int, a.score_src);
    check_tensor("t_edge", t_edge, {a.edges()}, ScalarType::Int, a.score_src);
    for (Tensor* tensor : {&grad_out, &t_rowptr, &t_target, &t_edge}) *tensor = packed(*tensor);
    grad_lse = packed(grad_lse);
  }
};

struct GatGradients {
  Tensor x, score_src, score_dst, edge_bias;
  OptionalTensor score_edge;  // where there is a score_edge
};

// The six ops, of a device that does, with checked arguments:
//   std::tuple<Tensor, Tensor> forward(const GatArguments&), out and lse;
//   GatGradients backward(const GatArguments&, const GatBackwardArguments&);
//   Tensor weights(const GatArguments&, const Tensor& lse).
template <auto forward, auto backward, auto weights>
struct GatOps {
  static std::tuple<Tensor, Tensor> checked_forward(GatArguments a) {
    a.check();
    return forward(a);
  }

  static GatGradients checked_backward(GatArguments a, GatBackwardArguments b) {
    a.check();
    b.check(a);
    return backward(a, b);
  }

  static Tensor checked_weights(GatArguments a, Tensor lse) {
    a.check();
    a.check_lse(lse);
    return weights(a, lse);
  }

  static std::tuple<Tensor, Tensor> attention(const Tensor& x, const Tensor& score_src,
                                              const Tensor& score_dst, const Tensor& rowptr,
                                              const Tensor& col, const Tensor&, const Tensor&,
                                              const Tensor&, OptionalTensor relation,
                                              OptionalTensor edge_bias, double negative_slope,
                                              OptionalTensor node_mask) {
    return checked_forward(GatArguments(x, score_src, score_dst, rowptr, col, relation, edge_bias,
                                        negative_slope, node_mask));
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor> attention_backward(
      const Tensor& grad_out, OptionalTensor grad_lse, const Tensor& x, const Tensor& score_src,
      const Tensor& score_dst, const Tensor& rowptr, const Tensor& col, const Tensor& t_rowptr,
      const Tensor& t_target, const Tensor& t_edge, OptionalTensor relation,
      OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask,
      const Tensor& lse) {
    const GatGradients grads =
        checked_backward(GatArguments(x, score_src, score_dst, rowptr, col, relation, edge_bias,
                                      negative_slope, node_mask),
                         GatBackwardArguments(grad_out, grad_lse, t_rowptr, t_target, t_edge, lse));
    return {grads.x, grads.score_src, grads.score_dst, grads.edge_bias};
  }

  static Tensor attention_weights(const Tensor& score_src, const Tensor& score_dst,
                                  const Tensor& lse, const Tensor& rowptr, const Tensor& col,
                                  const Tensor& edge_id, OptionalTensor relation,
                                  OptionalTensor edge_bias, double negative_slope,
                                  OptionalTensor node_mask) {
    return checked_weights(GatArguments(std::nullopt, score_src, score_dst, rowptr, col, relation,
                                        edge_bias, negative_slope, node_mask, edge_id),
                           lse);
  }

  static std::tuple<Tensor, Tensor> attention_edges(
      const Tensor& x, const Tensor& score_src, const Tensor& score_dst, OptionalTensor score_edge,
      const Tensor& rowptr, const Tensor& col, const Tensor& edge_id, const Tensor&, const Tensor&,
      const Tensor&, OptionalTensor relation, OptionalTensor edge_bias, double negative_slope,
      OptionalTensor node_mask, double dropout_p, OptionalTensor dropout_seed) {
    return checked_forward(GatArguments(x, score_src, score_dst, rowptr, col, relation, edge_bias,
                                        negative_slope, node_mask, edge_id, score_edge, dropout_p,
                                        dropout_seed));
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_edges_backward(
      const Tensor& grad_out, OptionalTensor grad_lse, const Tensor& x, const Tensor& score_src,
      const Tensor& score_dst, OptionalTensor score_edge, const Tensor& rowptr, const Tensor& col,
      const Tensor& edge_id, const Tensor& t_rowptr, const Tensor& t_target, const Tensor& t_edge,
      OptionalTensor relation, OptionalTensor edge_bias, double negative_slope,
      OptionalTensor node_mask, double dropout_p, OptionalTensor dropout_seed, const Tensor& lse) {
    const GatGradients grads = checked_backward(
        GatArguments(x, score_src, score_dst, rowptr, col, relation, edge_bias, negative_slope,
                     node_mask, edge_id, score_edge, dropout_p, dropout_seed),
        GatBackwardArguments(grad_out, grad_lse, t_rowptr, t_target, t_edge, lse));
    const auto none = [&] { return new_tensor(x, {0}, accumulate_type(x.scalar_type())); };
    return {grads.x, grads.score_src, grads.score_dst, grads.edge_bias,
            grads.score_edge.has_value() ? *grads.score_edge : none()};
  }

  static Tensor attention_edges_weights(const Tensor& score_src, const Tensor& score_dst,
                                        OptionalTensor score_edge, const Tensor& lse,
                                        const Tensor& rowptr, const Tensor& col,
                                        const Tensor& edge_id, OptionalTensor relation,
                                        OptionalTensor edge_bias, double negative_slope,
                                        OptionalTensor node_mask, double dropout_p,
                                        OptionalTensor dropout_seed) {
    return checked_weights(
        GatArguments(std::nullopt, score_src, score_dst, rowptr, col, relation, edge_bias,
                     negative_slope, node_mask, edge_id, score_edge, dropout_p, dropout_seed),
        lse);
  }

  static void implement(torch::stable::detail::StableLibrary& m) {
    m.impl("gat_attention", TORCH_BOX(&attention));
    m.impl("gat_attention_backward", TORCH_BOX(&attention_backward));
    m.impl("gat_attention_weights", TORCH_BOX(&attention_weights));
    m.impl("gat_attention_edges", TORCH_BOX(&attention_edges));
    m.impl("gat_attention_edges_backward", TORCH_BOX(&attention_edges_backward));
    m.impl("gat_attention_edges_weights", TORCH_BOX(&attention_edges_weights));
  }
};

}  // namespace tedg
