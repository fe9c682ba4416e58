// CPU: gat_attention and gat_attention_edges, their backwards and weights.
//
// A unit of work is one head of one sample, whose features then stay in the cache. Where they do
// not fit, or rows are shorter than a vector, or there are few samples, it is a run of rows
// (targets or sources) of a sample ("by rows"), for all heads at once.
#include "../ops/gat_attention.h"
#include "graph.h"

namespace tedg {
namespace {

// The features of one head that stay in a core's cache, and the units that are enough for threads.
constexpr int64_t kNearBytes = int64_t{1} << 19;
constexpr int64_t kManyUnits = 16;

bool goes_by_rows(const GatProblem& p, int64_t bytes) {
  return p.batch * p.heads < kManyUnits || p.sources * p.width * bytes > kNearBytes ||
         (p.heads > 1 && p.width < 16);
}

// The indices checked, and the problem's pointers set.
GatProblem problem_of(const GatArguments& a) {
  GatProblem p{};
  set_graph(p, a);
  p.relations = a.relations();
  p.x = data_or_null(a.x);
  p.score_src = a.score_src.const_data_ptr();
  p.score_dst = a.score_dst.const_data_ptr();
  p.edge_id = static_cast<const int32_t*>(data_or_null(a.edge_id));
  p.relation = static_cast<const int32_t*>(data_or_null(a.relation));
  p.score_edge = data_or_null(a.score_edge);
  p.score_edge_stride = a.score_edge_stride();
  p.edge_bias = data_or_null(a.edge_bias);
  p.node_mask = static_cast<const bool*>(data_or_null(a.node_mask));
  p.dropout = a.dropout;
  if (a.dropout > 0) p.seed = *static_cast<const uint64_t*>(a.dropout_seed->const_data_ptr());
  if (p.relation != nullptr) check_indices("relation", p.relation, p.edges, p.relations);
  if (p.edge_id != nullptr) check_permutation("edge_id", p.edge_id, p.edges);
  p.by_rows = goes_by_rows(p, a.score_src.element_size());
  return p;
}

double edge_work(const GatProblem& p) { return 3.0 + 0.1 * p.width; }

const GatKernels& kernel_of(const GatProblem& p, const Tensor& tensor) {
  const bool together = p.by_rows && p.heads > 1;
  return (together ? kernels().gat_heads : kernels().gat)[storage_of(tensor)];
}

// How a problem's targets or sources are cut into units: runs of rows, for a group of heads of a
// sample.
struct Plan {
  const GatProblem& p;
  Runs runs;
  int64_t heads, groups;  // of a group; of a sample

  Plan(const GatProblem& problem, const int32_t* pointers, int64_t rows)
      : p(problem),
        runs(pointers, rows, problem.by_rows),
        heads(problem.by_rows ? std::min(problem.heads, kMostHeads) : 1),
        groups(problem.heads == 0 ? 0 : (problem.heads + heads - 1) / heads) {}

  int64_t all_groups() const { return p.batch * groups; }
  int64_t group_of(int64_t unit) const { return unit / runs.count(); }
  int64_t units() const { return all_groups() * runs.count(); }
  double work() const { return heads * edge_work(p) * (runs.most_edges() + runs.most_rows()); }

  GatRange range(int64_t unit) const {
    const int64_t group = group_of(unit), run = unit % runs.count();
    const int64_t first = group % groups * heads;
    return {group / groups, first, std::min(first + heads, p.heads), runs.begin(run),
            runs.end(run)};
  }
};

// Calls f(unit, range, scratch) for every unit of a plan, on the threads.
template <class A, class F>
void walk_units(const Plan& plan, const GatKernels& kernel, const F& f) {
  const int64_t numbers =
      kernel.scratch(plan.p, plan.heads, plan.runs.most_rows(), plan.runs.most_edges());
  parallel(plan.units(), plan.work(), [&](int64_t begin, int64_t end) {
    Scratch scratch(numbers * sizeof(A));
    for (int64_t unit = begin; unit < end; ++unit) f(unit, plan.range(unit), scratch.get());
  });
}

// Calls f(unit, range, table, scratch) for every unit over the targets, on the threads.
template <class A, class F>
void walk_targets(const GatProblem& p, const GatKernels& kernel, const F& f) {
  const Plan plan(p, p.rowptr, p.targets);
  const int64_t table = kernel.table(p, plan.heads);
  const auto fill = [&](const GatRange& range, void* to) {
    kernel.fill_table(p, range.sample, range.first_head, range.last_head, to);
  };
  // By rows many units need the same table; otherwise each makes its own. Not cleared before.
  const std::unique_ptr<A[]> shared(new A[p.by_rows ? plan.all_groups() * table : 0]);
  if (p.by_rows) {
    parallel(plan.all_groups(), 1.0 * table, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        fill(plan.range(group * plan.runs.count()), shared.get() + group * table);
      }
    });
  }
  walk_units<A>(plan, kernel, [&](int64_t unit, const GatRange& range, void* scratch) {
    if (p.by_rows) {
      f(unit, range, shared.get() + plan.group_of(unit) * table, scratch);
    } else {
      Scratch own(table * sizeof(A));
      fill(range, own.get());
      f(unit, range, own.get(), scratch);
    }
  });
}

// Calls f with a zero of the type that sums of `type` are kept in.
template <class F>
void by_accumulate_type(ScalarType type, const F& f) {
  type == ScalarType::Double ? f(double{}) : f(float{});
}

std::tuple<Tensor, Tensor> forward(const GatArguments& a) {
  GatProblem p = problem_of(a);
  const ScalarType type = a.type(), acc = accumulate_type(type);
  Tensor out = new_output(*a.x, {p.batch, p.targets, p.heads, p.width}, type);
  Tensor lse = new_tensor(*a.x, {p.batch, p.targets, p.heads}, acc);
  p.out = out.mutable_data_ptr();
  p.lse = lse.mutable_data_ptr();
  const GatKernels& kernel = kernel_of(p, *a.x);
  by_accumulate_type(type, [&](auto zero) {
    walk_targets<decltype(zero)>(
        p, kernel, [&](int64_t, const GatRange& range, const void* table, void* scratch) {
          kernel.forward(p, range, table, scratch);
        });
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
// as parts [count, H, R].
template <class A>
std::vector<double> walk_backward(const GatProblem& p, const GatKernels& kernel,
                                  const Tensor& like) {
  const Plan targets(p, p.rowptr, p.targets), sources(p, p.t_rowptr, p.sources);
  const int64_t part = p.edge_bias == nullptr ? 0 : p.heads * p.relations;
  const int64_t units_of_part = p.by_rows ? 1 : std::max<int64_t>(p.heads, 1);
  std::vector<double> bias(part * targets.units() / units_of_part);
  const auto bias_of = [&](int64_t unit) {
    return part == 0 ? nullptr : bias.data() + unit / units_of_part * part;
  };
  constexpr int64_t kReadPast = 16;  // numbers that a kernel may read past the records
  const int64_t size = kernel.record(targets.heads) * p.edges;
  if (!p.by_rows) {  // all walks of a unit on one thread, while its features are in the cache
    walk_targets<A>(p, kernel,
                    [&](int64_t unit, const GatRange& range, const void* table, void* scratch) {
                      Scratch records((size + kReadPast) * sizeof(A));
                      GatRange all = range;
                      all.end = p.sources;
                      kernel.backward_weights(p, range, table, records.get(), scratch);
                      kernel.backward_features(p, all, records.get(), scratch);
                      kernel.backward_scores(p, range, records.get(), bias_of(unit), scratch);
                      kernel.backward_sources(p, all, records.get());
                    });
    return bias;
  }
  // Not cleared: all are written before they are read.
  const Tensor records = new_output(like, {targets.all_groups() * size + kReadPast},
                                    sizeof(A) == 8 ? ScalarType::Double : ScalarType::Float);
  const auto of = [&](const Plan& plan, int64_t unit) {
    return static_cast<A*>(records.mutable_data_ptr()) + plan.group_of(unit) * size;
  };
  walk_targets<A>(p, kernel,
                  [&](int64_t unit, const GatRange& range, const void* table, void* scratch) {
                    kernel.backward_weights(p, range, table, of(targets, unit), scratch);
                  });
  walk_units<A>(sources, kernel, [&](int64_t unit, const GatRange& range, void* scratch) {
    kernel.backward_features(p, range, of(sources, unit), scratch);
  });
  walk_units<A>(targets, kernel, [&](int64_t unit, const GatRange& range, void* scratch) {
    kernel.backward_scores(p, range, of(targets, unit), bias_of(unit), scratch);
  });
  walk_units<A>(sources, kernel, [&](int64_t unit, const GatRange& range, void*) {
    kernel.backward_sources(p, range, of(sources, unit));
  });
  return bias;
}

GatGradients backward(const GatArguments& a, const GatBackwardArguments& b) {
  GatProblem p = problem_of(a);
  p.t_rowptr = int_data(b.t_rowptr);
  p.t_target = int_data(b.t_target);
  p.t_edge = int_data(b.t_edge);
  check_transpose(p.rowptr, p.col, p.t_rowptr, p.t_target, p.t_edge, p.sources, p.targets, p.edges);

  const Tensor& x = *a.x;
  const ScalarType type = a.type(), acc = accumulate_type(type);
  GatGradients out{new_output(x, {p.batch, p.sources, p.heads, p.width}, type),
                   new_tensor(x, {p.batch, p.sources, p.heads}, type),
                   new_tensor(x, {p.batch, p.targets, p.heads}, type),
                   new_tensor(x, {p.relations, p.heads}, acc), std::nullopt};
  if (a.score_edge.has_value()) {
    out.score_edge = new_output(x, {p.batch, p.edges, p.heads}, acc);
    p.grad_score_edge = out.score_edge->mutable_data_ptr();
  }
  p.grad_out = b.grad_out.const_data_ptr();
  p.grad_lse = data_or_null(b.grad_lse);
  p.lse = const_cast<void*>(b.lse.const_data_ptr());
  p.grad_x = out.x.mutable_data_ptr();
  p.grad_score_src = out.score_src.mutable_data_ptr();
  p.grad_score_dst = out.score_dst.mutable_data_ptr();
  const GatKernels& kernel = kernel_of(p, x);
  by_accumulate_type(type, [&](auto zero) {
    using A = decltype(zero);
    sum_bias<A>(walk_backward<A>(p, kernel, x), p.heads, p.relations, out.edge_bias);
  });
  if (acc != type) out.edge_bias = torch::stable::to(out.edge_bias, type);
  return out;
}

Tensor weights(const GatArguments& a, const Tensor& lse) {
  GatProblem p = problem_of(a);
  const ScalarType type = a.type();
  p.lse = const_cast<void*>(lse.const_data_ptr());
  Tensor out = new_output(a.score_src, {p.batch, p.edges, p.heads}, type);
  void* to = out.mutable_data_ptr();
  const GatKernels& kernel = kernel_of(p, a.score_src);
  by_accumulate_type(type, [&](auto zero) {
    walk_targets<decltype(zero)>(
        p, kernel, [&](int64_t, const GatRange& range, const void* table, void* scratch) {
          kernel.weights(p, range, table, p.edge_id, to, scratch);
        });
  });
  return out;
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  tedg::GatOps<tedg::forward, tedg::backward, tedg::weights>::implement(m);
}
