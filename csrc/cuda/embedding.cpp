// CUDA: concat_embedding and its backward. The kernels are in kernels/embedding.cu; an index that
// the table does not have ends the launch.
#include "support.h"

namespace tedg {
namespace {

template <class T>
gpu::EmbeddingProblem<T> problem_of(const Tensor& index, const Tensor& table) {
  gpu::EmbeddingProblem<T> p{};
  p.rows = index.size(0);
  p.count = index.size(1);
  p.classes = table.size(0);
  p.width = table.size(1);
  p.index = data<uint8_t>(index);
  return p;
}

void check_arguments(const Tensor& index, const Tensor& table) {
  check_floating("table", table);
  check_dim("table", table, 2, "[classes, width]");
  check_dim("index", index, 2, "[B, S]");
  check_tensor("index", index, {index.size(0), index.size(1)}, ScalarType::Byte, table);
}

void check_columns(const char* name, int64_t columns) {
  if (columns < int64_t{1} << 31) return;
  refuse(name, " must have fewer than 2**31 columns, got ", columns);
}

Tensor concat_embedding(const Tensor& features_in, const Tensor& index_in, const Tensor& table_in) {
  check_arguments(index_in, table_in);
  const int64_t rows = index_in.size(0), entries = index_in.size(1) * table_in.size(1);
  check_dim("features", features_in, 2, "[B, F]");
  check_tensor("features", features_in, {rows, features_in.size(1)}, table_in.scalar_type(),
               table_in);
  check_columns("the result", features_in.size(1) + entries);
  const DeviceGuard guard(table_in.get_device_index());
  const Tensor features = packed(features_in), index = packed(index_in), table = packed(table_in);
  Tensor out = new_tensor(table, {rows, features.size(1) + entries}, table.scalar_type());
  for_storage(table.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::EmbeddingProblem<T> p = problem_of<T>(index, table);
    p.features = features.size(1);
    p.beside = data<T>(features);
    p.table = data<T>(table);
    p.out = mutable_data<T>(out);
    gpu::concat_embedding(p, current_stream(table));
  });
  return out;
}

Tensor concat_embedding_backward(const Tensor& grad_in, const Tensor& index_in,
                                 const Tensor& table) {
  check_arguments(index_in, table);
  const int64_t rows = index_in.size(0), entries = index_in.size(1) * table.size(1);
  check_dim("grad", grad_in, 2, "[B, F + S * width]");
  if (grad_in.size(1) < entries) {
    refuse("grad must have at least ", entries, " columns, got ", grad_in.size(1));
  }
  check_tensor("grad", grad_in, {rows, grad_in.size(1)}, table.scalar_type(), table);
  const DeviceGuard guard(table.get_device_index());
  const Tensor grad = packed(grad_in), index = packed(index_in);
  Tensor grad_table = new_tensor(table, {table.size(0), table.size(1)}, table.scalar_type());
  for_storage(table.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gpu::EmbeddingProblem<T> p = problem_of<T>(index, table);
    p.features = grad.size(1) - entries;
    p.grad = data<T>(grad);
    p.grad_table = mutable_data<T>(grad_table);
    Tensor parts =
        new_tensor(table, {p.named() * p.width, p.runs()}, accumulate_type(table.scalar_type()));
    p.parts = mutable_data<gpu::acc_t<T>>(parts);
    gpu::concat_embedding_backward(p, current_stream(table));
  });
  return grad_table;
}

}  // namespace
}  // namespace tedg

TEDG_LIBRARY_IMPL(TEDG_DISPATCH_KEY) {
  m.impl("concat_embedding", TORCH_BOX(&tedg::concat_embedding));
  m.impl("concat_embedding_backward", TORCH_BOX(&tedg::concat_embedding_backward));
}
