"""Predicting which effects the next observation shows: a training signal for the Manager."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.policy.inputs import PolicyInput, scenes_of
from tedg_fast.policy.manager import Reading


class EffectPredictor(nn.Module):
    """Predicts the effects of an action from the instances that the action carries out.

    The features of these instances are averaged, each with the weight e^(learned part of its
    score), and the mean is compared with the features of each effect node. Only the F effects
    that an observation can show are predicted: those with conditions in ``shown_by``.
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
        """The effects that observations show, float32 [B, F], 0 or 1.

        ``holds``: uint8 [B, ceil(C/8)], the conditions that hold, packed as in ``active_bits``.
        """
        places = torch.arange(7, -1, -1, device=holds.device, dtype=torch.uint8)
        bits = (holds.unsqueeze(2) >> places & 1).flatten(1)[:, : len(self.shown_by)]
        return (bits.to(self.shown_by.dtype) @ self.shown_by > 0).to(self.shown_by.dtype)

    def forward(self, reading: Reading, inputs: PolicyInput, action: Tensor) -> Tensor:
        """Logits [B, F] of the effects that follow ``action`` (int64 [B]) in B states.

        ``reading`` is what the Manager computed for these states.
        """
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
