// Runs every kernel on small shapes of every kind, in both orders of the threads, for
// ThreadSanitizer, which needs a program of its own; attention is also compared with a plain loop
// in float64. Ends with "done".
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "../../csrc/cuda/kernels/kernels.h"

using namespace tedg::gpu;

extern "C" void tedg_emulation_schedule(int order);

namespace {

std::mt19937 generator(1);

std::vector<float> normal(size_t count) {
  std::normal_distribution<float> distribution;
  std::vector<float> values(count + 4);  // room for a misaligned start
  for (float& v : values) v = distribution(generator);
  return values;
}

std::unique_ptr<bool[]> flags(size_t count) {
  std::unique_ptr<bool[]> values(new bool[count + 1]);
  for (size_t i = 0; i < count; ++i) values[i] = generator() % 3 != 0;
  return values;
}

int below(int size) { return static_cast<int>(generator() % static_cast<unsigned>(size)); }

// A random graph as compressed rows and their transpose; hubs: a third of the edges enter one
// target, and a third leave one source.
struct Rows {
  std::vector<int> rowptr, col, t_rowptr, t_target, t_edge, relation;

  Rows(int sources, int targets, int edges, int relations, bool hubs)
      : rowptr(targets + 1), t_rowptr(sources + 1) {
    std::vector<std::vector<int>> into(targets), from(sources);
    for (int e = 0; e < edges; ++e) {
      const int i = hubs && e % 3 == 0 ? targets / 2 : below(targets);
      into[i].push_back(hubs && e % 3 == 1 ? sources / 3 : below(sources));
    }
    std::vector<int> target;
    for (int i = 0; i < targets; ++i) {
      for (const int j : into[i]) {
        from[j].push_back(static_cast<int>(col.size()));
        col.push_back(j);
        target.push_back(i);
        relation.push_back(relations > 0 ? below(relations) : 0);
      }
      rowptr[i + 1] = static_cast<int>(col.size());
    }
    for (int j = 0; j < sources; ++j) {
      for (const int e : from[j]) {
        t_edge.push_back(e);
        t_target.push_back(target[e]);
      }
      t_rowptr[j + 1] = static_cast<int>(t_edge.size());
    }
  }
};

void expect(double value, double wanted, const char* what) {
  if (value == wanted || std::abs(value - wanted) <= 1e-4 * (1 + std::abs(wanted))) return;
  throw std::runtime_error(std::string(what) + " is " + std::to_string(value) + ", wanted " +
                           std::to_string(wanted));
}

// Compares out and the gradients of `grad_out` by x and the scores with sums in float64.
void compare(const GatProblem<float>& p) {
  const int64_t n = p.sources, m = p.targets, h = p.heads, d = p.width;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t head = 0; head < h; ++head) {
      std::vector<double> grad_x(n * d), grad_source(n);
      for (int64_t i = 0; i < m; ++i) {
        const int64_t row = (b * m + i) * h + head;
        std::vector<double> weight, product, slope;
        double top = -INFINITY, total = 0, mean = 0, grad_target = 0;
        for (int e = p.rowptr[i]; e < p.rowptr[i + 1]; ++e) {
          const int64_t at = (b * n + p.col[e]) * h + head;
          double score = double{p.score_src[at]} + p.score_dst[row];
          if (p.edge_bias != nullptr) score += p.edge_bias[p.relation[e] * h + head];
          slope.push_back(score > 0 ? 1.0 : double{p.slope});
          const bool masked = p.node_mask != nullptr && !p.node_mask[b * n + p.col[e]];
          weight.push_back(masked ? -INFINITY : score * slope.back());
          top = std::max(top, weight.back());
          product.push_back(0);
          for (int64_t c = 0; c < d; ++c) {
            product.back() += double{p.grad_out[row * d + c]} * p.x[at * d + c];
          }
        }
        for (double& w : weight) total += w = top == -INFINITY ? 0 : std::exp(w - top);
        for (size_t k = 0; k < weight.size(); ++k) {
          weight[k] = total > 0 ? weight[k] / total : 0;
          mean += weight[k] * product[k];
        }
        mean -= p.grad_lse == nullptr ? 0 : p.grad_lse[row];
        for (int64_t c = 0; c < d; ++c) {
          double out = 0;
          for (size_t k = 0; k < weight.size(); ++k) {
            const int j = p.col[p.rowptr[i] + k];
            out += weight[k] * p.x[((b * n + j) * h + head) * d + c];
            grad_x[j * d + c] += weight[k] * p.grad_out[row * d + c];
          }
          expect(p.out[row * d + c], out, "out");
        }
        for (size_t k = 0; k < weight.size(); ++k) {
          const double gradient = weight[k] * (product[k] - mean) * slope[k];
          grad_target += gradient;
          grad_source[p.col[p.rowptr[i] + k]] += gradient;
        }
        expect(p.lse[row], total > 0 ? top + std::log(total) : -INFINITY, "lse");
        expect(p.grad_score_dst[row], grad_target, "grad_score_dst");
      }
      for (int64_t j = 0; j < n; ++j) {
        const int64_t row = (b * n + j) * h + head;
        expect(p.grad_score_src[row], grad_source[j], "grad_score_src");
        for (int64_t c = 0; c < d; ++c) expect(p.grad_x[row * d + c], grad_x[j * d + c], "grad_x");
      }
    }
  }
}

struct Shape {
  int batch, sources, targets, edges, heads, width, relations;
  bool masked, hubs;
  int offset;  // of x's start, in values
};

void attention(const Shape& s) {
  printf("attention B=%d N=%d M=%d E=%d H=%d D=%d R=%d\n", s.batch, s.sources, s.targets, s.edges,
         s.heads, s.width, s.relations);
  fflush(stdout);
  Rows rows(s.sources, s.targets, s.edges, s.relations, s.hubs);
  const size_t sources = size_t(s.batch) * s.sources * s.heads;
  const size_t targets = size_t(s.batch) * s.targets * s.heads;
  const size_t edges = size_t(s.batch) * s.heads * s.edges;
  const auto x = normal(sources * s.width), source = normal(sources), target = normal(targets);
  const auto bias = normal(s.relations * s.heads), grad_out = normal(targets * s.width);
  const auto grad_lse = normal(targets);
  const auto mask = flags(s.batch * s.sources);
  auto out = normal(targets * s.width), lse = normal(targets), grad_x = normal(sources * s.width);
  auto grad_source = normal(sources), grad_target = normal(targets);
  auto grad_bias = normal(s.relations * s.heads), parts = normal(s.batch * s.heads * s.relations);
  auto weight = normal(edges), dscore = normal(edges), weights = normal(edges);
  GatProblem<float> p{};
  p.batch = s.batch, p.sources = s.sources, p.targets = s.targets, p.edges = s.edges;
  p.heads = s.heads, p.width = s.width, p.relations = s.relations;
  p.rowptr = rows.rowptr.data(), p.col = rows.col.data(), p.t_rowptr = rows.t_rowptr.data();
  p.t_target = rows.t_target.data(), p.t_edge = rows.t_edge.data();
  p.relation = rows.relation.data();
  p.x = x.data() + s.offset, p.score_src = source.data(), p.score_dst = target.data();
  p.edge_bias = s.relations > 0 ? bias.data() : nullptr;
  p.node_mask = s.masked ? mask.get() : nullptr;
  p.slope = 0.2f;
  p.out = out.data(), p.lse = lse.data(), p.grad_out = grad_out.data();
  p.grad_lse = grad_lse.data(), p.grad_x = grad_x.data();
  p.grad_score_src = grad_source.data(), p.grad_score_dst = grad_target.data();
  p.grad_edge_bias = grad_bias.data(), p.bias_parts = parts.data();
  p.weight = weight.data(), p.dscore = dscore.data();
  p.aligned = s.width % 4 == 0 && s.offset == 0;
  const int64_t half = s.batch > 1 ? s.batch / 2 : 1;
  p.chunk = gat_forward_fits_tile(p) ? 0 : half;
  gat_forward(p, nullptr);
  p.chunk = gat_backward_fits_tile(p) ? 0 : half;
  gat_backward(p, nullptr);
  compare(p);
  std::vector<int> place(s.edges);
  for (int e = 0; e < s.edges; ++e) place[e] = s.edges - 1 - e;
  gat_weights(p, place.data(), weights.data(), nullptr);
}

void routing(int batch, int experts, int actions) {
  printf("routing B=%d K=%d A=%d\n", batch, experts, actions);
  fflush(stdout);
  const size_t choices = size_t(batch) * experts, all = choices * actions;
  const auto scores = normal(choices), logits = normal(all), grad_alpha = normal(choices);
  const auto grad_logits = normal(size_t(batch) * actions);
  const auto mask = flags(size_t(batch) * actions);
  auto alpha = normal(choices), mixed = normal(size_t(batch) * actions);
  auto grad_scores = normal(choices), grad_experts = normal(all), residual = normal(choices);
  for (const bool sparse : {false, true}) {
    RouteProblem<float> p{};
    p.batch = batch, p.experts = experts, p.actions = actions;
    p.sparse = sparse, p.temperature = 0.7f;
    p.scores = scores.data(), p.expert_logits = logits.data(), p.action_mask = mask.get();
    p.alpha = alpha.data(), p.logits = mixed.data();
    p.grad_alpha = grad_alpha.data(), p.grad_logits = grad_logits.data();
    p.grad_scores = grad_scores.data(), p.grad_expert_logits = grad_experts.data();
    route_forward(p, nullptr);
    route_backward(p, nullptr);
    auto parts = normal(map_loss_parts(batch));
    float loss = 1;
    fenchel_young_loss(sparse, scores.data(), alpha.data(), residual.data(), parts.data(), &loss,
                       batch, experts, nullptr);
    fenchel_young_loss_backward(&loss, residual.data(), grad_scores.data(), batch, experts,
                                nullptr);
  }
  sparsemax(scores.data(), alpha.data(), batch, experts, nullptr);
  sparsemax_backward(grad_alpha.data(), alpha.data(), grad_scores.data(), batch, experts, nullptr);
  for (const bool every : {false, true}) {
    auto parts = normal(loss_parts(batch) * (4 + experts)), losses = normal(5);
    auto means = normal(experts);
    LossProblem<float> p{};
    p.batch = batch, p.experts = experts, p.actions = actions, p.all = every;
    p.alpha = alpha.data(), p.expert_logits = logits.data(), p.parts = parts.data();
    for (int i = 0; i < 5; ++i) p.loss[i] = &losses[i], p.grad[i] = &losses[i];
    p.mean_alpha = means.data();
    p.grad_alpha = grad_scores.data(), p.grad_expert_logits = grad_experts.data();
    losses_forward(p, nullptr);
    losses_backward(p, nullptr);
  }
}

void everything() {
  for (const Shape& shape : {
           // Tiles: several slices and samples a block, hubs, odd widths, nothing at all.
           Shape{8, 20, 17, 150, 8, 64, 3, true, false, 0},
           Shape{8, 20, 17, 300, 8, 40, 0, false, true, 0},
           Shape{16, 12, 9, 60, 4, 15, 2, true, false, 0},
           Shape{64, 9, 12, 70, 1, 100, 40, false, false, 1},
           Shape{64, 5, 4, 0, 1, 16, 0, false, false, 0},
           Shape{64, 1, 1, 3, 1, 1, 1, false, false, 0},
           Shape{64, 3, 3, 9, 1, 0, 1, false, false, 0},
           // The general path.
           Shape{2, 60, 50, 500, 3, 64, 3, true, true, 0},
           Shape{3, 40, 30, 260, 2, 33, 2, true, true, 1},
           Shape{1, 10, 10, 60, 2, 300, 0, false, false, 0},
       }) {
    attention(shape);
  }
  for (const auto& [batch, experts, actions] :
       std::vector<std::array<int, 3>>{{1, 4, 23}, {64, 4, 23}, {33, 7, 121}, {3, 64, 23},
                                       {5, 33, 17}, {2, 100, 9}, {200, 4, 3}, {1, 1, 1}}) {
    routing(batch, experts, actions);
  }
}

}  // namespace

int main() {
  try {
    for (const int order : {0, 1}) {
      tedg_emulation_schedule(order);
      everything();
    }
  } catch (const std::exception& error) {
    printf("%s\n", error.what());
    return 1;
  }
  printf("done\n");
}
