"""On a CUDA device: native kernels against the CPU, and the reference where there is no kernel."""

import pytest
import torch
from ops.op_cases import FLOATS, attention_problem, close, gradients

from tedg_fast.ops import _native, gat_attention, route, routing_losses

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def to_cuda(arguments):
    return {name: None if v is None else v.cuda() for name, v in arguments.items()}


def same_on_both(function, arguments, dtype):
    expected, expected_grads = gradients(function, arguments)
    actual, grads = gradients(function, to_cuda(arguments))
    for a, e in zip(actual, expected, strict=True):
        close(a.cpu(), e, dtype)
    for name, grad in grads.items():
        close(grad.cpu(), expected_grads[name], dtype, name)


def test_a_build_with_cuda_loads_its_kernels():
    assert _native.CUDA_LOADED == _native.CUDA_LIBRARY.exists()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
@pytest.mark.parametrize("shape", [(33, 4, 23), (5, 64, 121), (3, 100, 7), (1, 1, 1), (0, 4, 23)])
def test_route(dtype, mapping, shape):
    batch, experts, actions = shape
    generator = torch.Generator().manual_seed(0)
    arguments = {
        "router_logits": torch.randn(batch, experts, generator=generator).to(dtype),
        "expert_logits": torch.randn(batch, experts, actions, generator=generator).to(dtype),
    }
    mask = torch.rand(batch, actions, generator=generator) > 0.3

    def masked(router_logits, expert_logits):
        allowed = mask.to(router_logits.device)
        alpha, logits = route(
            router_logits, expert_logits, mapping=mapping, temperature=0.7, action_mask=allowed
        )
        assert (logits[~allowed] == torch.finfo(dtype).min).all()
        return alpha, logits.masked_fill(~allowed, 0)

    same_on_both(masked, arguments, dtype)


def test_ops_without_a_kernel_take_the_reference():
    graph, arguments = attention_problem(relations=2, masked=True)
    on_device = graph.to("cuda")
    assert on_device.device.type == "cuda" and on_device.to("cuda:0") is on_device

    def attention(**tensors):
        which = on_device if tensors["x"].is_cuda else graph
        return gat_attention(graph=which, **tensors)

    same_on_both(attention, arguments, torch.float32)
    z = torch.randn(5, 4, 9)
    alpha = torch.softmax(torch.randn(5, 4), -1)
    same_on_both(routing_losses, {"alpha": alpha, "expert_logits": z}, torch.float32)
