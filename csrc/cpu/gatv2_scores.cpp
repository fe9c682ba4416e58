// CPU: gatv2_scores and its backward. A unit of work is a run of targets (sources) of a sample.
#include "../ops/gatv2.h"
#include "graph.h"

namespace tedg {
namespace {

// The arguments checked, their indices too, and the problem's pointers set.
GatV2Problem checked(GatV2Arguments& a) {
  a.check();
  GatV2Problem p{};
  set_graph(p, a);
  p.x_src = a.x_src.const_data_ptr();
  p.x_dst = a.x_dst.const_data_ptr();
  p.att = a.att.const_data_ptr();
  p.x_edge = data_or_null(a.x_edge);
  p.edge_id = int_data(a.edge_id);
  p.t_rowptr = int_data(a.t_rowptr);
  p.t_target = int_data(a.t_target);
  p.t_edge = int_data(a.t_edge);
  check_permutation("edge_id", p.edge_id, p.edges);
  return p;
}

double row_work(const GatV2Problem& p) { return p.heads * (3.0 + 0.2 * p.width); }

// Calls f(unit, sample, run) for every run of every sample, on the threads.
template <class F>
void each_run(const GatV2Problem& p, const Runs& runs, const F& f) {
  const double work = row_work(p) * (runs.most_edges() + runs.most_rows());
  parallel(p.batch * runs.count(), work, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t run = unit % runs.count();
      f(unit, GatRange{unit / runs.count(), 0, p.heads, runs.begin(run), runs.end(run)});
    }
  });
}

Tensor gatv2_scores(const Tensor& x_src, const Tensor& x_dst, const Tensor& att,
                    OptionalTensor x_edge, const Tensor& rowptr, const Tensor& col,
                    const Tensor& edge_id, const Tensor& t_rowptr, const Tensor& t_target,
                    const Tensor& t_edge, double negative_slope) {
  GatV2Arguments a(x_src, x_dst, att, x_edge, rowptr, col, edge_id, t_rowptr, t_target, t_edge,
                   negative_slope);
  GatV2Problem p = checked(a);
  Tensor score =
      new_output(a.x_src, {p.batch, p.edges, p.heads}, accumulate_type(a.x_src.scalar_type()));
  p.score = score.mutable_data_ptr();
  const GatV2Kernels& kernel = kernels().gatv2[storage_of(a.x_src)];
  each_run(p, Runs(p.rowptr, p.targets, true),
           [&](int64_t, const GatRange& range) { kernel.forward(p, range); });
  return score;
}

// The gradient of att [H, D] as parts, one a unit, each [H, D].
std::vector<double> walk_backward(const GatV2Problem& p, const GatV2Kernels& kernel) {
  const Runs targets(p.rowptr, p.targets, true), sources(p.t_rowptr, p.sources, true);
  const int64_t row = p.heads * p.width;
  std::vector<double> att(p.batch * targets.count() * row);
  const auto walk = [&](int64_t unit, const GatRange& range) {
    kernel.backward_targets(p, range, att.data() + unit * row);
  };
  if (p.x_edge == nullptr) {
    each_run(p, targets, walk);
  } else {
    // The samples share the edges' rows: one unit adds up those of all samples, head by head.
    const double work = row_work(p) * p.batch * (targets.most_edges() + targets.most_rows());
    parallel(targets.count() * p.heads, work / p.heads, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t run = unit / p.heads, h = unit % p.heads;
        for (int64_t b = 0; b < p.batch; ++b) {
          walk(b * targets.count() + run, {b, h, h + 1, targets.begin(run), targets.end(run)});
        }
      }
    });
  }
  each_run(p, sources, [&](int64_t, const GatRange& range) { kernel.backward_sources(p, range); });
  return att;
}

// The sum of parts of `count` numbers, in order.
template <class A>
void sum_parts(const std::vector<double>& parts, Tensor& out) {
  const size_t count = out.numel();
  A* to = static_cast<A*>(out.mutable_data_ptr());
  std::vector<double> sums(count);
  for (size_t i = 0; i < parts.size(); ++i) sums[i % count] += parts[i];
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<A>(sums[i]);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gatv2_scores_backward(
    const Tensor& grad, const Tensor& x_src, const Tensor& x_dst, const Tensor& att,
    OptionalTensor x_edge, const Tensor& rowptr, const Tensor& col, const Tensor& edge_id,
    const Tensor& t_rowptr, const Tensor& t_target, const Tensor& t_edge, double negative_slope) {
  GatV2Arguments a(x_src, x_dst, att, x_edge, rowptr, col, edge_id, t_rowptr, t_target, t_edge,
                   negative_slope);
  GatV2Problem p = checked(a);
  const ScalarType type = a.x_src.scalar_type(), acc = accumulate_type(type);
  check_tensor("grad", grad, {p.batch, p.edges, p.heads}, acc, a.x_src);
  check_transpose(p.rowptr, p.col, p.t_rowptr, p.t_target, p.t_edge, p.sources, p.targets, p.edges);
  const Tensor by_score = packed(grad);
  Tensor grad_src = new_output(a.x_src, {p.batch, p.sources, p.heads, p.width}, type);
  Tensor grad_dst = new_output(a.x_src, {p.batch, p.targets, p.heads, p.width}, type);
  Tensor grad_att = new_tensor(a.x_src, {p.heads, p.width}, acc);
  Tensor grad_edge =
      new_output(a.x_src, {a.x_edge.has_value() ? p.edges : 0, p.heads, p.width}, acc);
  p.grad = by_score.const_data_ptr();
  p.grad_x_src = grad_src.mutable_data_ptr();
  p.grad_x_dst = grad_dst.mutable_data_ptr();
  if (p.x_edge != nullptr) {
    torch::stable::zero_(grad_edge);
    p.grad_x_edge = grad_edge.mutable_data_ptr();
  }
  const GatV2Kernels& kernel = kernels().gatv2[storage_of(a.x_src)];
  const std::vector<double> parts = walk_backward(p, kernel);
  acc == ScalarType::Double ? sum_parts<double>(parts, grad_att)
                            : sum_parts<float>(parts, grad_att);
  if (acc != type) {
    grad_att = torch::stable::to(grad_att, type);
    grad_edge = torch::stable::to(grad_edge, type);
  }
  return {grad_src, grad_dst, grad_att, grad_edge};
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) {
  m.impl("gatv2_scores", TORCH_BOX(&tedg::gatv2_scores));
  m.impl("gatv2_scores_backward", TORCH_BOX(&tedg::gatv2_scores_backward));
}
