"""Predicting which effects the next observation shows: a training signal for the Manager."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.policy.gat import Rules
from tedg_fast.policy.instances import Active


class EffectPredictor(nn.Module):
    """From the rules that an action carries out to the effects that follow.

    The rules that apply and have an instance that the action carries out are pooled as the Manager pools rules; what comes out
    is compared with each effect node's features. Only the F effects count that an observation can
    show, that is, those with conditions in ``shown_by``.
    """

    def __init__(self, hypergraph: Hypergraph, width: int):
        super().__init__()
        conditions = torch.from_numpy(hypergraph.effect_conditions)
        visible = conditions.any(1).nonzero().squeeze(1)
        self.register_buffer("visible", visible, persistent=False)  # [F]
        self.register_buffer("shown_by", conditions[visible].T.float(), persistent=False)  # [C, F]
        self.query = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(len(visible)))

    def shown(self, holds: Tensor) -> Tensor:
        """Conditions that hold in the next observation [B, C] (0 or 1) → effects it shows [B, F]
        (float32, 0 or 1)."""
        return (holds.to(self.shown_by.dtype) @ self.shown_by > 0).to(self.shown_by.dtype)

    def forward(self, rules: Rules, active: Active, action: Tensor) -> Tensor:
        """What is active in B states and the action taken in each [B] (int64) → logits [B, F]."""
        sample, instances = active.instances.sample(), active.instances
        carried = (instances.actions == action[sample].unsqueeze(1)).any(1)
        chosen = active.nodes.new_zeros(len(action), len(rules.operators))
        chosen[sample[carried], instances.rule[carried]] = True
        pooled = rules.pool(chosen)
        effects = rules.effects[self.visible] / math.sqrt(pooled.shape[1])
        return torch.addmm(self.bias, self.query(pooled), effects.T)
