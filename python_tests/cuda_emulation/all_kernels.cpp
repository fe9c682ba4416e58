// Runs every kernel on small shapes of every kind, for ThreadSanitizer, which needs a program of
// its own; attention and embeddings are also compared with loops in float64. Ends with "done".
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
  std::vector<int> rowptr, col, t_rowptr, t_target, t_edge, relation, edge_id;

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
    for (int e = 0; e < edges; ++e) edge_id.push_back(edges - 1 - e);
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

// Dropout's factor of an edge's weight, by the definition of Philox4x32-10.
double keeps(const GatProblem<float>& p, int64_t edge, int64_t head, int64_t sample) {
  if (p.dropout_seed == nullptr) return 1;
  uint64_t c[4] = {uint64_t(edge), uint64_t(head), uint64_t(sample), 0};
  const uint64_t seed = *p.dropout_seed;
  for (uint64_t round = 0; round < 10; ++round) {
    const uint64_t word = 0xffffffff, a = c[0] * 0xD2511F53, b = c[2] * 0xCD9E8D57;
    const uint64_t key[2] = {(seed + round * 0x9E3779B9) & word,
                             ((seed >> 32) + round * 0xBB67AE85) & word};
    const uint64_t next[4] = {b >> 32 ^ c[1] ^ key[0], b & word, a >> 32 ^ c[3] ^ key[1], a & word};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
  }
  return c[0] >= p.dropout_least ? p.dropout_scale : 0.0;
}

// Compares all results, for the gradients `grad_out` and `grad_lse`, with sums in float64.
void compare(const GatProblem<float>& p, const std::vector<float>& weights) {
  const int64_t n = p.sources, m = p.targets, h = p.heads, d = p.width;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t head = 0; head < h; ++head) {
      std::vector<double> grad_x(n * d), grad_source(n);
      for (int64_t i = 0; i < m; ++i) {
        const int64_t row = (b * m + i) * h + head;
        std::vector<double> weight, product, slope, kept;
        double top = -INFINITY, total = 0, mean = 0, grad_target = 0;
        for (int e = p.rowptr[i]; e < p.rowptr[i + 1]; ++e) {
          const int64_t at = (b * n + p.col[e]) * h + head;
          double score = double{p.score_src[at]} + p.score_dst[row];
          if (p.edge_bias != nullptr) score += p.edge_bias[p.relation[e] * h + head];
          if (p.score_edge != nullptr) {
            score += p.score_edge[b * p.score_edge_stride + p.edge_id[e] * h + head];
          }
          slope.push_back(score > 0 ? 1.0 : double{p.slope});
          kept.push_back(keeps(p, e, head, b));
          const bool masked = p.node_mask != nullptr && !p.node_mask[b * n + p.col[e]];
          weight.push_back(masked ? -INFINITY : score * slope.back());
          top = std::max(top, weight.back());
          product.push_back(0);
          for (int64_t c = 0; c < d; ++c) {
            product.back() += kept.back() * p.grad_out[row * d + c] * p.x[at * d + c];
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
            out += weight[k] * kept[k] * p.x[((b * n + j) * h + head) * d + c];
            grad_x[j * d + c] += weight[k] * kept[k] * p.grad_out[row * d + c];
          }
          expect(p.out[row * d + c], out, "out");
        }
        for (size_t k = 0; k < weight.size(); ++k) {
          const double gradient = weight[k] * (product[k] - mean) * slope[k];
          grad_target += gradient;
          grad_source[p.col[p.rowptr[i] + k]] += gradient;
          const int64_t place = b * p.edges + p.edge_id[p.rowptr[i] + k];
          expect(weights[place * h + head], weight[k] * kept[k], "a weight");
          if (p.grad_score_edge != nullptr) {
            expect(p.grad_score_edge[place * h + head], gradient, "grad_score_edge");
          }
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
  bool tiles;  // the tile path, or else the general one
  int batch, sources, targets, edges, heads, width, relations;
  bool masked, hubs;
  int offset = 0;      // of x's start, in values
  int own_scores = 0;  // 0: none, 1: an edge's, 2: an edge's of each sample
  bool dropout = false;
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
  const auto grad_lse = normal(targets), own = normal(edges);
  const auto mask = flags(s.batch * s.sources);
  const int64_t seed = 0x123456789abcdef;
  auto out = normal(targets * s.width), lse = normal(targets), grad_x = normal(sources * s.width);
  auto grad_source = normal(sources), grad_target = normal(targets), grad_own = normal(edges);
  auto grad_bias = normal(s.relations * s.heads), weights = normal(edges);
  GatProblem<float> p{};
  p.batch = s.batch, p.sources = s.sources, p.targets = s.targets, p.edges = s.edges;
  p.heads = s.heads, p.width = s.width, p.relations = s.relations;
  p.rowptr = rows.rowptr.data(), p.col = rows.col.data(), p.t_rowptr = rows.t_rowptr.data();
  p.t_target = rows.t_target.data(), p.t_edge = rows.t_edge.data();
  p.relation = rows.relation.data(), p.edge_id = rows.edge_id.data();
  p.x = x.data() + s.offset, p.score_src = source.data(), p.score_dst = target.data();
  p.edge_bias = s.relations > 0 ? bias.data() : nullptr;
  p.node_mask = s.masked ? mask.get() : nullptr;
  p.slope = 0.2f;
  if (s.own_scores > 0) p.score_edge = own.data(), p.grad_score_edge = grad_own.data();
  if (s.own_scores > 1) p.score_edge_stride = int64_t{s.edges} * s.heads;
  if (s.dropout) {
    p.dropout_seed = &seed;
    p.dropout_least = uint64_t{3} << 30, p.dropout_scale = 4;  // keeps a quarter
  }
  p.out = out.data(), p.lse = lse.data(), p.grad_out = grad_out.data();
  p.grad_lse = grad_lse.data(), p.grad_x = grad_x.data();
  p.grad_score_src = grad_source.data(), p.grad_score_dst = grad_target.data();
  p.grad_edge_bias = grad_bias.data();
  p.aligned = s.width % 4 == 0 && s.offset == 0;
  const int64_t half = s.batch > 1 ? s.batch / 2 : 1;
  auto part = normal(half * s.heads * gat_part_numbers(p));
  auto edge = normal(2 * half * s.heads * s.edges);
  p.part = part.data(), p.edge = edge.data();
  p.chunk = s.tiles ? 0 : half;
  auto parts = normal(size_t(s.batch) * s.heads * gat_bias_parts(p) * s.relations);
  p.bias_parts = parts.data();
  gat_forward(p, nullptr);
  gat_backward(p, nullptr);
  p.chunk = half;
  gat_weights(p, weights.data(), nullptr);
  compare(p, weights);
}

void gatv2(int batch, int sources, int targets, int edges, int heads, int width, bool with_edges) {
  printf("gatv2 B=%d N=%d M=%d E=%d H=%d D=%d\n", batch, sources, targets, edges, heads, width);
  fflush(stdout);
  Rows rows(sources, targets, edges, 0, true);
  const int row = heads * width;
  const auto src = normal(batch * sources * row), dst = normal(batch * targets * row);
  const auto att = normal(row), own = normal(edges * row), grad = normal(batch * edges * heads);
  auto score = normal(grad.size()), grad_src = normal(src.size()), grad_dst = normal(dst.size());
  auto grad_att = normal(row), grad_own = normal(edges * row);
  GatV2Problem<float> p{};
  p.batch = batch, p.sources = sources, p.targets = targets, p.edges = edges;
  p.heads = heads, p.width = width;
  p.rowptr = rows.rowptr.data(), p.col = rows.col.data(), p.t_rowptr = rows.t_rowptr.data();
  p.t_target = rows.t_target.data(), p.t_edge = rows.t_edge.data();
  p.edge_id = rows.edge_id.data();
  p.slope = 0.2f, p.aligned = width % 4 == 0, p.chunk = batch;
  p.x_src = src.data(), p.x_dst = dst.data(), p.att = att.data(), p.grad = grad.data();
  p.x_edge = with_edges ? own.data() : nullptr;
  p.score = score.data(), p.grad_x_src = grad_src.data(), p.grad_x_dst = grad_dst.data();
  p.grad_att = grad_att.data(), p.grad_x_edge = grad_own.data();
  auto part = normal(size_t(batch) * heads * gat_part_numbers(p));
  auto att_parts = normal(gatv2_att_parts(p) * row);
  p.part = part.data(), p.att_parts = att_parts.data();
  gatv2_scores(p, nullptr);
  gatv2_scores_backward(p, nullptr);
  std::vector<double> by_src(batch * sources * row), by_dst(batch * targets * row), by_att(row),
      by_own(edges * row);
  for (int b = 0; b < batch; ++b) {
    for (int i = 0; i < targets; ++i) {
      for (int e = rows.rowptr[i]; e < rows.rowptr[i + 1]; ++e) {
        for (int head = 0; head < heads; ++head) {
          const int id = rows.edge_id[e], place = (b * edges + id) * heads + head;
          double sum = 0;
          for (int c = head * width; c < (head + 1) * width; ++c) {
            const int from = (b * sources + rows.col[e]) * row + c;
            const int to = (b * targets + i) * row + c;
            const double z = double{src[from]} + dst[to] + (with_edges ? own[id * row + c] : 0);
            const double by = (z > 0 ? 1.0 : double{p.slope}) * grad[place];
            sum += att[c] * z * (z > 0 ? 1.0 : double{p.slope});
            by_src[from] += by * att[c], by_dst[to] += by * att[c], by_att[c] += by * z;
            by_own[id * row + c] += by * att[c];
          }
          expect(score[place], sum, "gatv2's score");
        }
      }
    }
  }
  const auto all = [](const std::vector<float>& is, const std::vector<double>& sums,
                      const char* what) {
    for (size_t i = 0; i < sums.size(); ++i) expect(is[i], sums[i], what);
  };
  all(grad_src, by_src, "grad_x_src");
  all(grad_dst, by_dst, "grad_x_dst");
  all(grad_att, by_att, "grad_att");
  if (with_edges) all(grad_own, by_own, "grad_x_edge");
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

void embedding(int batch, int features, int count, int classes, int width) {
  printf("embedding B=%d F=%d S=%d classes=%d D=%d\n", batch, features, count, classes, width);
  fflush(stdout);
  const auto beside = normal(batch * features), table = normal(classes * width);
  const auto grad = normal(batch * (features + count * width));
  std::vector<uint8_t> index(batch * count);
  for (uint8_t& v : index) v = static_cast<uint8_t>(below(classes));
  auto out = normal(grad.size()), grad_table = normal(classes * width);
  EmbeddingProblem<float> p{};
  p.rows = batch, p.features = features, p.count = count, p.classes = classes, p.width = width;
  p.index = index.data(), p.beside = beside.data(), p.table = table.data(), p.out = out.data();
  p.grad = grad.data(), p.grad_table = grad_table.data();
  auto parts = normal(p.named() * width * p.runs());
  p.parts = parts.data();
  concat_embedding(p, nullptr);
  concat_embedding_backward(p, nullptr);
  std::vector<double> sums(classes * width);
  for (int b = 0; b < batch; ++b) {
    for (int s = 0; s < count; ++s) {
      for (int d = 0; d < width; ++d) {
        const int at = b * (features + count * width) + features + s * width + d;
        const int entry = index[b * count + s] * width + d;
        expect(out[at], table[entry], "an embedding");
        sums[entry] += grad[at];
      }
    }
  }
  for (int i = 0; i < classes * width; ++i) expect(grad_table[i], sums[i], "grad_table");
}

void everything() {
  for (const Shape& shape : {
           // Tiles: several slices, and samples a block; hubs, odd widths, nothing at all.
           Shape{true, 2, 12, 9, 60, 13, 40, 3, true, false},
           Shape{true, 2, 12, 5, 300, 1, 15, 0, false, true, 1},
           Shape{true, 2, 3, 3, 0, 1, 0, 1, false, false},
           // The general path: several windows, long rows, in parts, of targets and sources.
           Shape{false, 1, 20, 16, 800, 1, 64, 3, true, true, 0, 1, true},
           Shape{false, 1, 40, 300, 200, 1, 33, 0, true, false, 1, 2},
           Shape{false, 2, 10, 10, 60, 2, 12, 2, false, false},
           Shape{false, 1, 10, 10, 60, 1, 200, 0, false, false},
           Shape{false, 1, 3, 3, 0, 1, 0, 1, false, false},
       }) {
    attention(shape);
  }
  gatv2(1, 20, 16, 800, 1, 9, false);
  gatv2(2, 10, 10, 90, 2, 12, true);
  // Weights in registers and in shared memory; all rows of a matrix at a time, some, one.
  for (const auto& [batch, experts, actions] :
       std::vector<std::array<int, 3>>{{9, 4, 23}, {9, 20, 17}, {5, 66, 3}}) {
    routing(batch, experts, actions);
  }
  embedding(20, 3, 20, 5, 33);
}

}  // namespace

// all_kernels ORDER, 0 or 1: that of the threads.
int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    tedg_emulation_schedule(arguments[1][0] - '0');
    everything();
  } catch (const std::exception& error) {
    printf("%s\n", error.what());
    return 1;
  }
  printf("done\n");
}
