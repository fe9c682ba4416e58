// What gatv2_scores and its backward take, the same on every device.
#pragma once

#include "tensors.h"

namespace tedg {

struct GatV2Arguments {
  Tensor x_src, x_dst, att;
  OptionalTensor x_edge;
  Tensor rowptr, col, edge_id, t_rowptr, t_target, t_edge;
  double negative_slope;

  int64_t batch() const { return x_src.size(0); }
  int64_t sources() const { return x_src.size(1); }
  int64_t targets() const { return x_dst.size(1); }
  int64_t heads() const { return x_src.size(2); }
  int64_t width() const { return x_src.size(3); }
  int64_t edges() const { return col.size(0); }

  // Checks shapes and dtypes, and makes the tensors contiguous.
  void check() {
    check_floating("x_src", x_src);
    check_dim("x_src", x_src, 4, "[B, N, H, D]");
    check_dim("x_dst", x_dst, 4, "[B, M, H, D]");
    check_dim("col", col, 1, "[E]");
    check_slope(negative_slope);
    const ScalarType type = x_src.scalar_type();
    check_tensor("x_dst", x_dst, {batch(), targets(), heads(), width()}, type, x_src);
    check_tensor("att", att, {heads(), width()}, type, x_src);
    check_optional("x_edge", x_edge, {edges(), heads(), width()}, type, x_src);
    check_tensor("rowptr", rowptr, {targets() + 1}, ScalarType::Int, x_src);
    check_tensor("col", col, {edges()}, ScalarType::Int, x_src);
    check_tensor("edge_id", edge_id, {edges()}, ScalarType::Int, x_src);
    check_tensor("t_rowptr", t_rowptr, {sources() + 1}, ScalarType::Int, x_src);
    check_tensor("t_target", t_target, {edges()}, ScalarType::Int, x_src);
    check_tensor("t_edge", t_edge, {edges()}, ScalarType::Int, x_src);
    for (Tensor* tensor :
         {&x_src, &x_dst, &att, &rowptr, &col, &edge_id, &t_rowptr, &t_target, &t_edge}) {
      *tensor = packed(*tensor);
    }
    x_edge = packed(x_edge);
  }
};

}  // namespace tedg
