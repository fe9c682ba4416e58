"""Which episode each environment plays: games that begin, come back from logs, and are lost."""

from collections.abc import Sequence

import numpy as np

from tedg_fast.nethack.games.episode import GameState
from tedg_fast.nethack.games.shared_state import SharedState
from tedg_fast.nethack.games.worker import BEGIN
from tedg_fast.nethack.games.worker_pool import WorkerPool
from tedg_fast.nethack.games.worker_process import WorkerError, WorkerProcess

_MAX_DEATHS_IN_A_ROW = 3
# Generous: a step with its grounding takes at most a few milliseconds.
_SECONDS_PER_REPLAYED_STEP = 1e-2


class Seats:
    """The environments of a VectorEnv, and the episodes that they play one after the other.

    Episodes have the numbers `next_episode`, `next_episode + step`, …, and before these the
    `unbegun` ones. A worker begins an environment's next episode by itself, so the numbers are
    dealt beforehand, by what does not depend on the workers' timing: where no game is being played,
    `deal` has every environment go on with one of the lowest. One that needs more until then has
    numbers of its own, far apart; what it passes over is dealt the next time.

    Attributes, of environments whose group is not being played
    ----------
    episode, played : int64 [E], the number of the running episode, the game steps of it so far.
    idle : bool [E], where there is no episode left to play.
    gone : bool [E], whose game was lost with its worker and has not been begun anew.
    messages : what was lost, in words.
    next_episode : the lowest number above those of all episodes begun when numbers were last dealt.
    unbegun : the lower ones that were not, rising.
    """

    def __init__(
        self, state: SharedState, pool: WorkerPool, max_steps: int, prayer: bool,
        next_episode: int, step: int, limit: int | None, unbegun: Sequence[int],
    ) -> None:  # fmt: skip
        self._state, self._pool = state, pool
        self._max_steps, self._prayer, self._step, self._limit = max_steps, prayer, step, limit
        count = len(state.episode)
        self.episode = np.full(count, -1)
        self.played = np.zeros(count, np.int64)
        self.idle = np.zeros(count, bool)
        self.gone = np.zeros(count, bool)
        self.messages: list[str] = []
        self.next_episode, self.unbegun = next_episode, sorted(unbegun)
        # What was dealt to each environment: its next number, and the first of those of its own.
        self._dealt = np.zeros(count, np.int64)
        self._own = np.zeros(count, np.int64)

    def deal(self) -> None:
        """Deal the lowest numbers: to idle environments, which begin at once, then to those whose
        episodes have gone on longest."""
        self._settle()
        state, rows = self._state, np.arange(len(self.idle))
        lowest = [*self.unbegun[: len(rows)]]
        lowest += (self.next_episode + self._step * rows[: len(rows) - len(lowest)]).tolist()
        order = np.lexsort((rows, -self.played, ~self.idle))
        self._dealt[order] = lowest
        self._own[:] = max(lowest[-1] + self._step, self.next_episode) + self._step * rows
        state.next_episode[:], state.later_episode[:] = self._dealt, self._own
        self.begin(np.flatnonzero(self.idle).tolist())

    def _settle(self) -> None:
        """Find out which numbers were begun since they were dealt."""
        begun = set()
        for row, following in enumerate(self._state.next_episode.tolist()):
            if following != self._dealt[row]:
                own = range(self._own[row], following, self._stride)
                begun.update([int(self._dealt[row]), *own])
        self._take_out(begun)

    def _take_out(self, begun: set[int]) -> None:
        """These numbers are not to be dealt again."""
        above = max((number + self._step for number in begun), default=0)
        unbegun = [*self.unbegun, *range(self.next_episode, above, self._step)]
        self.unbegun = [number for number in unbegun if number not in begun]
        self.next_episode = max(self.next_episode, above)

    @property
    def _stride(self) -> int:
        """From one number of an environment's own to the next."""
        return self._step * len(self._state.episode)

    def begin(self, rows: list[int]) -> None:
        """Begin the next episodes in `rows`, but for those at the limit."""
        state = self._state
        for _ in range(_MAX_DEATHS_IN_A_ROW):
            begun = []
            for row in rows:
                number = int(state.next_episode[row])
                if self._limit is not None and number >= self._limit:
                    state.idle[row], self.gone[row] = True, False
                    continue
                state.next_episode[row] = state.later_episode[row]
                state.later_episode[row] += self._stride
                self._assign(row, number, b"")
                begun.append(row)
            self.lose(self._launch(begun))
            rows = [row for row in begun if self.gone[row]]
            if not rows:
                return
        raise WorkerError(f"games cannot be started: {self.messages[-1]}")

    def restore(self, games: Sequence[GameState]) -> list[str]:
        """As VectorEnv.restore."""
        messages = []
        state = self._state
        replayed = []
        for row, game in enumerate(games):
            problem = game.obstacle(self._max_steps, self._prayer)
            if row >= len(self.idle):
                problem = f"there are only {len(self.idle)} environments"
            if problem:
                messages.append(f"episode {game.episode} was not restored: {problem}")
            else:
                self._assign(row, game.episode, game.actions)
                replayed.append(row)
        self.lose(self._launch(replayed))
        self.take_over(slice(None))
        self._take_out({game.episode for game in games})
        self.deal()
        fresh = set(range(len(self.idle))).difference(replayed)
        for row in replayed:
            digest = state.digest[row].tobytes().hex()
            if self.gone[row] or digest != games[row].observation_hash:
                cause = "its worker died" if self.gone[row] else "another observation came out"
                messages.append(
                    f"episode {games[row].episode} was not restored: {cause} when its "
                    f"{len(games[row].actions)} actions were replayed"
                )
                fresh.add(row)
        self.begin(sorted(fresh))
        return messages

    def lose(self, lost: dict[WorkerProcess, str]) -> None:
        """Start new workers for the lost ones; all their games, of any group, are gone."""
        for worker, cause in lost.items():
            # A game gone before was reported then.
            rows = [row for row in worker.rows if not (self.gone[row] or self.idle[row])]
            episodes = ", ".join(str(self.episode[row]) for row in rows)
            self.messages.append(f"game worker {worker.pid} {cause}; episodes lost: {episodes}")
            self.gone[worker.rows] = True
            self._pool.replace(worker)

    def take_over(self, rows: slice) -> None:
        """Copy what the workers have written of environments that none of them plays now."""
        state = self._state[rows]
        self.episode[rows], self.played[rows] = state.episode, state.num_actions
        self.idle[rows] = state.idle

    def _assign(self, row: int, episode: int, actions: bytes) -> None:
        """Have an environment's game begin, and replay these actions, with the next `_launch`."""
        state = self._state
        self.episode[row] = state.episode[row] = episode
        self.gone[row] = state.idle[row] = False
        state.num_actions[row] = len(actions)
        state.log[row, : len(actions)] = np.frombuffer(actions, np.uint8)

    def _launch(self, rows: list[int]) -> dict[WorkerProcess, str]:
        """Begin the games assigned to `rows`, with what their logs hold.

        Returns the workers that are lost, each with its cause.
        """
        state = self._state
        state.begin[:] = False
        state.begin[rows] = True
        workers = [worker for worker in self._pool.workers if state.begin[worker.rows].any()]
        steps = int(state.num_actions[rows].sum())
        return self._pool.exchange(BEGIN, workers, steps * _SECONDS_PER_REPLAYED_STEP)
