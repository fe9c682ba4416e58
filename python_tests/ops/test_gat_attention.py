import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.op_cases import FLOATS, attention_problem, close, compare, gradients

from tedg_fast.ops import Graph, gat_attention, gat_attention_weights, reference


def check(graph, arguments, dtype, **options):
    def native(**tensors):
        return gat_attention(graph=graph, **tensors, **options)

    def truth(**tensors):
        return reference.gat_attention(graph=graph, **tensors, **options)

    compare(native, truth, arguments, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("relations", [0, 3])
def test_equals_the_reference(dtype, masked, relations):
    graph, arguments = attention_problem(
        batch=3,
        sources=40,
        targets=30,
        edges=300,
        heads=4,
        width=64,
        masked=masked,
        relations=relations,
        dtype=dtype,
    )
    check(graph, arguments, dtype)


@pytest.mark.parametrize("width", [0, 1, 2, 15, 16, 17, 33, 64, 100, 128, 199, 256, 300])
def test_widths(width):
    for dtype in FLOATS:
        graph, arguments = attention_problem(width=width, relations=2, dtype=dtype)
        check(graph, arguments, dtype)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 3),
    sources=st.integers(0, 12),
    targets=st.integers(0, 12),
    edges=st.integers(0, 60),
    heads=st.integers(1, 5),
    width=st.integers(0, 40),
    relations=st.integers(0, 3),
    masked=st.booleans(),
    slope=st.sampled_from([0.2, 0.0, 1.0, -0.5]),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 1000),
)
def test_any_shape(slope, dtype, **shape):
    graph, arguments = attention_problem(**shape, dtype=dtype)
    check(graph, arguments, dtype, negative_slope=slope)


@pytest.mark.parametrize("batch", [1, 2])
def test_few_samples_of_a_large_graph(batch):
    # One sample and head is cut into runs of targets for the threads.
    graph, arguments = attention_problem(
        batch=batch, sources=3000, targets=2500, edges=40000, heads=1, width=32, relations=4
    )
    check(graph, arguments, torch.float32)


def test_very_uneven_degrees():
    source = torch.arange(1200) % 60
    target = torch.where(torch.arange(1200) < 700, 3, torch.arange(1200) % 50)
    graph = Graph(torch.stack([source, target]), 60, 50)
    _, arguments = attention_problem(sources=60, targets=50, heads=2, width=24)
    check(graph, arguments, torch.float32)


@pytest.mark.parametrize("heads", [1, 3, 8])
def test_weights_of_a_hub_add_up_to_one(heads):
    """Two hundred thousand like weights: added one by one in float32 they lose a thousandth."""
    count = 200_000
    graph = Graph([list(range(count)), [0] * count], count, 1)
    scores = torch.full((1, count, heads), 0.3)
    total = gat_attention_weights(scores, scores[:, :1], graph).double().sum(1)
    assert (total - 1).abs().max() < 3e-5


def test_isolated_targets_get_zeros():
    graph, arguments = attention_problem(masked=True)
    arguments["node_mask"][:] = False
    out, lse = gat_attention(graph=graph, **arguments)
    assert torch.equal(out, torch.zeros_like(out))
    assert (lse == -torch.inf).all()


def test_masked_sources_may_hold_anything():
    graph, arguments = attention_problem(masked=True)
    clean, _ = gat_attention(graph=graph, **arguments)
    hidden = ~arguments["node_mask"]
    arguments["x"][hidden] = torch.nan
    arguments["score_src"][hidden] = torch.nan
    dirty, _ = gat_attention(graph=graph, **arguments)
    assert torch.equal(clean, dirty)
    x = arguments["x"].requires_grad_()
    (grad,) = torch.autograd.grad(gat_attention(graph=graph, **arguments)[0].sum(), x)
    assert not grad[hidden].any() and grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e8, -1e8, 1e-30])
def test_scores_of_any_size(scale):
    graph, arguments = attention_problem(relations=2)
    for name in ("score_src", "score_dst", "edge_bias"):
        arguments[name] = arguments[name] * scale
    out, lse = gat_attention(graph=graph, **arguments)
    expected, expected_lse = reference.gat_attention(graph=graph, **arguments)
    close(out, expected, torch.float32)
    close(lse, expected_lse, torch.float32)


def test_minus_infinity_takes_no_part_and_nan_spreads():
    graph = Graph([[0, 1, 2, 0], [0, 0, 0, 1]], 3, 3)
    x = torch.arange(6.0).reshape(1, 3, 1, 2)
    src = torch.tensor([0.0, -torch.inf, 0.0]).reshape(1, 3, 1)
    dst = torch.zeros(1, 3, 1)
    out, _ = gat_attention(x, src, dst, graph)
    assert out.flatten().tolist() == [2.0, 3.0, 0.0, 1.0, 0.0, 0.0]
    src = torch.full_like(src, torch.nan)
    out, lse = gat_attention(x, src, dst, graph)
    assert out[0, :2].isnan().all() and lse[0, :2].isnan().all()
    assert torch.equal(out[0, 2], torch.zeros(1, 2))


def test_inputs_need_not_be_contiguous():
    graph, arguments = attention_problem(relations=2, masked=True)
    expected = gat_attention(graph=graph, **arguments)
    loose = {name: torch.stack([value, value], -1)[..., 0] for name, value in arguments.items()}
    assert not loose["x"].is_contiguous()
    for actual, wanted in zip(gat_attention(graph=graph, **loose), expected, strict=True):
        assert torch.equal(actual, wanted)


@pytest.mark.parametrize("dtype", FLOATS)
def test_weights_are_in_the_order_of_the_edges(dtype):
    graph, arguments = attention_problem(relations=3, masked=True, dtype=dtype)
    x = arguments.pop("x")
    weights = gat_attention_weights(graph=graph, **arguments)
    expected = reference.gat_attention_weights(graph=graph, **arguments)
    assert weights.shape == (2, graph.num_edges, 3) and weights.dtype == dtype
    close(weights, expected, dtype)
    # They are the weights that gat_attention uses.
    order, targets = graph.edge_id.long(), graph.num_targets
    counts = graph.rowptr[1:] - graph.rowptr[:-1]
    target = torch.repeat_interleave(torch.arange(targets), counts)
    message = weights[:, order, :, None].double() * x[:, graph.col.long()].double()
    out = message.new_zeros(2, targets, 3, x.shape[3]).index_add(1, target, message)
    close(gat_attention(x, graph=graph, **arguments)[0], out, dtype)


def test_weights_carry_no_gradient():
    graph, arguments = attention_problem()
    arguments.pop("x")
    arguments["score_src"].requires_grad_()
    assert not gat_attention_weights(graph=graph, **arguments).requires_grad


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("heads", [2, 3, 4, 8, 9, 17])
def test_one_sample_of_several_heads(heads, width, dtype):
    """By rows, heads are taken side by side, up to eight at a time."""
    graph, arguments = attention_problem(
        batch=1, heads=heads, width=width, edges=90, relations=3, masked=True, dtype=dtype
    )
    check(graph, arguments, dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_of_float32_keep_their_digits_beside_16_bit_features(dtype):
    graph, arguments = attention_problem(relations=2, masked=True)
    narrow = {**arguments, "x": arguments["x"].to(dtype)}
    wide = {**arguments, "x": narrow["x"].float()}
    function = functools.partial(gat_attention, graph=graph)
    (out, lse), grads = gradients(function, narrow)
    (expected, expected_lse), expected_grads = gradients(function, wide)
    assert out.dtype == dtype and grads["x"].dtype == dtype
    assert torch.equal(out, expected.to(dtype)) and torch.equal(lse, expected_lse)
    for name, grad in grads.items():
        close(grad, expected_grads[name], dtype, name)
        assert grad.dtype == narrow[name].dtype
