"""A thousand hostile calls: an error that names an argument, or a result; never a crash.

Each argument in turn gets a wrong type, dtype, shape or device, memory that was freed, extreme
values; a graph's arrays are permuted or point elsewhere. Where a call cannot be right, the error
must name the argument that was spoiled.
"""

import copy
import re

import numpy as np
import pytest
import torch
from ops.op_cases import attention_problem

from tedg_fast import ops

graph, attention = attention_problem(relations=2, masked=True)
X, SRC, DST, BIAS, MASK = attention.values()
OWN = torch.randn(23, 3)
ROUTER, EXPERTS, ALLOWED = torch.randn(4, 3), torch.randn(4, 3, 9), torch.rand(4, 9) > 0.3
ALPHA = torch.softmax(ROUTER, -1)
INDEX = torch.stack([torch.randint(0, 7, (23,)), torch.randint(0, 5, (23,))])

# name -> (function, arguments that it accepts)
CALLS = {
    "gat_attention": (ops.gat_attention, {
        "x": X, "score_src": SRC, "score_dst": DST, "graph": graph, "score_edge": OWN,
        "edge_bias": BIAS, "negative_slope": 0.2, "node_mask": MASK, "dropout_p": 0.3,
        "dropout_seed": torch.tensor(3),
    }),
    "gat_attention_weights": (ops.gat_attention_weights, {
        "score_src": SRC, "score_dst": DST, "graph": graph, "edge_bias": BIAS,
        "negative_slope": 0.2, "node_mask": MASK,
    }),
    "gatv2_attention": (ops.gatv2_attention, {
        "x_src": X, "x_dst": X[:, :5].clone(), "att": torch.randn(3, 5), "graph": graph,
        "x_edge": torch.randn(23, 3, 5), "negative_slope": 0.2, "node_mask": MASK,
        "dropout_p": 0.3, "dropout_seed": 3,
    }),
    "route": (ops.route, {
        "router_logits": ROUTER, "expert_logits": EXPERTS, "mapping": "sparsemax",
        "temperature": 0.5, "action_mask": ALLOWED,
    }),
    "sparsemax": (ops.sparsemax, {"x": ROUTER}),
    "expert_overlap": (ops.expert_overlap, {"alpha": ALPHA, "expert_logits": EXPERTS}),
    "routing_losses": (ops.routing_losses, {"alpha": ALPHA, "expert_logits": EXPERTS}),
    "concat_embedding": (ops.concat_embedding, {
        "features": torch.randn(4, 2), "index": torch.randint(0, 5, (4, 3), dtype=torch.uint8),
        "table": torch.randn(5, 6),
    }),
    "Graph": (ops.Graph, {
        "edge_index": INDEX, "num_sources": 7, "num_targets": 5,
        "relation": torch.randint(0, 2, (23,)),
    }),
    "GraphBatch": (ops.GraphBatch, {
        "node_start": torch.tensor([0, 3, 3, 5]), "edge_start": torch.tensor([0, 2, 2, 4]),
        "source": torch.tensor([0, 1, -1, -2]), "target": torch.tensor([1, 2, 0, 1]),
        "relation": torch.tensor([0, 1, 1, 0]), "num_shared": 2,
    }),
    "raw batch_graph": (torch.ops.tedg.batch_graph, {
        "node_start": torch.tensor([0, 3, 3, 5]), "edge_start": torch.tensor([0, 2, 2, 4]),
        "source": torch.tensor([0, 1, -1, -2], dtype=torch.int32),
        "target": torch.tensor([1, 2, 0, 1], dtype=torch.int32), "num_nodes": 5, "num_shared": 2,
    }),
    "raw gat_attention_backward": (torch.ops.tedg.gat_attention_backward, {
        "grad_out": torch.randn(2, 5, 3, 5), "grad_lse": torch.randn(2, 5, 3), "x": X,
        "score_src": SRC, "score_dst": DST, "rowptr": graph.rowptr, "col": graph.col,
        "t_rowptr": graph.t_rowptr, "t_target": graph.t_target, "t_edge": graph.t_edge,
        "relation": graph.relation, "edge_bias": BIAS, "negative_slope": 0.2, "node_mask": MASK,
        "lse": torch.zeros(2, 5, 3),
    }),
    "raw gatv2_scores_backward": (torch.ops.tedg.gatv2_scores_backward, {
        "grad": torch.randn(2, 23, 3), "x_src": X, "x_dst": X[:, :5].clone(),
        "att": torch.randn(3, 5), "x_edge": torch.randn(23, 3, 5), "rowptr": graph.rowptr,
        "col": graph.col, "edge_id": graph.edge_id, "t_rowptr": graph.t_rowptr,
        "t_target": graph.t_target, "t_edge": graph.t_edge, "negative_slope": 0.2,
    }),
}  # fmt: skip
OPTIONAL = {"score_edge", "edge_bias", "node_mask", "dropout_seed", "x_edge", "action_mask",
            "relation", "grad_lse"}  # fmt: skip


def freed(tensor, share):
    tensor = tensor.clone()
    tensor.untyped_storage().resize_(int(tensor.untyped_storage().nbytes() * share))
    return tensor


def wrong(name, value, alone, raw):
    """(what, spoiled value) that no call can accept; a lone tensor may have any shape."""
    for other in (3 + 4j, "text", [1.5, None], object(), np.ones(2), torch):
        yield type(other).__name__, other
    if name not in OPTIONAL:
        yield "None", None
    if not isinstance(value, torch.Tensor):
        if not raw:  # the dispatcher makes a number of it
            yield "a tensor", torch.tensor(2.0)
        if isinstance(value, float):
            yield "NaN", float("nan")
        elif name != "dropout_seed":
            yield "negative", -1
        return
    for dtype in (torch.complex64, torch.float8_e5m2):
        yield dtype, value.to(dtype)
    yield "freed", freed(value, 0)
    if value.numel() > 2:
        yield "half freed", freed(value, 0.5)
        pair = torch.stack([value, value])
        beyond = pair[1]
        pair.untyped_storage().resize_(beyond.untyped_storage().nbytes() * 3 // 5)
        yield "a view beyond its memory", beyond
    if not alone:
        yield "more dimensions", value.expand(1, 1, 1, *value.shape)
        if value.dim() and name != "table":
            yield "a shorter first dimension", value[:-1]
    if value.dtype != torch.bool and not value.dtype.is_floating_point and value.dim():
        yield "below", value.long() - 2**40 if name in ("edge_index", "relation") else value - 99
        yield "above", value + 99 if value.dtype != torch.int64 else value + 2**40
    if name in ("t_edge", "edge_id", "col", "t_target", "rowptr", "t_rowptr"):
        yield "all the same", value * 0
    if name in ("t_edge", "t_target", "col", "rowptr", "t_rowptr"):
        yield "reversed", value.flip(0)
        yield "rolled", value.roll(1)


def extreme(value):
    """Values that a call may accept: whatever comes out, it must come."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        for number in (torch.inf, -torch.inf, torch.nan, 3e38, -3e38, 1e-45, 0.0):
            yield torch.full_like(value, number)
            some = value.clone()
            some.view(-1)[::2] = number
            yield some
        yield value.mT if value.dim() > 1 else value
        yield value.expand(3, *value.shape)[1]
        yield value.to("meta")


# What is wrong with one argument may first be seen in another that then differs from it.
KIN = {
    "x": {"score_src", "score_dst"},
    "score_src": {"score_dst", "x", "edge_bias", "graph", "rowptr"},
    "score_dst": {"score_src", "x"},
    "x_src": {"x_dst", "att", "x_edge", "graph"},
    "x_dst": {"x_src"},
    "router_logits": {"expert_logits"},
    "alpha": {"expert_logits"},
    "table": {"features"},
    "index": {"features"},
    "rowptr": {"t_edge"},
    "col": {"t_edge", "t_target", "relation", "x_edge"},
    "t_rowptr": {"t_edge", "t_target"},
    "t_target": {"t_edge"},
    "relation": {"edge_bias"},
    "edge_bias": {"relation"},
    "node_start": {"edge_start"},
    "source": {"target"},
}


def test_a_thousand_hostile_calls():
    calls = 0
    for call, (function, arguments) in CALLS.items():
        function(**arguments)  # as it should be called
        for name, value in arguments.items():
            for what, spoiled in wrong(name, value, len(arguments) == 1, "raw" in call):
                calls += 1
                told = rf"\b({'|'.join({name, *KIN.get(name, ())})})\b"
                with pytest.raises((ValueError, RuntimeError, TypeError)) as raised:
                    function(**{**arguments, name: spoiled})
                    pytest.fail(f"{call} took {name} = {what}")
                said = str(raised.value)
                assert re.search(told, said), f"{call}, {name} = {what}: {said}"
            for spoiled in extreme(value):
                calls += 1
                try:
                    function(**{**arguments, name: spoiled})
                except (ValueError, RuntimeError) as error:
                    assert str(error).strip()
    assert calls >= 1000


ARRAYS = ["rowptr", "col", "t_rowptr", "t_target", "t_edge"]


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, lambda t: t * 0) for name in [*ARRAYS, "edge_id"]]
    + [(name, lambda t: t - 9) for name in [*ARRAYS, "edge_id"]]
    # Reversed, edge_id is still an order of the edges.
    + [(name, lambda t: t.flip(0)) for name in ARRAYS],
)
def test_a_graph_that_was_tampered_with(name, change):
    # Pickled state may hold anything.
    broken = copy.copy(graph)
    broken.__dict__[name] = change(getattr(graph, name)).contiguous()
    x = X.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="rowptr|col|edge_id|t_edge|t_target|t_rowptr"):
        out, _ = ops.gat_attention(x, SRC, DST, broken, score_edge=OWN)
        out.sum().backward()
