// CPU: concat_embedding and its backward.
#include <cstring>

#include "support.h"

namespace tedg {
namespace {

void store_as(const Tensor& out, const double* values) {
  void* p = out.mutable_data_ptr();
  for (int64_t i = 0; i < out.numel(); ++i) {
    switch (out.scalar_type()) {
      case ScalarType::Float: static_cast<float*>(p)[i] = static_cast<float>(values[i]); break;
      case ScalarType::Double: static_cast<double*>(p)[i] = values[i]; break;
      case ScalarType::BFloat16:
        static_cast<torch::headeronly::BFloat16*>(p)[i] = static_cast<float>(values[i]);
        break;
      default: static_cast<torch::headeronly::Half*>(p)[i] = static_cast<float>(values[i]);
    }
  }
}

EmbeddingProblem embedding_problem(const Tensor& index, const Tensor& table) {
  check_floating("table", table);
  check_dim("table", table, 2, "[classes, width]");
  check_dim("index", index, 2, "[B, S]");
  check_tensor("index", index, {index.size(0), index.size(1)}, ScalarType::Byte, table);
  EmbeddingProblem problem{};
  problem.count = index.size(1);
  problem.classes = table.size(0);
  problem.width = table.size(1);
  return problem;
}

void check_classes(const EmbeddingProblem& p, int64_t rows) {
  const int64_t count = rows * p.count;
  const int largest = kernels().embedding[kFloat32].largest(p.index, count);
  if (count > 0 && largest >= p.classes) {
    refuse("index must be in [0, ", p.classes, "), got ", largest);
  }
}

// count rows of a table to where they follow one another. A size known beforehand, as that of the
// default policy's embedding, saves a call a row.
template <int64_t kBytes>
void copy_rows(const char* table, int64_t bytes, const uint8_t* index, int64_t count, char* to) {
  const int64_t size = kBytes > 0 ? kBytes : bytes;
  for (int64_t i = 0; i < count; ++i, to += size) std::memcpy(to, table + index[i] * size, size);
}

Tensor concat_embedding(const Tensor& features_in, const Tensor& index_in, const Tensor& table_in) {
  EmbeddingProblem problem = embedding_problem(index_in, table_in);
  const int64_t rows = index_in.size(0);
  check_dim("features", features_in, 2, "[B, F]");
  check_tensor("features", features_in, {rows, features_in.size(1)}, table_in.scalar_type(),
               table_in);
  const Tensor features = packed(features_in), index = packed(index_in);
  const Tensor table = packed(table_in);
  problem.index = static_cast<const uint8_t*>(index.const_data_ptr());
  check_classes(problem, rows);
  const int64_t stride = features.size(1) + problem.count * problem.width;
  const Tensor out = new_output(table, {rows, stride}, table.scalar_type());
  const int64_t bytes = table.element_size(), row_bytes = problem.width * bytes;
  const char* beside = static_cast<const char*>(features.const_data_ptr());
  const char* from = static_cast<const char*>(table.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const auto copy = row_bytes == 16 ? copy_rows<16> : copy_rows<0>;
  parallel(rows, 2.0 * problem.count, [&](int64_t begin, int64_t end) {
    const int64_t kept = features.size(1) * bytes;
    for (int64_t r = begin; r < end; ++r) {
      char* at = to + r * stride * bytes;
      if (kept > 0) std::memcpy(at, beside + r * kept, kept);
      at += kept;
      if (row_bytes == 0) continue;
      copy(from, row_bytes, problem.index + r * problem.count, problem.count, at);
    }
  });
  return out;
}

Tensor concat_embedding_backward(const Tensor& grad_in, const Tensor& index_in,
                                 const Tensor& table) {
  EmbeddingProblem problem = embedding_problem(index_in, table);
  const int64_t rows = index_in.size(0), entries = problem.count * problem.width;
  check_dim("grad", grad_in, 2, "[B, F + S * width]");
  problem.stride = grad_in.size(1);
  problem.features = problem.stride - entries;
  if (problem.features < 0) {
    refuse("grad must have at least ", entries, " columns, got ", problem.stride);
  }
  check_tensor("grad", grad_in, {rows, problem.stride}, table.scalar_type(), table);
  const Tensor grad = packed(grad_in), index = packed(index_in);
  problem.index = static_cast<const uint8_t*>(index.const_data_ptr());
  check_classes(problem, rows);
  problem.grad = grad.const_data_ptr();
  const EmbeddingKernels& kernel = kernels().embedding[storage_of(table)];
  const auto sums = sum_blocks<64>(rows, problem.classes * problem.width, 2.0 * problem.count,
                                   kernel.scratch(problem) * accumulate_bytes(table),
                                   [&](int64_t begin, int64_t end, double* out, void* scratch) {
                                     kernel.backward(problem, begin, end, out, scratch);
                                   });
  Tensor grad_table = new_tensor(table, {problem.classes, problem.width}, table.scalar_type());
  store_as(grad_table, sums.data());
  return grad_table;
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("concat_embedding", TORCH_BOX(&tedg::concat_embedding));
  m.impl("concat_embedding_backward", TORCH_BOX(&tedg::concat_embedding_backward));
}
