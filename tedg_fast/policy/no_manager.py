"""What stands in for the Manager where a policy does without the hypergraph."""

import math

import numpy as np
import torch
from torch import nn

from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.policy.gat import Logic
from tedg_fast.policy.instances import Active, active_of


class NoManager(nn.Module):
    """Says nothing: ``h_logic``, proposals and advice scores are 0 for every sample."""

    def __init__(
        self, num_conditions: int, num_operators: int, hidden_size: int, num_experts: int
    ):
        super().__init__()
        self.num_conditions, self.num_operators = num_conditions, num_operators
        self.hidden_size = hidden_size
        self.num_experts = num_experts

    def active(self, active_bits: np.ndarray, instances: np.ndarray) -> Active:
        """As the Manager's; nothing here reads it."""
        return active_of(active_bits, instances, self.num_conditions, self.num_operators)

    def rules(self) -> None:
        """There are none."""

    def forward(self, rules: None, active: Active) -> Logic:
        """Zeros for all samples."""
        batch = len(active.nodes)
        return Logic(
            h_logic=torch.zeros(batch, self.hidden_size, device=active.nodes.device),
            proposals=torch.zeros(batch, self.num_experts, len(ACTIONS), device=active.nodes.device),
            advice_scores=torch.zeros(batch, self.num_experts, device=active.nodes.device),
        )

    def attention_variance(self, active: Active) -> float:
        """NaN: there is no attention."""
        return math.nan
