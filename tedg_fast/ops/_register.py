"""Autograd formulas and fake (shape) kernels of ``torch.ops.tedg``.

The gradients are native ops themselves, differentiable once.
"""

import torch

from tedg_fast.ops._autograd import once_differentiable, ops, register_autograd
from tedg_fast.ops.reference import accumulate_dtype

# ---- build_graph, batch_graph ----------------------------------------------------------------


@torch.library.register_fake("tedg::build_graph")
def _(edge_index, num_sources, num_targets):
    edges = edge_index.shape[1]
    sizes = num_targets + 1, edges, edges, num_sources + 1, edges, edges
    return tuple(edge_index.new_empty(size, dtype=torch.int32) for size in sizes)


@torch.library.register_fake("tedg::batch_graph")
def _(node_start, edge_start, source, target, num_nodes, num_shared):
    edges = source.shape[0]
    sizes = num_nodes + 1, edges, edges, num_nodes + num_shared + 1, edges, edges
    return tuple(source.new_empty(size, dtype=torch.int32) for size in sizes)


# ---- gat_attention ---------------------------------------------------------------------------


@torch.library.register_fake("tedg::gat_attention")
def _(x, score_src, score_dst, *rest):
    batch, targets, heads = score_dst.shape
    lse = score_dst.new_empty(score_dst.shape, dtype=accumulate_dtype(x.dtype))
    return x.new_empty(batch, targets, heads, x.shape[3]), lse


@torch.library.register_fake("tedg::gat_attention_backward")
def _(grad_out, grad_lse, x, score_src, score_dst, *rest):
    edge_bias = rest[6]
    heads = score_src.shape[2]
    grad_bias = x.new_empty(0 if edge_bias is None else edge_bias.shape[0], heads)
    return (
        x.new_empty(x.shape),
        score_src.new_empty(score_src.shape),
        score_dst.new_empty(score_dst.shape),
        grad_bias,
    )


@torch.library.register_fake("tedg::gat_attention_weights")
def _(score_src, score_dst, lse, rowptr, col, *rest):
    batch, _, heads = score_src.shape
    return score_src.new_empty(batch, col.shape[0], heads)


def _gat_setup(ctx, inputs, output):
    *tensors, negative_slope, node_mask = inputs
    ctx.save_for_backward(*tensors, node_mask, output[1])
    ctx.negative_slope = negative_slope
    ctx.set_materialize_grads(False)


def _gat_backward(ctx, grad_out, grad_lse):
    *tensors, node_mask, lse = ctx.saved_tensors
    x, edge_bias = tensors[0], tensors[-1]
    if grad_out is None:
        grad_out = x.new_zeros(*lse.shape, x.shape[3])
    grad_x, grad_src, grad_dst, grad_bias = ops.gat_attention_backward(
        grad_out, grad_lse, *tensors, ctx.negative_slope, node_mask, lse
    )
    graph = (None,) * 6
    return grad_x, grad_src, grad_dst, *graph, None if edge_bias is None else grad_bias, None, None


register_autograd("gat_attention", _gat_backward, _gat_setup)
once_differentiable("gat_attention")


# ---- gat_attention_edges ---------------------------------------------------------------------


@torch.library.register_fake("tedg::gat_attention_edges")
def _(x, score_src, score_dst, *rest):
    batch, targets, heads = score_dst.shape
    lse = score_dst.new_empty(score_dst.shape, dtype=accumulate_dtype(x.dtype))
    return x.new_empty(batch, targets, heads, x.shape[3]), lse


@torch.library.register_fake("tedg::gat_attention_edges_backward")
def _(grad_out, grad_lse, x, score_src, score_dst, score_edge, rowptr, col, *rest):
    edge_bias = rest[5]
    batch, _, heads = score_src.shape
    edge_shape = (0,) if score_edge is None else (batch, col.shape[0], heads)
    return (
        x.new_empty(x.shape),
        score_src.new_empty(score_src.shape),
        score_dst.new_empty(score_dst.shape),
        x.new_empty(0 if edge_bias is None else edge_bias.shape[0], heads),
        x.new_empty(edge_shape, dtype=accumulate_dtype(x.dtype)),
    )


@torch.library.register_fake("tedg::gat_attention_edges_weights")
def _(score_src, score_dst, score_edge, lse, rowptr, col, *rest):
    batch, _, heads = score_src.shape
    return score_src.new_empty(batch, col.shape[0], heads)


def _gat_edges_setup(ctx, inputs, output):
    *tensors, ctx.negative_slope, node_mask, ctx.dropout_p, dropout_seed = inputs
    ctx.save_for_backward(*tensors, node_mask, dropout_seed, output[1])
    ctx.set_materialize_grads(False)


def _gat_edges_backward(ctx, grad_out, grad_lse):
    *tensors, node_mask, dropout_seed, lse = ctx.saved_tensors
    x, score_edge, edge_bias = tensors[0], tensors[3], tensors[-1]
    if grad_out is None:
        grad_out = x.new_zeros(*lse.shape, x.shape[3])
    grad_x, grad_src, grad_dst, grad_bias, grad_edge = ops.gat_attention_edges_backward(
        grad_out, grad_lse, *tensors, ctx.negative_slope, node_mask, ctx.dropout_p, dropout_seed,
        lse,
    )  # fmt: skip
    if score_edge is None:
        grad_edge = None
    elif score_edge.dim() == 2:
        grad_edge = grad_edge.sum(0)
    graph = (None,) * 7
    grad_bias = None if edge_bias is None else grad_bias
    return grad_x, grad_src, grad_dst, grad_edge, *graph, grad_bias, None, None, None, None


register_autograd("gat_attention_edges", _gat_edges_backward, _gat_edges_setup)
once_differentiable("gat_attention_edges")


# ---- gatv2_scores ----------------------------------------------------------------------------


@torch.library.register_fake("tedg::gatv2_scores")
def _(x_src, x_dst, att, x_edge, rowptr, col, *rest):
    batch, _, heads, _ = x_src.shape
    return x_src.new_empty(batch, col.shape[0], heads, dtype=accumulate_dtype(x_src.dtype))


@torch.library.register_fake("tedg::gatv2_scores_backward")
def _(grad, x_src, x_dst, att, x_edge, *rest):
    edges = 0 if x_edge is None else x_edge.shape[0]
    return (
        x_src.new_empty(x_src.shape),
        x_dst.new_empty(x_dst.shape),
        att.new_empty(att.shape),
        x_src.new_empty(edges, *att.shape),
    )


def _gatv2_setup(ctx, inputs, output):
    *tensors, ctx.negative_slope = inputs
    ctx.save_for_backward(*tensors)


def _gatv2_backward(ctx, grad):
    tensors = ctx.saved_tensors
    *grads, grad_edge = ops.gatv2_scores_backward(grad, *tensors, ctx.negative_slope)
    return *grads, None if tensors[3] is None else grad_edge, *(None,) * 7


register_autograd("gatv2_scores", _gatv2_backward, _gatv2_setup)
once_differentiable("gatv2_scores")


# ---- route, sparsemax ------------------------------------------------------------------------


@torch.library.register_fake("tedg::route")
def _(router_logits, expert_logits, sparse, temperature, action_mask):
    batch, _, actions = expert_logits.shape
    return router_logits.new_empty(router_logits.shape), expert_logits.new_empty(batch, actions)


@torch.library.register_fake("tedg::route_backward")
def _(grad_alpha, grad_logits, router_logits, expert_logits, *rest):
    return router_logits.new_empty(router_logits.shape), expert_logits.new_empty(
        expert_logits.shape
    )


def _route_setup(ctx, inputs, output):
    router_logits, expert_logits, ctx.sparse, ctx.temperature, action_mask = inputs
    ctx.save_for_backward(router_logits, expert_logits, action_mask)
    ctx.set_materialize_grads(False)


def _route_backward(ctx, grad_alpha, grad_logits):
    router_logits, expert_logits, action_mask = ctx.saved_tensors
    grads = ops.route_backward(
        grad_alpha,
        grad_logits,
        router_logits,
        expert_logits,
        ctx.sparse,
        ctx.temperature,
        action_mask,
    )
    return *grads, None, None, None


register_autograd("route", _route_backward, _route_setup)
once_differentiable("route")


@torch.library.register_fake("tedg::sparsemax")
def _(x):
    return x.new_empty(x.shape)


@torch.library.register_fake("tedg::sparsemax_backward")
def _(grad, out):
    return out.new_empty(out.shape)


def _save_output(ctx, inputs, output):
    ctx.save_for_backward(output)
    ctx.save_for_forward(output)


def _sparsemax_derivative(ctx, grad):
    # The Jacobian of sparsemax is symmetric: forward and reverse mode are the same product.
    return ops.sparsemax_backward(grad, ctx.saved_tensors[0])


register_autograd("sparsemax", _sparsemax_derivative, _save_output, jvp=_sparsemax_derivative)
once_differentiable("sparsemax")


# ---- losses ----------------------------------------------------------------------------------


def _scalar(like):
    return like.new_empty((), dtype=accumulate_dtype(like.dtype))


@torch.library.register_fake("tedg::fenchel_young_loss")
def _(scores, target, sparse):
    return _scalar(scores), scores.new_empty(scores.shape)


@torch.library.register_fake("tedg::fenchel_young_loss_backward")
def _(grad, residual):
    return residual.new_empty(residual.shape)


def _fenchel_young_setup(ctx, inputs, output):
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _fenchel_young_backward(ctx, grad, _):
    return ops.fenchel_young_loss_backward(grad, ctx.saved_tensors[0]), None, None


register_autograd("fenchel_young_loss", _fenchel_young_backward, _fenchel_young_setup)
once_differentiable("fenchel_young_loss")


@torch.library.register_fake("tedg::expert_overlap")
def _(alpha, expert_logits):
    return _scalar(alpha)


@torch.library.register_fake("tedg::expert_overlap_backward")
def _(grad, alpha, expert_logits):
    return alpha.new_empty(alpha.shape), expert_logits.new_empty(expert_logits.shape)


def _save_inputs(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _expert_overlap_backward(ctx, grad):
    return ops.expert_overlap_backward(grad, *ctx.saved_tensors)


register_autograd("expert_overlap", _expert_overlap_backward, _save_inputs)
once_differentiable("expert_overlap")


@torch.library.register_fake("tedg::routing_losses")
def _(alpha, expert_logits):
    mean_alpha = alpha.new_empty(alpha.shape[1], dtype=accumulate_dtype(alpha.dtype))
    return *(_scalar(alpha) for _ in range(5)), mean_alpha


@torch.library.register_fake("tedg::routing_losses_backward")
def _(overlap, semantic, diversity, load_balance, entropy, alpha, expert_logits, mean_alpha):
    return alpha.new_empty(alpha.shape), expert_logits.new_empty(expert_logits.shape)


def _routing_losses_setup(ctx, inputs, output):
    ctx.save_for_backward(*inputs, output[5])
    ctx.mark_non_differentiable(output[5])
    ctx.set_materialize_grads(False)


def _routing_losses_backward(ctx, *grads):
    return ops.routing_losses_backward(*grads[:5], *ctx.saved_tensors)


register_autograd("routing_losses", _routing_losses_backward, _routing_losses_setup)
once_differentiable("routing_losses")


# ---- concat_embedding ------------------------------------------------------------------------


@torch.library.register_fake("tedg::concat_embedding")
def _(features, index, table):
    width = features.shape[1] + index.shape[1] * table.shape[1]
    return table.new_empty(features.shape[0], width)


@torch.library.register_fake("tedg::concat_embedding_backward")
def _(grad, index, table):
    return table.new_empty(table.shape)


def _concat_embedding_setup(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:])


def _concat_embedding_backward(ctx, grad):
    return None, None, ops.concat_embedding_backward(grad, *ctx.saved_tensors)


register_autograd("concat_embedding", _concat_embedding_backward, _concat_embedding_setup)
once_differentiable("concat_embedding")
