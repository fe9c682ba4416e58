"""Tiny problems with known answers, played through the interface of ``VectorEnv``.

Each decision shows a game one of a few active sets; the state stream sees the same constant
observation always. Only what the graph makes of the active conditions can tell decisions apart.
"""

import numpy as np
from rule_instances import NO_OBJECTS, instances

from tedg_fast.hypergraph import Condition, Do, Effect, Hypergraph, Operator, Template, Use
from tedg_fast.nethack.facts.observation import (
    NOTHING,
    Observation,
    ObservationSpec,
    objects_of,
)
from tedg_fast.nethack.games.step_result import StepResult


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
    """Reward 1 for the action 1 + k while condition k is active; episodes of ``length`` decisions.

    A decision lasts 1 to ``longest`` game steps, and is paid in the last of them. Right after it
    the condition that was active still holds. Of ``num_groups`` groups that are being played the
    one that was sent last is ready first, or last.
    """

    SHOWN = 4096
    """So many decisions can be taken in each game."""

    def __init__(
        self,
        num_envs: int,
        length: int = 8,
        seed: int = 0,
        longest: int = 1,
        num_groups: int = 1,
        last_first: bool = True,
    ):
        self.spec = ObservationSpec(num_conditions=4)
        self.num_envs, self.length, self.last_first = num_envs, length, last_first
        bounds = np.linspace(0, num_envs, num_groups + 1).astype(int).tolist()
        self.groups = tuple(map(slice, bounds, bounds[1:]))
        rng = np.random.default_rng(seed)
        self.symbols = rng.integers(0, 4, (self.SHOWN, num_envs))
        self.lasting = rng.integers(1, longest + 1, (self.SHOWN, num_envs))
        self.observation: Observation = self.spec.empty(num_envs)
        objects_of(self.observation)["kind"] = NOTHING
        self.observation.action_mask[:] = True
        self.observation.objects[:] = NO_OBJECTS
        self.final_observation = self.observation.copy()
        self.discount = 1.0
        self.taken = np.zeros(num_envs, np.int64)
        self.steps = np.arange(num_envs) % length
        self.in_flight: dict[int, np.ndarray] = {}
        for rows in self.groups:
            self._show(rows)

    def _now(self, table: np.ndarray, rows: slice) -> np.ndarray:
        """What the decision at hand of some games has in a table [SHOWN, E]."""
        return table[self.taken[rows], np.arange(self.num_envs)[rows]]

    def _show(self, rows: slice) -> None:
        symbol = self._now(self.symbols, rows)
        self.observation.active_bits[rows] = np.packbits(np.eye(4, dtype=bool)[symbol], axis=1)
        self.observation.instances[rows] = instances([[(k, [1 + k])] for k in symbol])

    def send(self, group: int, actions: np.ndarray) -> None:
        self.in_flight[group] = actions.copy()

    def receive_any(self) -> tuple[int, StepResult]:
        group = list(self.in_flight)[-1 if self.last_first else 0]
        actions = self.in_flight.pop(group)
        rows = self.groups[group]
        length = self._now(self.lasting, rows)
        right = actions == 1 + self._now(self.symbols, rows)
        shown = self.observation.active_bits[rows].copy()
        self.steps[rows] = (self.steps[rows] + 1) % self.length
        terminated = self.steps[rows] == 0
        self.taken[rows] += 1
        self._show(rows)
        return group, StepResult(
            reward=(right * self.discount ** (length - 1)).astype(np.float32),
            length=length,
            terminated=terminated,
            truncated=np.zeros_like(terminated),
            shown=shown,
            follows=~terminated,
            episodes=[],
            lost=[],
        )
