"""The parts of a hypergraph of rules, and the typed graph they span.

A rule (operator) says: for each binding of these variables for which these conditions hold, these
actions carry the rule out and cause these effects; one of four experts is responsible for it.
Nodes are numbered conditions first, then operators, then effects. Nothing here needs PyTorch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tedg_fast.errors import BadInput
from tedg_fast.hypergraph.program import Op
from tedg_fast.hypergraph.templates import Template

EXPERTS = ("survival", "combat", "exploration", "general")

_COMPASS = ("north", "east", "south", "west", "northeast", "southeast", "southwest", "northwest")
# NetHackScore-v0's actions in its own order; kept here so that rules can be checked without NLE.
TASK_ACTIONS = (
    "more", *_COMPASS, *(f"far_{name}" for name in _COMPASS),
    "up", "down", "wait", "kick", "eat", "search",
)  # fmt: skip
# The last one only where it is asked for (--prayer): elsewhere it is never allowed.
ACTIONS = (*TASK_ACTIONS, "pray")

# The three ways in which nodes are joined, then the same edges walked backwards.
RELATIONS = (
    "requires", "context", "causes", "requires_reverse", "context_reverse", "causes_reverse",
)  # fmt: skip

NODE_CONDITION, NODE_OPERATOR, NODE_EFFECT = 0, 1, 2
_OVER_OBJECTS = (Op.COUNT, Op.ANY, Op.TOTAL, Op.MOST, Op.NEAREST)


class HypergraphError(BadInput):
    """A rule file cannot be used; the message is one line: file, line, place, problem, remedy."""


def expert_name(k: int) -> str:
    """Name of expert k; those beyond the four of the rules are called by number."""
    return EXPERTS[k] if k < len(EXPERTS) else f"expert{k}"


@dataclass(frozen=True)
class Condition:
    """An expression that holds or not, for each binding of the objects that it is about.

    `name` is how it is shown; `text` its canonical form, by which rules share it; `kinds` the
    kinds of the objects in its slots 0 and 1; `code` its program, int32 [n, 4].
    """

    name: str
    text: str
    kinds: tuple[str, ...] = ()
    code: np.ndarray = field(
        default_factory=lambda: np.zeros((0, 4), np.int32), compare=False, repr=False
    )

    @property
    def kind(self) -> str:
        """Either "scene", if it speaks of objects around the player, or "state"."""
        aggregates = np.isin(self.code[:, 0], _OVER_OBJECTS).any()
        return "scene" if self.kinds or aggregates else "state"


@dataclass(frozen=True)
class Effect:
    """Something that carrying out a rule brings about.

    It shows in the next observation when any of the conditions `shown_by` (their numbers) holds
    there; where that is empty it cannot be told from one observation.
    """

    name: str
    meaning: str
    shown_by: tuple[int, ...] = ()


@dataclass(frozen=True)
class Use:
    """One element of `when`: the condition's number, which variable of the rule stands in each of
    the condition's slots, and how the rule writes it."""

    condition: int
    variables: tuple[int, ...] = ()
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class Operator:
    """One rule; it has an instance for every binding of its variables to different objects.

    `variables` are the kinds that the variables range over, `variable_names` what the file calls
    them. Among rules that apply, one of priority p weighs e^p times as much as one of priority 0;
    None counts as 0. Where `decide` is set, the network is asked when the rule applies.
    """

    name: str
    why: str
    expert: str
    conditions: tuple[Use, ...]
    effects: tuple[str, ...]
    actions: tuple[Template, ...]
    priority: float | None = None
    variables: tuple[str, ...] = ()
    variable_names: tuple[str, ...] = ()
    decide: bool = False


@dataclass(frozen=True)
class Hypergraph:
    """Validated rules. Build it with `load_hypergraph`, which guarantees that names resolve.

    `constants` (float64) is the table that all programs share. `digest` is the SHA-256 (hex) of
    what matters for play and for the graph: not of names, explanations and layout. `text` is the
    file's.
    """

    name: str
    conditions: tuple[Condition, ...]
    operators: tuple[Operator, ...]
    effects: tuple[Effect, ...]
    digest: str
    constants: np.ndarray = field(default_factory=lambda: np.zeros(0), compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def names_actions(self) -> bool:
        """Whether a game can be played by these rules without a network."""
        return True

    @property
    def files(self) -> dict[str, str]:
        """Name and text of each file that makes the same rules again."""
        return {"rules.toml": self.text}

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
        """float32 [O]: how loudly each operator speaks when it applies; 0 where none is given."""
        return np.array([op.priority or 0.0 for op in self.operators], dtype=np.float32)

    @cached_property
    def operator_decide(self) -> np.ndarray:
        """bool [O]: whether the network is asked when the operator applies."""
        return np.array([op.decide for op in self.operators], dtype=bool)

    @cached_property
    def operator_conditions(self) -> np.ndarray:
        """bool [O, C]: the conditions that each operator lists."""
        listed = [[use.condition for use in op.conditions] for op in self.operators]
        return _membership(listed, self.num_conditions)

    @cached_property
    def effect_conditions(self) -> np.ndarray:
        """bool [F, C]: the conditions any of which shows each effect."""
        return _membership([effect.shown_by for effect in self.effects], self.num_conditions)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The typed graph, every edge in both directions.

        Returns `edge_index` int64 [2, E] (row 0 sources, row 1 targets) and `relation` int64 [E]
        (index into RELATIONS). A state condition -> operator edge is "requires", a scene condition
        -> operator edge is "context", an operator -> effect edge is "causes".
        """
        effect_index = {effect.name: i for i, effect in enumerate(self.effects)}
        first_effect = self.num_conditions + self.num_operators
        joined = {"state": "requires", "scene": "context"}
        kinds = [joined[condition.kind] for condition in self.conditions]
        triples: list[tuple[int, int, str]] = []
        for i, operator in enumerate(self.operators):
            node = self.num_conditions + i
            for number in dict.fromkeys(use.condition for use in operator.conditions):
                triples.append((number, node, kinds[number]))
            triples += [(node, first_effect + effect_index[e], "causes") for e in operator.effects]
        triples += [(target, source, f"{name}_reverse") for source, target, name in triples]
        edge_index = np.array([t[:2] for t in triples], dtype=np.int64).T
        relation = np.array([RELATIONS.index(t[2]) for t in triples], dtype=np.int64)
        return np.ascontiguousarray(edge_index), relation


def _membership(groups: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """bool [len(groups), width]: which numbers are in each group."""
    table = np.zeros((len(groups), width), dtype=bool)
    for row, numbers in enumerate(groups):
        table[row, list(numbers)] = True
    return table
