"""What the rules make of one moment: which apply, to what, why, and which nearly do."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from tedg_fast.hypergraph import Hypergraph, Operator, Use
from tedg_fast.hypergraph.printer import printed
from tedg_fast.hypergraph.vocabulary import TRUTH
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import NO_RULE, NOTHING, Observation, instances_of
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.rules.expressions import Part, of_rule, parts_of, resolved, valued
from tedg_fast.rules.things import Things

_MOST_MEMBERS = 3  # objects named of an aggregate
_SHORT = 72  # characters of a named condition that are repeated beside its name


@dataclass(frozen=True)
class Instance:
    """A rule that applies, the places of its objects among those of their kinds, and the actions
    that carry it out."""

    rule: int
    objects: tuple[int, ...]
    actions: tuple[int, ...]


@dataclass(frozen=True)
class Truth:
    """A condition of a rule as the rule writes it, whether it holds, and the values in it."""

    text: str
    holds: bool
    values: tuple[str, ...]


@dataclass(frozen=True)
class NearMiss:
    """A rule that applies to nothing, and objects of which all of its conditions but one hold; of
    which all hold, where `lacks` is None: then none of its actions can be carried out."""

    rule: int
    objects: tuple[int, ...]
    lacks: Truth | None


@dataclass(frozen=True)
class Choice:
    """The action that the rules alone take; `winner` is the place of the instance that proposed it
    (-1: none did). The draw chose among `ties`: pairs of an instance's place and an action."""

    action: int
    winner: int
    ties: tuple[tuple[int, int], ...]


def instances_in(observation: Observation, rules: Hypergraph) -> list[Instance]:
    """Those of the first row, as observed: higher priorities first."""
    found = []
    for number, objects, actions in instances_of(observation)[0].tolist():
        if number == NO_RULE:
            break
        kinds = rules.operators[number].variables
        listed = tuple(action for action in actions if action != NOTHING)
        found.append(Instance(number, tuple(objects[: len(kinds)]), listed))
    return found


class Situation:
    """The observation that `grounder` grounded last, and what `rules` say to it."""

    def __init__(self, rules: Hypergraph, grounder: Grounder, observation: Observation):
        self.rules, self.grounder = rules, grounder
        self.observation = observation
        self.vocabulary = vocabulary()
        self.things = Things(grounder.facts, self.vocabulary)
        self.instances = instances_in(observation, rules)
        self.allowed = observation.action_mask[0].tolist()
        self.holds = cache(grounder.holds)

    def priority(self, rule: int) -> float:
        return self.rules.operators[rule].priority or 0.0

    def bound(self, rule: int, objects: tuple[int, ...]) -> str:
        """The rule's variables and what they are: "m = newt, 1 east"."""
        operator = self.rules.operators[rule]
        pairs = zip(operator.variable_names, operator.variables, objects)
        return "; ".join(f"{name} = {self.things.name(kind, o)}" for name, kind, o in pairs)

    def choice(self, draw: np.ndarray) -> Choice:
        """What the rules alone do, where `draw` float64 [1] decides between equals."""
        actions, winners = self.grounder.choose(self.observation, draw)
        action, winner = int(actions[0]), int(winners[0])
        if winner < 0:
            return Choice(action, winner, ())
        priority = self.priority(self.instances[winner].rule)
        return Choice(action, winner, tuple(self.proposals(priority)))

    def proposals(self, priority: float) -> Iterator[tuple[int, int]]:
        """Allowed actions that instances of this priority propose, each with the instance's
        place."""
        for place, instance in enumerate(self.instances):
            if self.priority(instance.rule) == priority:
                yield from ((place, a) for a in instance.actions if self.allowed[a])

    # Why

    def truths(self, rule: int, objects: tuple[int, ...]) -> list[Truth]:
        """The rule's conditions about these objects, in the order of the file."""
        operator = self.rules.operators[rule]
        return [self.truth(operator, use, objects) for use in operator.conditions]

    def truth(self, operator: Operator, use: Use, objects: tuple[int, ...]) -> Truth:
        about = tuple(objects[variable] for variable in use.variables)
        condition = self.rules.conditions[use.condition]
        tree = resolved(condition, of_rule(operator, use), self.vocabulary)
        parts = parts_of(tree, condition.kinds, self.vocabulary)
        text, meaning = use.text, printed(tree)
        if text.replace("'", '"') != meaning.replace("'", '"') and len(meaning) <= _SHORT:
            text = f"{text} ({meaning})"
        values = [self.value_of(part, about) for part in parts if not _says_it_all(part, meaning)]
        return Truth(text, self.holds(use.condition, about), tuple(values))

    def value_of(self, part: Part, about: tuple[int, ...]) -> str:
        """ "me.hp = 12", or "any(monster.adjacent) = yes: newt, 1 east"."""
        text = f"{part.text} = {valued(part, lambda part: self._run(part, about))}"
        if part.members is None:
            return text
        kind = part.members.kinds[-1]
        places = [
            place
            for place in range(self.things.count(kind))
            if self._run(part.members, (*about, place))
        ]
        if "nearest" in part.text.partition("(")[0]:
            places = places[:1]
        names = [self.things.name(kind, place) for place in places[:_MOST_MEMBERS]]
        if len(places) > _MOST_MEMBERS:
            names.append(f"{len(places) - _MOST_MEMBERS} more")
        return f"{text}: {'; '.join(names)}" if names else text

    def _run(self, part: Part, objects: tuple[int, ...]) -> float:
        return self.grounder.value(part.code, part.constants, part.kinds, objects)

    # Why not

    def bindings(self, rule: int) -> Iterator[tuple[int, ...]]:
        """All that the rule's variables may be, nearer objects first; one object is not two."""
        kinds = self.rules.operators[rule].variables
        places = (range(self.things.count(kind)) for kind in kinds)
        for objects in itertools.product(*places):
            if len(set(zip(kinds, objects))) == len(kinds):
                yield objects

    def failing(self, rule: int, objects: tuple[int, ...]) -> list[Use]:
        """The rule's conditions that do not hold of these objects."""
        return [
            use
            for use in self.rules.operators[rule].conditions
            if not self.holds(use.condition, tuple(objects[v] for v in use.variables))
        ]

    def missing(self, rule: int) -> list[str]:
        """Kinds of which the rule needs an object and there is none."""
        kinds = dict.fromkeys(self.rules.operators[rule].variables)
        return [kind for kind in kinds if not self.things.count(kind)]

    @cached_property
    def applying(self) -> set[int]:
        """The rules that have an instance."""
        return {instance.rule for instance in self.instances}

    def near_misses(self) -> list[NearMiss]:
        """Rules that failed by exactly one condition while another one held, or only by what they
        do, with the nearest objects of which that is so; higher priorities first."""
        found = []
        for rule, operator in enumerate(self.rules.operators):
            if rule in self.applying:
                continue
            # number of failing conditions -> the nearest such objects, and these
            nearly: dict[int, tuple[tuple[int, ...], list[Use]]] = {}
            for objects in self.bindings(rule):
                failing = self.failing(rule, objects)
                nearly.setdefault(len(failing), (objects, failing))
            if 0 in nearly:
                found.append(NearMiss(rule, nearly[0][0], None))
            elif 1 in nearly and len(operator.conditions) > 1:
                objects, (use,) = nearly[1]
                found.append(NearMiss(rule, objects, self.truth(operator, use, objects)))
        return sorted(found, key=lambda miss: -self.priority(miss.rule))

    def closest(self, rule: int, most: int) -> list[tuple[int, ...]]:
        """The bindings of which the fewest conditions fail, nearer objects first among equals."""
        return sorted(self.bindings(rule), key=lambda o: len(self.failing(rule, o)))[:most]


def _says_it_all(part: Part, meaning: str) -> bool:
    """Whether the part's value is plain from whether the condition holds."""
    whole = meaning in (part.text, f"not {part.text}")
    return whole and part.type.name == TRUTH and part.members is None
