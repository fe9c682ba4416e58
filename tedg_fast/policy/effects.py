"""Predicting which effects the next observation shows: a training signal for the Manager."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.policy.gat import Rules


class EffectPredictor(nn.Module):
    """From the rules that an action carries out to the effects that follow.

    The rules that apply and list the action are pooled as the Manager pools rules; what comes out
    is compared with each effect node's features. Only the F effects count that an observation can
    show, that is, those with conditions in ``shown_by``.
    """

    def __init__(self, hypergraph: Hypergraph, width: int):
        super().__init__()
        actions = torch.from_numpy(hypergraph.operator_actions.T).bool().contiguous()
        conditions = torch.from_numpy(hypergraph.effect_conditions)
        visible = conditions.any(1).nonzero().squeeze(1)
        self.register_buffer("lists", actions, persistent=False)  # [A, O]
        self.register_buffer("visible", visible, persistent=False)  # [F]
        self.register_buffer("shown_by", conditions[visible].T.float(), persistent=False)  # [C, F]
        self.query = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(len(visible)))

    def shown(self, holds: Tensor) -> Tensor:
        """Conditions that hold in the next observation [B, C] (0 or 1) → effects it shows [B, F]
        (float32, 0 or 1)."""
        return (holds.to(self.shown_by.dtype) @ self.shown_by > 0).to(self.shown_by.dtype)

    def forward(self, rules: Rules, applies: Tensor, action: Tensor) -> Tensor:
        """Rules that apply [B, O] (bool) and the action taken [B] (int64) → logits [B, F]."""
        pooled = rules.pool(self.lists.index_select(0, action) & applies)
        effects = rules.effects[self.visible] / math.sqrt(pooled.shape[1])
        return torch.addmm(self.bias, self.query(pooled), effects.T)
