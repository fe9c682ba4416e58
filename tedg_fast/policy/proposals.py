"""Which rules apply to a state, and which actions they propose on behalf of their experts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import EXPERTS, Hypergraph


class Proposals(nn.Module):
    """The rules' say in the choice of actions.

    A rule applies when all its conditions hold. One of strength w that is carried out by any of n
    actions gives each of them w / n; expert k's proposal of action a is ``log(1 + Σ w / n)`` over
    the rules that apply, belong to k and list a: 0 where no rule speaks, and close to the score
    ``ln w`` of the strongest where one does.

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
        """Conditions that hold [B, C] (0 or 1) → rules that apply [B, O] (float32, 0 or 1)."""
        met = holds.to(self.requires.dtype) @ self.requires
        return met.eq_(self.count)  # in place: numbers of bools take several times as long

    def claims(self, scores: Tensor) -> Tensor:
        """Scores [O] → what each rule adds to each expert's actions if it applies, [O, K, A]."""
        return scores.exp()[:, None, None] * self.shares

    def forward(self, applies: Tensor, claims: Tensor) -> tuple[Tensor, Tensor]:
        """``applies`` [B, O] (0 or 1) → proposals [B, K, A] and each expert's loudness [B, K],
        ``log(1 + Σ w)`` over all its rules that apply."""
        weight = (applies @ claims.flatten(1)).unflatten(1, claims.shape[1:])
        return weight.log1p(), weight.sum(2).log1p()


class RulePolicy(nn.Module):
    """Plays by the rules and their priorities alone: nothing is learned.

    What ``Policy`` computes while its networks are silent and all experts have equal weight.
    """

    def __init__(self, hypergraph: Hypergraph):
        super().__init__()
        self.proposals = Proposals(hypergraph, len(EXPERTS))

    def forward(self, holds: Tensor, action_mask: Tensor) -> Tensor:
        """Conditions that hold [B, C] (0 or 1), allowed actions [B, A] (bool) → logits [B, A]."""
        claims = self.proposals.claims(self.proposals.priority)
        applies = self.proposals.applies(holds)
        logits = self.proposals(applies, claims)[0].sum(1)
        return logits.masked_fill(~action_mask, -torch.inf)
