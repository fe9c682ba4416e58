// CPU: build_graph and batch_graph, the arrays of a Graph from its edges, by counting.
//
// Two counting sorts, each stable: edges by target, then these by source. Both are one pass that
// counts and one that places.
#include <limits>

#include "graph.h"

namespace tedg {
namespace {

using Arrays = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

template <class Index>
const Index* data_of(const Tensor& tensor) {
  return static_cast<const Index*>(tensor.const_data_ptr());
}

// Counts into pointers [rows + 1], from place 1 on; each index checked.
template <class Index>
void count_rows(const char* name, const Index* index, int64_t edges, int64_t rows,
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

template <class Index>
Arrays arrays_of(const Index* source, const Index* target, int64_t edges, int64_t num_sources,
                 int64_t num_targets, const Tensor& like) {
  const auto make = [&](int64_t size) { return new_output(like, {size}, ScalarType::Int); };
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

void check_count(const char* name, int64_t count) {
  if (count < 0 || count >= kMost) refuse(name, " must be in [0, 2**31 - 1), got ", count);
}

Arrays build_graph(const Tensor& edge_index, int64_t num_sources, int64_t num_targets) {
  check_dim("edge_index", edge_index, 2, "[2, E]");
  const int64_t edges = edge_index.size(1);
  check_tensor("edge_index", edge_index, {2, edges}, ScalarType::Long, edge_index);
  if (edges >= kMost) {
    refuse("edge_index must have fewer than 2**31 - 1 edges, got ", edges);
  }
  check_count("num_sources", num_sources);
  check_count("num_targets", num_targets);
  const Tensor index = packed(edge_index);
  const int64_t* source = data_of<int64_t>(index);
  return arrays_of(source, source + edges, edges, num_sources, num_targets, index);
}

// ---- many graphs ------------------------------------------------------------------------------

// start [graphs + 1] is where each graph's part of `count` things begins.
void check_starts(const char* name, const int64_t* start, int64_t graphs, int64_t count) {
  bool rising = start[0] == 0 && start[graphs] == count;
  for (int64_t b = 0; b < graphs; ++b) rising &= start[b] <= start[b + 1];
  if (!rising) refuse(name, " must rise from 0 to ", count);
}

void check_node(const char* name, int32_t node, int64_t low, int64_t nodes, int64_t graph) {
  if (node < low || node >= nodes) {
    refuse(name, " must be in [", low, ", ", nodes, ") in graph ", graph, ", got ", node);
  }
}

Arrays batch_graph(const Tensor& node_start, const Tensor& edge_start, const Tensor& source,
                   const Tensor& target, int64_t nodes, int64_t num_shared) {
  check_dim("node_start", node_start, 1, "[B+1]");
  const int64_t graphs = node_start.size(0) - 1;
  if (graphs < 0) refuse("node_start must have shape [B+1], got [0]");
  check_tensor("node_start", node_start, {graphs + 1}, ScalarType::Long, node_start);
  check_tensor("edge_start", edge_start, {graphs + 1}, ScalarType::Long, node_start);
  check_dim("source", source, 1, "[E]");
  const int64_t edges = source.size(0);
  check_tensor("source", source, {edges}, ScalarType::Int, node_start);
  check_tensor("target", target, {edges}, ScalarType::Int, node_start);
  check_count("num_nodes", nodes);
  check_count("num_shared", num_shared);
  check_count("num_nodes + num_shared", nodes + num_shared);
  const Tensor node = packed(node_start), edge = packed(edge_start);
  const Tensor from = packed(source), to = packed(target);
  const int64_t *first = data_of<int64_t>(node), *begin = data_of<int64_t>(edge);
  check_starts("node_start", first, graphs, nodes);
  check_starts("edge_start", begin, graphs, edges);

  // The ends of every edge, numbered through: shared nodes come after those of all graphs.
  const int32_t *own_source = data_of<int32_t>(from), *own_target = data_of<int32_t>(to);
  std::vector<int32_t> ends(2 * edges);
  for (int64_t b = 0; b < graphs; ++b) {
    const int64_t size = first[b + 1] - first[b];
    for (int64_t k = begin[b]; k < begin[b + 1]; ++k) {
      check_node("source", own_source[k], -num_shared, size, b);
      check_node("target", own_target[k], 0, size, b);
      const int64_t j = own_source[k] < 0 ? nodes - 1 - own_source[k] : first[b] + own_source[k];
      ends[k] = static_cast<int32_t>(j);
      ends[edges + k] = static_cast<int32_t>(first[b] + own_target[k]);
    }
  }
  return arrays_of(ends.data(), ends.data() + edges, edges, nodes + num_shared, nodes, node);
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("build_graph", TORCH_BOX(&tedg::build_graph));
  m.impl("batch_graph", TORCH_BOX(&tedg::batch_graph));
}
