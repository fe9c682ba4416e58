"""Which actions the rules that apply propose on behalf of their experts."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.policy.scenes import Scenes


class Proposals(nn.Module):
    """The rules' say in the choice of actions.

    A rule has an instance for all objects that it applies to. An instance of strength w that is
    carried out by any of n actions gives each of them w / n. Expert k speaks for action a with
    ``log(1 + Σ w / n)`` over the instances that belong to k and list a: 0 where none does, and
    close to the score ``ln w`` of the strongest where one does. Its loudness is ``log(1 + Σ w)``
    over all its instances.

    What it says is its *proposal*: what it speaks for over its loudness (or over 1 if that is
    less), between 0 and 1. How much it matters is the router's decision, for which the loudness
    is the advice.

    With fewer experts than the four semantic ones, the last takes over the rules of those that
    are missing; experts beyond the four have no rules.

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
        """The instances of B ``scenes`` with the ``strength`` [I] of each → proposals [B, K, A] and
        each expert's loudness [B, K]."""
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
