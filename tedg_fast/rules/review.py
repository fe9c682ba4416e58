"""What is legal in a rule file and yet surely not meant: rules that never apply or never decide."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tedg_fast.hypergraph import Do, Hypergraph, Operator, Vocabulary
from tedg_fast.hypergraph.parse import parse
from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.rules.expressions import of_rule, resolved
from tedg_fast.rules.reasoning import Cases, Domain, Reasoner, certain, satisfiable

# What is carried out wherever the game waits for a command; the action mask never forbids these.
_ALWAYS_POSSIBLE = tuple(ACTIONS.index(name) for name in ("search", "wait", "kick"))
_ALWAYS_ANSWERS = ACTIONS.index("more")


@dataclass(frozen=True)
class Remark:
    """What is wrong with a rule; `rule` is its place in the file."""

    rule: int
    text: str


class Review:
    """Looks for such rules in `rules`, whose conditions speak of `vocabulary`."""

    def __init__(self, rules: Hypergraph, vocabulary: Vocabulary):
        self.rules, self.vocabulary = rules, vocabulary
        self.reasoner = Reasoner(vocabulary)
        self._negated: dict[tuple[int, tuple[str, ...]], Cases] = {}

    def remarks(self) -> list[Remark]:
        """In the order of the file."""
        found = []
        dead = set()
        for rule in range(self.rules.num_operators):
            why = self.never_applies(rule)
            if why:
                dead.add(rule)
                found.append(Remark(rule, f"can never apply: {why}"))
        for rule in set(range(self.rules.num_operators)) - dead:
            other = self.outweighed_by(rule, dead)
            if other is not None:
                name, priority = self.rules.operators[other].name, self.priority(other)
                found.append(
                    Remark(
                        rule,
                        f"never decides: wherever it applies, '{name}' of priority {priority:g}"
                        " applies too and comes first",
                    )
                )
        return sorted(found, key=lambda remark: remark.rule)

    def priority(self, rule: int) -> float:
        return self.rules.operators[rule].priority or 0.0

    # Rules that never apply

    def never_applies(self, rule: int) -> str:
        """Why a rule can apply to nothing; empty if it may."""
        operator = self.rules.operators[rule]
        for kind in set(operator.variables):
            limit = self.vocabulary.kind[kind].limit
            if operator.variables.count(kind) > limit:
                return f"there is at most one {kind}, and it needs two"
        conditions = self.conditions[rule]
        texts = [f"'{use.text}'" for use in operator.conditions]
        for text, cases in zip(texts, conditions):
            if not satisfiable([cases]):
                return f"{text} never holds"
        for (one, first), (other, second) in itertools.combinations(zip(texts, conditions), 2):
            if not satisfiable([first, second]):
                return f"{one} and {other} exclude each other"
        if not satisfiable(conditions):
            return "its conditions exclude each other"
        if not any(self._may_act(rule, template.kind) for template in operator.actions):
            return "what it does is not sent at the prompt that its conditions ask for"
        return ""

    def _may_act(self, rule: int, kind: Do) -> bool:
        """Whether an action of this kind is ever sent where the rule's conditions hold."""
        if kind in (Do.ANSWER, Do.CHOOSE_FOOD):
            return True
        prompts = ("none", "direction") if kind == Do.MOVE or "MOVE" in kind.name else ("none",)
        return any(self._may_be_at(rule, prompt) for prompt in prompts)

    def _may_be_at(self, rule: int, prompt: str) -> bool:
        return satisfiable([*self.conditions[rule], self.prompt[prompt]])

    # Rules that never decide

    def outweighed_by(self, rule: int, dead: set[int]) -> int | None:
        """A rule of higher priority that proposes something wherever this one does."""
        for other in self.by_priority:
            if self.priority(other) <= self.priority(rule):
                return None
            if other not in dead and any(
                self.implies(rule, other, names) and self.leaves_nothing(rule, other, names)
                for names in self.matchings(other, rule)
            ):
                return other
        return None

    def matchings(self, other: int, rule: int) -> Iterator[tuple[int, ...]]:
        """Ways to let the variables of `other` be variables of `rule`, of the same kinds."""
        theirs, ours = self.rules.operators[other].variables, self.rules.operators[rule].variables
        for chosen in itertools.permutations(range(len(ours)), len(theirs)):
            if all(ours[c] == kind for c, kind in zip(chosen, theirs)):
                yield chosen

    def implies(self, rule: int, other: int, matching: tuple[int, ...]) -> bool:
        """Whether all conditions of `other` hold wherever those of `rule` do."""
        operator, ours = self.rules.operators[other], self.rules.operators[rule]
        stated = self.stated[rule]
        known, rest = self.certain[rule]
        spoken = self.spoken_of[rule]
        for use in operator.conditions:
            about = tuple(matching[v] for v in use.variables)
            if (use.condition, about) in stated:
                continue
            names = tuple(ours.variable_names[variable] for variable in about)
            negated = self.negated(use.condition, names)
            # What the rule does not speak of it does not imply: a cheap look before the dear one.
            if not spoken.intersection(key for case in negated for key, _ in case):
                return False
            if satisfiable([*rest, negated], known):
                return False
        return True

    def negated(self, condition: int, names: tuple[str, ...]) -> Cases:
        """The cases in which a condition does not hold of the objects so called."""
        if (condition, names) not in self._negated:
            tree = resolved(self.rules.conditions[condition], names, self.vocabulary)
            self._negated[condition, names] = self.reasoner.cases(tree, positive=False)
        return self._negated[condition, names]

    def leaves_nothing(self, rule: int, other: int, matching: tuple[int, ...]) -> bool:
        """Whether `other` has something allowed to say whenever `rule` has."""
        ours, theirs = self.rules.operators[rule], self.rules.operators[other]
        said = {
            (do.kind, matching[do.variable] if do.variable >= 0 else -1, do.action)
            for do in theirs.actions
        }
        if {(do.kind, do.variable, do.action) for do in ours.actions} <= said:
            return True
        commands = not any(
            self._may_be_at(rule, prompt) for prompt in self.prompt if prompt != "none"
        ) or all(do.kind in (Do.PRESS, Do.RUN, Do.RUN_TOWARD, Do.RUN_AWAY) for do in ours.actions)
        if commands:
            return any(
                do.kind == Do.PRESS and do.action in _ALWAYS_POSSIBLE for do in theirs.actions
            )
        asked = not self._may_be_at(rule, "none")
        return asked and any(
            do.kind == Do.ANSWER and do.action == _ALWAYS_ANSWERS for do in theirs.actions
        )

    # What the above is worked out from, once

    @cached_property
    def conditions(self) -> Sequence[Sequence[Cases]]:
        """Of each rule the cases of its conditions, with its own variables."""
        return [self._conditions_of(operator) for operator in self.rules.operators]

    @cached_property
    def stated(self) -> Sequence[set[tuple[int, tuple[int, ...]]]]:
        """Of each rule its conditions as numbers, and which variables they are about."""
        return [
            {(use.condition, use.variables) for use in operator.conditions}
            for operator in self.rules.operators
        ]

    @cached_property
    def certain(self) -> Sequence[tuple[Mapping[str, Domain], list[Cases]]]:
        """Of each rule what its conditions claim for certain, and the other conditions."""
        return [certain(conditions) for conditions in self.conditions]

    @cached_property
    def spoken_of(self) -> Sequence[set[str]]:
        """Of each rule the expressions that its conditions claim something about."""
        return [
            {key for cases in conditions for case in cases for key, _ in case}
            for conditions in self.conditions
        ]

    def _conditions_of(self, operator: Operator) -> list[Cases]:
        trees = (
            resolved(self.rules.conditions[use.condition], of_rule(operator, use), self.vocabulary)
            for use in operator.conditions
        )
        return [self.reasoner.cases(tree) for tree in trees]

    @cached_property
    def by_priority(self) -> list[int]:
        return sorted(range(self.rules.num_operators), key=lambda rule: -self.priority(rule))

    @cached_property
    def prompt(self) -> Mapping[str, Cases]:
        """Each word of prompt.kind -> that the prompt is this one."""
        words = self.vocabulary.kind["prompt"].attribute["kind"].words
        return {
            word: self.reasoner.cases(parse(f'prompt.kind == "{word}"')) for word in words
        }
