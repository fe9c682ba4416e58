"""When a grid stops running an arm: a sequential test of its difference from the full system.

After each complete seed from the third on the paired differences of the final policies' scores so
far are looked at with Student's t. L looks are L chances to be wrong, so each has a level of
0.05 / L (Bonferroni): that is valid whatever the dependence between looks, and simple.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from tedg_fast.evaluate.arms import FULL
from tedg_fast.evaluate.summary import paired

FIRST_LOOK = 3
"""Seeds before the first look: with two, Student's t leaves hardly any difference clear."""


def num_looks(num_seeds: int) -> int:
    """L, one look for each seed from the third on."""
    return max(0, num_seeds - FIRST_LOOK + 1)


def verdict(
    arm: Mapping[int, float],
    full: Mapping[int, float],
    seeds: Sequence[int],
    looks: int,
    indifference: float,
) -> dict[str, Any] | None:
    """What the first look says that settles an arm: ``seeds``, after how many, and ``how``; None
    while the arm is open, and without looks.

    ``arm`` and ``full`` are the scores of evaluated runs by seed; a look waits for all runs of its
    seeds, so that no verdict depends on which run ends first. An arm differs when 0 lies outside of
    the interval of its mean difference; it does not matter when the interval lies within ±
    ``indifference`` percent of the full system's mean.
    """
    if not looks:
        return None
    done = list(takewhile(lambda seed: seed in arm and seed in full, seeds))
    for count in range(FIRST_LOOK, len(done) + 1):
        theirs, ours = ([scores[seed] for seed in done[:count]] for scores in (arm, full))
        less = paired(theirs, ours, looks)
        mean, half_width = abs(less["mean"]), less["half_width"]
        if mean > half_width:
            return {"seeds": count, "how": "differs"}
        if mean + half_width < indifference / 100 * abs(np.mean(ours)):
            how = f"does not matter (within ± {indifference:g} % of {FULL})"
            return {"seeds": count, "how": how}
    return None


def seeds_of(
    verdicts: Mapping[str, dict[str, Any] | None], seeds: Sequence[int]
) -> dict[str, Sequence[int]]:
    """Arm → the seeds that it is to be run with: those before its verdict; the full system's end
    with the last arm's."""
    number = {arm: found["seeds"] if found else len(seeds) for arm, found in verdicts.items()}
    number[FULL] = max(number.values(), default=len(seeds))
    return {arm: seeds[:count] for arm, count in number.items()}


def stages(seeds: Sequence[int], looks: int) -> list[Sequence[int]]:
    """Seeds whose runs may go side by side: a look comes after each stage."""
    if not looks:
        return [seeds]
    return [seeds[:FIRST_LOOK], *([seed] for seed in seeds[FIRST_LOOK:])]


def in_words(found: dict[str, Any] | None, num_seeds: int) -> str:
    """A verdict, as the command prints and the report shows it."""
    if found is None:
        return "open"
    return f"settled after {found['seeds']} of {num_seeds} seeds: {found['how']}"
