"""Which actions the rules that apply propose on behalf of their experts."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.policy.scenes import Scenes


class Proposals(nn.Module):
    """How strongly the rules call for each action, on behalf of each expert.

    An instance of strength w that is carried out by any of n actions gives each of them w / n. The
    support of expert k for action a is ``log(1 + Σ w / n)`` over the instances that belong to k and
    list a: 0 where there is none, and close to the score ``ln w`` of the strongest otherwise. The
    advice score of expert k is ``log(1 + Σ w)`` over all its instances.

    The *proposal* of an expert for an action is its support divided by its advice score (or by 1
    where that is less), so it is between 0 and 1. How much each expert's proposals count is left to
    the router, which reads the advice scores.

    With fewer than the four named experts, the last one takes over the rules of the missing ones;
    experts beyond the four have no rules.

    Attributes:
        owner [O] int64: the expert that each rule belongs to.
    """

    def __init__(self, hypergraph: Hypergraph, num_experts: int):
        super().__init__()
        self.num_experts = num_experts
        owner = torch.from_numpy(hypergraph.operator_expert).clamp(max=num_experts - 1)
        self.owner: Tensor
        self.register_buffer("owner", owner, persistent=False)

    def forward(self, scenes: Scenes, strength: Tensor) -> tuple[Tensor, Tensor]:
        """Proposals [B, K, A] and advice scores [B, K] of B ``scenes``.

        ``strength``: [I], that of each instance.
        """
        actions = scenes.actions
        # One action more, for the places of an instance that proposes fewer than it could.
        shape = (len(scenes), self.num_experts, len(ACTIONS) + 1)
        share = strength / (actions < len(ACTIONS)).sum(1)
        row = scenes.instance_sample * self.num_experts + self.owner[scenes.rule]
        place = row.unsqueeze(1) * shape[2] + actions
        shares = share.unsqueeze(1).expand_as(place).flatten()
        weight = strength.new_zeros(math.prod(shape)).index_add(0, place.flatten(), shares)
        weight = weight.view(shape)[..., : len(ACTIONS)]
        loudness = weight.sum(2).log1p()
        return weight.log1p() / loudness.clamp_min(1).unsqueeze(2), loudness
