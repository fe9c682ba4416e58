"""The CUDA kernels on inputs laid out oddly, infinite or empty; captured, traced and checked.

On a GPU, or, all but what only that has, on the emulated device.
"""

import pytest
import torch
from ops.op_cases import attention_problem, gradients
from ops.test_cuda import DEVICE, attention, check, moved, on_a_real_device
from ops.test_cuda import pytestmark as pytestmark

from tedg_fast.ops import gat_attention, reference, route, routing_losses

TILES = dict(batch=16, sources=12, targets=9, edges=60, heads=4, width=16)
SHAPES = pytest.mark.parametrize("shape", [TILES, {**TILES, "batch": 1}], ids=["tiles", "general"])


def check_attention(graph, arguments, dtype=torch.float32):
    graph = graph.to(DEVICE)
    check(
        attention(graph, gat_attention), attention(graph, reference.gat_attention), arguments, dtype
    )


@SHAPES
@pytest.mark.parametrize("offset", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_rows_that_begin_at_no_multiple_of_16_bytes(shape, offset, dtype):
    graph, arguments = attention_problem(**shape, dtype=dtype)
    x = arguments["x"]
    storage = torch.zeros(x.numel() + offset, dtype=dtype, device=DEVICE)
    misaligned = storage[offset:].view(x.shape)
    misaligned.copy_(x)
    assert misaligned.data_ptr() % 16 != 0
    graph = graph.to(DEVICE)
    arguments = moved(arguments)
    out, lse = gat_attention(graph=graph, **{**arguments, "x": misaligned})
    expected = gat_attention(graph=graph, **arguments)
    torch.testing.assert_close((out, lse), expected)


@SHAPES
def test_inputs_that_are_not_contiguous(shape):
    graph, arguments = attention_problem(**shape)
    for name in ("x", "score_src", "score_dst"):
        arguments[name] = arguments[name].transpose(0, 2).contiguous().transpose(0, 2)
        assert not arguments[name].is_contiguous()
    check_attention(graph, arguments)


@SHAPES
def test_sources_that_take_no_part_whatever_they_hold(shape):
    graph, arguments = attention_problem(**shape)
    arguments["score_src"][:, ::2] = -torch.inf
    arguments["x"][:, ::2] = torch.nan
    graph, arguments = graph.to(DEVICE), moved(arguments)
    out, _ = gat_attention(graph=graph, **arguments)
    expected, _ = reference.gat_attention(graph=graph, **arguments)
    torch.testing.assert_close(out, expected)
    assert out.isfinite().all()


@SHAPES
def test_scores_of_any_size_weigh_alike(shape):
    """A shift of all scores changes no weight, however many digits it takes from the sum."""
    graph, arguments = attention_problem(**shape)
    arguments["score_dst"] = arguments["score_dst"] * 0 + 1e6
    arguments["score_src"] = arguments["score_src"] * 0
    check_attention(graph, arguments)


@pytest.mark.parametrize("empty", ["batch", "sources", "targets", "edges", "width"])
def test_nothing_of_something(empty):
    shape = {**TILES, empty: 0}
    if empty in ("sources", "targets"):
        shape["edges"] = 0
    check_attention(*attention_problem(**shape))


@on_a_real_device
@SHAPES
def test_forward_and_backward_can_be_captured(shape):
    graph, tensors = attention_problem(**shape)
    graph = graph.to(DEVICE)
    leaves = {n: v.requires_grad_() for n, v in moved(tensors).items() if v is not None}
    scores = torch.randn(300, 4, device=DEVICE, requires_grad=True)
    experts = torch.randn(300, 4, 23, device=DEVICE, requires_grad=True)
    wanted = [*leaves.values(), scores, experts]

    def work():
        out, lse = gat_attention(graph=graph, **leaves)
        alpha, logits = route(scores, experts, mapping="sparsemax")
        total = out.square().sum() + logits.square().sum() + sum(routing_losses(alpha, experts))
        return torch.autograd.grad(total, wanted)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        outputs = work()
    with torch.no_grad():
        for value in wanted:
            value.normal_()
    captured.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(outputs, work(), strict=True))


@SHAPES
def test_the_op_keeps_torchs_contract(shape):
    graph, tensors = attention_problem(**shape, relations=2)
    graph, tensors = graph.to(DEVICE), moved(tensors)
    leaves = [tensors[n].requires_grad_() for n in ("x", "score_src", "score_dst")]
    arrays = [graph.rowptr, graph.col, graph.t_rowptr, graph.t_target, graph.t_edge]
    bias = tensors["edge_bias"].requires_grad_()
    torch.library.opcheck(
        torch.ops.tedg.gat_attention.default,
        (*leaves, *arrays, graph.relation, bias, 0.2, None),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@on_a_real_device
def test_a_compiled_function_runs_the_same_kernels():
    graph, tensors = attention_problem(**TILES)
    graph, tensors = graph.to(DEVICE), moved(tensors)
    function = attention(graph, gat_attention)
    compiled = torch.compile(function, fullgraph=True)
    actual, grads = gradients(compiled, tensors)
    expected, expected_grads = gradients(function, tensors)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected_grads[name], msg=name)
