"""Argument checks of the public ops, on metadata only (they also run while tracing).

Each raises ValueError naming the argument, what it was and what was expected. The native library
repeats them for direct calls of ``torch.ops.tedg`` (csrc/ops/checks.h).
"""

import math

import torch
from torch import Tensor

from tedg_fast.ops.graph import Graph, stored
from tedg_fast.ops.reference import accumulate_dtype

MAPPINGS = ("softmax", "sparsemax")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def _tensor(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got layout {tensor.layout}")


def floating(name: str, tensor: Tensor) -> None:
    _tensor(name, tensor)
    if tensor.dtype not in _DTYPES:
        raise ValueError(
            f"{name} must be float32, bfloat16, float16 or float64, got {tensor.dtype}"
        )


def like(name: str, tensor: Tensor, shape: tuple[int, ...], other_name: str, other: Tensor) -> None:
    """``tensor`` has ``shape``, and the dtype and device of ``other``."""
    _tensor(name, tensor)
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(tensor.shape)}")
    if tensor.dtype != other.dtype:
        raise ValueError(
            f"{name} must have dtype {other.dtype} like {other_name}, got {tensor.dtype}"
        )
    _same_device(name, tensor, other_name, other.device)


def boolean(
    name: str, tensor: Tensor, shape: tuple[int, ...], other_name: str, other: Tensor
) -> None:
    _tensor(name, tensor)
    if tensor.dtype != torch.bool:
        raise ValueError(f"{name} must have dtype torch.bool, got {tensor.dtype}")
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(tensor.shape)}")
    _same_device(name, tensor, other_name, other.device)


def _same_device(name: str, tensor: Tensor, other_name: str, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device} like {other_name}, got {tensor.device}")


def mapping(name: str) -> None:
    if not isinstance(name, str) or name not in MAPPINGS:
        raise ValueError(f"mapping must be 'softmax' or 'sparsemax', got {name!r}")


def number(name: str, value: float) -> None:
    """``value`` is a Python number: a tensor would silently get no gradient."""
    if isinstance(value, Tensor):
        raise ValueError(
            f"{name} must be a Python number, got a tensor, which would get no gradient: "
            f"pass float({name}), or apply a learned one to the scores yourself"
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a Python number, got {type(value).__name__}")


def slope(negative_slope: float) -> None:
    number("negative_slope", negative_slope)
    # No math.isfinite, at which torch.compile breaks the graph where the number is dynamic.
    if not -math.inf < negative_slope < math.inf:
        raise ValueError(f"negative_slope must be finite, got {negative_slope}")


def is_graph(graph: Graph) -> None:
    if not isinstance(graph, Graph):
        raise ValueError(f"graph must be a tedg_fast.ops.Graph, got {type(graph).__name__}")


def edge_scores(score_edge: Tensor, score_src: Tensor, graph: Graph) -> None:
    _tensor("score_edge", score_edge)
    stored("score_edge", score_edge)
    batch, _, heads = score_src.shape
    shared = (graph.num_edges, heads)
    # Not a search in a pair of shapes: the number of edges may be unknown while tracing.
    expected = shared if score_edge.dim() == 2 else (batch, *shared)
    if tuple(score_edge.shape) != expected:
        raise ValueError(
            f"score_edge must have shape {list(shared)} or {[batch, *shared]}, "
            f"got {list(score_edge.shape)}"
        )
    if score_edge.dtype not in (score_src.dtype, accumulate_dtype(score_src.dtype)):
        raise ValueError(
            f"score_edge must have dtype {score_src.dtype} like score_src, "
            f"or {accumulate_dtype(score_src.dtype)}, got {score_edge.dtype}"
        )
    _same_device("score_edge", score_edge, "score_src", score_src.device)


def dropout(dropout_p: float, dropout_seed: Tensor | int | None, device: torch.device) -> None:
    number("dropout_p", dropout_p)
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"dropout_p must be in [0, 1], got {dropout_p}")
    if isinstance(dropout_seed, Tensor):
        if dropout_seed.dtype != torch.int64 or dropout_seed.dim() != 0:
            raise ValueError(
                "dropout_seed must be an int64 scalar, "
                f"got {dropout_seed.dtype} of shape {list(dropout_seed.shape)}"
            )
        _same_device("dropout_seed", dropout_seed, "score_src", device)
    elif dropout_seed is not None:
        if isinstance(dropout_seed, bool) or not isinstance(dropout_seed, int):
            raise ValueError(
                f"dropout_seed must be an int or a tensor, got {type(dropout_seed).__name__}"
            )
        if not -(2**63) <= dropout_seed < 2**63:
            raise ValueError(f"dropout_seed must fit 64 bits, got {dropout_seed}")


def attention(
    x: Tensor | None,
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    edge_bias: Tensor | None,
    node_mask: Tensor | None,
) -> None:
    is_graph(graph)
    floating("score_src", score_src)
    if x is not None:
        floating("x", x)
    if score_src.dim() != 3:
        raise ValueError(f"score_src must have shape [B, N, H], got {list(score_src.shape)}")
    batch, nodes, heads = score_src.shape
    if nodes != graph.num_sources:
        raise ValueError(
            f"score_src must have N = {graph.num_sources} nodes like graph, "
            f"got shape {list(score_src.shape)}"
        )
    _same_device("score_src", score_src, "graph", graph.device)
    like("score_dst", score_dst, (batch, graph.num_targets, heads), "score_src", score_src)
    if x is not None:
        if not isinstance(x, Tensor) or x.dim() != 4:
            got = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"x must be a tensor of shape [B, N, H, D], got {got}")
        like("x", x, (batch, nodes, heads, x.shape[3]), "score_src", score_src)
    if edge_bias is not None:
        if graph.relation is None:
            raise ValueError("edge_bias needs a graph built with relation=, this one has none")
        if not isinstance(edge_bias, Tensor) or edge_bias.dim() != 2:
            got = list(edge_bias.shape) if isinstance(edge_bias, Tensor) else type(edge_bias)
            raise ValueError(f"edge_bias must be a tensor of shape [R, H], got {got}")
        like("edge_bias", edge_bias, (edge_bias.shape[0], heads), "score_src", score_src)
        if edge_bias.shape[0] < graph.num_relations:
            raise ValueError(
                f"edge_bias must have at least R = {graph.num_relations} rows, one a relation "
                f"of graph, got shape {list(edge_bias.shape)}"
            )
    if node_mask is not None:
        boolean("node_mask", node_mask, (batch, nodes), "score_src", score_src)


def route(
    router_logits: Tensor,
    expert_logits: Tensor,
    temperature: float,
    action_mask: Tensor | None,
) -> None:
    alpha_and_experts("router_logits", router_logits, expert_logits)
    number("temperature", temperature)
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be a positive finite number, got {temperature}")
    if action_mask is not None:
        batch, _, actions = expert_logits.shape
        boolean("action_mask", action_mask, (batch, actions), "expert_logits", expert_logits)


def alpha_and_experts(name: str, alpha: Tensor, expert_logits: Tensor) -> None:
    """``alpha`` [B, K >= 1] and ``expert_logits`` [B, K, A] fit together."""
    floating(name, alpha)
    if alpha.dim() != 2 or alpha.shape[1] < 1:
        raise ValueError(f"{name} must have shape [B, K] with K >= 1, got {list(alpha.shape)}")
    if not isinstance(expert_logits, Tensor) or expert_logits.dim() != 3:
        got = list(expert_logits.shape) if isinstance(expert_logits, Tensor) else expert_logits
        raise ValueError(f"expert_logits must be a tensor of shape [B, K, A], got {got}")
    like("expert_logits", expert_logits, (*alpha.shape, expert_logits.shape[2]), name, alpha)


def rows(name: str, scores: Tensor) -> None:
    floating(name, scores)
    if scores.dim() < 1 or scores.shape[-1] < 1:
        raise ValueError(f"{name} must have shape [..., K] with K >= 1, got {list(scores.shape)}")


def embedding(features: Tensor, index: Tensor, table: Tensor) -> None:
    floating("table", table)
    for name, tensor in (("table", table), ("index", index), ("features", features)):
        if not isinstance(tensor, Tensor) or tensor.dim() != 2:
            got = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(f"{name} must be a tensor of two dimensions, got {got}")
    if index.dtype != torch.uint8:
        raise ValueError(f"index must have dtype torch.uint8, got {index.dtype}")
    _same_device("index", index, "table", table.device)
    like("features", features, (len(index), features.shape[1]), "table", table)


def gatv2(
    x_src: Tensor, x_dst: Tensor, att: Tensor, graph: Graph, x_edge: Tensor | None
) -> None:
    is_graph(graph)
    floating("x_src", x_src)
    if x_src.dim() != 4 or x_src.shape[1] != graph.num_sources:
        raise ValueError(
            f"x_src must have shape [B, N, H, D] with N = {graph.num_sources} like graph, "
            f"got {list(x_src.shape)}"
        )
    _same_device("x_src", x_src, "graph", graph.device)
    batch, _, heads, width = x_src.shape
    like("x_dst", x_dst, (batch, graph.num_targets, heads, width), "x_src", x_src)
    like("att", att, (heads, width), "x_src", x_src)
    if x_edge is not None:
        like("x_edge", x_edge, (graph.num_edges, heads, width), "x_src", x_src)
