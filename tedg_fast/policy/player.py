"""A policy at play: its pass without gradients, for as long as its parameters stay as they are."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy.policy import Routing


class Play(NamedTuple):
    """float32 on the CPU: ``logits`` [B, A] (masked), ``value`` [B], ``alpha`` [B, K]."""

    logits: Tensor
    value: Tensor
    alpha: Tensor


class Player:
    """Evaluates a policy, ``Policy`` or another with its interface, by its own forward pass."""

    @torch.no_grad()
    def __init__(self, policy: nn.Module, routing: Routing):
        self.policy, self.routing = policy, routing
        self.tables = policy.tables()

    @torch.no_grad()
    def __call__(self, observation: Observation) -> Play:
        """What the policy makes of the B games of ``observation`` [B, ...]."""
        output = self.policy(self.policy.inputs(observation), self.routing, self.tables)
        return Play(output.logits.cpu(), output.value.cpu(), output.alpha.cpu())


def player_of(policy: nn.Module, routing: Routing) -> Player:
    """What plays by the policy while its parameters stay as they are."""
    return Player(policy, routing)
