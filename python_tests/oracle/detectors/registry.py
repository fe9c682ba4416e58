"""The registry of detectors.

A detector is a function of one `View` that returns bool [G] when it decides one condition, or bool
[G, n] when it decides n of them. Each condition has a one-line description of when it fires.

These functions are the definition; csrc/nethack/detectors/ has the same ones compiled, which play
and training use, and a test holds them equal. A new condition needs both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack.actions import COMPASS
from tedg_fast.nethack.detectors.view import View

STRAIGHT = COMPASS[:4]  # the four directions in which one can pass a door

Function = Callable[[View], np.ndarray]


@dataclass(frozen=True)
class Detector:
    """A registered function; `descriptions` maps the conditions it decides, in column order."""

    function: Function
    descriptions: Mapping[str, str]


DETECTORS: list[Detector] = []


def detects(name: str, ways: Sequence[str] = COMPASS) -> Callable[[Function], Function]:
    """Registers a function for condition `name`; its docstring's first line describes it.

    A "{}" in the name stands for one condition for each of `ways`, in the function's columns.
    """

    def register(function: Function) -> Function:
        text = (function.__doc__ or "").split("\n")[0]
        names = [name.format(way) for way in ways] if "{}" in name else [name]
        DETECTORS.append(Detector(function, dict.fromkeys(names, text)))
        return function

    return register


def detects_each(descriptions: Mapping[str, str]) -> Callable[[Function], Function]:
    """Registers a function whose columns are the described conditions, in order."""

    def register(function: Function) -> Function:
        DETECTORS.append(Detector(function, dict(descriptions)))
        return function

    return register
