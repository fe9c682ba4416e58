"""How far a run has come: everything that it counts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tedg_fast.nethack.games.episode import Episode
from tedg_fast.train.counting import in_turn


@dataclass
class Progress:
    """The counts of a run, those of the runs that it went on from included.

    ``completed`` episodes count; those in ``waiting`` have ended before one with a lower number.
    The games took ``env_steps`` and asked for ``decisions``. ``best_score`` is the best moving mean
    of the true score. Of several ranks the first one counts; the others know ``completed``.
    """

    completed: int = 0
    waiting: list[Episode] = field(default_factory=list)
    env_steps: int = 0
    decisions: int = 0
    rollbacks: int = 0
    workers_lost: int = 0
    best_score: float = -math.inf

    def count(self, ended: Sequence[Episode], still_open: Iterable[int]) -> list[Episode]:
        """The episodes that count now, of those that have ``ended`` and those that waited."""
        counted, self.waiting = in_turn([*self.waiting, *ended], still_open)
        self.completed += len(counted)
        return counted

    def state_dict(self) -> dict[str, Any]:
        """As plain values; a copy."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's ``state``, in which there may be more."""
        for own in fields(self):
            setattr(self, own.name, state[own.name])
        self.waiting = [Episode(**episode) for episode in state["waiting"]]
