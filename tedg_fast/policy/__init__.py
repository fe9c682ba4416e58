"""The graph-guided mixture-of-experts policy: Manager (GAT), router, experts, critic."""

from tedg_fast.policy.gat import Logic, Manager, Rules
from tedg_fast.policy.player import Play, Player, player_of
from tedg_fast.policy.policy import Policy, PolicyConfig, PolicyOutput, Routing, StateInput
from tedg_fast.policy.proposals import RulePolicy

__all__ = [
    "Logic",
    "Manager",
    "Play",
    "Player",
    "Policy",
    "PolicyConfig",
    "PolicyOutput",
    "Routing",
    "RulePolicy",
    "Rules",
    "StateInput",
    "player_of",
]
