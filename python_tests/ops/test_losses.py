import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.op_cases import FLOATS, close, compare

from tedg_fast.ops import (
    expert_overlap,
    fenchel_young_loss,
    reference,
    routing_losses,
    sparsemax,
    sparsemax_loss,
)

INF = torch.inf


def loss_problem(batch, experts, actions, sparse, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(batch, experts, generator=generator)
    alpha = sparsemax(scores) if sparse else torch.softmax(scores, -1)
    z = torch.randn(batch, experts, actions, generator=generator)
    return {"alpha": alpha.to(dtype), "expert_logits": z.to(dtype)}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(33, 4, 23), (5, 8, 121), (300, 3, 17), (2, 64, 5), (1, 1, 1), (19, 64, 33), (17, 65, 43)],
)
def test_equal_the_reference(dtype, sparse, shape):
    arguments = loss_problem(*shape, sparse, dtype)
    compare(routing_losses, reference.routing_losses, arguments, dtype)
    compare(expert_overlap, reference.expert_overlap, arguments, dtype)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 20),
    experts=st.integers(1, 9),
    actions=st.integers(0, 40),
    sparse=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 1000),
)
def test_any_shape(batch, experts, actions, sparse, dtype, seed):
    arguments = loss_problem(batch, experts, actions, sparse, dtype, seed)
    compare(routing_losses, reference.routing_losses, arguments, dtype)
    compare(expert_overlap, reference.expert_overlap, arguments, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_that_fit_no_cache_equal_the_reference(dtype):
    # Written past the caches from 16 MiB on; the last rows fill no vector.
    batch = (17 << 20) // (4 * 23 * dtype.itemsize) + 5
    arguments = loss_problem(batch, 4, 23, True, dtype)
    leaves = [value.requires_grad_() for value in arguments.values()]
    grads = [
        torch.autograd.grad(batch * sum(function(**arguments)), leaves)
        for function in (routing_losses, reference.routing_losses)
    ]
    for name, actual, expected in zip(arguments, *grads, strict=True):
        close(actual, expected, dtype, name)


def test_by_hand():
    # Experts: z_0 = z_1, z_2 opposite to both, on one sample.
    z = torch.tensor([[[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]]])
    alpha = torch.tensor([[0.5, 0.25, 0.25]])
    losses = routing_losses(alpha, z)
    overlap = 2 * (0.125 - 0.125 - 0.0625)
    assert losses.overlap.item() == pytest.approx(overlap, abs=1e-6)
    assert losses.semantic.item() == pytest.approx(6 / 9, abs=1e-6)
    assert losses.diversity.item() == pytest.approx(-1 / 3, abs=1e-6)
    assert losses.load_balance.item() == pytest.approx(
        ((0.5 - 1 / 3) ** 2 + 2 * (0.25 - 1 / 3) ** 2) / 3, abs=1e-7
    )
    assert losses.entropy.item() == pytest.approx(1.5 * math.log(2), abs=1e-6)
    assert expert_overlap(alpha, z).item() == pytest.approx(overlap, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_cosines_do_not_depend_on_the_length(scale):
    arguments = loss_problem(4, 3, 9, False, torch.float32)
    expected = routing_losses(**arguments)
    scaled = {**arguments, "expert_logits": arguments["expert_logits"] * scale}
    for function in (routing_losses, reference.routing_losses):
        for actual, wanted in zip(function(**scaled), expected, strict=True):
            close(actual, wanted, torch.float32)


@pytest.mark.parametrize("dtype", FLOATS)
def test_zero_vectors_and_unused_experts_have_finite_gradients(dtype):
    arguments = loss_problem(3, 4, 7, True, dtype)
    arguments["expert_logits"][0, 1] = 0
    arguments["expert_logits"][1] = 0
    arguments["alpha"] = torch.tensor([[1.0, 0, 0, 0]] * 3).to(dtype)
    compare(routing_losses, reference.routing_losses, arguments, dtype)
    alpha = arguments["alpha"].requires_grad_()
    z = arguments["expert_logits"].requires_grad_()
    for grad in torch.autograd.grad(sum(routing_losses(alpha, z)), [alpha, z]):
        assert grad.isfinite().all()


def test_an_empty_batch_costs_nothing():
    arguments = loss_problem(0, 4, 23, False, torch.float32)
    assert [loss.item() for loss in routing_losses(**arguments)] == [0.0] * 5
    assert expert_overlap(**arguments).item() == 0.0


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(33, 4), (700, 3), (2, 3, 5), (4,), (0, 3), (5, 1)])
def test_fenchel_young_equals_the_reference(mapping, dtype, shape):
    generator = torch.Generator().manual_seed(1)
    scores = (2 * torch.randn(shape, generator=generator)).to(dtype)
    target = torch.softmax(torch.randn(shape, generator=generator), -1).to(dtype)
    compare(
        lambda scores, target: fenchel_young_loss(mapping, scores, target),
        lambda scores, target: reference.fenchel_young_loss(mapping, scores, target),
        {"scores": scores, "target": target},
        dtype,
    )


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
def test_fenchel_young_gradient_is_the_residual(mapping):
    scores = torch.tensor([[5.0, 0, 0, 0], [0.1, 0.2, 0.3, -9]], requires_grad=True)
    target = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0]])
    loss = fenchel_young_loss(mapping, scores, target)
    (grad,) = torch.autograd.grad(loss, scores)
    weights = sparsemax(scores) if mapping == "sparsemax" else torch.softmax(scores, -1)
    close(grad, (weights - target) / 2, torch.float32)
    assert grad.isfinite().all()


def test_fenchel_young_is_kl_for_softmax_and_zero_at_the_target():
    scores, target = torch.randn(6, 4), torch.softmax(torch.randn(6, 4), -1)
    kl = torch.nn.functional.kl_div(torch.log_softmax(scores, -1), target, reduction="batchmean")
    close(fenchel_young_loss("softmax", scores, target), kl, torch.float32)
    zero = sparsemax_loss(scores, sparsemax(scores))
    assert abs(zero.item()) < 1e-6


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
def test_masked_choices_cost_nothing_when_the_target_leaves_them(mapping):
    scores = torch.tensor([[1.0, -INF, 0.5]], requires_grad=True)
    target = torch.tensor([[0.5, 0.0, 0.5]])
    loss = fenchel_young_loss(mapping, scores, target)
    without = fenchel_young_loss(mapping, scores[:, [0, 2]], target[:, [0, 2]])
    close(loss, without, torch.float32)
    assert torch.autograd.grad(loss, scores)[0].isfinite().all()
