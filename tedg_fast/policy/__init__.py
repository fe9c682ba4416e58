"""The graph-guided mixture-of-experts policy: Manager (GAT), router, experts, critic."""

from tedg_fast.policy.inputs import PolicyInput
from tedg_fast.policy.manager import Manager, Reading
from tedg_fast.policy.player import (
    Play,
    Player,
    flat_weights,
    has_native_player,
    player_of,
    player_setup,
)
from tedg_fast.policy.policy import Policy, PolicyConfig, PolicyOutput, Routing
from tedg_fast.policy.scenes import Scenes

__all__ = [
    "Manager",
    "Play",
    "Player",
    "Policy",
    "PolicyConfig",
    "PolicyInput",
    "PolicyOutput",
    "Reading",
    "Routing",
    "Scenes",
    "flat_weights",
    "has_native_player",
    "player_of",
    "player_setup",
]
