"""The parts of a hypergraph of rules, and the typed graph they span.

A rule (operator) says: when these conditions hold, these actions carry the rule out and cause
these effects; one of four experts is responsible for it. Nodes are numbered conditions first,
then operators, then effects. Nothing here needs NLE or PyTorch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

EXPERTS = ("survival", "combat", "exploration", "general")
CONDITION_KINDS = ("state", "scene")

_COMPASS = ("north", "east", "south", "west", "northeast", "southeast", "southwest", "northwest")
# NetHackScore-v0's actions in its own order; kept here so that rules can be checked without NLE.
ACTIONS = (
    "more", *_COMPASS, *(f"far_{name}" for name in _COMPASS),
    "up", "down", "wait", "kick", "eat", "search",
)  # fmt: skip

# The three ways in which nodes are joined, then the same edges walked backwards.
RELATIONS = (
    "requires", "context", "causes", "requires_reverse", "context_reverse", "causes_reverse",
)  # fmt: skip

NODE_CONDITION, NODE_OPERATOR, NODE_EFFECT = 0, 1, 2


class HypergraphError(ValueError):
    """A hypergraph file cannot be used; the message is one line: file, place, problem, remedy."""


@dataclass(frozen=True)
class Condition:
    """Something that holds or not: about the player ("state") or the surroundings ("scene")."""

    name: str
    kind: str
    description: str


@dataclass(frozen=True)
class Effect:
    """Something that carrying out an operator brings about.

    It shows in the next observation when any of the conditions `shown_by` holds there; where
    that is empty it cannot be told from one observation.
    """

    name: str
    description: str
    shown_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operator:
    """One rule: conditions by kind, the effects it causes, the actions that carry it out.

    Among rules that apply, one of priority p weighs e^p times as much as one of priority 0.
    """

    name: str
    description: str
    expert: str
    priority: float
    state: tuple[str, ...]
    scene: tuple[str, ...]
    effects: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition's name, those about the player first."""
        return self.state + self.scene


@dataclass(frozen=True)
class Hypergraph:
    """Validated rules. Build it with `load_hypergraph`, which guarantees that names resolve.

    `digest` is the SHA-256 (hex) of the canonical JSON content: two files that differ only in
    layout have the same digest.
    """

    name: str
    conditions: tuple[Condition, ...]
    operators: tuple[Operator, ...]
    effects: tuple[Effect, ...]
    digest: str

    @property
    def num_conditions(self) -> int:
        """C: nodes [0, C) are conditions."""
        return len(self.conditions)

    @property
    def num_operators(self) -> int:
        """O: nodes [C, C + O) are operators."""
        return len(self.operators)

    @property
    def num_effects(self) -> int:
        """Nodes [C + O, N) are effects."""
        return len(self.effects)

    @property
    def num_nodes(self) -> int:
        """N = conditions + operators + effects."""
        return self.num_conditions + self.num_operators + self.num_effects

    @cached_property
    def condition_index(self) -> dict[str, int]:
        """Condition name -> node number (which is also its bit among the active conditions)."""
        return {condition.name: i for i, condition in enumerate(self.conditions)}

    @cached_property
    def node_type(self) -> np.ndarray:
        """int64 [N]: 0 condition, 1 operator, 2 effect."""
        counts = (self.num_conditions, self.num_operators, self.num_effects)
        return np.repeat(np.array([NODE_CONDITION, NODE_OPERATOR, NODE_EFFECT]), counts)

    @cached_property
    def operator_expert(self) -> np.ndarray:
        """int64 [O]: index into EXPERTS of the expert responsible for each operator."""
        return np.array([EXPERTS.index(op.expert) for op in self.operators], dtype=np.int64)

    @cached_property
    def operator_priority(self) -> np.ndarray:
        """float32 [O]: how loudly each operator speaks when it applies."""
        return np.array([op.priority for op in self.operators], dtype=np.float32)

    @cached_property
    def operator_conditions(self) -> np.ndarray:
        """bool [O, C]: the conditions that each operator lists."""
        conditions = [op.conditions for op in self.operators]
        return _membership(conditions, self.condition_index.__getitem__, self.num_conditions)

    @cached_property
    def operator_actions(self) -> np.ndarray:
        """bool [O, 23]: the actions that carry each operator out."""
        return _membership([op.actions for op in self.operators], ACTIONS.index, len(ACTIONS))

    @cached_property
    def effect_conditions(self) -> np.ndarray:
        """bool [F, C]: the conditions any of which shows each effect."""
        shown_by = [effect.shown_by for effect in self.effects]
        return _membership(shown_by, self.condition_index.__getitem__, self.num_conditions)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The typed graph, every edge in both directions.

        Returns `edge_index` int64 [2, E] (row 0 sources, row 1 targets) and `relation` int64 [E]
        (index into RELATIONS). A state condition -> operator edge is "requires", a scene condition
        -> operator edge is "context", an operator -> effect edge is "causes".
        """
        effect_index = {effect.name: i for i, effect in enumerate(self.effects)}
        first_effect = self.num_conditions + self.num_operators
        triples: list[tuple[int, int, str]] = []
        for i, operator in enumerate(self.operators):
            node = self.num_conditions + i
            triples += [(self.condition_index[c], node, "requires") for c in operator.state]
            triples += [(self.condition_index[c], node, "context") for c in operator.scene]
            triples += [(node, first_effect + effect_index[e], "causes") for e in operator.effects]
        triples += [(target, source, f"{name}_reverse") for source, target, name in triples]
        edge_index = np.array([t[:2] for t in triples], dtype=np.int64).T
        relation = np.array([RELATIONS.index(t[2]) for t in triples], dtype=np.int64)
        return np.ascontiguousarray(edge_index), relation


def _membership(
    groups: Sequence[tuple[str, ...]], number_of: Callable[[str], int], width: int
) -> np.ndarray:
    """bool [len(groups), width]: which numbers the names of each group have."""
    table = np.zeros((len(groups), width), dtype=bool)
    for row, names in enumerate(groups):
        table[row, [number_of(name) for name in names]] = True
    return table
