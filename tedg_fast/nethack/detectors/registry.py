"""The registry of detectors.

A detector is a function of one `View` that returns bool [G] for a single condition, or bool
[G, len(ways)] for a family of conditions that end in a direction ("monster_{}" stands for
"monster_north", "monster_east", ...). Its docstring is one line that says when it fires.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack.actions import COMPASS
from tedg_fast.nethack.detectors.view import View

STRAIGHT = COMPASS[:4]  # the four directions in which one can pass a door


@dataclass(frozen=True)
class Detector:
    """A registered function and the conditions it decides, one per column of its result."""

    function: Callable[[View], np.ndarray]
    conditions: tuple[str, ...]


DETECTORS: list[Detector] = []


def detects(
    name: str, directions: Sequence[str] = COMPASS
) -> Callable[[Callable[[View], np.ndarray]], Callable[[View], np.ndarray]]:
    """Registers a function for condition `name`, or for one per direction if it has a "{}"."""

    def register(function: Callable[[View], np.ndarray]) -> Callable[[View], np.ndarray]:
        conditions = tuple(name.format(way) for way in directions) if "{}" in name else (name,)
        DETECTORS.append(Detector(function, conditions))
        return function

    return register
