"""The graph-guided mixture-of-experts policy: Manager (GAT), router, experts, critic."""

from tedg_fast.policy.gat import Logic, Manager, Rules
from tedg_fast.policy.policy import Policy, PolicyConfig, PolicyOutput, Routing, StateInput

__all__ = [
    "Logic",
    "Manager",
    "Policy",
    "PolicyConfig",
    "PolicyOutput",
    "Routing",
    "Rules",
    "StateInput",
]
