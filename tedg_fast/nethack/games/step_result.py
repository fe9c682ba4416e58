"""What a decision led to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from tedg_fast.nethack.games.episode import Episode


@dataclass(frozen=True)
class StepResult:
    """What a decision for each of a group of G environments, or of all, led to.

    `reward` float32 [G]: the sum of discount^i times the reward of game step i, counted from the
    decision (0), to the next decision or the end of the episode; `length` int64 [G]: how many game
    steps that were; `terminated` and `truncated` bool [G], never both: the episode ended with them,
    and the next decision is the first of a new one. `shown` uint8 [G, ceil(C / 8)]: the packed
    conditions that held right after the decision's own game step, where `follows` bool [G] says
    that the episode went on so far.

    `episodes` are those that ended, in environment order; `lost` says in words what was lost to
    crashed workers, one message a worker, all its games included.
    """

    reward: np.ndarray
    length: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    follows: np.ndarray
    shown: np.ndarray
    episodes: list[Episode]
    lost: list[str]

    @classmethod
    def joined(cls, results: Sequence["StepResult"]) -> "StepResult":
        """One result of several groups, one after the other."""
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in results]) for name in ARRAYS},
            episodes=[episode for part in results for episode in part.episodes],
            lost=[message for part in results for message in part.lost],
        )


ARRAYS = tuple(field.name for field in fields(StepResult) if field.type is np.ndarray)
"""Its arrays, which are also fields of ``SharedState``."""
