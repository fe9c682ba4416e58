"""The replacement of the Manager in a policy without the hypergraph."""

import math

from torch import nn

from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy.inputs import PolicyInput
from tedg_fast.policy.manager import Reading


class NoManager(nn.Module):
    """Gives no information: ``h_logic``, proposals and advice scores are 0 for every state."""

    def __init__(self, hidden_size: int, num_experts: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.num_experts = num_experts

    def scenes(self, observation: Observation) -> None:
        """It reads none."""

    def tables(self) -> None:
        """There are none."""

    def forward(self, inputs: PolicyInput, tables: None = None) -> Reading:
        """Zeros for all states."""
        batch, new = len(inputs.features), inputs.features.new_zeros
        return Reading(
            h_logic=new(batch, self.hidden_size),
            proposals=new(batch, self.num_experts, len(ACTIONS)),
            advice_scores=new(batch, self.num_experts),
            score=new(0),
            learned=new(0),
            instances=new(0, 0),
            effects=new(0, 0),
        )

    def attention_variance(self, inputs: PolicyInput) -> float:
        """NaN: there is no attention."""
        return math.nan
