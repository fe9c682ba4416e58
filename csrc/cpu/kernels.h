// What the CPU kernels take and where they are found.
//
// A kernel knows nothing of torch: it gets plain pointers and sizes and works on a range, so that
// the callers in csrc/cpu/*.cpp can split the work over threads. For every vector level there is
// one table of them; kernels() returns the one of the best level that this machine has.
#pragma once

#include <stdint.h>

namespace tedg {

// Index of a storage type in a table of kernels.
enum Storage { kFloat32 = 0, kFloat64 = 1, kBFloat16 = 2, kFloat16 = 3, kStorageCount = 4 };

// One attention problem. Sizes: B batch, N sources, M targets, E edges, H heads, D width.
// "acc" is float, or double for float64 storage.
struct GatProblem {
  int64_t batch, sources, targets, edges, heads, width, relations;
  const int32_t* rowptr;      // [M+1]
  const int32_t* col;         // [E]
  const int32_t* edge_id;     // [E], null without score_edge
  const int32_t* t_rowptr;    // [N+1]
  const int32_t* t_target;    // [E]
  const int32_t* t_edge;      // [E]
  const int32_t* relation;    // [E], null without edge_bias
  const void* x;              // [B, N, H, D]
  const void* score_src;      // [B, N, H]
  const void* score_dst;      // [B, M, H]
  const void* score_edge;     // acc [E, H] a sample, by edge_id, or null
  int64_t score_edge_stride;  // numbers from a sample's to the next one's; 0 if they share them
  const void* edge_bias;      // [R, H] or null
  const bool* node_mask;      // [B, N] or null
  double negative_slope;
  double dropout;         // share of the weights that is dropped; 0 for none
  uint64_t seed;          // of dropout
  void* out;              // [B, M, H, D]
  void* lse;              // [B, M, H] acc
  const void* grad_out;   // [B, M, H, D]
  const void* grad_lse;   // [B, M, H] acc, or null
  void* grad_x;           // [B, N, H, D]
  void* grad_score_src;   // [B, N, H]
  void* grad_score_dst;   // [B, M, H]
  void* grad_score_edge;  // acc [B, E, H], by edge_id, or null
  bool by_rows;           // a range is some rows of all heads, not all rows of one
};

// A range of rows (targets or sources) of some heads of one sample.
struct GatRange {
  int64_t sample, first_head, last_head, begin, end;  // heads and rows are [first, last)
};

// Edges whose weights are added one by one; a longer row's sum is that of its blocks. A float that
// adds up a million like weights one by one is wrong by a hundredth.
constexpr int64_t kSumBlock = 1024;

// Kernels that take one head at a time (`gat`), or up to kMostHeads side by side (`gat_heads`).
constexpr int64_t kMostHeads = 8;

struct GatKernels {
  // Numbers in a table of so many heads, below.
  int64_t (*table)(const GatProblem&, int64_t heads);
  // Fills the table of some heads of sample b (acc): the parts of the scores that belong to a
  // source or a relation.
  void (*fill_table)(const GatProblem&, int64_t b, int64_t first_head, int64_t last_head,
                     void* table);
  // Numbers in an edge's record of so many heads, below.
  int64_t (*record)(int64_t heads);
  // Values of type acc that one call needs as scratch, for `heads` heads and rows with `edges`
  // edges.
  int64_t (*scratch)(const GatProblem&, int64_t heads, int64_t rows, int64_t edges);
  // Targets of the range, whose heads the table is of.
  void (*forward)(const GatProblem&, const GatRange&, const void* table, void* scratch);
  // Backward is four walks, each over all targets or sources before the next. What they hand on
  // is in the records (acc, of all edges), two numbers a head:
  // 1. of targets: what dropout keeps of a weight, and the weight, negative where the score is not
  //    above 0;
  void (*backward_weights)(const GatProblem&, const GatRange&, const void* table, void* records,
                           void* scratch);
  // 2. of sources: grad_x; the first number becomes <grad_out, x>, or 0 where that was 0;
  void (*backward_features)(const GatProblem&, const GatRange&, void* records, void* scratch);
  // 3. of targets: the second becomes the score's gradient, whose sums are grad_score_dst; adds to
  //    bias_grad ([H, R], null without edge_bias);
  void (*backward_scores)(const GatProblem&, const GatRange&, void* records, double* bias_grad,
                          void* scratch);
  // 4. of sources: grad_score_src.
  void (*backward_sources)(const GatProblem&, const GatRange&, const void* records);
  // The weights [B, E, H] of the range's targets, in the order of edge_id [E].
  void (*weights)(const GatProblem&, const GatRange&, const void* table, const int32_t* edge_id,
                  void* out, void* scratch);
};

// The scores of GATv2; sizes as above.
struct GatV2Problem {
  int64_t batch, sources, targets, edges, heads, width;
  const int32_t* rowptr;    // [M+1]
  const int32_t* col;       // [E]
  const int32_t* edge_id;   // [E]
  const int32_t* t_rowptr;  // [N+1]
  const int32_t* t_target;  // [E]
  const int32_t* t_edge;    // [E]
  const void* x_src;        // [B, N, H, D]
  const void* x_dst;        // [B, M, H, D]
  const void* att;          // [H, D]
  const void* x_edge;       // [E, H, D] by edge_id, or null
  double negative_slope;
  void* score;        // acc [B, E, H], by edge_id
  const void* grad;   // acc [B, E, H], by edge_id
  void* grad_x_src;   // [B, N, H, D]
  void* grad_x_dst;   // [B, M, H, D]
  void* grad_x_edge;  // acc [E, H, D] by edge_id, or null
};

struct GatV2Kernels {
  void (*forward)(const GatV2Problem&, const GatRange&);
  // Targets of the range: grad_x_dst; adds to grad_x_edge and to att_grad [H, D].
  void (*backward_targets)(const GatV2Problem&, const GatRange&, double* att_grad);
  // Sources of the range: grad_x_src.
  void (*backward_sources)(const GatV2Problem&, const GatRange&);
};

// Rows of routing: K weights a row, A actions.
struct RouteProblem {
  int64_t experts, actions;
  bool sparse;
  double temperature;
  const void* scores;         // [B, K] router logits
  const void* expert_logits;  // [B, K, A]
  const bool* action_mask;    // [B, A] or null
  void* alpha;                // [B, K]
  void* logits;               // [B, A]
  const void* grad_alpha;     // [B, K] or null
  const void* grad_logits;    // [B, A] or null
  void* grad_scores;          // [B, K]
  void* grad_expert_logits;   // [B, K, A]
};

struct RouteKernels {
  int64_t (*scratch)(const RouteProblem&);  // acc values
  void (*forward)(const RouteProblem&, int64_t begin, int64_t end, void* scratch);
  void (*backward)(const RouteProblem&, int64_t begin, int64_t end, void* scratch);
};

// Rows of scores: the map alone (sparsemax) and the Fenchel-Young loss.
struct MapKernels {
  int64_t (*scratch)(int64_t count);  // acc values
  void (*sparsemax)(const void* x, void* out, int64_t count, int64_t begin, int64_t end,
                    void* scratch);
  void (*sparsemax_backward)(const void* grad, const void* out, void* grad_x, int64_t count,
                             int64_t begin, int64_t end, void* scratch);
  // Returns the sum of the rows' losses; residual <- map(scores) - target.
  double (*loss)(bool sparse, const void* scores, const void* target, void* residual, int64_t count,
                 int64_t begin, int64_t end, void* scratch);
  // out <- in * factor, entries [begin, end).
  void (*scale)(const void* in, void* out, double factor, int64_t begin, int64_t end);
};

// Losses on the routing. Sums go over rows; the caller divides by the batch.
struct LossProblem {
  int64_t batch, experts, actions;
  bool all;                   // false: the overlap alone
  const void* alpha;          // [B, K]
  const void* expert_logits;  // [B, K, A]
  const void* mean_alpha;     // acc [K], backward with all
  double grad[5];             // of overlap, semantic, diversity, load_balance, entropy
  void* grad_alpha;           // [B, K]
  void* grad_expert_logits;   // [B, K, A]
  bool stream;                // too large for the caches: write grad_expert_logits past them
};

struct LossKernels {
  int64_t (*scratch)(const LossProblem&);  // acc values
  // sums: overlap, sum of |cos|, sum of cos (both over ordered pairs), entropy, then K sums of
  // alpha.
  void (*forward)(const LossProblem&, int64_t begin, int64_t end, double* sums, void* scratch);
  void (*backward)(const LossProblem&, int64_t begin, int64_t end, void* scratch);
};

// A layer of a network: out = norm(relu(x weight + bias)), float32.
struct DenseProblem {
  int64_t inputs, outputs;
  const float* x;  // row r begins at x + r * x_stride
  int64_t x_stride;
  const float* weight;  // [inputs, outputs]
  const float* bias;    // [outputs]
  bool relu;
  const float* scale;  // [outputs], of LayerNorm; null without it
  const float* shift;  // [outputs]
  float epsilon;
  float* out;  // row r begins at out + r * out_stride
  int64_t out_stride;
};

struct DenseKernels {
  void (*forward)(const DenseProblem&, int64_t rows);
  // out <- log(1 + x) for x >= 0.
  void (*log1p)(const float* x, int64_t count, float* out);
};

// Rows of features, each followed by those of a table that `index` names.
struct EmbeddingProblem {
  int64_t features, count, classes, width;
  int64_t stride;        // features + count * width
  const uint8_t* index;  // [B, count]
  const void* grad;      // [B, stride]
};

struct EmbeddingKernels {
  uint8_t (*largest)(const uint8_t* index, int64_t count);  // 0 of none
  int64_t (*scratch)(const EmbeddingProblem&);              // acc values
  // Adds the table's gradient to sums [classes, width].
  void (*backward)(const EmbeddingProblem&, int64_t begin, int64_t end, double* sums,
                   void* scratch);
};

struct Kernels {
  const char* level;
  GatKernels gat[kStorageCount];
  GatKernels gat_heads[kStorageCount];
  GatV2Kernels gatv2[kStorageCount];
  RouteKernels route[kStorageCount];
  MapKernels map[kStorageCount];
  LossKernels loss[kStorageCount];
  DenseKernels dense;
  EmbeddingKernels embedding[kStorageCount];
};

const Kernels& kernels();

}  // namespace tedg
