"""Whether conditions can hold together, as far as that is cheap to tell.

Each condition is taken apart into cases: alternatives that are lists of claims, each about what one
expression may be (`me.hunger` is one of these words, `m.distance` lies between these numbers). A
set of conditions is contradictory where every choice of cases leaves some expression no value.
What is not understood counts as possible, so "cannot hold" is certain and "can hold" is not.
"""

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tedg_fast.hypergraph import Vocabulary
from tedg_fast.hypergraph.expander import name_of, object_of
from tedg_fast.hypergraph.printer import printed

MOST_CASES = 64  # of one condition; of a longer one only its text is compared
MOST_TRIES = 2000

_MIRRORED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_OPPOSITE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_POSITIVE = ("max_hp",)
_NEVER_NEGATIVE = (*_POSITIVE, "distance", "steps")


@dataclass(frozen=True)
class Domain:
    """What an expression may be: one of `only` (None: anything) but none of `without`, from `low`
    to `high`, each of them excluded if open."""

    only: frozenset | None = None
    without: frozenset = frozenset()
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def meet(self, other: "Domain") -> "Domain":
        """What both allow."""
        only = self.only if other.only is None else other.only
        if self.only is not None and other.only is not None:
            only = self.only & other.only
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Domain(only, self.without | other.without, low, high, low_open, not closed)

    def allows(self, value: object) -> bool:
        if value in self.without or (self.only is not None and value not in self.only):
            return False
        if not isinstance(value, float):
            return True
        return (self.low < value or (self.low == value and not self.low_open)) and (
            value < self.high or (value == self.high and not self.high_open)
        )

    def empty(self) -> bool:
        if self.only is not None:
            return not any(map(self.allows, self.only))
        if self.low == self.high:
            return not self.allows(self.low)
        return self.low > self.high


Case = tuple[tuple[str, Domain], ...]
Cases = tuple[Case, ...]


def satisfiable(conditions: Sequence[Cases], known: Mapping[str, Domain] | None = None) -> bool:
    """Whether the conditions may hold together, where what is `known` holds as well."""
    tries = 0

    def extend(known: dict[str, Domain], rest: Sequence[Cases]) -> bool:
        nonlocal tries
        tries += 1
        if not rest or tries > MOST_TRIES:
            return True
        for case in rest[0]:
            grown = dict(known)
            for key, domain in case:
                grown[key] = grown[key].meet(domain) if key in grown else domain
                if grown[key].empty():
                    break
            else:
                if extend(grown, rest[1:]):
                    return True
        return False

    return extend(dict(known or {}), sorted(conditions, key=len))


def certain(conditions: Sequence[Cases]) -> tuple[dict[str, Domain], list[Cases]]:
    """What the conditions with a single case claim, put together, and the other conditions."""
    known: dict[str, Domain] = {}
    rest = []
    for cases in conditions:
        if len(cases) != 1:
            rest.append(cases)
            continue
        for key, domain in cases[0]:
            known[key] = known[key].meet(domain) if key in known else domain
    return known, rest


class Reasoner:
    """Takes conditions apart into cases, with the words of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary

    def cases(self, tree: ast.expr, positive: bool = True) -> Cases:
        """The cases in which a resolved tree holds, or does not."""
        found = self._cases(tree, positive)
        if len(found) > MOST_CASES:
            return (((printed(tree), Domain(frozenset((positive,)))),),)
        return found

    def _cases(self, node: ast.expr, positive: bool) -> Cases:
        match node:
            case ast.Name(id="true" | "false" as name):
                return ((),) if (name == "true") == positive else ()
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._cases(operand, not positive)
            case ast.BoolOp(op=op, values=values):
                parts = [self._cases(value, positive) for value in values]
                return _all_of(parts) if isinstance(op, ast.And) == positive else sum(parts, ())
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                pairs = zip([left, *comparators], ops, comparators)
                parts = [(self._comparison(*pair, positive),) for pair in pairs]
                return _all_of(parts) if positive else sum(parts, ())
            case ast.Call(func=ast.Name(id="any")) if object_of(node):
                count = f"count({', '.join(map(printed, node.args))})"
                return (((count, Domain(low=1.0) if positive else Domain(high=0.0)),),)
        return (((printed(node), Domain(frozenset((positive,)))),),)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr, positive: bool) -> Case:
        kind = type(op) if positive else _OPPOSITE[type(op)]
        if isinstance(right, ast.Tuple):
            members = frozenset(_constant(member) for member in right.elts)
            domain = Domain(members) if kind is ast.In else Domain(without=members)
            return self._claim(left, domain)
        if _constant(left) is not None:
            left, right, kind = right, left, _MIRRORED.get(kind, kind)
        value = _constant(right)
        if value is not None:
            return self._claim(left, _compared(kind, value))
        if _scaled(right) is None and _scaled(left) is not None:
            left, right, kind = right, left, _MIRRORED.get(kind, kind)
        scaled = _scaled(right)
        if scaled is not None:  # x < 0.5 * y says x / y < 0.5
            return ((f"{printed(left)} / {printed(scaled[1])}", _compared(kind, scaled[0])),)
        if printed(left) > printed(right):
            left, right, kind = right, left, _MIRRORED.get(kind, kind)
        return ((f"{printed(left)} - {printed(right)}", _compared(kind, 0.0)),)

    def _claim(self, node: ast.expr, domain: Domain) -> Case:
        if isinstance(node, ast.Constant):
            return ((printed(node), domain.meet(Domain(frozenset((_constant(node),))))),)
        return ((printed(node), domain.meet(self._possible(node))),)

    def _possible(self, node: ast.expr) -> Domain:
        """What the expression may be at all."""
        if _never_negative(node):
            return Domain(low=0.0)
        if isinstance(node, ast.Attribute):
            object = object_of(node.value)
            kind = self.vocabulary.kind[object.kind if object else name_of(node.value)]
            words = kind.attribute[node.attr].words
            return Domain(frozenset(words)) if words else Domain()
        return Domain()


def _all_of(parts: Sequence[Cases]) -> Cases:
    """The cases in which every part holds."""
    combined: Cases = ((),)
    for part in parts:
        if len(combined) * len(part) > 4 * MOST_CASES:  # given up by the caller
            return combined * len(part)
        combined = tuple(_merged(case, further) for case in combined for further in part)
    return combined


def _merged(*cases: Case) -> Case:
    return tuple(claim for case in cases for claim in case)


def _compared(kind: type[ast.cmpop], value: Any) -> Domain:
    if kind is ast.Eq:
        return Domain(frozenset((value,)))
    if kind is ast.NotEq:
        return Domain(without=frozenset((value,)))
    if kind in (ast.Lt, ast.LtE):
        return Domain(high=value, high_open=kind is ast.Lt)
    return Domain(low=value, low_open=kind is ast.Gt)


def _constant(node: ast.expr) -> object | None:
    """The value of a number or word that stands there as such."""
    match node:
        case ast.Constant(value=str() as word):
            return word
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -float(number)
    return None


def _scaled(node: ast.expr) -> tuple[float, ast.expr] | None:
    """(k, x) of k * x, x * k or x, where x is always positive."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            for number, other in ((left, right), (right, left)):
                factor = _constant(number)
                if isinstance(factor, float) and _positive(other):
                    return factor, other
    return (1.0, node) if _positive(node) else None


def _positive(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _POSITIVE


def _never_negative(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr=name):
            return name in _NEVER_NEGATIVE
        case ast.Call(func=ast.Name(id="count" | "distance")):
            return True
    return False
