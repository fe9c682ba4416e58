"""Losses of classes and distributions, reductions, and what is refused; the mean over
distributions by softmax and sparsemax is in test_losses.py."""

import pytest
import torch
from ops.op_cases import FLOATS, close
from torch.nn.functional import cross_entropy, kl_div

from tedg_fast.ops import (
    entmax15,
    entmax15_loss,
    fenchel_young_loss,
    sparsemax,
    sparsemax_loss,
)

MAPS = {"softmax": lambda x: x.softmax(-1), "sparsemax": sparsemax, "entmax15": entmax15}
LOSSES = {"sparsemax": sparsemax_loss, "entmax15": entmax15_loss}


def problem(rows=40, count=7, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(rows, count, generator=generator, dtype=torch.float64)
    classes = torch.randint(0, count, (rows,), generator=generator)
    return scores.to(dtype).requires_grad_(), classes


def by_definition(mapping, scores, q):
    """max_p <p, z> - Omega(p), at the p that the map gives, + Omega(q) - <q, z>, a row."""
    omega = {
        "softmax": lambda p: torch.xlogy(p, p).sum(-1),
        "sparsemax": lambda p: 0.5 * (p**2).sum(-1),
        "entmax15": lambda p: 4 / 3 * (p**1.5).sum(-1),
    }[mapping]
    z = scores.detach().double()
    p = MAPS[mapping](z)
    return ((p - q) * z).sum(-1) - omega(p) + omega(q.double())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mapping", list(MAPS))
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", ["classes", "distributions"])
def test_equals_the_definition(mapping, dtype, reduction, kind):
    scores, target = problem(dtype=dtype)
    q = torch.nn.functional.one_hot(target, 7).double()
    if kind == "distributions":
        q = sparsemax(torch.randn(40, 7, dtype=torch.float64)).to(dtype).double()
        target = q.to(dtype)
    rows = by_definition(mapping, scores, q)
    expected = {"mean": rows.mean(), "sum": rows.sum(), "none": rows}[reduction]
    loss = fenchel_young_loss(mapping, scores, target, reduction=reduction)
    close(loss, expected, dtype)
    (grad,) = torch.autograd.grad(loss.sum(), scores)
    residual = MAPS[mapping](scores.detach().double()) - q
    close(grad, residual / (len(q) if reduction == "mean" else 1), dtype)


@pytest.mark.parametrize("mapping", list(LOSSES))
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_equals_entmax(mapping, ignore_index):
    entmax = pytest.importorskip("entmax")
    theirs = {"sparsemax": entmax.SparsemaxLoss, "entmax15": entmax.Entmax15Loss}[mapping]
    names = {"mean": "elementwise_mean", "sum": "sum", "none": "none"}
    for reduction, name in names.items():
        scores, target = problem()
        expected = theirs(ignore_index=ignore_index, reduction=name)(scores, target)
        loss = LOSSES[mapping](scores, target, ignore_index=ignore_index, reduction=reduction)
        close(loss, expected, torch.float64)
        grads = [torch.autograd.grad(value.sum(), scores)[0] for value in (loss, expected)]
        close(*grads, torch.float64)


def test_softmax_is_torch_cross_entropy():
    scores, target = problem()
    target[::5] = -100
    for reduction in ("mean", "sum", "none"):
        close(
            fenchel_young_loss("softmax", scores, target, reduction=reduction),
            cross_entropy(scores, target, reduction=reduction),
            torch.float64,
        )
    q = torch.softmax(torch.randn(40, 7, dtype=torch.float64), -1)
    close(
        fenchel_young_loss("softmax", scores, q, reduction="sum"),
        kl_div(scores.log_softmax(-1), q, reduction="sum"),
        torch.float64,
    )


@pytest.mark.parametrize("mapping", list(MAPS))
def test_ignored_rows_count_nowhere(mapping):
    scores, target = problem(rows=6)
    target[1] = target[4] = -100
    with torch.no_grad():
        scores[1] = torch.nan
    loss = fenchel_young_loss(mapping, scores, target)
    kept = [0, 2, 3, 5]
    close(loss, fenchel_young_loss(mapping, scores[kept], target[kept]), torch.float64)
    (grad,) = torch.autograd.grad(loss, scores)
    assert not grad[[1, 4]].any() and grad[kept].any()
    nothing = fenchel_young_loss(mapping, scores, torch.full((6,), -100))
    assert nothing.item() == 0 and not torch.autograd.grad(nothing, scores)[0].any()


@pytest.mark.parametrize("mapping", list(MAPS))
def test_a_class_out_of_reach_costs_infinitely_and_others_nothing(mapping):
    scores = torch.tensor([[1.0, -torch.inf, 0.5]], requires_grad=True)
    fine = fenchel_young_loss(mapping, scores, torch.tensor([2]))
    assert torch.autograd.grad(fine, scores)[0].isfinite().all()
    close(fine, fenchel_young_loss(mapping, scores[:, ::2], torch.tensor([1])), torch.float32)
    assert fenchel_young_loss(mapping, scores, torch.tensor([1])).item() == torch.inf


@pytest.mark.parametrize("mapping", list(MAPS))
def test_derivatives_of_every_kind(mapping):
    scores, target = problem(rows=4)

    def loss(scores):
        return fenchel_young_loss(mapping, scores, target, reduction="none")

    assert torch.autograd.gradcheck(loss, scores)
    assert torch.autograd.gradgradcheck(loss, scores)


@pytest.mark.parametrize("mapping", list(LOSSES))
def test_compiles_without_a_graph_break(mapping):
    torch._dynamo.reset()
    compiled = torch.compile(LOSSES[mapping], fullgraph=True, backend="aot_eager")
    scores, target = problem(dtype=torch.float32)
    q = scores.detach().softmax(-1)
    for wanted in (target, q):
        pair = [function(scores, wanted) for function in (compiled, LOSSES[mapping])]
        close(*pair, torch.float32)
        close(*(torch.autograd.grad(value, scores)[0] for value in pair), torch.float32)


def test_shapes_beyond_rows():
    scores, target = problem(rows=24)
    for mapping in MAPS:
        rows = fenchel_young_loss(mapping, scores, target, reduction="none")
        cube = fenchel_young_loss(
            mapping, scores.view(2, 3, 4, 7), target.view(2, 3, 4), reduction="none"
        )
        close(cube.flatten(), rows, torch.float64)
        close(fenchel_young_loss(mapping, scores[0], target[0]), rows[0], torch.float64)
        empty = fenchel_young_loss(mapping, scores[:0], target[:0])
        assert empty.item() == 0


def bad(row):
    q = torch.full((3, 4), 0.25)
    q[1] = torch.tensor(row)
    return q


@pytest.mark.parametrize("mapping", list(MAPS))
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (bad([0.5, 0.5, 0.5, 0.5]), "target must hold rows .* sum to 1, got one with sum 2"),
        (bad([1.5, -0.5, 0.0, 0.0]), "target must hold rows that are >= 0 .* entry -0.5"),
        (bad([torch.inf, 0.5, 0.25, 0.25]), "target must hold rows .* sum inf"),
        (bad([0.0, 0.0, 0.0, 0.0]), "target must hold rows .* sum 0"),
        (torch.tensor([0, 1, 4]), r"target must hold classes in \[0, 4\) or ignore_index.*got 4"),
        (torch.tensor([0, -1, 3]), r"target must hold classes in \[0, 4\).*got -1"),
        (torch.tensor([0, 1]), r"target must be int64 \[3\] .* got torch.int64 \[2\]"),
        (torch.tensor([0, 1, 2]).int(), r"target must be int64 \[3\]"),
        (torch.full((2, 4), 0.25), r"target must have shape \[3, 4\]"),
        (torch.full((3, 4), 0.25).double(), "target must have dtype torch.float32"),
    ],
)
def test_refuses_targets_that_are_none(mapping, target, message):
    for reduction in ("mean", "none"):
        with pytest.raises(ValueError, match=message):
            fenchel_young_loss(mapping, torch.zeros(3, 4), target, reduction=reduction)


@pytest.mark.parametrize("mapping", list(MAPS))
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nan_gives_nan(mapping, reduction):
    """Training sees it and puts the weights back; an error would end the run."""
    scores, nan = torch.zeros(3, 4), torch.nan
    target = bad([nan, 0.5, 0.25, 0.25])
    assert fenchel_young_loss(mapping, scores, target, reduction=reduction).isnan()
    target = bad([0.25] * 4)
    scores[0, 0] = nan
    assert fenchel_young_loss(mapping, scores, target, reduction=reduction).isnan()


def test_refuses_unknown_names():
    q = torch.full((3, 4), 0.25)
    with pytest.raises(ValueError, match="mapping must be one of softmax, .*, got 'top2'"):
        fenchel_young_loss("top2", torch.zeros(3, 4), q)
    with pytest.raises(ValueError, match="reduction must be one of mean, .*, got 'max'"):
        sparsemax_loss(torch.zeros(3, 4), q, reduction="max")
