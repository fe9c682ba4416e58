"""Which rules apply to a state, and which actions they propose on behalf of their experts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import EXPERTS, Hypergraph


class Proposals(nn.Module):
    """The rules' say in the choice of actions.

    A rule applies when all its conditions hold. One of strength w that is carried out by any of n
    actions gives each of them w / n. Expert k speaks for action a with ``log(1 + Σ w / n)`` over
    the rules that apply, belong to k and list a: 0 where none does, and close to the score ``ln w``
    of the strongest where one does. Its loudness is ``log(1 + Σ w)`` over all its rules that apply.

    What it says is its *proposal*: what it speaks for over its loudness (or over 1 if that is
    less), between 0 and 1. How much it matters is the router's decision, for which the loudness
    is the advice.

    With fewer experts than the four semantic ones, the last takes over the rules of those that
    are missing; experts beyond the four have no rules.

    Attributes:
        priority [O] float32: the rules' scores by the hypergraph alone.
        shares [O, K, A] float32: 1/n where a rule of expert k is carried out by action a, else 0.
    """

    def __init__(self, hypergraph: Hypergraph, num_experts: int):
        super().__init__()
        requires = torch.from_numpy(hypergraph.operator_conditions)
        actions = torch.from_numpy(hypergraph.operator_actions).float()
        owner = torch.from_numpy(hypergraph.operator_expert).clamp(max=num_experts - 1)
        member = F.one_hot(owner, max(num_experts, len(EXPERTS)))[:, :num_experts].float()
        shares = member.unsqueeze(2) * (actions / actions.sum(1, keepdim=True)).unsqueeze(1)
        constants = {
            "requires": requires.T.float(),
            "count": requires.sum(1).float(),
            "priority": torch.from_numpy(hypergraph.operator_priority),
            "shares": shares,
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def applies(self, holds: Tensor) -> Tensor:
        """Conditions that hold [B, C] (0 or 1) → rules that apply [B, O] (bool)."""
        return holds.to(self.requires.dtype) @ self.requires == self.count

    def claims(self, scores: Tensor) -> Tensor:
        """Scores [O] → what each rule adds to each expert's actions if it applies, [O, K, A]."""
        return scores.exp()[:, None, None] * self.shares

    def voices(self, applies: Tensor, claims: Tensor) -> tuple[Tensor, Tensor]:
        """``applies`` [B, O] (0 or 1) → what each expert speaks for [B, K, A], its loudness [B, K]."""
        weight = (applies.to(claims.dtype) @ claims.flatten(1)).unflatten(1, claims.shape[1:])
        return weight.log1p(), weight.sum(2).log1p()

    def forward(self, applies: Tensor, claims: Tensor) -> tuple[Tensor, Tensor]:
        """``applies`` [B, O] (0 or 1) → proposals [B, K, A] and each expert's loudness [B, K]."""
        voice, loudness = self.voices(applies, claims)
        return voice / loudness.clamp_min(1).unsqueeze(2), loudness


class RulePolicy(nn.Module):
    """Plays by the rules and their priorities alone: nothing is learned.

    Every expert counts as much as its rules do.
    """

    def __init__(self, hypergraph: Hypergraph):
        super().__init__()
        self.proposals = Proposals(hypergraph, len(EXPERTS))

    def forward(self, holds: Tensor, action_mask: Tensor) -> Tensor:
        """Conditions that hold [B, C] (0 or 1), allowed actions [B, A] (bool) → logits [B, A]."""
        claims = self.proposals.claims(self.proposals.priority)
        applies = self.proposals.applies(holds)
        logits = self.proposals.voices(applies, claims)[0].sum(1)
        return logits.masked_fill(~action_mask, -torch.inf)
