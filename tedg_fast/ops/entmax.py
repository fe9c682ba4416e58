"""1.5-entmax: between softmax and sparsemax, and smooth where it is not 0.

Peters, Niculae & Martins 2019, "Sparse Sequence-to-Sequence Models". There is no native kernel: the
definition in PyTorch finds the threshold in a few passes over the scores, without a sort.
"""

from typing import Any

import torch
from torch import Tensor

from tedg_fast.ops import _checks
from tedg_fast.ops.reference import accumulate_dtype

# Newton's steps roughly double the digits from the third on; these are enough for float64.
_MAX_STEPS = 40


def entmax15(x: Tensor, dim: int = -1) -> Tensor:
    """1.5-entmax of ``x`` along ``dim``: ``max(x / 2 - tau, 0)^2`` with the tau that makes it sum
    to 1.

    It maximises ``<p, x> + (4 / 3) sum_k (p_k - p_k^1.5)`` over the simplex (Peters et al. 2019,
    equation 10 and proposition 3). Entries of -inf get 0; a slice of nothing but -inf, or with a
    NaN, is NaN, as in ``torch.softmax``.

    Args:
        x: any shape with at least one entry along ``dim``; float32, bfloat16, float16, float64.
        dim: the dimension that sums to 1.

    Returns:
        A tensor of the shape and dtype of ``x``. Differentiable any number of times.

    Raises:
        ValueError: ``x`` is no floating-point tensor or is empty along ``dim``.
        IndexError: ``dim`` is out of range.
    """
    _checks.floating("x", x)
    rows = x.movedim(dim, -1)
    _checks.rows("x", rows)
    return _Entmax15.apply(rows).movedim(-1, dim)


# An op of its own: how many steps it takes depends on the scores, which cannot be traced.
_library = torch.library.Library("tedg", "FRAGMENT")
_library.define("_entmax15(Tensor x) -> Tensor")


def _entmax15(x: Tensor) -> Tensor:
    z = x.to(accumulate_dtype(x.dtype))
    z = (z - z.amax(-1, keepdim=True)) / 2
    # The norm of max(z - tau, 0) is convex in tau, so that Newton's method from below, where it is
    # at least 1, rises to the threshold, and at once where all scores are equal.
    threshold = torch.full_like(z[..., :1], -1.0)
    tolerance = 0.25 * torch.finfo(z.dtype).eps ** 0.5  # the next step would be its square
    for _ in range(_MAX_STEPS):
        above = (z - threshold).clamp_(min=0)
        norm = torch.linalg.vector_norm(above, dim=-1, keepdim=True)
        step = (norm - 1) * norm / above.sum(-1, keepdim=True)
        threshold = threshold + step
        if not (step > tolerance).any():
            break
    weight = (z - threshold).clamp_(min=0).square_()
    # A sum of squares over millions of entries has fewer digits than the weights must have.
    return weight.div_(weight.sum(-1, keepdim=True)).to(x.dtype)


_library.impl("_entmax15", _entmax15, "CompositeExplicitAutograd")
torch.library.register_fake("tedg::_entmax15", torch.empty_like)


class _Entmax15(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.ops.tedg._entmax15.default(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # The derivative is symmetric (Peters et al. 2019, equation 12).
        (weight,) = ctx.saved_tensors
        used = weight > 0
        root = torch.where(used, torch.where(used, weight, 1).sqrt(), 0)
        mean = (root * grad).sum(-1, keepdim=True) / root.sum(-1, keepdim=True)
        return root * (grad - mean)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
        return _Entmax15.apply(x.movedim(in_dims[0], 0)), 0
