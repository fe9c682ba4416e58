"""Losses on routing weights and expert logits; all are means over the batch."""

from typing import NamedTuple

import torch
from torch import Tensor

from tedg_fast.ops import _checks, reference
from tedg_fast.ops._native import has_kernel


class RoutingLosses(NamedTuple):
    """Scalars of :func:`routing_losses`; float32, or float64 for float64 inputs."""

    overlap: Tensor
    """sum over i != j of alpha_i alpha_j cos(z_i, z_j)."""
    semantic: Tensor
    """mean over all K x K entries of abs(cos(z_i, z_j)), the diagonal counted as 0."""
    diversity: Tensor
    """mean of cos(z_i, z_j) over the pairs i < j; 0 if there is one expert."""
    load_balance: Tensor
    """mean over k of (batch mean of alpha_k - 1/K) squared."""
    entropy: Tensor
    """-sum_k alpha_k ln alpha_k, with 0 ln 0 = 0 and gradient 0 there."""


def expert_overlap(alpha: Tensor, expert_logits: Tensor) -> Tensor:
    """Penalty for mixing experts with similar logits: mean of sum_{i!=j} a_i a_j cos(z_i, z_j).

    Args:
        alpha: [B, K] routing weights; float32, bfloat16, float16 or float64.
        expert_logits: [B, K, A], dtype of ``alpha``; z_k is row k. A zero vector has cosine 0
            and gradient 0.

    Returns:
        A scalar, float32, or float64 for float64 inputs; 0 for an empty batch. Differentiable,
        once.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype or device does not fit.
    """
    if isinstance(alpha, Tensor) and has_kernel(alpha.device):
        return torch.ops.tedg.expert_overlap.default(alpha, expert_logits)
    _checks.alpha_and_experts("alpha", alpha, expert_logits)
    return reference.expert_overlap(alpha, expert_logits)


def routing_losses(alpha: Tensor, expert_logits: Tensor) -> RoutingLosses:
    """All the losses on the routing in one pass over the experts' logits.

    Args: as in :func:`expert_overlap`.

    Returns:
        :class:`RoutingLosses`, scalars, all 0 for an empty batch. Differentiable, once.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype or device does not fit.
    """
    if isinstance(alpha, Tensor) and has_kernel(alpha.device):
        return RoutingLosses(*torch.ops.tedg.routing_losses.default(alpha, expert_logits)[:5])
    _checks.alpha_and_experts("alpha", alpha, expert_logits)
    return RoutingLosses(*reference.routing_losses(alpha, expert_logits))
