"""Numbers at the ends of their range: huge, tiny, infinite, and millions of them."""

import pytest
import torch
from ops.op_cases import close, compare

from tedg_fast.ops import (
    Graph,
    expert_overlap,
    fenchel_young_loss,
    gat_attention,
    reference,
    route,
    routing_losses,
    sparsemax,
)


@pytest.mark.parametrize("scale", [1e-20, 1e-30, 1e-38, 1e20, 1e35])
@pytest.mark.parametrize("function", [expert_overlap, lambda *t: sum(routing_losses(*t))])
def test_losses_of_logits_of_any_length(function, scale):
    generator = torch.Generator().manual_seed(1)
    experts = torch.randn(5, 3, 4, generator=generator) * scale
    experts[0, 1] = 0
    experts[1] /= scale  # an ordinary sample among them
    alpha = torch.softmax(torch.randn(5, 3, generator=generator), -1)
    leaves = alpha.clone().requires_grad_(), experts.clone().requires_grad_()
    wide = alpha.double().requires_grad_(), experts.double().requires_grad_()
    truth = (
        reference.expert_overlap
        if function is expert_overlap
        else (lambda *t: sum(reference.routing_losses(*t)))
    )
    loss, wanted = function(*leaves), truth(*wide)
    close(loss, wanted, torch.float32)
    for found, expected in zip(
        torch.autograd.grad(loss, leaves), torch.autograd.grad(wanted, wide), strict=True
    ):
        assert found.isfinite().all()
        largest = expected.flatten(1).abs().amax(1).view(-1, *(1,) * (found.dim() - 1))
        close(found.double() / largest, expected / largest, torch.float32)


def test_a_gradient_beyond_the_range_is_infinite_not_nan():
    experts = (torch.randn(2, 3, 4) * 1e-42).requires_grad_()
    alpha = torch.full((2, 3), 1 / 3)
    (grad,) = torch.autograd.grad(expert_overlap(alpha, experts), experts)
    assert not grad.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("actions", [4, 40])
@pytest.mark.parametrize(
    ("mapping", "scores"),
    [("sparsemax", [9.0, 0.0, 0.0]), ("softmax", [2000.0, 0.0, 0.0]), ("softmax", [1.0, 0.5, 0.0])],
)
def test_infinite_logits(mapping, scores, actions, dtype):
    # Experts 1 and 2 forbid every action, expert 0 one; all forbid the last.
    experts = torch.full((5, 3, actions), -torch.inf)
    experts[:, 0] = torch.randn(5, actions)
    experts[:, 0, 1] = -torch.inf
    experts[:, 2, 2] = 1.0
    experts[..., -1] = -torch.inf
    tensors = {
        "router_logits": torch.tensor([scores] * 5).to(dtype),
        "expert_logits": experts.to(dtype),
    }
    compare(
        lambda **t: route(**t, mapping=mapping),
        lambda **t: reference.route(**t, mapping=mapping),
        tensors,
        dtype,
    )
    if scores[0] > 2:
        alpha, logits = route(**tensors, mapping=mapping)
        assert torch.equal(logits, tensors["expert_logits"][:, 0])


def test_an_expert_of_weight_zero_may_hold_anything():
    experts = torch.randn(3, 3, 20)
    scores = torch.tensor([[9.0, 0.0, 0.0]]).expand(3, 3).clone().requires_grad_()
    clean = route(scores, experts, mapping="sparsemax")[1]
    experts[:, 1:] = torch.nan
    experts.requires_grad_()
    dirty = route(scores, experts, mapping="sparsemax")[1]
    assert torch.equal(clean, dirty)
    for grad in torch.autograd.grad(dirty.square().sum(), (scores, experts)):
        assert grad.isfinite().all()


LONG = [255, 256, 257, 1000, 30011]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", LONG)
def test_long_rows(count, dtype):
    generator = torch.Generator().manual_seed(count)
    for scale in (1.0, 0.001, 100.0):  # few, all, one in the support
        x = torch.randn(3, count, generator=generator, dtype=torch.float64) * scale
        tensors = {"x": x.to(dtype)}
        compare(sparsemax, reference.sparsemax, tensors, dtype, grads=dtype == torch.float64)
        out = sparsemax(tensors["x"])
        grad = torch.randn(3, count, generator=generator).to(dtype)
        found = torch.ops.tedg.sparsemax_backward(grad, out)
        inside = out != 0
        mean = (grad.double() * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True)
        close(found, torch.where(inside, grad.double() - mean, 0), dtype)
        target = torch.softmax(4 * torch.randn(3, count, generator=generator), -1)
        for mapping in ("softmax", "sparsemax"):
            scores = tensors["x"].clone().requires_grad_()
            wide = scores.detach().double().requires_grad_()
            loss = fenchel_young_loss(mapping, scores, target.to(dtype))
            wanted = reference.fenchel_young_loss(mapping, wide, target.to(dtype).double())
            close(loss, wanted, torch.float32 if dtype == torch.float64 else dtype)
            close(*torch.autograd.grad(loss, scores), *torch.autograd.grad(wanted, wide), dtype)


@pytest.mark.parametrize("first", [1e8, torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("rest", [0.0, -torch.inf])
def test_long_rows_of_special_numbers(first, rest):
    x = torch.full((2, 300), rest)
    x[1, 70] = first
    close(sparsemax(x), reference.sparsemax(x), torch.float32)


def test_twenty_million_entries_sum_to_one():
    x = torch.rand(20_000_000)
    weight = sparsemax(x)
    assert abs(weight.sum(dtype=torch.float64).item() - 1) < 1e-6
    grad = torch.ops.tedg.sparsemax_backward(x[None], weight[None])
    # The gradient's mean over the support is 0, up to the rounding of the mean.
    assert abs(grad.sum(dtype=torch.float64).item()) < 1e-7 * (weight != 0).sum().item()


@pytest.mark.parametrize("scale", [1e6, 1e30])
def test_attention_sums_what_large_scores_leave(scale):
    graph = Graph([list(range(5)), [0] * 5], 5, 1)
    x = torch.randn(1, 5, 2, 4)
    scores = torch.full((1, 5, 2), scale), torch.zeros(1, 1, 2)
    close(gat_attention(x, *scores, graph)[0], x.mean(1, keepdim=True), torch.float32)
