"""Fenchel-Young losses of softmax, sparsemax and 1.5-entmax (Blondel, Martins & Niculae 2020).

Targets and reductions are those of ``torch.nn.functional.cross_entropy``, which is the loss of
softmax for a class as target.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tedg_fast.ops import _checks
from tedg_fast.ops._native import has_kernel
from tedg_fast.ops.entmax import entmax15
from tedg_fast.ops.reference import accumulate_dtype
from tedg_fast.ops.routing import sparsemax

REDUCTIONS = ("mean", "sum", "none")


def fenchel_young_loss(
    mapping: str,
    scores: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Fenchel-Young loss between scores and target distributions or classes.

    softmax: KL(target || softmax(scores)), for a class the cross-entropy. sparsemax: the sparsemax
    loss of Martins & Astudillo 2016. entmax15: that of Peters, Niculae & Martins 2019. In all,
    the gradient of row b is ``mapping(scores_b) - target_b``, divided by the number of rows in a
    mean, and finite even where a weight is 0 (Blondel et al. 2020, proposition 2).

    Args:
        mapping: "softmax", "sparsemax" or "entmax15".
        scores: [..., K], already divided by any temperature; float32, bfloat16, float16, float64.
        target: [..., K], dtype of ``scores``, rows that are >= 0 and sum to 1 (or hold NaN, which
            gives NaN); or [...], int64, the class of each row, below K. No gradient flows to it.
        ignore_index: rows with this class count nowhere.
        reduction: "mean" over the rows that count, "sum", or "none".

    Returns:
        A scalar >= 0, or [...] for "none"; float32, or float64 for float64 inputs. The mean of
        no rows is 0.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype, device or value does not fit.
    """
    if mapping not in _CONJUGATES:
        raise ValueError(f"mapping must be one of {', '.join(_CONJUGATES)}, got {mapping!r}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    _checks.rows("scores", scores)
    if isinstance(target, Tensor) and not target.is_floating_point():
        return _class_loss(mapping, scores, target, ignore_index, reduction)
    _checks.like("target", target, tuple(scores.shape), "scores", scores)
    _check_distribution(target)
    count = scores.shape[-1]
    rows, target = scores.reshape(-1, count), target.detach().reshape(-1, count)
    if mapping != "entmax15" and reduction == "mean" and has_kernel(scores.device):
        return torch.ops.tedg.fenchel_young_loss.default(rows, target, mapping == "sparsemax")[0]
    loss, _ = _RowLosses.apply(rows, target, mapping)
    return _reduce(loss.view(scores.shape[:-1]), max(len(rows), 1), reduction)


def sparsemax_loss(
    scores: Tensor, target: Tensor, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """:func:`fenchel_young_loss` of "sparsemax"."""
    return fenchel_young_loss(
        "sparsemax", scores, target, ignore_index=ignore_index, reduction=reduction
    )


def entmax15_loss(
    scores: Tensor, target: Tensor, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """:func:`fenchel_young_loss` of "entmax15"."""
    return fenchel_young_loss(
        "entmax15", scores, target, ignore_index=ignore_index, reduction=reduction
    )


def _class_loss(
    mapping: str, scores: Tensor, target: Tensor, ignore_index: int, reduction: str
) -> Tensor:
    shape, count = scores.shape[:-1], scores.shape[-1]
    if target.dtype != torch.int64 or target.shape != shape or target.device != scores.device:
        raise ValueError(
            f"target must be int64 {list(shape)} on {scores.device} to name classes, or a "
            f"distribution like scores, got {target.dtype} {list(target.shape)} on {target.device}"
        )
    rows, target = scores.reshape(-1, count), target.flatten()
    counted = target != ignore_index
    known = (target >= 0) & (target < count)
    _demand(
        (known | ~counted).all(),
        lambda: (
            f"target must hold classes in [0, {count}) or ignore_index, {ignore_index}, got "
            f"{target[counted & ~known][0].item()}"
        ),
    )
    # What stands in a row that counts nowhere, be it NaN, must not reach the sum or a gradient.
    rows = rows.masked_fill(~counted.unsqueeze(-1), 0)
    loss, _ = _RowLosses.apply(rows, target.where(counted, 0), mapping)
    return _reduce(loss.where(counted, 0).view(shape), counted.sum().clamp(min=1), reduction)


def _reduce(loss: Tensor, count: int | Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / count


def _check_distribution(target: Tensor) -> None:
    sums = target.sum(-1, dtype=accumulate_dtype(target.dtype))
    tolerance = max(1e-4, 4 * torch.finfo(target.dtype).eps)
    # NaN passes, and makes the loss NaN: it tells of a breakdown elsewhere, not of a wrong call.
    fits = ~(((sums - 1).abs() > tolerance) | (target < 0).any(-1))
    _demand(
        fits.all(),
        lambda: (
            "target must hold rows that are >= 0 and sum to 1, got one with sum "
            f"{sums[~fits][0].item():.6g} and smallest entry {target[~fits][0].min().item():.6g}"
        ),
    )


def _demand(condition: Tensor, message: Callable[[], str]) -> None:
    """Raise ValueError where ``condition`` is false; what is compiled or captured asserts."""
    if torch.compiler.is_compiling():
        torch._assert_async(condition, "target holds values that are not allowed")
    elif not condition:
        raise ValueError(message())


class _RowLosses(torch.autograd.Function):
    """(loss [R], residual [R, K]) of scores [R, K] and classes [R] or distributions [R, K]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, target: Tensor, mapping: str) -> tuple[Tensor, Tensor]:
        z = scores.to(accumulate_dtype(scores.dtype))
        z = z - z.amax(-1, keepdim=True)
        p = _MAPS[mapping](z)
        conjugate = _CONJUGATES[mapping](p, z)
        if target.is_floating_point():
            q = target.to(z.dtype)
            loss = conjugate + _REGULARISERS[mapping](q) - _dot(q, z)
        else:
            index = target.unsqueeze(-1)
            # The regulariser of a distribution on one class.
            loss = conjugate + (0.5 if mapping == "sparsemax" else 0.0) - z.gather(-1, index)[:, 0]
        return loss.clamp_(min=0), _residual(p, target).to(scores.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        scores, target, ctx.mapping = inputs
        ctx.save_for_backward(scores, target, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        scores, target, residual = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates again: through the map itself
            residual = _residual(_MAPS[ctx.mapping](scores), target)
        return (grad.unsqueeze(-1) * residual).to(scores.dtype), None, None


def _residual(p: Tensor, target: Tensor) -> Tensor:
    if target.is_floating_point():
        return p - target
    index = target.unsqueeze(-1)
    return p.scatter_add(-1, index, p.new_full(index.shape, -1))


def _dot(p: Tensor, z: Tensor) -> Tensor:
    """<p, z>, with 0 for a weight of 0 on a score of -inf."""
    return (p * z.masked_fill(p == 0, 0)).sum(-1)


_MAPS = {
    "softmax": lambda z: torch.softmax(z, -1),
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}
# Omega(p) of the three, and Omega*(z) = <p, z> - Omega(p) at their weights p.
_REGULARISERS = {
    "softmax": lambda p: torch.xlogy(p, p).sum(-1),
    "sparsemax": lambda p: 0.5 * p.square().sum(-1),
    "entmax15": lambda p: 4 / 3 * ((p * p.sqrt()).sum(-1) - 1),
}
_CONJUGATES = {
    "softmax": lambda p, z: torch.logsumexp(z, -1),
    "sparsemax": lambda p, z: _dot(p, z) - _REGULARISERS["sparsemax"](p),
    "entmax15": lambda p, z: _dot(p, z) - _REGULARISERS["entmax15"](p),
}
