"""The oracle for compiled expressions: plain Python over plain values, straight from the text."""

import ast
import operator
from collections.abc import Mapping

from tedg_fast.hypergraph import Vocabulary

AGGREGATES = ("count", "any", "total", "most", "nearest")
_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_COMPARISONS = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda x, members: x in members, ast.NotIn: lambda x, members: x not in members,
}  # fmt: skip
# North, east, south, west, then the diagonals: (east, south) of a step.
STEPS = ((0, -1), (1, 0), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))


class Facts:
    """`objects`: kind -> its objects, nearest first, each attribute -> float, bool or word."""

    def __init__(self, vocabulary: Vocabulary, objects: Mapping[str, list[dict]]):
        self.vocabulary, self.objects = vocabulary, objects

    def attribute(self, kind: str, thing: dict | None, name: str) -> object:
        if thing is not None:
            return thing[name]
        attribute = self.vocabulary.kind[kind].attribute[name]
        return {"number": 0.0, "truth": False, "word": (*attribute.words, "")[0]}[attribute.type]


class Evaluation:
    """Evaluates one expression; `scope` maps names to (kind, object or None)."""

    def __init__(self, facts: Facts):
        self.facts = facts

    def of(self, text: str, scope: Mapping[str, tuple]) -> object:
        text = text.replace(".class", ".class_")  # which Python keeps for itself
        return self.value(ast.parse(text, mode="eval").body, dict(scope))

    def value(self, node: ast.expr, scope: dict) -> object:
        match node:
            case ast.Constant(value=str() as word):
                return word
            case ast.Constant(value=number):
                return float(number)
            case ast.Name(id=name):
                return {"true": True, "false": False}[name]
            case ast.Tuple(elts=members):
                return [self.value(member, scope) for member in members]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.value(operand, scope)
            case ast.UnaryOp(operand=operand):
                return -self.value(operand, scope)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                above, below = self.value(left, scope), self.value(right, scope)
                return above / below if below else 0.0
            case ast.BinOp(left=left, op=op, right=right):
                return _ARITHMETIC[type(op)](self.value(left, scope), self.value(right, scope))
            case ast.BoolOp(op=op, values=values):
                truths = [self.value(part, scope) for part in values]
                return all(truths) if isinstance(op, ast.And) else any(truths)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                values = [self.value(part, scope) for part in (left, *rights)]
                return all(
                    _COMPARISONS[type(op)](values[i], values[i + 1]) for i, op in enumerate(ops)
                )
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name not in scope:
                return self.facts.objects[name][0][attribute]
            case ast.Attribute(value=owner, attr=attribute):
                kind, thing = self.object(owner, scope)
                return self.facts.attribute(kind, thing, attribute.removesuffix("_"))
            case ast.Call(func=ast.Attribute(value=way, attr=relation), args=[target]):
                (_, way), (_, thing) = self.object(way, scope), self.object(target, scope)
                change = self.farther(way, thing)
                return change > 0 if relation == "away_from" else change < 0
            case ast.Call(func=ast.Name(id="distance"), args=args):
                (_, one), (_, other) = (self.object(part, scope) for part in args)
                return self.distance(one, other)
            case ast.Call(func=ast.Name(id=name)) if name in AGGREGATES:
                return self.aggregate(node, scope)
            case ast.Call(func=ast.Name(id=name), args=args):
                function = {"abs": abs, "min": min, "max": max}[name]
                return function(*(self.value(part, scope) for part in args))
        raise AssertionError(ast.dump(node))

    def object(self, node: ast.expr, scope: dict) -> tuple:
        if isinstance(node, ast.Name):
            return scope[node.id]
        kind, holding = self.ranged(node, scope)
        return kind, holding[0][kind][1] if holding else None

    def ranged(self, node: ast.Call, scope: dict) -> tuple[str, list[dict]]:
        """The kind that an aggregate ranges over, and the scopes in which its condition holds."""
        named = [kind for part in node.args for kind in self.named(part)]
        (kind,) = {kind for kind in named if kind not in scope} or set(named)
        inner = [{**scope, kind: (kind, thing)} for thing in self.facts.objects.get(kind, [])]
        return kind, [bound for bound in inner if self.value(node.args[0], bound)]

    def named(self, node: ast.expr) -> list[str]:
        """The kinds named outside of aggregates."""
        if isinstance(node, ast.Name):
            return [node.id] if node.id in self.facts.vocabulary.objects else []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in AGGREGATES:
            return []
        return [kind for part in ast.iter_child_nodes(node) for kind in self.named(part)]

    def aggregate(self, node: ast.Call, scope: dict) -> object:
        _, holding = self.ranged(node, scope)
        if node.func.id in ("count", "any"):
            return float(len(holding)) if node.func.id == "count" else bool(holding)
        numbers = [self.value(node.args[1], bound) for bound in holding]
        if node.func.id == "total":
            total = 0.0
            for number in numbers:  # in order: sum() adds floats up in a cleverer way
                total += number
            return total
        return max(numbers, default=0.0)

    def farther(self, way: dict | None, thing: dict | None) -> float:
        """How much farther a thing is after a step."""
        if way is None or thing is None:
            return 0.0
        east, south = STEPS[way["number"]]
        after = max(abs(thing["east"] - east), abs(thing["south"] - south))
        return after - max(abs(thing["east"]), abs(thing["south"]))

    def distance(self, one: dict | None, other: dict | None) -> float:
        if one is None or other is None:
            return max(0.0 if thing is None else thing["distance"] for thing in (one, other))
        return max(abs(one[axis] - other[axis]) for axis in ("east", "south"))
