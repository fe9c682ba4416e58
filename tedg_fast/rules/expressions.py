"""The conditions of a rule as expressions with the rule's own variables, and what is in them."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tedg_fast.hypergraph import Condition, Operator, Use, Vocabulary
from tedg_fast.hypergraph.compiler import Constants, Type, compile_expression
from tedg_fast.hypergraph.expander import Expander, Object, aggregate_name, object_of, stands_for
from tedg_fast.hypergraph.parse import parse
from tedg_fast.hypergraph.printer import printed
from tedg_fast.hypergraph.vocabulary import TRUTH

_LISTED = ("count", "any", "nearest")  # aggregates whose objects are worth naming


@dataclass(frozen=True)
class Part:
    """Something in an expression that has a value of its own: a fact, a relation, an aggregate.

    Its program runs with objects of `kinds` in its slots. `members` is what an aggregate asks of
    each object: a part about one more object, of the last of its kinds.
    """

    text: str
    type: Type
    code: np.ndarray
    constants: np.ndarray
    kinds: tuple[str, ...]
    members: "Part | None" = None


def resolved(
    condition: Condition, names: Sequence[str], vocabulary: Vocabulary
) -> ast.expr:
    """The expression of a condition, without named conditions, its objects called `names`."""
    tree = parse(condition.text)
    objects = {
        name: Object(kind, i, i)
        for i, (name, kind) in enumerate(zip(_canonical_names(tree, condition), condition.kinds))
    }
    tree = Expander(vocabulary, {}).expand(tree, objects)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and (object := object_of(node)):
            node.id = object.kind if object.variable is None else names[object.variable]
    return tree


def of_rule(operator: Operator, use: Use) -> list[str]:
    """What the rule calls the objects of a condition."""
    return [operator.variable_names[variable] for variable in use.variables]


def parts_of(tree: ast.expr, kinds: tuple[str, ...], vocabulary: Vocabulary) -> list[Part]:
    """The parts of a resolved tree, each once, in the order in which they are written."""
    found = {printed(node): node for node in _leaves(tree)}
    return [_part(node, kinds, vocabulary) for node in found.values()]


def _part(node: ast.expr, kinds: tuple[str, ...], vocabulary: Vocabulary) -> Part:
    constants = Constants()
    type, code = compile_expression(node, vocabulary, constants)
    members = None
    about = node.value if isinstance(node, ast.Attribute) else node
    if isinstance(about, ast.Call) and object_of(about) and aggregate_name(about) in _LISTED:
        members = _members(about, kinds, vocabulary)
    return Part(printed(node), type, code, np.array(constants.values), kinds, members)


def _members(node: ast.Call, kinds: tuple[str, ...], vocabulary: Vocabulary) -> Part | None:
    """What the aggregate asks of each object, with that object in a slot of its own."""
    object = stands_for(node)
    if len(kinds) == 2:  # both slots are taken
        return None
    slot, object.slot = object.slot, len(kinds)
    constants = Constants()
    type, code = compile_expression(node.args[0], vocabulary, constants)
    object.slot = slot
    values = np.array(constants.values)
    return Part(printed(node.args[0]), type, code, values, (*kinds, object.kind))


def _leaves(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Attribute) or _is_call_of_its_own(node):
        yield node
        return
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            yield from _leaves(part)


def _is_call_of_its_own(node: ast.expr) -> bool:
    """An aggregate, a relation or a distance; abs, min and max are arithmetic."""
    if not isinstance(node, ast.Call):
        return False
    return object_of(node) is not None or not (
        isinstance(node.func, ast.Name) and node.func.id in ("abs", "min", "max")
    )


def _canonical_names(tree: ast.expr, condition: Condition) -> list[str]:
    """What the canonical text calls the objects (see `conditions`)."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names = []
    for i, kind in enumerate(condition.kinds):
        number = 1 + condition.kinds[:i].count(kind)
        plain = number == 1 and f"{kind}_1" not in used
        names.append(kind if plain else f"{kind}_{number}")
    return names


def valued(part: Part, value: Callable[[Part], float]) -> str:
    """The value of a part, in words."""
    number = value(part)
    if part.type.words:
        return part.type.words[int(number)]
    if part.type.name == TRUTH:
        return "yes" if number else "no"
    return f"{number:.6g}"
