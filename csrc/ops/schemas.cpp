// Every op of torch.ops.tedg: the one place of their schemas. Kernels are registered in csrc/cpu
// and csrc/cuda, autograd and fakes in tedg_fast/ops.
//
// N sources, M targets, E edges; `graph` arguments are the tensors of tedg_fast.ops.Graph.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(tedg, m) {
  m.def(
      "build_graph(Tensor edge_index, SymInt num_sources, SymInt num_targets) -> (Tensor rowptr, "
      "Tensor col, Tensor edge_id, Tensor t_rowptr, Tensor t_target, Tensor t_edge)");
  // The same of a GraphBatch: source and target int32, starts int64.
  m.def(
      "batch_graph(Tensor node_start, Tensor edge_start, Tensor source, Tensor target, "
      "SymInt num_nodes, SymInt num_shared) -> (Tensor rowptr, Tensor col, Tensor edge_id, "
      "Tensor t_rowptr, Tensor t_target, Tensor t_edge)");
  m.def(
      "gat_attention(Tensor x, Tensor score_src, Tensor score_dst, Tensor rowptr, Tensor col, "
      "Tensor t_rowptr, Tensor t_target, Tensor t_edge, Tensor? relation, Tensor? edge_bias, "
      "float negative_slope, Tensor? node_mask) -> (Tensor out, Tensor lse)");
  m.def(
      "gat_attention_backward(Tensor grad_out, Tensor? grad_lse, Tensor x, Tensor score_src, "
      "Tensor score_dst, Tensor rowptr, Tensor col, Tensor t_rowptr, Tensor t_target, "
      "Tensor t_edge, Tensor? relation, Tensor? edge_bias, float negative_slope, "
      "Tensor? node_mask, Tensor lse) "
      "-> (Tensor grad_x, Tensor grad_score_src, Tensor grad_score_dst, Tensor grad_edge_bias)");
  m.def(
      "gat_attention_weights(Tensor score_src, Tensor score_dst, Tensor lse, Tensor rowptr, "
      "Tensor col, Tensor edge_id, Tensor? relation, Tensor? edge_bias, float negative_slope, "
      "Tensor? node_mask) -> Tensor");
  // The same with a score for every edge, [E, H] or [B, E, H] of the accumulate type by edge_id,
  // and dropout of the weights, its seed an int64 scalar. grad_score_edge is [B, E, H], or empty.
  m.def(
      "gat_attention_edges(Tensor x, Tensor score_src, Tensor score_dst, Tensor? score_edge, "
      "Tensor rowptr, Tensor col, Tensor edge_id, Tensor t_rowptr, Tensor t_target, "
      "Tensor t_edge, Tensor? relation, Tensor? edge_bias, float negative_slope, "
      "Tensor? node_mask, float dropout_p, Tensor? dropout_seed) -> (Tensor out, Tensor lse)");
  m.def(
      "gat_attention_edges_backward(Tensor grad_out, Tensor? grad_lse, Tensor x, "
      "Tensor score_src, Tensor score_dst, Tensor? score_edge, Tensor rowptr, Tensor col, "
      "Tensor edge_id, Tensor t_rowptr, Tensor t_target, Tensor t_edge, Tensor? relation, "
      "Tensor? edge_bias, float negative_slope, Tensor? node_mask, float dropout_p, "
      "Tensor? dropout_seed, Tensor lse) -> (Tensor grad_x, Tensor grad_score_src, "
      "Tensor grad_score_dst, Tensor grad_edge_bias, Tensor grad_score_edge)");
  m.def(
      "gat_attention_edges_weights(Tensor score_src, Tensor score_dst, Tensor? score_edge, "
      "Tensor lse, Tensor rowptr, Tensor col, Tensor edge_id, Tensor? relation, "
      "Tensor? edge_bias, float negative_slope, Tensor? node_mask, float dropout_p, "
      "Tensor? dropout_seed) -> Tensor");
  // Scores [B, E, H] of the accumulate type, by edge_id. grad_x_edge is empty without x_edge.
  m.def(
      "gatv2_scores(Tensor x_src, Tensor x_dst, Tensor att, Tensor? x_edge, Tensor rowptr, "
      "Tensor col, Tensor edge_id, Tensor t_rowptr, Tensor t_target, Tensor t_edge, "
      "float negative_slope) -> Tensor");
  m.def(
      "gatv2_scores_backward(Tensor grad, Tensor x_src, Tensor x_dst, Tensor att, "
      "Tensor? x_edge, Tensor rowptr, Tensor col, Tensor edge_id, Tensor t_rowptr, "
      "Tensor t_target, Tensor t_edge, float negative_slope) -> (Tensor grad_x_src, "
      "Tensor grad_x_dst, Tensor grad_att, Tensor grad_x_edge)");
  m.def(
      "route(Tensor router_logits, Tensor expert_logits, bool sparse, float temperature, "
      "Tensor? action_mask) -> (Tensor alpha, Tensor logits)");
  m.def(
      "route_backward(Tensor? grad_alpha, Tensor? grad_logits, Tensor router_logits, "
      "Tensor expert_logits, bool sparse, float temperature, Tensor? action_mask) "
      "-> (Tensor grad_router_logits, Tensor grad_expert_logits)");
  m.def("sparsemax(Tensor x) -> Tensor");
  m.def("sparsemax_backward(Tensor grad, Tensor out) -> Tensor");
  m.def(
      "fenchel_young_loss(Tensor scores, Tensor target, bool sparse) "
      "-> (Tensor loss, Tensor residual)");
  m.def("fenchel_young_loss_backward(Tensor grad, Tensor residual) -> Tensor");
  m.def("expert_overlap(Tensor alpha, Tensor expert_logits) -> Tensor");
  m.def(
      "expert_overlap_backward(Tensor grad, Tensor alpha, Tensor expert_logits) "
      "-> (Tensor grad_alpha, Tensor grad_expert_logits)");
  m.def(
      "routing_losses(Tensor alpha, Tensor expert_logits) -> (Tensor overlap, Tensor semantic, "
      "Tensor diversity, Tensor load_balance, Tensor entropy, Tensor mean_alpha)");
  m.def(
      "routing_losses_backward(Tensor? overlap, Tensor? semantic, Tensor? diversity, "
      "Tensor? load_balance, Tensor? entropy, Tensor alpha, Tensor expert_logits, "
      "Tensor mean_alpha) -> (Tensor grad_alpha, Tensor grad_expert_logits)");
  m.def("concat_embedding(Tensor features, Tensor index, Tensor table) -> Tensor");
  m.def("concat_embedding_backward(Tensor grad, Tensor index, Tensor table) -> Tensor");
}
