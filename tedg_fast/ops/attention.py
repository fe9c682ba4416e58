"""Sparse graph attention over one static graph, for a batch of samples."""

import torch
from torch import Tensor

from tedg_fast.ops import _checks, reference
from tedg_fast.ops._native import has_kernel
from tedg_fast.ops.graph import Graph


def gat_attention(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    *,
    edge_bias: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend from every target to the sources of its incoming edges.

    The score of edge j -> i, head h is ``LeakyReLU(score_src[j] + score_dst[i] +
    edge_bias[relation])``; weights a_ij are its softmax over the incoming edges of i, and
    ``out[i] = sum_j a_ij x[j]`` (Velickovic et al. 2018, equations 1 to 4). A target without an
    unmasked source, or whose scores are all -inf, gets zeros. Nothing of size B x E x D is
    allocated.

    Args:
        x: [B, N, H, D] projected source features; float32, bfloat16, float16 or float64.
        score_src: [B, N, H] source part of the score, dtype of ``x``.
        score_dst: [B, M, H] target part of the score, dtype of ``x``.
        graph: the edges, N sources and M targets, on the device of ``x``.
        edge_bias: [R, H] learned bias of each relation, dtype of ``x``; the graph must have been
            built with relation ids below R.
        negative_slope: slope of the LeakyReLU below zero.
        node_mask: bool [B, N]; a source that is False takes no part.

    Returns:
        ``out`` [B, M, H, D], dtype of ``x``, and ``lse`` [B, M, H], the logarithm of each
        softmax's denominator (-inf for a target without sources), float32, or float64 for
        float64 inputs. Both are differentiable, once.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype or device does not fit the others.
    """
    _checks.attention(x, score_src, score_dst, graph, edge_bias, node_mask)
    if has_kernel(score_src.device.type):
        return torch.ops.tedg.gat_attention.default(
            x,
            score_src,
            score_dst,
            graph.rowptr,
            graph.col,
            graph.t_rowptr,
            graph.t_target,
            graph.t_edge,
            graph.relation,
            edge_bias,
            negative_slope,
            node_mask,
        )
    return reference.gat_attention(
        x,
        score_src,
        score_dst,
        graph,
        edge_bias=edge_bias,
        negative_slope=negative_slope,
        node_mask=node_mask,
    )


def gat_attention_weights(
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    *,
    edge_bias: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
) -> Tensor:
    """The attention weights themselves, for inspection; no gradient flows through them.

    Args: as in :func:`gat_attention`, without the features.

    Returns:
        [B, E, H], dtype of ``score_src``, edges in the order of the ``edge_index`` that the graph
        was built from. An edge from a masked source has weight 0.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype or device does not fit the others.
    """
    _checks.attention(None, score_src, score_dst, graph, edge_bias, node_mask)
    with torch.no_grad():
        if not has_kernel(score_src.device.type):
            return reference.gat_attention_weights(
                score_src,
                score_dst,
                graph,
                edge_bias=edge_bias,
                negative_slope=negative_slope,
                node_mask=node_mask,
            )
        # lse without features: attention over features of width 0.
        _, lse = gat_attention(
            score_src.new_empty(*score_src.shape, 0),
            score_src,
            score_dst,
            graph,
            edge_bias=edge_bias,
            negative_slope=negative_slope,
            node_mask=node_mask,
        )
        return torch.ops.tedg.gat_attention_weights.default(
            score_src,
            score_dst,
            lse,
            graph.rowptr,
            graph.col,
            graph.edge_id,
            graph.relation,
            edge_bias,
            negative_slope,
            node_mask,
        )

