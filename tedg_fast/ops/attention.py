"""Sparse graph attention over one graph for a batch of samples, or over a batch of graphs."""

from typing import Any

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
    score_edge: Tensor | None = None,
    edge_bias: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    dropout_seed: Tensor | int | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend from every target to the sources of its incoming edges.

    The score of edge j -> i, head h is ``LeakyReLU(score_src[j] + score_dst[i] + score_edge[edge]
    + edge_bias[relation])``; weights a_ij are its softmax over the incoming edges of i, and
    ``out[i] = sum_j a_ij x[j]`` (Velickovic et al. 2018, equations 1 to 4). A target without an
    unmasked source, or whose scores are all -inf, gets zeros. Nothing of size B x E x D is
    allocated.

    Dropout of the weights is a function of its seed alone: weight (sample b, edge k in the graph's
    row order, head h) is dropped where the first word of Philox4x32-10 at counter (k, h, b, 0), key
    ``dropout_seed``, is below ``dropout_p * 2**32``; the others are divided by ``1 - dropout_p``.
    Backward draws the same ones again, so no mask is kept.

    Args:
        x: [B, N, H, D] projected source features; float32, bfloat16, float16 or float64.
        score_src: [B, N, H] source part of the score; -inf takes a source out. Its dtype, which
            the other scores share, is that of ``x``, or float32 for 16-bit features: then the sums
            run over a float32 copy of ``x``.
        score_dst: [B, M, H] target part of the score, dtype of ``score_src``.
        graph: the edges, N sources and M targets, on the device of ``x``; ``GraphBatch.graph``
            with B = 1 for many graphs of different sizes.
        score_edge: [E, H] or [B, E, H] part of each edge's own, in the order of the
            ``edge_index`` that the graph was built from; dtype of ``score_src``, or float32 for
            16-bit ones. -inf takes an edge out.
        edge_bias: [R, H] learned bias of each relation, dtype of ``score_src``; the graph must have
            been built with relation ids below R.
        negative_slope: slope of the LeakyReLU below zero, a Python number.
        node_mask: bool [B, N]; a source that is False takes no part.
        dropout_p: share of the weights that is dropped, in [0, 1], a Python number.
        dropout_seed: an int of 64 bits or an int64 scalar on the device of ``x``; None draws one
            from PyTorch's generator of that device.

    Returns:
        ``out`` [B, M, H, D], dtype of ``x``, and ``lse`` [B, M, H], the logarithm of each
        softmax's denominator (-inf for a target without sources; dropout does not change it),
        float32, or float64 for float64 inputs. Both are differentiable, once, in reverse mode.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype, device or value does not fit.
    """
    _checks.floating("x", x)
    options: dict[str, Any] = {
        "score_edge": score_edge, "edge_bias": edge_bias, "negative_slope": negative_slope,
        "node_mask": node_mask, "dropout_p": dropout_p, "dropout_seed": dropout_seed,
    }  # fmt: skip
    if (
        x.dtype in (torch.bfloat16, torch.float16)
        and isinstance(score_src, Tensor)
        and score_src.dtype == torch.float32
    ):
        # What autocast makes of features and scores; rounding the scores would cost their digits.
        out, lse = gat_attention(x.float(), score_src, score_dst, graph, **options)
        return out.to(x.dtype), lse
    _checks.attention(x, score_src, score_dst, graph, edge_bias, node_mask)
    score_edge, dropout_seed = _edge_arguments(
        score_src, graph, score_edge, negative_slope, dropout_p, dropout_seed
    )
    plain = score_edge is None and dropout_p == 0
    if not has_kernel(x.device, "gat_attention" if plain else "gat_attention_edges"):
        options |= {"score_edge": score_edge, "dropout_seed": dropout_seed}  # as checked
        return reference.gat_attention(x, score_src, score_dst, graph, **options)
    transpose = graph.t_rowptr, graph.t_target, graph.t_edge
    scored = graph.relation, edge_bias, negative_slope, node_mask
    if plain:
        return torch.ops.tedg.gat_attention.default(
            x, score_src, score_dst, graph.rowptr, graph.col, *transpose, *scored
        )
    return torch.ops.tedg.gat_attention_edges.default(
        x, score_src, score_dst, score_edge, graph.rowptr, graph.col, graph.edge_id, *transpose,
        *scored, dropout_p, dropout_seed,
    )  # fmt: skip


def gat_attention_weights(
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    *,
    score_edge: Tensor | None = None,
    edge_bias: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    dropout_seed: Tensor | int | None = None,
) -> Tensor:
    """The attention weights themselves, for inspection; no gradient flows through them.

    Args: as in :func:`gat_attention`, without the features. With the same ``dropout_seed`` the
        weights are those it used: 0 where dropped, the others divided by ``1 - dropout_p``.

    Returns:
        [B, E, H], dtype of ``score_src``, edges in the order of the ``edge_index`` that the graph
        was built from. An edge from a masked source has weight 0.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype, device or value does not fit.
    """
    _checks.attention(None, score_src, score_dst, graph, edge_bias, node_mask)
    score_edge, dropout_seed = _edge_arguments(
        score_src, graph, score_edge, negative_slope, dropout_p, dropout_seed
    )
    plain = score_edge is None and dropout_p == 0
    options: dict[str, Any] = {
        "score_edge": score_edge,
        "edge_bias": edge_bias,
        "negative_slope": negative_slope,
        "node_mask": node_mask,
    }
    op = "gat_attention_weights" if plain else "gat_attention_edges_weights"
    with torch.no_grad():
        if not has_kernel(score_src.device, op):
            return reference.gat_attention_weights(
                score_src, score_dst, graph, **options, dropout_p=dropout_p,
                dropout_seed=dropout_seed,
            )  # fmt: skip
        # lse without features: attention over features of width 0.
        empty = score_src.new_empty(*score_src.shape, 0)
        _, lse = gat_attention(empty, score_src, score_dst, graph, **options)
        walk = graph.rowptr, graph.col, graph.edge_id
        scored = graph.relation, edge_bias, negative_slope, node_mask
        if plain:
            return torch.ops.tedg.gat_attention_weights.default(
                score_src, score_dst, lse, *walk, *scored
            )
        return torch.ops.tedg.gat_attention_edges_weights.default(
            score_src, score_dst, score_edge, lse, *walk, *scored, dropout_p, dropout_seed
        )


def _edge_arguments(
    score_src: Tensor,
    graph: Graph,
    score_edge: Tensor | None,
    negative_slope: float,
    dropout_p: float,
    dropout_seed: Tensor | int | None,
) -> tuple[Tensor | None, Tensor | None]:
    """``score_edge`` and ``dropout_seed`` checked, as the native op takes them."""
    _checks.slope(negative_slope)
    _checks.dropout(dropout_p, dropout_seed, score_src.device)
    if score_edge is not None:
        _checks.edge_scores(score_edge, score_src, graph)
        score_edge = score_edge.to(reference.accumulate_dtype(score_src.dtype))
    if dropout_p == 0:
        return score_edge, None
    if dropout_seed is None:
        dropout_seed = torch.randint(2**63 - 1, (), device=score_src.device)
    elif isinstance(dropout_seed, int):
        dropout_seed = torch.tensor(dropout_seed, device=score_src.device)
    return score_edge, dropout_seed
