import pytest
import torch
from ops.op_cases import FLOATS, attention_problem, close, compare

from tedg_fast.ops import (
    gat_attention,
    gat_attention_weights,
    gatv2_attention,
    gatv2_scores,
    reference,
)

SHAPES = {
    "few rows": {"batch": 2},
    "narrow heads": {"batch": 3, "heads": 4, "width": 8},
    "wide heads": {"batch": 2, "sources": 40, "targets": 30, "edges": 90, "width": 64},
    "odd width": {"heads": 1, "width": 19},
    "nothing": {"edges": 0},
    "no width": {"width": 0},
}


def problem(name, dtype, with_edges):
    graph, arguments = attention_problem(**SHAPES[name], dtype=dtype)
    batch, _, heads, width = arguments["x"].shape

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64).to(dtype)

    tensors = {
        "x_src": arguments["x"],
        "x_dst": normal(batch, graph.num_targets, heads, width),
        "att": normal(heads, width),
    }
    if with_edges:
        tensors["x_edge"] = normal(graph.num_edges, heads, width)
    return graph, tensors


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("with_edges", [False, True])
@pytest.mark.parametrize("name", list(SHAPES))
def test_equals_the_reference(name, with_edges, dtype):
    graph, tensors = problem(name, dtype, with_edges)
    compare(
        lambda **t: gatv2_scores(graph=graph, **t),
        lambda **t: reference.gatv2_scores(graph=graph, **t),
        tensors,
        dtype,
    )


@pytest.mark.parametrize("with_edges", [False, True])
def test_attention_is_the_softmax_of_the_scores(with_edges):
    graph, tensors = problem("wide heads", torch.float64, with_edges)
    mask = torch.rand(2, graph.num_sources) > 0.3
    options = {"node_mask": mask, "dropout_p": 0.3, "dropout_seed": torch.tensor(5)}

    def truth(**t):
        scores = reference.gatv2_scores(graph=graph, **t)
        zeros = t["x_src"].new_zeros(2, 40, 3), t["x_src"].new_zeros(2, 30, 3)
        return reference.gat_attention(
            t["x_src"], *zeros, graph, score_edge=scores, negative_slope=1.0, **options
        )

    compare(lambda **t: gatv2_attention(graph=graph, **t, **options), truth, tensors, torch.float64)


def test_a_masked_source_may_hold_anything():
    graph, tensors = problem("few rows", torch.float32, True)
    mask = torch.ones(2, graph.num_sources, dtype=torch.bool)
    mask[:, 3] = False
    clean = gatv2_attention(graph=graph, node_mask=mask, **tensors)[0]
    tensors["x_src"][:, 3] = torch.nan
    leaves = {name: value.requires_grad_() for name, value in tensors.items()}
    dirty = gatv2_attention(graph=graph, node_mask=mask, **leaves)[0]
    assert torch.equal(clean, dirty)
    for grad in torch.autograd.grad(dirty.square().sum(), list(leaves.values())):
        assert grad.isfinite().all()


def test_weights_are_those_that_attention_uses():
    graph, tensors = problem("narrow heads", torch.float32, False)
    scores = gatv2_scores(graph=graph, **tensors)
    zeros = torch.zeros(3, 7, 4), torch.zeros(3, 5, 4)
    weights = gat_attention_weights(*zeros, graph, score_edge=scores, negative_slope=1.0)
    out = gat_attention(
        tensors["x_src"], *zeros, graph, score_edge=torch.log(weights), negative_slope=1.0
    )[0]
    close(out, gatv2_attention(graph=graph, **tensors)[0], torch.float32)


def test_no_message_is_kept_per_edge():
    edges, width = 20000, 64
    graph, arguments = attention_problem(
        batch=1, sources=100, targets=100, edges=edges, heads=1, width=width
    )
    x, att = arguments["x"].requires_grad_(), torch.randn(1, width, requires_grad=True)
    sizes = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in torch.utils._pytree.tree_leaves(out):
                if isinstance(tensor, torch.Tensor):
                    sizes.append(tensor.numel())
            return out

    with Sizes():
        gatv2_attention(x, x, att, graph)[0].square().sum().backward()
    assert x.grad.any() and max(sizes) == edges


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_src": torch.zeros(2, 7, 3)}, r"x_src must have shape \[B, N, H, D\] with N = 7"),
        ({"x_src": None}, "x_src must be a tensor, got NoneType"),
        ({"x_dst": torch.zeros(2, 4, 3, 5)}, r"x_dst must have shape \[2, 5, 3, 5\]"),
        ({"att": torch.zeros(5)}, r"att must have shape \[3, 5\], got \[5\]"),
        ({"att": torch.zeros(3, 5).double()}, "att must have dtype torch.float32"),
        ({"x_edge": torch.zeros(2, 23, 3, 5)}, r"x_edge must have shape \[23, 3, 5\]"),
        ({"graph": 3}, "graph must be a tedg_fast.ops.Graph, got int"),
        ({"negative_slope": torch.tensor(0.1)}, "negative_slope must be a Python number"),
    ],
)
def test_refuses_bad_input(change, message):
    graph, tensors = problem("few rows", torch.float32, False)
    with pytest.raises(ValueError, match=message):
        gatv2_attention(**{"graph": graph, **tensors, **change})
