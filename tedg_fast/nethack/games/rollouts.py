"""Whole rollouts that the workers play by themselves, with a policy whose weights they are given.

Nothing is exchanged while one is played: a worker plays one of its games after the other, each for
all its decisions. So the games need not wait for the policy, nor for each other, and each has the
core's cache to itself meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tedg_fast.nethack.games.episode import Episode
from tedg_fast.nethack.games.seats import Seats
from tedg_fast.nethack.games.shared_state import Decisions, SharedState
from tedg_fast.nethack.games.worker import step_command
from tedg_fast.nethack.games.worker_pool import WorkerPool
from tedg_fast.nethack.games.worker_process import WorkerError

_MAX_LOSSES_IN_A_ROW = 3
# Generous: a decision takes some tens of microseconds, the steps that it lasts some hundreds.
_SECONDS_PER_DECISION = 1e-2


@dataclass(frozen=True)
class Rolled:
    """What happened in a rollout beside its decisions: the `episodes` that ended, by number; what
    was `lost` to crashed workers, in words, and the environments whose games these were, `anew`:
    their rows are of the episodes that were begun then."""

    episodes: list[Episode]
    lost: list[str]
    anew: list[int]


class Rollouts:
    """Plays rollouts with all games of a `VectorEnv`.

    Attributes: `decisions` [T, E, ...], of the last rollout, and until the next; `weights` float32,
    the policy's, as `PlayerSetup.player` takes them. Noise and weights are the caller's to write.
    `finished` makes an Episode of its record and of the steps that each rule decided.
    """

    def __init__(
        self,
        decisions: Decisions,
        weights: np.ndarray,
        state: SharedState,
        seats: Seats,
        pool: WorkerPool,
        num_groups: int,
        finished: Callable[[Any, np.ndarray], Episode],
    ) -> None:
        self.decisions, self.weights = decisions, weights
        self._state, self._seats, self._pool = state, seats, pool
        self._commands = [step_command(group) for group in range(num_groups)]
        self._finished = finished

    def play(self) -> Rolled:
        """Play a rollout with every environment, and wait for it.

        Raises WorkerError if workers are lost again and again.
        """
        anew: set[int] = set()
        rows: Sequence[int] = range(len(self._state.episode))
        self._state.rollout[:] = True
        for _ in range(_MAX_LOSSES_IN_A_ROW):
            self._play(rows)
            rows = self._seats.gone.nonzero()[0].tolist()
            if not rows:
                self._state.rollout[:] = False
                return Rolled(self._episodes(), self._take_messages(), sorted(anew))
            anew.update(rows)
            self._seats.begin(rows)
        raise WorkerError(f"no rollout can be played: {self._take_messages()[-1]}")

    def _play(self, rows: Sequence[int]) -> None:
        """Have the workers play with these environments, which are all of a worker's or none."""
        played = set(rows)
        workers = [worker for worker in self._pool.workers if played.intersection(worker.rows)]
        shares = [
            (command, [worker for worker in workers if worker.shares[group]])
            for group, command in enumerate(self._commands)
        ]
        for command, players in shares:
            for worker in players:
                worker.send(command)
        decisions = len(self.decisions.action)
        for group, (command, players) in enumerate(shares):
            players = [worker for worker in players if worker in self._pool.workers]
            games = max((len(worker.shares[group]) for worker in players), default=0)
            seconds = games * decisions * _SECONDS_PER_DECISION
            self._seats.lose(self._pool.receive(command, players, seconds))

    def _episodes(self) -> list[Episode]:
        out = self.decisions
        ended = (out.terminated | out.truncated).nonzero()
        finished = map(self._finished, out.record[ended], out.decided[ended])
        return sorted(finished, key=lambda episode: episode.number)

    def _take_messages(self) -> list[str]:
        messages, self._seats.messages = self._seats.messages, []
        return messages
