"""The instructions that a compiled condition consists of; csrc/nethack runs the same numbers.

An instruction is four int32: operation, a, b, c. Evaluation keeps a stack of float64; a truth is
0.0 or 1.0, a word its place in its list. Slots 0 and 1 hold the objects that the condition's own
variables are bound to, slots 2 and 3 the objects of aggregates, the outer and the inner one.

    CONST a       push constants[a]
    FACT a b      push attribute b of the object in slot a (0 if there is none)
    ONLY a b      push attribute b of the only object of singleton kind a
    ADD ... NE    pop the operands, push the result; x / 0 is 0
    IN a b        pop x, push whether it equals one of constants[a : a + b]
    AWAY a b      push whether a step in the direction in slot a leads farther from the object in b
    TOWARD a b    likewise nearer
    DISTANCE a b  push the distance of the objects in the slots a and b
    COUNT a b c   slot a runs over all objects of kind b; the next c instructions, the body, push a
                  truth; push how many hold
    ANY a b c     likewise; push whether one holds
    TOTAL a b c   the body pushes a truth, then a number; push the sum of the numbers where it held
    MOST a b c    likewise the largest of them (0 without any)
    NEAREST a b c the body pushes a truth; slot a then holds the first object for which it held, or
                  none; pushes nothing
"""

from enum import IntEnum


class Op(IntEnum):
    CONST = 0
    FACT = 1
    ONLY = 2
    ADD = 3
    SUB = 4
    MUL = 5
    DIV = 6
    NEG = 7
    ABS = 8
    MIN = 9
    MAX = 10
    LT = 11
    LE = 12
    EQ = 13
    NE = 14
    AND = 15
    OR = 16
    NOT = 17
    IN = 18
    AWAY = 19
    TOWARD = 20
    DISTANCE = 21
    COUNT = 22
    ANY = 23
    TOTAL = 24
    MOST = 25
    NEAREST = 26


AGGREGATES = {
    "count": Op.COUNT,
    "any": Op.ANY,
    "total": Op.TOTAL,
    "most": Op.MOST,
    "nearest": Op.NEAREST,
}
RELATIONS = {"away_from": Op.AWAY, "toward": Op.TOWARD}  # of a direction to an object
FIRST_AGGREGATE_SLOT = 2

# What each operation adds to the height of the stack.
GROWTH = {
    **dict.fromkeys((Op.CONST, Op.FACT, Op.ONLY, Op.AWAY, Op.TOWARD, Op.DISTANCE), 1),
    **dict.fromkeys((Op.NEG, Op.ABS, Op.NOT, Op.IN), 0),
    **dict.fromkeys(
        (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MIN, Op.MAX, Op.LT, Op.LE, Op.EQ, Op.NE, Op.AND, Op.OR),
        -1,
    ),
}


def stack_height(code: list[tuple[int, int, int, int]], below: int = 0) -> int:
    """The most values that running `code` keeps at once, with `below` there already."""
    height = highest = below
    i = 0
    while i < len(code):
        op, length = Op(code[i][0]), code[i][3]
        if op in GROWTH:
            height += GROWTH[op]
        else:
            body = code[i + 1 : i + 1 + length]
            highest = max(highest, stack_height(body, height))
            i += length
            height += op != Op.NEAREST
        highest = max(highest, height)
        i += 1
    return highest
