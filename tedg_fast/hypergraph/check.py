"""What a rule file allows but hardly means: rules that can never apply or never decide.

Both are told from the conditions' texts. What is reported holds; but not everything that holds is
reported: conditions that exclude each other are noticed where one is the other's negation, or where
both compare the same attribute with constants.
"""

import ast
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations

from tedg_fast.hypergraph.parse import parse
from tedg_fast.hypergraph.schema import Hypergraph, Operator


def remarks(graph: Hypergraph) -> list[str]:
    """One line for each rule that can never apply, or that another one always outweighs."""
    texts = [condition.text for condition in graph.conditions]
    said = []
    for rule in graph.operators:
        if reason := _contradiction(rule, texts):
            said.append(f"rule '{rule.name}' never applies: {reason}")
        elif (stronger := _outweighing(rule, graph.operators)) is not None:
            said.append(
                f"rule '{rule.name}' ({rule.priority or 0:g}) never decides: rule"
                f" '{stronger.name}' ({stronger.priority or 0:g}) applies whenever it does"
            )
    return said


def _contradiction(rule: Operator, texts: list[str]) -> str | None:
    """Two elements of `when` that exclude each other."""
    stated = sorted({(texts[use.condition], use.variables) for use in rule.conditions})
    tests: dict[tuple, list[_Test]] = {}
    for text, variables in stated:
        if text == "false":
            return "it requires 'false'"
        for opposite in (f"not {text}", f"not ({text})"):
            if (opposite, variables) in stated:
                return f"it requires '{text}' and '{opposite}'"
        for test in _tests(text):
            tests.setdefault((test.subject, variables), []).append(test)
    for of_one_subject in tests.values():
        for one, other in combinations(of_one_subject, 2):
            if one.excludes(other):
                return f"it requires '{one.text}' and '{other.text}'"
    return None


_RELATIONS: dict[type, Callable[[object, object], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda x, members: x in members, ast.NotIn: lambda x, members: x not in members,
}  # fmt: skip


@dataclass(frozen=True)
class _Test:
    """A comparison of one attribute with constants: `holds(value)`; `constants` are these."""

    subject: str
    text: str
    holds: Callable[[object], bool]
    constants: tuple

    def excludes(self, other: "_Test") -> bool:
        """Whether no value passes both. Whether one does shows at the constants, between them and
        beyond them."""
        constants = (*self.constants, *other.constants)
        if any(isinstance(constant, str) for constant in constants):
            values = (*constants, None)
        else:
            between = ((a + b) / 2 for a in constants for b in constants)
            values = (*between, min(constants) - 1, max(constants) + 1)
        return not any(self.holds(value) and other.holds(value) for value in values)


def _tests(text: str) -> Iterator[_Test]:
    """The comparisons with constants that a condition consists of, if it is one or a chain."""
    tree = parse(text)
    if not isinstance(tree, ast.Compare):
        return
    sides = (tree.left, *tree.comparators)
    for left, op, right in zip(sides, tree.ops, sides[1:], strict=False):
        relation = _RELATIONS[type(op)]
        for subject, constant, turned in ((left, right, False), (right, left, True)):
            try:
                value = ast.literal_eval(constant)
            except ValueError:
                continue
            if isinstance(subject, ast.Attribute) and isinstance(subject.value, ast.Name):
                yield _Test(
                    subject=ast.unparse(subject),
                    text=text,
                    holds=partial(_held, relation, value, turned),
                    constants=value if isinstance(value, tuple) else (value,),
                )


def _held(relation: Callable, constant: object, turned: bool, value: object) -> bool:
    return relation(constant, value) if turned else relation(value, constant)


def _outweighing(rule: Operator, rules: tuple[Operator, ...]) -> Operator | None:
    """A rule of higher priority with no other conditions than this one has."""
    own = {(use.condition, use.variables) for use in rule.conditions}
    for other in rules:
        if (other.priority or 0) <= (rule.priority or 0):
            continue
        if len(other.variables) > len(rule.variables):
            continue
        for places in permutations(range(len(rule.variables)), len(other.variables)):
            kinds = tuple(rule.variables[place] for place in places)
            theirs = {
                (use.condition, tuple(places[variable] for variable in use.variables))
                for use in other.conditions
            }
            if kinds == other.variables and theirs <= own:
                return other
    return None
