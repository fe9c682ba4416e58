// CPU: gat_attention, its backward and its weights.
//
// A unit of work is one head of one sample, or, where there are few of those for the threads, a
// run of targets (sources) of it that holds its share of the edges, not of the rows: degrees
// differ by hundreds.
#include "support.h"

namespace tedg {
namespace {

// The tensors of a problem, contiguous, kept alive while its pointers are in use.
struct GatTensors {
  Tensor x, score_src, score_dst;
  Tensor rowptr, col;
  OptionalTensor relation, edge_bias, node_mask;
};

void check_pointers(const char* name, const int32_t* pointers, int64_t rows, int64_t edges) {
  bool rising = pointers[0] == 0 && pointers[rows] == edges;
  for (int64_t i = 0; i < rows; ++i) rising &= pointers[i] <= pointers[i + 1];
  if (!rising) refuse(name, " must rise from 0 to the number of edges, ", edges);
}

void check_indices(const char* name, const int32_t* index, int64_t count, int64_t size) {
  uint32_t largest = 0;  // a negative index is huge as an unsigned number
  for (int64_t k = 0; k < count; ++k) {
    largest = std::max(largest, static_cast<uint32_t>(index[k]));
  }
  if (count > 0 && largest >= static_cast<uint64_t>(size)) {
    refuse(name, " must be in [0, ", size, "), got ", static_cast<int32_t>(largest));
  }
}

const int32_t* int_data(const Tensor& tensor) {
  return static_cast<const int32_t*>(tensor.const_data_ptr());
}

// Shapes, dtypes and indices of all that forward, backward and weights share; x may be absent.
GatTensors checked(const OptionalTensor& x, const Tensor& score_src, const Tensor& score_dst,
                   const Tensor& rowptr, const Tensor& col, const OptionalTensor& relation,
                   const OptionalTensor& edge_bias, const OptionalTensor& node_mask,
                   GatProblem& p) {
  check_floating("score_src", score_src);
  const ScalarType type = score_src.scalar_type();
  check_dim("score_src", score_src, 3, "[B, N, H]");
  check_dim("score_dst", score_dst, 3, "[B, M, H]");
  p.batch = score_src.size(0);
  p.sources = score_src.size(1);
  p.heads = score_src.size(2);
  p.targets = score_dst.size(1);
  check_tensor("score_dst", score_dst, {p.batch, p.targets, p.heads}, type, score_src);
  if (x.has_value()) {
    check_dim("x", *x, 4, "[B, N, H, D]");
    p.width = x->size(3);
    check_tensor("x", *x, {p.batch, p.sources, p.heads, p.width}, type, score_src);
  }
  check_dim("col", col, 1, "[E]");
  p.edges = col.size(0);
  check_tensor("rowptr", rowptr, {p.targets + 1}, ScalarType::Int, score_src);
  check_tensor("col", col, {p.edges}, ScalarType::Int, score_src);
  if (edge_bias.has_value()) {
    if (!relation.has_value()) refuse("edge_bias needs relation, got none");
    check_dim("edge_bias", *edge_bias, 2, "[R, H]");
    p.relations = edge_bias->size(0);
    check_tensor("edge_bias", *edge_bias, {p.relations, p.heads}, type, score_src);
    check_tensor("relation", *relation, {p.edges}, ScalarType::Int, score_src);
  }
  check_optional("node_mask", node_mask, {p.batch, p.sources}, ScalarType::Bool, score_src);

  GatTensors kept{x.has_value() ? packed(*x) : score_src,
                  packed(score_src),
                  packed(score_dst),
                  packed(rowptr),
                  packed(col),
                  edge_bias.has_value() ? packed(relation) : std::nullopt,
                  packed(edge_bias),
                  packed(node_mask)};
  p.x = kept.x.const_data_ptr();
  p.score_src = kept.score_src.const_data_ptr();
  p.score_dst = kept.score_dst.const_data_ptr();
  p.rowptr = int_data(kept.rowptr);
  p.col = int_data(kept.col);
  p.relation = static_cast<const int32_t*>(data_or_null(kept.relation));
  p.edge_bias = data_or_null(kept.edge_bias);
  p.node_mask = static_cast<const bool*>(data_or_null(kept.node_mask));
  check_pointers("rowptr", p.rowptr, p.targets, p.edges);
  check_indices("col", p.col, p.edges, p.sources);
  if (p.relation != nullptr) check_indices("relation", p.relation, p.edges, p.relations);
  return kept;
}

double unit_work(const GatProblem& p) {
  return 3.0 * p.edges + 0.1 * p.edges * p.width + p.targets + p.sources;
}

// How many runs of rows to cut each (sample, head) into.
int64_t runs_of(const GatProblem& p) {
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t units = p.batch * p.heads;
  if (units == 0 || threads <= 1 || units >= 4 * threads) return 1;
  const int64_t affordable = static_cast<int64_t>(unit_work(p) / 20000) + 1;
  return std::min((4 * threads + units - 1) / units, affordable);
}

// Where run r of `runs` begins, so that each has about as many edges and rows as the others.
int64_t run_begin(const int32_t* pointers, int64_t rows, int64_t r, int64_t runs) {
  if (r == runs) return rows;
  const int64_t wanted = (pointers[rows] + rows) * r / runs;
  int64_t low = 0, high = rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (pointers[middle] + middle < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::tuple<Tensor, Tensor> gat_attention(
    const Tensor& x, const Tensor& score_src, const Tensor& score_dst, const Tensor& rowptr,
    const Tensor& col, const Tensor&, const Tensor&, const Tensor&, OptionalTensor relation,
    OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask) {
  GatProblem p{};
  const GatTensors kept =
      checked(x, score_src, score_dst, rowptr, col, relation, edge_bias, node_mask, p);
  p.negative_slope = negative_slope;
  const ScalarType type = kept.x.scalar_type();
  Tensor out = new_output(kept.x, {p.batch, p.targets, p.heads, p.width}, type);
  Tensor lse = new_tensor(kept.x, {p.batch, p.targets, p.heads}, accumulate_type(type));
  p.out = out.mutable_data_ptr();
  p.lse = lse.mutable_data_ptr();
  const GatKernels& kernel = kernels().gat[storage_of(kept.x)];
  const int64_t runs = runs_of(p);
  parallel(p.batch * p.heads * runs, unit_work(p) / runs, [&](int64_t first, int64_t last) {
    Scratch scratch(kernel.scratch(p) * accumulate_bytes(kept.x));
    for (int64_t unit = first; unit < last; ++unit) {
      const int64_t head = unit / runs, run = unit % runs;
      kernel.forward(p, head / p.heads, head % p.heads,
                     run_begin(p.rowptr, p.targets, run, runs),
                     run_begin(p.rowptr, p.targets, run + 1, runs), scratch.get());
    }
  });
  return {out, lse};
}

// The sum over the parts [count, H, R], in order, as [R, H] of type A.
template <class A>
void sum_bias(const std::vector<double>& parts, int64_t heads, int64_t relations, Tensor& out) {
  std::vector<double> sums(relations * heads);
  for (size_t at = 0; at < parts.size(); at += sums.size()) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t r = 0; r < relations; ++r) {
        sums[r * heads + h] += parts[at + h * relations + r];
      }
    }
  }
  A* to = static_cast<A*>(out.mutable_data_ptr());
  for (size_t i = 0; i < sums.size(); ++i) to[i] = static_cast<A>(sums[i]);
}

// The gradients, given a problem whose pointers are set, but for those of edge_bias: returned
// as parts [B * runs, H, R], one for each unit of the first walk.
template <class A>
std::vector<double> walk_backward(const GatProblem& p, const GatKernels& kernel) {
  const int64_t heads = p.batch * p.heads;
  const int64_t runs = runs_of(p);
  std::vector<double> bias(p.edge_bias == nullptr ? 0 : heads * runs * p.relations);
  const auto targets = [&](int64_t head, int64_t run, A* weight, A* dscore, void* scratch) {
    const int64_t b = head / p.heads, h = head % p.heads;
    double* part = bias.empty() ? nullptr
                                : &bias[((b * runs + run) * p.heads + h) * p.relations];
    kernel.backward_targets(p, b, h, run_begin(p.rowptr, p.targets, run, runs),
                            run_begin(p.rowptr, p.targets, run + 1, runs), weight, dscore, part,
                            scratch);
  };
  const auto sources = [&](int64_t head, int64_t run, const A* weight, const A* dscore) {
    kernel.backward_sources(p, head / p.heads, head % p.heads,
                            run_begin(p.t_rowptr, p.sources, run, runs),
                            run_begin(p.t_rowptr, p.sources, run + 1, runs), weight, dscore);
  };
  const size_t scratch_bytes = kernel.scratch(p) * sizeof(A);
  if (runs == 1) {  // both walks of a unit on one thread, while its features are in the cache
    parallel(heads, 3 * unit_work(p), [&](int64_t first, int64_t last) {
      Scratch scratch(scratch_bytes);
      Scratch edges(2 * sizeof(A) * p.edges);
      A* weight = static_cast<A*>(edges.get());
      for (int64_t head = first; head < last; ++head) {
        targets(head, 0, weight, weight + p.edges, scratch.get());
        sources(head, 0, weight, weight + p.edges);
      }
    });
    return bias;
  }
  // Few units: the second walk needs the first one's weights of all runs.
  std::vector<A> edges(2 * heads * p.edges);
  const auto of = [&](int64_t head) { return edges.data() + 2 * head * p.edges; };
  parallel(heads * runs, 2 * unit_work(p) / runs, [&](int64_t first, int64_t last) {
    Scratch scratch(scratch_bytes);
    for (int64_t unit = first; unit < last; ++unit) {
      A* weight = of(unit / runs);
      targets(unit / runs, unit % runs, weight, weight + p.edges, scratch.get());
    }
  });
  parallel(heads * runs, unit_work(p) / runs, [&](int64_t first, int64_t last) {
    for (int64_t unit = first; unit < last; ++unit) {
      const A* weight = of(unit / runs);
      sources(unit / runs, unit % runs, weight, weight + p.edges);
    }
  });
  return bias;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gat_attention_backward(
    const Tensor& grad_out, OptionalTensor grad_lse, const Tensor& x, const Tensor& score_src,
    const Tensor& score_dst, const Tensor& rowptr, const Tensor& col, const Tensor& t_rowptr,
    const Tensor& t_target, const Tensor& t_edge, OptionalTensor relation,
    OptionalTensor edge_bias, double negative_slope, OptionalTensor node_mask,
    const Tensor& lse) {
  GatProblem p{};
  const GatTensors kept =
      checked(x, score_src, score_dst, rowptr, col, relation, edge_bias, node_mask, p);
  p.negative_slope = negative_slope;
  const ScalarType type = kept.x.scalar_type();
  const ScalarType acc = accumulate_type(type);
  check_tensor("grad_out", grad_out, {p.batch, p.targets, p.heads, p.width}, type, x);
  check_optional("grad_lse", grad_lse, {p.batch, p.targets, p.heads}, acc, x);
  check_tensor("lse", lse, {p.batch, p.targets, p.heads}, acc, x);
  check_tensor("t_rowptr", t_rowptr, {p.sources + 1}, ScalarType::Int, x);
  check_tensor("t_target", t_target, {p.edges}, ScalarType::Int, x);
  check_tensor("t_edge", t_edge, {p.edges}, ScalarType::Int, x);
  const Tensor grad = packed(grad_out), saved = packed(lse);
  const OptionalTensor by_lse = packed(grad_lse);
  const Tensor pointers = packed(t_rowptr), targets = packed(t_target),
               edges = packed(t_edge);
  p.t_rowptr = int_data(pointers);
  p.t_target = int_data(targets);
  p.t_edge = int_data(edges);
  check_pointers("t_rowptr", p.t_rowptr, p.sources, p.edges);
  check_indices("t_target", p.t_target, p.edges, p.targets);
  check_indices("t_edge", p.t_edge, p.edges, p.edges);

  Tensor grad_x = new_output(kept.x, {p.batch, p.sources, p.heads, p.width}, type);
  Tensor grad_src = new_tensor(kept.x, {p.batch, p.sources, p.heads}, type);
  Tensor grad_dst = new_tensor(kept.x, {p.batch, p.targets, p.heads}, type);
  Tensor grad_bias = new_tensor(kept.x, {p.relations, p.heads}, acc);
  p.grad_out = grad.const_data_ptr();
  p.grad_lse = data_or_null(by_lse);
  p.lse = const_cast<void*>(saved.const_data_ptr());
  p.grad_x = grad_x.mutable_data_ptr();
  p.grad_score_src = grad_src.mutable_data_ptr();
  p.grad_score_dst = grad_dst.mutable_data_ptr();
  const GatKernels& kernel = kernels().gat[storage_of(kept.x)];
  const auto run = [&](auto zero) {
    using A = decltype(zero);
    sum_bias<A>(walk_backward<A>(p, kernel), p.heads, p.relations, grad_bias);
  };
  acc == ScalarType::Double ? run(double{}) : run(float{});
  if (acc != type) grad_bias = torch::stable::to(grad_bias, type);
  return {grad_x, grad_src, grad_dst, grad_bias};
}

Tensor gat_attention_weights(const Tensor& score_src, const Tensor& score_dst,
                             const Tensor& lse, const Tensor& rowptr, const Tensor& col,
                             const Tensor& edge_id, OptionalTensor relation,
                             OptionalTensor edge_bias, double negative_slope,
                             OptionalTensor node_mask) {
  GatProblem p{};
  const GatTensors kept = checked(std::nullopt, score_src, score_dst, rowptr, col, relation,
                                  edge_bias, node_mask, p);
  p.negative_slope = negative_slope;
  const ScalarType type = kept.score_src.scalar_type();
  check_tensor("lse", lse, {p.batch, p.targets, p.heads}, accumulate_type(type), score_src);
  check_tensor("edge_id", edge_id, {p.edges}, ScalarType::Int, score_src);
  const Tensor saved = packed(lse), places = packed(edge_id);
  check_indices("edge_id", int_data(places), p.edges, p.edges);
  p.lse = const_cast<void*>(saved.const_data_ptr());
  Tensor out = new_output(kept.score_src, {p.batch, p.edges, p.heads}, type);
  void* to = out.mutable_data_ptr();
  const GatKernels& kernel = kernels().gat[storage_of(kept.score_src)];
  parallel(p.batch * p.heads, unit_work(p), [&](int64_t first, int64_t last) {
    Scratch scratch(kernel.scratch(p) * accumulate_bytes(kept.score_src));
    for (int64_t head = first; head < last; ++head) {
      kernel.weights(p, head / p.heads, head % p.heads, int_data(places), to, scratch.get());
    }
  });
  return out;
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("gat_attention", TORCH_BOX(&tedg::gat_attention));
  m.impl("gat_attention_backward", TORCH_BOX(&tedg::gat_attention_backward));
  m.impl("gat_attention_weights", TORCH_BOX(&tedg::gat_attention_weights));
}
