"""From a resolved tree to its type and its program."""

import ast
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from tedg_fast.hypergraph.expander import name_of, object_of, stands_for
from tedg_fast.hypergraph.limits import MAX_NUMBER, MAX_PROGRAM, MAX_STACK
from tedg_fast.hypergraph.names import hint
from tedg_fast.hypergraph.parse import ExpressionError
from tedg_fast.hypergraph.printer import printed
from tedg_fast.hypergraph.program import AGGREGATES, RELATIONS, Op, stack_height
from tedg_fast.hypergraph.vocabulary import NUMBER, TRUTH, WORD, Attribute, Kind, Vocabulary

_ARITHMETIC = {ast.Add: Op.ADD, ast.Sub: Op.SUB, ast.Mult: Op.MUL, ast.Div: Op.DIV}
# Comparison -> (operation, whether the operands change places).
_ORDER = {
    ast.Lt: (Op.LT, False),
    ast.LtE: (Op.LE, False),
    ast.Gt: (Op.LT, True),
    ast.GtE: (Op.LE, True),
}
_EQUALITY = {ast.Eq: Op.EQ, ast.NotEq: Op.NE}


@dataclass(frozen=True)
class Type:
    """`name` is number, truth or word; a word also has its list and the attribute it belongs to."""

    name: str
    words: tuple[str, ...] = ()
    attribute: str = ""


_NUMBER, _TRUTH = Type(NUMBER), Type(TRUTH)


@dataclass
class Constants:
    """The table of constants that the programs of one rule set share."""

    values: list[float] = field(default_factory=list)
    places: dict[tuple[float, ...], int] = field(default_factory=dict)

    def place(self, *numbers: float) -> int:
        """Where these numbers follow each other in the table."""
        if numbers not in self.places:
            self.places[numbers] = len(self.values)
            self.values += numbers
        return self.places[numbers]


def compile_expression(
    tree: ast.expr, vocabulary: Vocabulary, constants: Constants
) -> tuple[Type, np.ndarray]:
    """The type of a resolved tree, and its program: int32 [n, 4].

    Raises ExpressionError: an unknown attribute, a wrong type, or a program beyond the limits.
    """
    compiler = _Compiler(vocabulary, constants)
    type = compiler.value(tree)
    if len(compiler.code) > MAX_PROGRAM or stack_height(compiler.code) > MAX_STACK:
        raise ExpressionError(
            f"needs more than {MAX_PROGRAM} instructions or {MAX_STACK} values at once;"
            " simplify it"
        )
    return type, np.array(compiler.code, dtype=np.int32).reshape(-1, 4)


class _Compiler:
    """Appends to `code` while it descends, and returns the type of each part."""

    def __init__(self, vocabulary: Vocabulary, constants: Constants):
        self.vocabulary, self.constants = vocabulary, constants
        self.code: list[tuple[int, int, int, int]] = []

    def emit(self, op: Op, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.code.append((int(op), a, b, c))

    def value(self, node: ast.expr) -> Type:
        match node:
            case ast.Constant(value=str() as word):
                raise ExpressionError(
                    f"the string '{word}' stands alone; compare a word with it:"
                    f' x.name == "{word}"'
                )
            case ast.Constant(value=int() | float() as number):
                self.emit(Op.CONST, self.constants.place(_finite(number)))
                return _NUMBER
            case ast.Name(id=name):
                self.emit(Op.CONST, self.constants.place(float(name == "true")))
                return _TRUTH
            case ast.Attribute(value=owner, attr=attribute):
                return self.attribute(owner, attribute)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                self.require(operand, NUMBER, "-")
                self.emit(Op.NEG)
                return _NUMBER
            case ast.UnaryOp(operand=operand):
                self.require(operand, TRUTH, "not")
                self.emit(Op.NOT)
                return _TRUTH
            case ast.BinOp(left=left, op=op, right=right):
                operation = _ARITHMETIC[type(op)]
                self.require(left, NUMBER, "arithmetic")
                self.require(right, NUMBER, "arithmetic")
                self.emit(operation)
                return _NUMBER
            case ast.BoolOp(op=op, values=values):
                name, operation = ("and", Op.AND) if isinstance(op, ast.And) else ("or", Op.OR)
                for i, part in enumerate(values):
                    self.require(part, TRUTH, name)
                    if i:
                        self.emit(operation)
                return _TRUTH
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                for i, (comparison, right) in enumerate(zip(ops, comparators, strict=True)):
                    self.compare(left, comparison, right)
                    if i:
                        self.emit(Op.AND)
                    left = right
                return _TRUTH
            case ast.Call() if object_of(node):
                return self.aggregate(node)
            case ast.Call(func=ast.Attribute(value=way, attr=relation), args=[target]):
                return self.relation(way, relation, target)
            case ast.Call(func=ast.Name(id="distance"), args=[first, second]):
                slots = [self.positioned(part, "distance") for part in (first, second)]
                self.emit(Op.DISTANCE, *slots)
                return _NUMBER
            case ast.Call(func=ast.Name(id=function), args=args):
                return self.function(function, args)
        raise AssertionError(ast.dump(node))  # the expander lets nothing else through

    def require(self, node: ast.expr, wanted: str, what: str) -> None:
        found = self.value(node).name
        if found != wanted:
            raise ExpressionError(
                f"{what} needs a {wanted}; '{printed(node)}' is a {found}{_remedy(found, wanted)}"
            )

    def function(self, name: str, args: list[ast.expr]) -> Type:
        for i, part in enumerate(args):
            self.require(part, NUMBER, name)
            if i:
                self.emit(Op.MIN if name == "min" else Op.MAX)
        if name == "abs":
            self.emit(Op.ABS)
        return _NUMBER

    # Objects

    def slot(self, node: ast.expr) -> int:
        """The slot that holds the object; for `nearest` the code that finds it comes first."""
        if isinstance(node, ast.Call):
            self.aggregate(node)
        return _slot(node)

    def positioned(self, node: ast.expr, what: str) -> int:
        kind = self.vocabulary.kind[stands_for(node).kind]
        if not kind.positioned:
            raise ExpressionError(
                f"{what} needs something with a position; '{printed(node)}' is a {kind.name}"
            )
        return self.slot(node)

    def relation(self, way: ast.expr, relation: str, target: ast.expr) -> Type:
        if stands_for(way).kind != "direction":
            raise ExpressionError(
                f"only a direction has {relation}; '{printed(way)}' is a {stands_for(way).kind}"
            )
        slots = self.slot(way), self.positioned(target, relation)
        self.emit(RELATIONS[relation], *slots)
        return _TRUTH

    def attribute(self, owner: ast.expr, name: str) -> Type:
        if object := object_of(owner):
            kind = self.vocabulary.kind[object.kind]
            attribute = _attribute(kind, name)
            self.emit(Op.FACT, self.slot(owner), attribute.number)
        else:
            kind = self.vocabulary.kind[name_of(owner)]
            attribute = _attribute(kind, name)
            self.emit(Op.ONLY, kind.number, attribute.number)
        return Type(attribute.type, attribute.words, f"{kind.name}.{name}")

    def aggregate(self, node: ast.Call) -> Type:
        start = len(self.code)
        kind, name = self.vocabulary.kind[stands_for(node).kind], name_of(node.func)
        self.emit(AGGREGATES[name], _slot(node), kind.number)
        self.require(node.args[0], TRUTH, name)
        if len(node.args) > 1:
            self.require(node.args[1], NUMBER, name)
        op, a, b, _ = self.code[start]
        self.code[start] = (op, a, b, len(self.code) - start - 1)
        return _TRUTH if name == "any" else _NUMBER

    # Comparisons

    def compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        if isinstance(op, ast.In | ast.NotIn):
            self.membership(left, right)
            if isinstance(op, ast.NotIn):
                self.emit(Op.NOT)
        elif type(op) in _EQUALITY:
            self.equality(left, right)
            self.emit(_EQUALITY[type(op)])
        else:
            operation, swapped = _ORDER[type(op)]
            for part in (right, left) if swapped else (left, right):
                self.require(part, NUMBER, "a comparison of size")
            self.emit(operation)

    def equality(self, left: ast.expr, right: ast.expr) -> None:
        """Pushes both sides, which are numbers, truths, or words of one list."""
        strings = [isinstance(part, ast.Constant) and isinstance(part.value, str)
                   for part in (left, right)]  # fmt: skip
        if any(strings) and not all(strings):
            word, attribute = (left, right) if strings[0] else (right, left)
            type = self.value(attribute)
            self.emit(Op.CONST, self.constants.place(_word(_constant(word), type, attribute)))
            return
        types = [self.value(part) for part in (left, right)]
        if (types[0].name, types[0].words) != (types[1].name, types[1].words):
            shown = [
                f"'{printed(part)}' is a {f'word of {type.attribute}' if type.words else type.name}"
                for part, type in zip((left, right), types, strict=True)
            ]
            raise ExpressionError(f"cannot be equal: {' and '.join(shown)}")

    def membership(self, left: ast.expr, members: ast.expr) -> None:
        type = self.value(left)
        values = []
        assert isinstance(members, ast.Tuple)  # as the expander writes a list
        for member in map(_constant, members.elts):
            is_word = isinstance(member, str)
            if type.name == TRUTH or (type.name == NUMBER and is_word):
                _wrong_word(member, type, left)
            if type.name == WORD and not is_word:
                raise ExpressionError(
                    f"'{printed(left)}' is a word; {member} in its list is a number"
                )
            values.append(_word(member, type, left) if is_word else _finite(member))
        if len(set(values)) < len(values):
            raise ExpressionError(f"the list {printed(members)} names something twice")
        self.emit(Op.IN, self.constants.place(*values), len(values))


def _slot(node: ast.expr) -> int:
    """The slot of the object that the node stands for."""
    slot = stands_for(node).slot
    assert slot is not None, ast.dump(node)  # it was given one before its program is made
    return slot


def _constant(node: ast.expr) -> Any:
    assert isinstance(node, ast.Constant), ast.dump(node)
    return node.value


def _attribute(kind: Kind, name: str) -> Attribute:
    if name not in kind.attribute:
        raise ExpressionError(
            f"unknown attribute '{name}' of {kind.name}{hint(name, tuple(kind.attribute))}"
        )
    return kind.attribute[name]


def _word(word: str, type: Type, node: ast.expr) -> float:
    """The place of a word in the list of the attribute that it is compared with."""
    if type.name != WORD:
        _wrong_word(word, type, node)
    if word not in type.words:
        raise ExpressionError(f"'{word}' is no word of {type.attribute}{hint(word, type.words)}")
    return float(type.words.index(word))


def _wrong_word(value: object, type: Type, node: ast.expr) -> NoReturn:
    raise ExpressionError(
        f"compares '{printed(node)}', a {type.name}, with {value!r};"
        f"{' write x or not x' if type.name == TRUTH else ' write a number'}"
    )


def _finite(number: float) -> float:
    if not abs(number) <= MAX_NUMBER:
        raise ExpressionError(f"a number is beyond ±{MAX_NUMBER:g}; write a smaller one")
    return float(number)


def _remedy(found: str, wanted: str) -> str:
    if (found, wanted) == (NUMBER, TRUTH):
        return "; compare it: … > 0"
    if (found, wanted) == (TRUTH, NUMBER):
        return "; a truth is combined by and, or, not"
    return "; compare it with == or in" if found == WORD else ""
