// CPU: build_graph, the arrays of a Graph from its edges, by counting.
//
// Two counting sorts, each stable: edges by target, then these by source. Both are one pass that
// counts and one that places.
#include <limits>

#include "graph.h"

namespace tedg {
namespace {

// Counts into pointers [rows + 1], from place 1 on; each index checked.
void count_rows(const char* name, const int64_t* index, int64_t edges, int64_t rows,
                int32_t* pointers) {
  std::fill(pointers, pointers + rows + 1, 0);
  for (int64_t k = 0; k < edges; ++k) {
    if (static_cast<uint64_t>(index[k]) >= static_cast<uint64_t>(rows)) {
      refuse(name, " must be in [0, ", rows, "), got ", index[k]);
    }
    ++pointers[index[k] + 1];
  }
  for (int64_t i = 0; i < rows; ++i) pointers[i + 1] += pointers[i];
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> build_graph(const Tensor& edge_index,
                                                                       int64_t num_sources,
                                                                       int64_t num_targets) {
  check_dim("edge_index", edge_index, 2, "[2, E]");
  const int64_t edges = edge_index.size(1);
  check_tensor("edge_index", edge_index, {2, edges}, ScalarType::Long, edge_index);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (edges >= kMost) {
    refuse("edge_index must have fewer than 2**31 - 1 edges, got ", edges);
  }
  const auto check_count = [](const char* name, int64_t count) {
    if (count < 0 || count >= kMost) refuse(name, " must be in [0, 2**31 - 1), got ", count);
  };
  check_count("num_sources", num_sources);
  check_count("num_targets", num_targets);

  const Tensor index = packed(edge_index);
  const int64_t* source = static_cast<const int64_t*>(index.const_data_ptr());
  const int64_t* target = source + edges;
  const auto make = [&](int64_t size) { return new_output(index, {size}, ScalarType::Int); };
  Tensor rowptr = make(num_targets + 1), col = make(edges), edge_id = make(edges);
  Tensor t_rowptr = make(num_sources + 1), t_target = make(edges), t_edge = make(edges);
  const auto data = [](const Tensor& tensor) {
    return static_cast<int32_t*>(tensor.mutable_data_ptr());
  };
  int32_t *row = data(rowptr), *from = data(col), *id = data(edge_id);
  int32_t *t_row = data(t_rowptr), *to = data(t_target), *edge = data(t_edge);

  count_rows("edge_index[0] (sources)", source, edges, num_sources, t_row);
  count_rows("edge_index[1] (targets)", target, edges, num_targets, row);
  std::vector<int32_t> next(row, row + num_targets);
  for (int64_t k = 0; k < edges; ++k) {
    const int32_t place = next[target[k]]++;
    from[place] = static_cast<int32_t>(source[k]);
    id[place] = static_cast<int32_t>(k);
  }
  next.assign(t_row, t_row + num_sources);
  for (int64_t i = 0; i < num_targets; ++i) {
    for (int32_t k = row[i]; k < row[i + 1]; ++k) {
      const int32_t place = next[from[k]]++;
      to[place] = static_cast<int32_t>(i);
      edge[place] = k;
    }
  }
  return {rowptr, col, edge_id, t_rowptr, t_target, t_edge};
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) { m.impl("build_graph", TORCH_BOX(&tedg::build_graph)); }
