"""The graph-guided mixture-of-experts policy: Manager (GAT), router, experts, critic."""

from tedg_fast.policy.gat import Logic, Manager, Rules
from tedg_fast.policy.instances import Active, Instances
from tedg_fast.policy.player import Play, Player, player_of
from tedg_fast.policy.policy import Policy, PolicyConfig, PolicyOutput, Routing, StateInput

__all__ = [
    "Active",
    "Instances",
    "Logic",
    "Manager",
    "Play",
    "Player",
    "Policy",
    "PolicyConfig",
    "PolicyOutput",
    "Routing",
    "Rules",
    "StateInput",
    "player_of",
]
