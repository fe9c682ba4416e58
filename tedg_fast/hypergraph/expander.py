"""From a parsed expression to a tree in which every name is resolved.

`Expander` rebuilds the tree from the few forms that are part of the language: named conditions
are put in where they are used; each name of an object, and each aggregate, knows what it stands
for (`object_of`).
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from tedg_fast.hypergraph.limits import MAX_AGGREGATES, MAX_NESTING, MAX_PARTS
from tedg_fast.hypergraph.names import hint, listed
from tedg_fast.hypergraph.parse import ExpressionError
from tedg_fast.hypergraph.program import AGGREGATES, FIRST_AGGREGATE_SLOT, RELATIONS
from tedg_fast.hypergraph.vocabulary import Vocabulary

PLAIN_FUNCTIONS = ("abs", "min", "max")
FUNCTIONS = (*PLAIN_FUNCTIONS, "distance", *AGGREGATES)
TRUTHS = ("true", "false")
RESERVED = (*FUNCTIONS, *TRUTHS)

_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.And, ast.Or, ast.Not, ast.USub,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn,
)  # fmt: skip
_REMEDIES = {
    ast.IfExp: "; write two rules, or (a and b) or (not a and c)",
    ast.NamedExpr: "; name it under [conditions]",
    ast.Subscript: "; objects are reached by variables and by nearest(…)",
}


Expression = TypeVar("Expression", bound=ast.expr)


@dataclass
class Object:
    """What a name of an object stands for; `slot` is where its program finds it.

    `variable` is the number of the rule's variable, or None for the object of an aggregate.
    """

    kind: str
    variable: int | None = None
    slot: int | None = None


def object_of(node: ast.AST) -> Object | None:
    """What a node of a resolved tree stands for; the object that an aggregate ranges over."""
    return getattr(node, "object", None)


def stands_for(node: ast.AST) -> Object:
    """The same of a node that stands for an object, as the expander has made sure."""
    found = object_of(node)
    assert found is not None, ast.dump(node)
    return found


def name_of(node: ast.expr) -> str:
    """The identifier of a node that is a name, as the expander has made sure."""
    assert isinstance(node, ast.Name), ast.dump(node)
    return node.id


def _about(node: Expression, object: Object) -> Expression:
    node.object = object  # type: ignore[attr-defined]  # see object_of
    return node


@dataclass(frozen=True)
class Named:
    """A named condition: its tree and the kinds of its arguments."""

    name: str
    tree: ast.expr
    parameters: tuple[str, ...]

    def usage(self) -> str:
        """How it is written."""
        return f"{self.name}({', '.join(self.parameters)})" if self.parameters else self.name


# How a name of the surrounding scope is found: what it stands for, or the argument (a tree) and
# the scope in which that was written.
Scope = Mapping[str, "Object | tuple[ast.expr, Scope]"]


def aggregate_name(node: ast.AST) -> str | None:
    """The name of the aggregate that this node calls, if it does."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id if node.func.id in AGGREGATES else None
    return None


def kinds_named(node: ast.expr, vocabulary: Vocabulary) -> list[str]:
    """Kinds of objects named directly, outside of aggregates, in order of first appearance."""
    found: list[str] = []
    waiting: list[ast.AST] = [node]
    while waiting:
        part = waiting.pop()
        if aggregate_name(part):
            continue
        if isinstance(part, ast.Name) and part.id in vocabulary.objects and part.id not in found:
            found.append(part.id)
        waiting += reversed(list(ast.iter_child_nodes(part)))
    return found


class Expander:
    """Rebuilds trees of one file; `named` may grow between calls.

    With `inline=False` named conditions stay names, for showing an expression as it was written.
    """

    def __init__(self, vocabulary: Vocabulary, named: Mapping[str, Named], inline: bool = True):
        self.vocabulary, self.named, self.inline = vocabulary, named, inline

    def expand(self, tree: ast.expr, variables: Mapping[str, Object]) -> ast.expr:
        """The resolved tree. Raises ExpressionError: whatever is not part of the language."""
        self.parts = 0
        # kinds of a variable that is used inside of an aggregate over the same kind
        self.ambiguous: set[str] = set()
        return self.value(tree, variables, (), 0)

    def value(
        self, node: ast.expr, scope: Scope, ranges: tuple[str, ...], nesting: int
    ) -> ast.expr:
        """`ranges`: the kinds that the aggregates around this node range over, outermost first."""
        self.count_part(nesting)

        def inner(part: ast.expr) -> ast.expr:
            return self.value(part, scope, ranges, nesting + 1)

        match node:
            case ast.Constant(value=bool() as value):
                return ast.Name(id=TRUTHS[not value], ctx=ast.Load())
            case ast.Constant(value=int() | float() | str() as value):
                whole = isinstance(value, float) and value.is_integer()
                return ast.Constant(value=int(value) if whole else value)
            case ast.Name(id=name) if name in TRUTHS:
                return ast.Name(id=name, ctx=ast.Load())
            case ast.Name(id=name):
                return self.named_condition(name, [], node, scope, ranges, nesting)
            case ast.UnaryOp(op=ast.USub() | ast.Not() as op, operand=operand):
                return ast.UnaryOp(op, inner(operand))
            case ast.BinOp(left=left, op=sign, right=right) if isinstance(sign, _OPERATORS):
                return ast.BinOp(inner(left), sign, inner(right))
            case ast.BoolOp(op=op, values=values):
                return ast.BoolOp(op, [inner(value) for value in values])
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(
                isinstance(op, _OPERATORS) for op in ops
            ):
                rights = [
                    self.members(right) if isinstance(op, ast.In | ast.NotIn) else inner(right)
                    for op, right in zip(ops, comparators, strict=True)
                ]
                return ast.Compare(inner(left), ops, rights)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if (
                name in self.vocabulary.singletons and name not in scope
            ):
                return ast.Attribute(ast.Name(id=name, ctx=ast.Load()), attribute, ast.Load())
            case ast.Attribute(value=owner, attr=attribute):
                owner = self.object(owner, scope, ranges, nesting + 1)
                return ast.Attribute(owner, attribute, ast.Load())
            case ast.Call():
                return self.call(node, scope, ranges, nesting)
        self.refuse(node)

    def count_part(self, nesting: int) -> None:
        self.parts += 1
        if nesting > MAX_NESTING:
            raise ExpressionError(f"is nested more than {MAX_NESTING} levels deep; simplify it")
        if self.parts > MAX_PARTS:
            raise ExpressionError(
                f"has more than {MAX_PARTS} parts with the named conditions put in; simplify it"
            )

    def refuse(self, node: ast.expr) -> NoReturn:
        operators = [getattr(node, "op", None), *getattr(node, "ops", [])]
        for op in operators:
            if op is not None and not isinstance(op, _OPERATORS):
                raise ExpressionError(
                    f"'{ast.unparse(node)}' uses an operator that is not part of the language;"
                    " there are + - * / == != < <= > >= in, and, or, not"
                )
        remedy = _REMEDIES.get(type(node), "")
        raise ExpressionError(f"'{ast.unparse(node)}' is not part of the language{remedy}")

    def members(self, node: ast.expr) -> ast.expr:
        """The list after `in`: words or numbers."""
        example = '; write in ("a", "b") with words, or numbers'
        if not isinstance(node, ast.Tuple | ast.List):
            raise ExpressionError(f"{ast.unparse(node)} after in is no list{example}")
        if not node.elts:
            raise ExpressionError(f"the list after in is empty{example}")
        members: list[ast.expr] = []
        for member in node.elts:
            self.count_part(0)
            match member:
                case ast.Constant(int() | float() | str() as value) if not isinstance(value, bool):
                    members.append(ast.Constant(value))
                case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)) if (
                    not isinstance(number, bool)
                ):
                    members.append(ast.Constant(-number))
                case _:
                    raise ExpressionError(
                        f"'{ast.unparse(member)}' is no word and no number{example}"
                    )
        return ast.Tuple(members, ast.Load())

    def call(
        self, node: ast.Call, scope: Scope, ranges: tuple[str, ...], nesting: int
    ) -> ast.expr:
        name = ast.unparse(node.func)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise ExpressionError(f"'{ast.unparse(node)}': arguments have neither names nor stars")
        match node.func:
            case ast.Attribute(value=owner, attr=relation) if relation in RELATIONS:
                self.require_arguments(node, 1, f"direction.{relation}(object)")
                objects = self.pair([owner, *node.args], scope, ranges, nesting)
                return ast.Call(ast.Attribute(objects[0], relation, ast.Load()), objects[1:], [])
            case ast.Attribute(attr=relation):
                raise ExpressionError(
                    f"unknown relation '{relation}'{hint(relation, tuple(RELATIONS))}"
                )
            case ast.Name(id="distance"):
                self.require_arguments(node, 2, "distance(object, object)")
                objects = self.pair(node.args, scope, ranges, nesting)
                return ast.Call(ast.Name("distance", ast.Load()), objects, [])
            case ast.Name() if name in PLAIN_FUNCTIONS:
                if name == "abs":
                    self.require_arguments(node, 1, "abs(number)")
                elif len(node.args) < 2:
                    raise ExpressionError(f"'{ast.unparse(node)}' needs two numbers or more")
                values = [self.value(part, scope, ranges, nesting + 1) for part in node.args]
                return ast.Call(ast.Name(name, ast.Load()), values, [])
            case ast.Name() if name in AGGREGATES:
                if name == "nearest":
                    raise ExpressionError(
                        f"'{ast.unparse(node)}' is an object; name an attribute:"
                        " nearest(…).distance"
                    )
                return self.aggregate(node, scope, ranges, nesting)
            case ast.Name():
                return self.named_condition(name, node.args, node, scope, ranges, nesting)
        self.refuse(node)

    def pair(
        self, nodes: list[ast.expr], scope: Scope, ranges: tuple[str, ...], nesting: int
    ) -> list[ast.expr]:
        """Two objects of a relation; a second `nearest` needs a slot of its own."""
        first = self.object(nodes[0], scope, ranges, nesting + 1)
        taken = (stands_for(first).kind,) if isinstance(first, ast.Call) else ()
        return [first, self.object(nodes[1], scope, ranges, nesting + 1, taken)]

    def require_arguments(self, node: ast.Call, count: int, usage: str) -> None:
        if len(node.args) != count:
            raise ExpressionError(f"'{ast.unparse(node)}': write {usage}")

    def aggregate(
        self,
        node: ast.Call,
        scope: Scope,
        ranges: tuple[str, ...],
        nesting: int,
        taken: tuple[str, ...] = (),
    ) -> ast.Call:
        name = name_of(node.func)
        usage = f"{name}({'condition, number' if name in ('total', 'most') else 'condition'})"
        self.require_arguments(node, usage.count(",") + 1, usage)
        slots = (*ranges, *taken)
        if len(slots) >= MAX_AGGREGATES:
            raise ExpressionError(
                f"'{ast.unparse(node)}' is inside of too many count, any, total, most, nearest;"
                f" at most {MAX_AGGREGATES} stand inside each other"
            )
        kind = self.range_of(node, scope)
        object = Object(kind, slot=FIRST_AGGREGATE_SLOT + len(slots))
        inner = {**scope, kind: object}
        arguments = [self.value(part, inner, (*slots, kind), nesting + 1) for part in node.args]
        return _about(ast.Call(ast.Name(name, ast.Load()), arguments, []), object)

    def range_of(self, node: ast.Call, scope: Scope) -> str:
        """The kind that an aggregate ranges over: the one named directly inside of it.

        A kind that the surroundings name already gives way to one that they do not.
        """
        named = list(
            dict.fromkeys(k for part in node.args for k in kinds_named(part, self.vocabulary))
        )
        new = [kind for kind in named if kind not in scope] or named
        if len(new) == 1:
            return new[0]
        problem = f"names the kinds {listed(new)}" if new else "names no kind of objects"
        raise ExpressionError(
            f"'{ast.unparse(node)}' {problem}; it ranges over the one kind named inside of it,"
            f" as in {name_of(node.func)}(monster.adjacent)"
        )

    def object(
        self,
        node: ast.expr,
        scope: Scope,
        ranges: tuple[str, ...],
        nesting: int,
        taken: tuple[str, ...] = (),
    ) -> ast.expr:
        """An expression that stands for an object: a name, or `nearest` of some kind."""
        self.count_part(nesting)
        if isinstance(node, ast.Call) and aggregate_name(node) == "nearest":
            return self.aggregate(node, scope, ranges, nesting, taken)
        if not isinstance(node, ast.Name):
            raise ExpressionError(f"'{ast.unparse(node)}' is no object; name a variable")
        found = scope.get(node.id)
        if isinstance(found, tuple):
            argument, outside = found
            return self.object(argument, outside, ranges, nesting + 1, taken)
        if found is not None:
            if found.variable is not None and found.kind in ranges:
                self.ambiguous.add(found.kind)
            return _about(ast.Name(node.id, ast.Load()), found)
        self.unknown_object(node.id, scope)

    def unknown_object(self, name: str, scope: Scope) -> NoReturn:
        if name in self.vocabulary.objects:
            raise ExpressionError(
                f"'{name}' is a kind, of which there may be many; declare a variable"
                f' (each = "x: {name}") or use count, any, total, most, nearest'
            )
        if name in self.vocabulary.singletons:
            raise ExpressionError(f"'{name}' has no position; relations join objects")
        known = list(dict.fromkeys((*scope, *self.vocabulary.kind)))
        # A name of one letter is close to anything.
        remedy = hint(name, known) if len(name) > 1 else '; declare it, as in each = "m: monster"'
        raise ExpressionError(f"unknown name '{name}'{remedy}")

    def named_condition(
        self,
        name: str,
        arguments: list[ast.expr],
        node: ast.expr,
        scope: Scope,
        ranges: tuple[str, ...],
        nesting: int,
    ) -> ast.expr:
        condition = self.named.get(name)
        if condition is None:
            if name in scope or name in self.vocabulary.kind:
                raise ExpressionError(f"'{name}' is an object; name an attribute of it: {name}.…")
            what = "function or named condition" if isinstance(node, ast.Call) else "name"
            known = [*FUNCTIONS, *self.named] if isinstance(node, ast.Call) else [*self.named]
            raise ExpressionError(f"unknown {what} '{name}'{hint(name, known)}")
        if len(arguments) != len(condition.parameters) or (
            isinstance(node, ast.Call) and not arguments
        ):
            raise ExpressionError(f"'{ast.unparse(node)}': write {condition.usage()}")
        objects = [self.object(argument, scope, ranges, nesting + 1) for argument in arguments]
        for argument, object, kind in zip(arguments, objects, condition.parameters, strict=True):
            given = stands_for(object).kind
            if given != kind:
                raise ExpressionError(
                    f"'{ast.unparse(node)}': '{ast.unparse(argument)}' is a {given};"
                    f" {condition.usage()} takes a {kind}"
                )
        if not self.inline:
            function = ast.Name(name, ast.Load())
            return ast.Call(function, objects, []) if objects else function
        inner = {
            kind: (argument, scope)
            for kind, argument in zip(condition.parameters, arguments, strict=True)
        }
        return self.value(condition.tree, inner, ranges, nesting + 1)
