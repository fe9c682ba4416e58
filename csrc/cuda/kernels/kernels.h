// What the CUDA kernels take: plain device pointers and sizes. They know nothing of torch.
//
// Every function here puts its kernels on `stream` of the current device, and returns at once;
// it throws std::runtime_error if a launch fails. T is a storage type: float, double,
// __nv_bfloat16 or __half; "acc" is what sums over T are kept in: double for double, else float.
#pragma once

#include <stdint.h>

#include "device.cuh"

namespace tedg::gpu {

// A graph and sizes. B batch, N sources, M targets, E edges, H heads, D width.
template <class T>
struct GraphProblem {
  int64_t batch, sources, targets, edges, heads, width;
  const int32_t* rowptr;    // [M+1]
  const int32_t* col;       // [E]
  const int32_t* t_rowptr;  // [N+1]
  const int32_t* t_target;  // [E]
  const int32_t* t_edge;    // [E]
  const int32_t* edge_id;   // [E], where what belongs to edges is read or asked for
  acc_t<T> slope;           // of the LeakyReLU below zero
  acc_t<T>* part;           // [chunk, H, gat_part_numbers(p)], scratch of the general path
  int64_t chunk;            // samples that the scratch has room for; 0: take the tile path
  bool aligned;             // every row of D values begins at a multiple of 16 bytes
};

// One attention problem.
template <class T>
struct GatProblem : GraphProblem<T> {
  int64_t relations;
  const int32_t* relation;      // [E], null without edge_bias
  const T* x;                   // [B, N, H, D]
  const T* score_src;           // [B, N, H]
  const T* score_dst;           // [B, M, H]
  const T* edge_bias;           // [R, H] or null
  const bool* node_mask;        // [B, N] or null
  const acc_t<T>* score_edge;   // [E, H] or [B, E, H] by edge_id, or null
  int64_t score_edge_stride;    // from one sample's to the next one's, 0 where they share one
  const int64_t* dropout_seed;  // a number on the device, or null for no dropout
  uint64_t dropout_least;       // words of the generator from this one on keep a weight
  acc_t<T> dropout_scale;       // of weights that are kept
  T* out;                       // [B, M, H, D]
  acc_t<T>* lse;                // [B, M, H]
  const T* grad_out;            // [B, M, H, D]
  const acc_t<T>* grad_lse;     // [B, M, H] or null
  T* grad_x;                    // [B, N, H, D]
  T* grad_score_src;            // [B, N, H]
  T* grad_score_dst;            // [B, M, H]
  T* grad_edge_bias;            // [R, H]
  acc_t<T>* grad_score_edge;    // [B, E, H] by edge_id, or null
  acc_t<T>* bias_parts;         // [B, H, gat_bias_parts(p), R], scratch of backward
  acc_t<T>* edge;               // [chunk, H, E, 2], scratch of the general path's backward
};

// Whether one (sample, head) fits into a block's shared memory (and there are enough of them to
// fill the device), so that no scratch is needed.
template <class T>
bool gat_forward_fits_tile(const GatProblem<T>& p);
template <class T>
bool gat_backward_fits_tile(const GatProblem<T>& p);
// Numbers of scratch memory for what the general path adds up of long rows, a (sample, head).
template <class T>
int64_t gat_part_numbers(const GraphProblem<T>& p);
// Sums that make up a relation's gradient, a (sample, head).
template <class T>
int64_t gat_bias_parts(const GatProblem<T>& p);
template <class T>
void gat_forward(const GatProblem<T>& p, cudaStream_t stream);
template <class T>
void gat_backward(const GatProblem<T>& p, cudaStream_t stream);
// out [B, E, H], in the order of edge_id.
template <class T>
void gat_weights(const GatProblem<T>& p, T* out, cudaStream_t stream);

// GATv2's scores, of targets and sources with features of one width.
template <class T>
struct GatV2Problem : GraphProblem<T> {
  const T* x_src;        // [B, N, H, D]
  const T* x_dst;        // [B, M, H, D]
  const T* att;          // [H, D]
  const T* x_edge;       // [E, H, D] by edge_id, or null
  acc_t<T>* score;       // [B, E, H] by edge_id
  const acc_t<T>* grad;  // [B, E, H] by edge_id
  T* grad_x_src;         // [B, N, H, D]
  T* grad_x_dst;         // [B, M, H, D]
  T* grad_att;           // [H, D]
  T* grad_x_edge;        // [E, H, D] by edge_id, where there is an x_edge
  acc_t<T>* att_parts;   // [gatv2_att_parts(p), H, D], scratch of backward
};
template <class T>
int64_t gatv2_att_parts(const GatV2Problem<T>& p);
template <class T>
void gatv2_scores(const GatV2Problem<T>& p, cudaStream_t stream);
template <class T>
void gatv2_scores_backward(const GatV2Problem<T>& p, cudaStream_t stream);

// Rows of routing: K weights a row, A actions.
template <class T>
struct RouteProblem {
  int64_t batch, experts, actions;
  bool sparse;
  acc_t<T> temperature;
  const T* scores;          // [B, K]
  const T* expert_logits;   // [B, K, A]
  const bool* action_mask;  // [B, A] or null
  T* alpha;                 // [B, K]
  T* logits;                // [B, A]
  const T* grad_alpha;      // [B, K] or null
  const T* grad_logits;     // [B, A] or null
  T* grad_scores;           // [B, K]
  T* grad_expert_logits;    // [B, K, A]
};
template <class T>
void route_forward(const RouteProblem<T>& p, cudaStream_t stream);
template <class T>
void route_backward(const RouteProblem<T>& p, cudaStream_t stream);

// Rows of scores [rows, K].
template <class T>
void sparsemax(const T* x, T* out, int64_t rows, int64_t count, cudaStream_t stream);
template <class T>
void sparsemax_backward(const T* grad, const T* out, T* grad_x, int64_t rows, int64_t count,
                        cudaStream_t stream);
// parts: acc [map_loss_parts(rows)], scratch.
int64_t map_loss_parts(int64_t rows);
template <class T>
void fenchel_young_loss(bool sparse, const T* scores, const T* target, T* residual, acc_t<T>* parts,
                        acc_t<T>* loss, int64_t rows, int64_t count, cudaStream_t stream);
// out <- residual * grad / rows; grad is one number on the device.
template <class T>
void fenchel_young_loss_backward(const acc_t<T>* grad, const T* residual, T* out, int64_t rows,
                                 int64_t count, cudaStream_t stream);

// Losses on the routing, means over the batch.
template <class T>
struct LossProblem {
  int64_t batch, experts, actions;
  bool all;                 // false: the overlap alone
  const T* alpha;           // [B, K]
  const T* expert_logits;   // [B, K, A]
  acc_t<T>* parts;          // [loss_parts(batch), 4 + K], scratch of forward
  acc_t<T>* loss[5];        // overlap, semantic, diversity, load_balance, entropy: a number
                            // each; only the first without `all`
  acc_t<T>* mean_alpha;     // [K], with `all`
  const acc_t<T>* grad[5];  // of the five losses, a number each on the device, or null
  T* grad_alpha;            // [B, K]
  T* grad_expert_logits;    // [B, K, A]
};
int64_t loss_parts(int64_t batch);
template <class T>
void losses_forward(const LossProblem<T>& p, cudaStream_t stream);
template <class T>
void losses_backward(const LossProblem<T>& p, cudaStream_t stream);

// Rows of features, each followed by those of a table that `index` names.
template <class T>
struct EmbeddingProblem {
  int64_t rows, features, count, classes, width;
  const uint8_t* index;  // [rows, count]
  const T* beside;       // [rows, features]
  const T* table;        // [classes, width]
  T* out;                // [rows, stride()]
  const T* grad;         // [rows, stride()]
  T* grad_table;         // [classes, width]
  acc_t<T>* parts;       // [named() * width, runs()], scratch of backward

  __host__ __device__ int64_t stride() const { return features + count * width; }
  // Classes that 8 bits can name.
  __host__ __device__ int64_t named() const { return classes < 256 ? classes : 256; }
  int64_t runs() const;
};
template <class T>
void concat_embedding(const EmbeddingProblem<T>& p, cudaStream_t stream);
template <class T>
void concat_embedding_backward(const EmbeddingProblem<T>& p, cudaStream_t stream);

}  // namespace tedg::gpu
