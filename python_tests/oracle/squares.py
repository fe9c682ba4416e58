"""Squares of the map, and sets of them as whole numbers.

The map is padded by one square on every side: row y, column x is square (y + 1) * WIDTH + x + 1, so
that a square's neighbours are at fixed offsets. A set of squares is a Python integer with one bit
for each, so a step of a whole set is a shift.
"""

from collections.abc import Iterator

import numpy as np
from nle import nethack

from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.actions import STEPS

ROWS, COLUMNS = nethack.DUNGEON_SHAPE
WIDTH = COLUMNS + 2
AREA = (ROWS + 2) * WIDTH
PADDING = AREA - ROWS * COLUMNS

# Of the eight neighbours, in action order.
NEIGHBOURS = [int(row) * WIDTH + int(column) for row, column in STEPS]
DIAGONAL = [row != 0 and column != 0 for row, column in STEPS.tolist()]

# The numbers that C++ uses; their meaning stands in csrc/nethack/constants.h.
NUMBERS: dict[str, int] = _native_grounding.constants()


def wrap(value: int) -> int:
    """What is left of a number in 64 bits, as int64 arithmetic has it."""
    return (value + 2**63) % 2**64 - 2**63


def set_of(flags: np.ndarray) -> int:
    """bool [AREA] -> the set of squares where it is true."""
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def listed(squares: int) -> Iterator[int]:
    """The squares of a set, in the order of their numbers."""
    while squares:
        lowest = squares & -squares
        yield lowest.bit_length() - 1
        squares ^= lowest


def straight(squares: int) -> int:
    """All that is one straight step from any of these."""
    return squares << 1 | squares >> 1 | squares << WIDTH | squares >> WIDTH


def slanted(squares: int) -> int:
    """All that is one diagonal step from any of these."""
    pair = squares << WIDTH | squares >> WIDTH
    return pair << 1 | pair >> 1


def distance(one: int, other: int) -> int:
    """A king's moves between two squares."""
    (row, column), (other_row, other_column) = divmod(one, WIDTH), divmod(other, WIDTH)
    return max(abs(row - other_row), abs(column - other_column))
