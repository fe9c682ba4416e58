"""What stands in for the Manager where a policy does without the hypergraph."""

import math

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.policy.gat import Logic


class NoManager(nn.Module):
    """Says nothing: ``h_logic``, proposals and advice scores are 0 for every sample."""

    def __init__(self, num_conditions: int, hidden_size: int, num_experts: int):
        super().__init__()
        self.num_conditions, self.hidden_size = num_conditions, hidden_size
        self.num_experts = num_experts

    def active(self, holds: Tensor) -> Tensor:
        """Conditions that hold [B, C] are the only active nodes."""
        return holds

    def rules(self) -> None:
        """There are none."""

    def forward(self, rules: None, active: Tensor) -> Logic:
        """Zeros for samples ``active`` [B, C]."""
        batch = len(active)
        return Logic(
            h_logic=torch.zeros(batch, self.hidden_size, device=active.device),
            proposals=torch.zeros(batch, self.num_experts, len(ACTIONS), device=active.device),
            advice_scores=torch.zeros(batch, self.num_experts, device=active.device),
        )

    def attention_variance(self, active: Tensor) -> float:
        """NaN: there is no attention."""
        return math.nan
