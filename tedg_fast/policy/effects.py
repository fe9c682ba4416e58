"""Predicting which effects the next observation shows: a training signal for the Manager."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.policy.inputs import PolicyInput, scenes_of
from tedg_fast.policy.manager import Reading


class EffectPredictor(nn.Module):
    """From the instances that an action carries out to the effects that follow.

    Their features are pooled, each weighted by e^(what was learned of its score); the mean is
    compared with each effect node's features. Only the F effects count that an observation can
    show, that is, those with conditions in ``shown_by``.
    """

    def __init__(self, hypergraph: Hypergraph, width: int):
        super().__init__()
        conditions = torch.from_numpy(hypergraph.effect_conditions)
        visible = conditions.any(1).nonzero().squeeze(1)
        self.visible: Tensor
        self.register_buffer("visible", visible, persistent=False)  # [F]
        self.shown_by: Tensor
        self.register_buffer("shown_by", conditions[visible].T.float(), persistent=False)  # [C, F]
        self.query = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(len(visible)))

    def shown(self, holds: Tensor) -> Tensor:
        """The conditions that hold in an observation, packed as its ``active_bits`` are, uint8
        [B, ceil(C/8)] → the effects that it shows, float32 [B, F], 0 or 1."""
        places = torch.arange(7, -1, -1, device=holds.device, dtype=torch.uint8)
        bits = (holds.unsqueeze(2) >> places & 1).flatten(1)[:, : len(self.shown_by)]
        return (bits.to(self.shown_by.dtype) @ self.shown_by > 0).to(self.shown_by.dtype)

    def forward(self, reading: Reading, inputs: PolicyInput, action: Tensor) -> Tensor:
        """What the Manager read of B states and the action taken in each [B] (int64) → logits
        [B, F]."""
        scenes = scenes_of(inputs)
        sample = scenes.instance_sample
        carried = (scenes.actions == action[sample].unsqueeze(1)).any(1)
        weight = (reading.learned.exp() * carried).unsqueeze(1)
        heard = torch.cat([weight * reading.instances, weight], 1)
        sums = heard.new_zeros(len(action), heard.shape[1]).index_add(0, sample, heard)
        # The 1 stands for an instance without content, so that an action of no rule's is fine.
        pooled = sums[:, :-1] / (1 + sums[:, -1:])
        effects = reading.effects[self.visible] / math.sqrt(pooled.shape[1])
        return torch.addmm(self.bias, self.query(pooled), effects.T)
