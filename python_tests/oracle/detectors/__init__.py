"""Detectors: for every condition a hypergraph may name, the function that decides it.

`registry` explains what a detector is; the other modules hold them by subject.
"""

from tedg_fast.nethack.detectors import messages, moves, player, surroundings, ways
from tedg_fast.nethack.detectors.registry import DETECTORS, Detector
from tedg_fast.nethack.detectors.view import View

MODULES = (player, moves, messages, surroundings, ways)

__all__ = ["DETECTORS", "MODULES", "Detector", "View"]
