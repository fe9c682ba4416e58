"""The conditions of one rule set: named ones, and those that rules use, each kept once.

Conditions are shared by their canonical text: named conditions put in, variables renamed after
their kinds (`monster`, a second one `monster_2`), printed in one way. Where a variable is used
inside of an aggregate over its own kind, it is called `monster_1` to tell both apart.
"""

import ast
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import NoReturn

import numpy as np

from tedg_fast.hypergraph.compiler import Constants, compile_expression
from tedg_fast.hypergraph.expander import (
    Expander,
    Named,
    Object,
    kinds_named,
    object_of,
    stands_for,
)
from tedg_fast.hypergraph.limits import MAX_VARIABLES
from tedg_fast.hypergraph.names import listed
from tedg_fast.hypergraph.parse import ExpressionError, parse
from tedg_fast.hypergraph.printer import printed
from tedg_fast.hypergraph.schema import Condition, Use
from tedg_fast.hypergraph.vocabulary import TRUTH, Vocabulary


class Conditions:
    """Collects the conditions of one file and the constants of their programs."""

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.constants = Constants()
        self.named: dict[str, Named] = {}
        self.used: set[str] = set()  # names of named conditions that something refers to
        self.listed: list[Condition] = []
        self.numbers: dict[str, int] = {}  # canonical text -> place in `listed`
        self.known: dict[tuple, tuple[Use, set[str]]] = {}  # what was compiled before

    def name_all(self, texts: Mapping[str, str], fail: Callable[[str, str], NoReturn]) -> None:
        """Takes in the named conditions, in any order; fail(name, problem) raises the error."""
        trees: dict[str, ast.expr] = {}
        for name, text in texts.items():
            try:
                trees[name] = parse(text)
            except ExpressionError as error:
                fail(name, str(error))
        for name in _in_order(trees, fail):
            parameters = kinds_named(trees[name], self.vocabulary)
            if len(parameters) > MAX_VARIABLES:
                fail(name, f"is about {listed(parameters)}; at most {MAX_VARIABLES} kinds")
            objects = {kind: Object(kind, i, i) for i, kind in enumerate(parameters)}
            scratch = Constants()  # those of the conditions that rules use are kept, no others
            try:
                tree = Expander(self.vocabulary, self.named).expand(trees[name], objects)
                compile_expression(tree, self.vocabulary, scratch)
            except ExpressionError as error:
                fail(name, str(error))
            self.named[name] = Named(name, trees[name], tuple(parameters))

    def use(self, text: str, variables: Mapping[str, str]) -> tuple[Use, set[str]]:
        """The condition that `text` states, with `variables` (name -> kind, in order) in scope.

        Returns its use and the names of the variables in it. Raises ExpressionError.
        """
        key = (text, *variables.items())
        if key not in self.known:
            self.known[key] = self._use(text, variables)
        return self.known[key]

    def _use(self, text: str, variables: Mapping[str, str]) -> tuple[Use, set[str]]:
        tree = parse(text)
        objects = {name: Object(kind, i) for i, (name, kind) in enumerate(variables.items())}
        expander = Expander(self.vocabulary, self.named)
        resolved = expander.expand(tree, objects)
        shown = Expander(self.vocabulary, self.named, inline=False).expand(tree, objects)
        own = _objects_in_order(resolved)
        for slot, object in enumerate(own):
            object.slot = slot
        type, code = compile_expression(resolved, self.vocabulary, self.constants)
        if type.name != TRUTH:
            raise ExpressionError(f"is a {type.name}, not a truth; compare it with something")
        self.used |= _names_in(tree, self.named)
        names = _canonical_names(own, expander.ambiguous)
        canonical = _renamed(resolved, names)
        if canonical not in self.numbers:
            self.numbers[canonical] = len(self.listed)
            title = _plain_name(shown) or _renamed(shown, names)
            kinds = tuple(object.kind for object in own)
            self.listed.append(Condition(title, canonical, kinds, code))
        elif name := _plain_name(shown):
            self._show_as(self.numbers[canonical], name)
        bound = tuple(object.variable for object in own if object.variable is not None)
        use = Use(self.numbers[canonical], bound, " ".join(text.split()))
        return use, {name for name, object in objects.items() if object in own}

    def _show_as(self, number: int, name: str) -> None:
        """A condition that any rule refers to by name is shown by the first such name."""
        condition = self.listed[number]
        if condition.name not in self.named:
            self.listed[number] = Condition(name, condition.text, condition.kinds, condition.code)

    def unused(self) -> list[str]:
        """Named conditions that neither a rule nor another used condition refers to."""
        reached: set[str] = set()
        waiting = list(self.used)
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += _names_in(self.named[name].tree, self.named)
        return [name for name in self.named if name not in reached]

    def table(self) -> np.ndarray:
        """float64: the constants of all programs."""
        return np.array(self.constants.values, dtype=np.float64)


def _in_order(trees: Mapping[str, ast.expr], fail: Callable[[str, str], NoReturn]) -> list[str]:
    """The names so that each comes after those it refers to; fails where they go in a circle."""
    graph = {name: sorted(_names_in(tree, trees)) for name, tree in trees.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = error.args[1][::-1]
        fail(circle[0], f"refers to itself: {' -> '.join(circle)}; end the circle")


def _names_in(tree: ast.expr, known: Mapping[str, object]) -> set[str]:
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in known
    }


def _objects_in_order(tree: ast.expr) -> list[Object]:
    """The variables' objects, each once, in the order in which they first appear."""
    found: list[Object] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        object = object_of(node)
        if object and object.variable is not None and object not in found:
            found.append(object)
        waiting += reversed(list(ast.iter_child_nodes(node)))
    return found


def _canonical_names(own: list[Object], ambiguous: set[str]) -> dict[int | None, str]:
    """Number of a variable -> its name in the canonical text."""
    names: dict[int | None, str] = {}
    for i, object in enumerate(own):
        number = 1 + sum(earlier.kind == object.kind for earlier in own[:i])
        plain = number == 1 and object.kind not in ambiguous
        names[object.variable] = object.kind if plain else f"{object.kind}_{number}"
    return names


def _renamed(tree: ast.expr, names: Mapping[int | None, str]) -> str:
    """The text of a resolved tree, with the variables so named and aggregates' objects by kind."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and object_of(node):
            object = stands_for(node)
            node.id = object.kind if object.variable is None else names[object.variable]
    return printed(tree)


def _plain_name(shown: ast.expr) -> str | None:
    """The name, where the whole expression is one named condition."""
    match shown:
        case ast.Name(id=name) if name not in ("true", "false"):
            return name
        case ast.Call(func=ast.Name(id=name), args=[*arguments]) if arguments:
            named = all(
                isinstance(argument, ast.Name) and object_of(argument) for argument in arguments
            )
            return name if named and name != "distance" else None
    return None
