"""Wrong arguments are refused by name, by the public functions and by torch.ops.tedg alike."""

import pytest
import torch
from ops.op_cases import attention_problem

from tedg_fast.ops import (
    concat_embedding,
    expert_overlap,
    fenchel_young_loss,
    gat_attention,
    gat_attention_weights,
    route,
    routing_losses,
    sparsemax,
)

ops = torch.ops.tedg
ERRORS = (ValueError, RuntimeError)
F64, BOOL = torch.float64, torch.bool


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 7, 3)}, r"x must .*\[B, N, H, D\]"),
        ({"x": torch.zeros(2, 6, 3, 5)}, r"x must have shape \[2, 7, 3, 5\], got \[2, 6, 3, 5\]"),
        ({"x": torch.zeros(2, 7, 3, 5, dtype=F64)}, "x must have dtype .*float32.*float64"),
        ({"x": None}, "x must"),
        ({"score_src": torch.zeros(2, 7, 3, dtype=torch.int64)}, "score_src must be float32"),
        ({"score_src": torch.zeros(2, 7)}, r"score_src must have shape \[B, N, H\], got \[2, 7\]"),
        ({"score_src": None}, "score_src must be a tensor"),
        ({"score_dst": torch.zeros(2, 4, 3)}, "must have shape"),
        ({"score_dst": torch.zeros(1, 5, 3)}, r"score_dst must have shape \[2, 5, 3\]"),
        ({"edge_bias": torch.zeros(1, 3)}, r"relation must be in \[0, 1\)|edge_bias must have"),
        ({"edge_bias": torch.zeros(2, 4)}, r"edge_bias must have shape \[2, 3\], got \[2, 4\]"),
        ({"edge_bias": torch.zeros(2)}, r"edge_bias must .*\[R, H\]"),
        ({"node_mask": torch.zeros(2, 6, dtype=BOOL)}, r"node_mask must have shape \[2, 7\]"),
        ({"node_mask": torch.zeros(2, 7)}, "node_mask must have dtype .*bool.*float32"),
        ({"graph": "edges"}, "graph must be a tedg_fast.ops.Graph, got str"),
    ],
)
def test_attention(change, message):
    graph, arguments = attention_problem(relations=2)
    arguments = {**arguments, "graph": graph, **change}
    with pytest.raises(ERRORS, match=message):
        gat_attention(**arguments)
    if "x" not in change:
        arguments.pop("x")
        with pytest.raises(ERRORS, match=message):
            gat_attention_weights(**arguments)


def test_edge_bias_needs_relations():
    graph, arguments = attention_problem()
    arguments["edge_bias"] = torch.zeros(1, 3)
    with pytest.raises(ERRORS, match="edge_bias needs .*relation"):
        gat_attention(graph=graph, **arguments)


def test_a_device_without_kernels_checks_too():
    graph, arguments = attention_problem()
    arguments = {
        name: None if value is None else value.to("meta") for name, value in arguments.items()
    }
    with pytest.raises(ValueError, match="score_src must be on cpu like graph, got meta"):
        gat_attention(graph=graph, **arguments)
    with pytest.raises(ValueError, match="expert_logits must have shape"):
        route(torch.zeros(2, 3, device="meta"), torch.zeros(2, 4, 5, device="meta"))
    alpha, logits = route(torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, 5, device="meta"))
    assert alpha.shape == (2, 3) and logits.shape == (2, 5)


def raw_arguments(graph, tensors):
    return {
        **tensors,
        **{
            name: getattr(graph, name)
            for name in ("rowptr", "col", "t_rowptr", "t_target", "t_edge", "relation")
        },
        "negative_slope": 0.2,
    }


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("col", lambda t: t + 7, r"col must be in \[0, 7\), got"),
        ("col", lambda t: -t - 1, r"col must be in \[0, 7\), got -"),
        ("col", lambda t: t.long(), "col must have dtype int32, got int64"),
        ("col", lambda t: t[:-1], "must have shape|must rise"),
        ("rowptr", lambda t: t.flip(0), "rowptr must rise from 0"),
        ("rowptr", lambda t: t + 1, "rowptr must rise from 0"),
        ("rowptr", lambda t: t - 1, "rowptr must rise from 0"),
        ("rowptr", lambda t: t[:-1], r"rowptr must have shape \[6\], got \[5\]"),
        ("relation", lambda t: t + 2, r"relation must be in \[0, 2\)"),
        ("relation", lambda t: -t - 1, r"relation must be in \[0, 2\)"),
    ],
)
def test_a_broken_graph_is_never_walked(name, spoil, message):
    graph, tensors = attention_problem(relations=2)
    arguments = raw_arguments(graph, tensors)
    arguments[name] = spoil(arguments[name])
    with pytest.raises(RuntimeError, match=message):
        ops.gat_attention(**arguments)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("t_target", lambda t: t + 5, r"t_target must be in \[0, 5\)"),
        ("t_edge", lambda t: t + 1, r"t_edge must be in \[0, 23\)"),
        ("t_rowptr", lambda t: t.flip(0), "t_rowptr must rise from 0"),
        ("lse", lambda t: t[:1], "lse must have shape"),
        ("grad_out", lambda t: t[..., :-1], "grad_out must have shape"),
        ("grad_out", lambda t: t.double(), "grad_out must have dtype float32"),
        ("grad_lse", lambda t: t[:, :-1], "grad_lse must have shape"),
    ],
)
def test_backward_checks_the_transpose(name, spoil, message):
    graph, tensors = attention_problem(relations=2)
    arguments = raw_arguments(graph, tensors)
    out, lse = ops.gat_attention(**arguments)
    arguments |= {"grad_out": out, "grad_lse": lse, "lse": lse}
    arguments[name] = spoil(arguments[name])
    with pytest.raises(RuntimeError, match=message):
        ops.gat_attention_backward(**arguments)


def test_route():
    scores, experts = torch.zeros(2, 3), torch.zeros(2, 3, 5)
    for arguments, message in [
        ((scores[0], experts), r"router_logits must have shape \[B, K\]"),
        ((scores[:, :0], experts[:, :0]), "router_logits must have shape .* K >= 1"),
        ((scores, experts[:1]), r"expert_logits must have shape \[2, 3, 5\], got \[1, 3, 5\]"),
        ((scores, experts[0]), r"expert_logits must .*\[B, K, A\]"),
        ((scores, experts.half()), "expert_logits must have dtype .*float32.*float16"),
        ((scores, None), "expert_logits must"),
        ((None, experts), "router_logits must be a tensor"),
        ((scores.long(), experts), "router_logits must be float32"),
    ]:
        with pytest.raises(ERRORS, match=message):
            route(*arguments)
    for options, message in [
        ({"mapping": "entmax"}, "mapping must be 'softmax' or 'sparsemax', got 'entmax'"),
        ({"temperature": 0.0}, "temperature must be a positive finite number, got 0"),
        ({"temperature": -1.0}, "temperature must be a positive"),
        ({"temperature": float("nan")}, "temperature must be a positive"),
        ({"temperature": float("inf")}, "temperature must be a positive"),
        ({"action_mask": torch.ones(2, 5)}, "action_mask must have dtype .*bool"),
        ({"action_mask": torch.ones(2, 4, dtype=BOOL)}, r"action_mask must have shape \[2, 5\]"),
    ]:
        with pytest.raises(ERRORS, match=message):
            route(scores, experts, **options)


@pytest.mark.parametrize("function", [routing_losses, expert_overlap])
def test_losses(function):
    alpha, experts = torch.zeros(2, 3), torch.zeros(2, 3, 5)
    for arguments, message in [
        ((alpha, experts[:, :2]), r"expert_logits must have shape \[2, 3, 5\]"),
        ((alpha[:, :0], experts[:, :0]), "alpha must have shape .* K >= 1"),
        ((alpha.double(), experts), "expert_logits must have dtype .*float64"),
        ((None, experts), "alpha must be a tensor"),
    ]:
        with pytest.raises(ERRORS, match=message):
            function(*arguments)


def test_maps_and_fenchel_young():
    with pytest.raises(ERRORS, match="x must be float32"):
        sparsemax(torch.zeros(3, dtype=torch.int32))
    scores = torch.zeros(2, 3)
    for arguments, message in [
        (("hardmax", scores, scores), "mapping must be"),
        (("softmax", scores, scores[:1]), r"target must have shape \[2, 3\], got \[1, 3\]"),
        (("softmax", scores, scores.double()), "target must have dtype"),
        (("softmax", scores[:, :0], scores[:, :0]), "scores must have shape .*K >= 1"),
        (("softmax", scores, None), "target must be a tensor, got NoneType"),
    ]:
        with pytest.raises(ERRORS, match=message):
            fenchel_young_loss(*arguments)
    with pytest.raises(RuntimeError, match="grad must have shape"):
        ops.sparsemax_backward(torch.zeros(1, 3), scores)
    with pytest.raises(RuntimeError, match=r"grad must have shape \[\]"):
        ops.expert_overlap_backward(torch.zeros(2), scores, torch.zeros(2, 3, 5))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_embedding(device):
    features, table = torch.zeros(2, 4, device=device), torch.zeros(5, 3, device=device)
    index = torch.zeros(2, 6, dtype=torch.uint8, device=device)
    for arguments, message in [
        ((features, index, table[0]), "table must"),
        ((features, index, table.long()), "table must be float32"),
        ((features, index.long(), table), "index must have dtype .*uint8.*int64"),
        ((features, index[0], table), "index must"),
        ((features[:1], index, table), r"features must have shape \[2, 4\], got \[1, 4\]"),
        ((features[0], index, table), "features must"),
        ((features.double(), index, table), "features must have dtype .*float32.*float64"),
        ((features, None, table), "index must be a tensor"),
        ((features, index, None), "table must be a tensor"),
    ]:
        with pytest.raises(ERRORS, match=message):
            concat_embedding(*arguments)


def test_embedding_of_a_class_beyond_the_table():
    features, table = torch.zeros(2, 4), torch.zeros(5, 3)
    index = torch.tensor([[0, 1], [4, 5]], dtype=torch.uint8)
    with pytest.raises(RuntimeError, match=r"index must be in \[0, 5\), got 5"):
        concat_embedding(features, index, table)
    with pytest.raises(RuntimeError, match=r"index must be in \[0, 5\), got 5"):
        ops.concat_embedding_backward(torch.zeros(2, 10), index, table)
    with pytest.raises(RuntimeError, match="grad must have at least 6 columns, got 5"):
        ops.concat_embedding_backward(torch.zeros(2, 5), index.clamp(max=4), table)
