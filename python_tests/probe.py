"""Tiny problems with known answers, played through the interface of ``VectorEnv``.

Each step shows a game one of a few active sets; the state stream sees the same constant
observation always. Only what the graph makes of the active conditions can tell the steps apart.
"""

import numpy as np

from rule_instances import NO_OBJECTS, instances

from tedg_fast.hypergraph import Condition, Do, Effect, Hypergraph, Operator, Template, Use
from tedg_fast.nethack.facts.observation import Observation, ObservationSpec
from tedg_fast.nethack.games.vector_env import StepResult


def tiny_hypergraph() -> Hypergraph:
    """Four conditions; each lights one rule of another expert; two shared effects."""
    experts = ("survival", "combat", "exploration", "general")
    conditions = tuple(Condition(f"sees_{k}", f"symbol {k}", ("item",)) for k in range(4))
    operators = tuple(
        Operator(
            name=f"answer_{k}",
            why=f"answer symbol {k}",
            expert=experts[k],
            conditions=(Use(k),),
            effects=(f"answered_{k % 2}",),
            actions=(Template(Do.PRESS, action=1 + k),),
        )
        for k in range(4)
    )
    effects = tuple(Effect(f"answered_{k}", "the symbol was answered") for k in range(2))
    return Hypergraph("tiny", conditions, operators, effects, digest="0" * 64)


class SymbolEnv:
    """Reward 1 for the action 1 + k while condition k is active; episodes of ``length`` steps."""

    def __init__(self, num_envs: int, length: int = 8, seed: int = 0):
        self.spec = ObservationSpec(num_conditions=4)
        self.num_envs, self.length = num_envs, length
        self.groups = (slice(0, num_envs),)
        self.rng = np.random.default_rng(seed)
        self.observation: Observation = self.spec.empty(num_envs)
        self.observation.action_mask[:] = True
        self.observation.objects[:] = NO_OBJECTS
        self.final_observation = self.observation.copy()
        self.steps = np.arange(num_envs) % length
        self._show()

    def _show(self) -> None:
        self.symbol = self.rng.integers(0, 4, self.num_envs)
        active = np.eye(4, dtype=bool)[self.symbol]
        self.observation.active_bits[:] = np.packbits(active, axis=1)
        self.observation.instances[:] = instances([[(k, [1 + k])] for k in self.symbol])

    def send(self, group: int, actions: np.ndarray) -> None:
        self.actions = actions

    def receive(self, group: int) -> StepResult:
        reward = (self.actions == 1 + self.symbol).astype(np.float32)
        self.steps = (self.steps + 1) % self.length
        terminated = self.steps == 0
        self._show()
        return StepResult(reward, terminated, np.zeros(self.num_envs, bool), [], [])
