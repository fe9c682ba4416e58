"""Maps from scores to a distribution over experts, and the mixture they make."""

import torch
from torch import Tensor

from tedg_fast.ops import _checks, reference
from tedg_fast.ops._native import has_kernel


def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    """Euclidean projection of ``x`` onto the probability simplex along ``dim``, exact.

    Martins & Astudillo 2016, "From Softmax to Sparsemax", equation 1. Entries of -inf get 0; a
    slice of nothing but -inf, or with a NaN, is NaN, as in ``torch.softmax``.

    Args:
        x: any shape with at least one entry along ``dim``; float32, bfloat16, float16, float64.
        dim: the dimension that sums to 1.

    Returns:
        A tensor of the shape and dtype of ``x``. Differentiable, once.

    Raises:
        ValueError: ``x`` is no floating-point tensor or is empty along ``dim``.
        IndexError: ``dim`` is out of range.
    """
    _checks.floating("x", x)
    _checks.stored("x", x)
    rows = x.movedim(dim, -1)
    _checks.rows("x", rows)
    if not has_kernel(x.device):
        return reference.sparsemax(x, dim)
    out = torch.ops.tedg.sparsemax.default(rows.reshape(-1, rows.shape[-1]))
    return out.reshape(rows.shape).movedim(-1, dim)


def route(
    router_logits: Tensor,
    expert_logits: Tensor,
    *,
    mapping: str = "softmax",
    temperature: float = 1.0,
    action_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Routing weights from router logits, and the experts' logits mixed by them and masked.

    ``alpha = mapping(router_logits / temperature)``, ``logits[a] = sum_k alpha[k]
    expert_logits[k, a]``; masked actions get the lowest finite value of the dtype (so a row
    without an allowed action becomes uniform).

    Args:
        router_logits: [B, K], K >= 1; float32, bfloat16, float16 or float64.
        expert_logits: [B, K, A], dtype of ``router_logits``.
        mapping: "softmax" or "sparsemax".
        temperature: positive; below 1 sharpens.
        action_mask: bool [B, A], True = allowed.

    Returns:
        ``alpha`` [B, K] and ``logits`` [B, A], dtype of the inputs. Differentiable, once.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype, device or value does not fit.
    """
    _checks.mapping(mapping)
    _checks.number("temperature", temperature)
    if isinstance(router_logits, Tensor) and has_kernel(router_logits.device):
        return torch.ops.tedg.route.default(
            router_logits, expert_logits, mapping == "sparsemax", temperature, action_mask
        )
    _checks.route(router_logits, expert_logits, temperature, action_mask)
    return reference.route(
        router_logits,
        expert_logits,
        mapping=mapping,
        temperature=temperature,
        action_mask=action_mask,
    )
