"""The attention of GATv2: a score is computed from the sum of the features of an edge's ends."""

import torch
from torch import Tensor

from tedg_fast.ops import _checks, reference
from tedg_fast.ops._native import has_kernel
from tedg_fast.ops.attention import gat_attention
from tedg_fast.ops.graph import Graph


def gatv2_scores(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    graph: Graph,
    *,
    x_edge: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    """The score of every edge j -> i: ``att . LeakyReLU(x_dst[i] + x_src[j] + x_edge[edge])``.

    Brody, Alon & Yahav 2022, "How Attentive are Graph Attention Networks?", equation 7. Nothing of
    size B x E x D is allocated, forward or backward.

    Args:
        x_src: [B, N, H, D] projected features of the sources; float32, bfloat16, float16, float64.
        x_dst: [B, M, H, D] projected features of the targets, dtype of ``x_src``.
        att: [H, D] learned vector of each head, dtype of ``x_src``.
        graph: the edges, N sources and M targets, on the device of ``x_src``.
        x_edge: [E, H, D] projected features of the edges, shared by the samples, in the order of
            the ``edge_index`` that the graph was built from; dtype of ``x_src``.
        negative_slope: slope of the LeakyReLU below zero, a Python number.

    Returns:
        [B, E, H], float32, or float64 for float64 inputs, in the order of ``edge_index``: what
        :func:`gat_attention` and :func:`gat_attention_weights` take as ``score_edge``.
        Differentiable, once, in reverse mode.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype, device or value does not fit.
    """
    _checks.gatv2(x_src, x_dst, att, graph, x_edge)
    _checks.slope(negative_slope)
    if not has_kernel(x_src.device, "gatv2_scores"):
        return reference.gatv2_scores(
            x_src, x_dst, att, graph, x_edge=x_edge, negative_slope=negative_slope
        )
    return torch.ops.tedg.gatv2_scores.default(
        x_src, x_dst, att, x_edge, graph.rowptr, graph.col, graph.edge_id, graph.t_rowptr,
        graph.t_target, graph.t_edge, negative_slope,
    )  # fmt: skip


def gatv2_attention(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    graph: Graph,
    *,
    x_edge: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    dropout_seed: Tensor | int | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend from every target to the sources of its incoming edges, as GATv2 does.

    The weights a_ij are the softmax of :func:`gatv2_scores` over the incoming edges of i, and
    ``out[i] = sum_j a_ij x_src[j]``. A target without an unmasked source gets zeros. The scores
    [B, E, H] are all that is allocated besides the results. To see the weights, call
    :func:`gatv2_scores`, then :func:`gat_attention_weights` with source and target scores of 0,
    ``negative_slope=1.0`` and the result as ``score_edge``.

    Args: as in :func:`gatv2_scores`; ``node_mask``, ``dropout_p`` and ``dropout_seed`` as in
        :func:`gat_attention`.

    Returns:
        ``out`` [B, M, H, D], dtype of ``x_src``, and ``lse`` [B, M, H], as :func:`gat_attention`.
        Both are differentiable, once, in reverse mode.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype, device or value does not fit.
    """
    scores = gatv2_scores(x_src, x_dst, att, graph, x_edge=x_edge, negative_slope=negative_slope)
    return gat_attention(
        x_src,
        x_src.new_zeros(x_src.shape[:3]),
        x_src.new_zeros(x_dst.shape[:3]),
        graph,
        score_edge=scores,
        negative_slope=1.0,
        node_mask=node_mask,
        dropout_p=dropout_p,
        dropout_seed=dropout_seed,
    )
