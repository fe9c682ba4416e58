"""Many NetHack games at once, played by worker processes over shared memory.

What comes out depends on the run seed, the number of environments and the actions alone, never on
the number of workers or on timing: episode numbers, which determine the seeds, are given out in
environment order when all workers have finished a step. A worker that dies costs its own games
only.
"""

import contextlib
import os
import pickle
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.episode import ENDINGS, Episode, GameState, episode_seeds
from tedg_fast.nethack.grounding import Grounder
from tedg_fast.nethack.shared_state import create_memory, map_memory
from tedg_fast.nethack.worker import BEGIN, DIGEST, STEP, WorkerSetup
from tedg_fast.nethack.worker_process import WorkerError, WorkerProcess

_MAX_DEATHS_IN_A_ROW = 3
# Generous: a step with its grounding takes at most a few milliseconds.
_SECONDS_PER_REPLAYED_STEP = 1e-2


@dataclass(frozen=True)
class StepResult:
    """What one step of every environment gave.

    `reward` float32 [E]; `terminated` and `truncated` bool [E], never both; `episodes` that ended
    in this step, in environment order; `lost` says in words what was lost to crashed workers.
    """

    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    episodes: list[Episode]
    lost: list[str]


class VectorEnv:
    """`num_envs` games in `num_workers` processes. Call `start` or `restore` first.

    Parameters
    ----------
    hypergraph : grounds the observations; see `Grounder` for the error where a condition has no
        detector.
    run_seed : with an episode's number it determines that episode's seeds.
    max_steps : steps after which an episode is truncated.
    character : NLE's character string.
    next_episode : the number of the first episode that will start.
    use_mask : False makes every action allowed.
    grounder : class, or other picklable callable, that makes a `Grounder` of the hypergraph and
        a number of games.
    timeout : seconds after which a worker that does not answer counts as dead.

    Attributes
    ----------
    spec : ObservationSpec of the observations.
    observation : [E, ...], what to act upon. After a step that ended an episode it is already the
        first observation of the next one. Overwritten by the next step: copy what is kept.
    final_observation : [E, ...], where the last step truncated an episode that episode's last
        valid observation; elsewhere meaningless.
    next_episode : the number that the next episode to start will get.
    crashes : workers lost so far.

    Raises ValueError for sizes below 1, more workers than environments, or a negative seed or
    episode number; WorkerError if games cannot be started at all. After a WorkerError or an
    interrupt the environment is closed.
    """

    def __init__(
        self,
        hypergraph: Hypergraph,
        *,
        num_envs: int,
        num_workers: int,
        run_seed: int,
        max_steps: int,
        character: str = "mon-hum-neu-mal",
        next_episode: int = 0,
        use_mask: bool = True,
        grounder: Callable[[Hypergraph, int], Grounder] = Grounder,
        timeout: float = 60.0,
    ) -> None:
        for name, value, least in (
            ("num_envs", num_envs, 1),
            ("num_workers", num_workers, 1),
            ("max_steps", max_steps, 1),
            ("run_seed", run_seed, 0),
            ("next_episode", next_episode, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if num_workers > num_envs:
            raise ValueError(f"num_workers ({num_workers}) exceeds num_envs ({num_envs})")
        self.num_envs = num_envs
        self.next_episode = next_episode
        self.crashes = 0
        self._run_seed = run_seed
        self._max_steps = max_steps
        self._timeout = timeout
        make_grounder = partial(grounder, hypergraph)
        # Built here, too, so that a hypergraph it refuses is the caller's error, not a worker's.
        self.spec = make_grounder(1).spec
        self.observation = self.spec.empty(num_envs)
        self.final_observation = self.spec.empty(num_envs)

        memory = create_memory(num_envs, max_steps, self.spec)
        self._state = map_memory(memory, num_envs, max_steps, self.spec)
        setup = os.memfd_create("tedg-setup")
        options = WorkerSetup(make_grounder, num_envs, max_steps, character, use_mask)
        os.write(setup, pickle.dumps(options))
        directory = Path(tempfile.mkdtemp(prefix="tedg-games-"))
        self._episode = [-1] * num_envs
        self._rows = np.arange(num_envs)
        self._lost: list[str] = []
        self._workers: list[WorkerProcess] = []
        self._release = weakref.finalize(
            self, _release, self._workers, [memory, setup], directory
        )

        def new_worker(rows: range) -> WorkerProcess:
            return WorkerProcess(memory, setup, rows, Path(tempfile.mkdtemp(dir=directory)))

        self._new_worker: Callable[[range], WorkerProcess] = new_worker
        for block in np.array_split(self._rows, num_workers):
            self._workers.append(new_worker(range(block[0], block[-1] + 1)))

    def start(self) -> None:
        """Every environment begins a fresh episode, numbered in environment order."""
        self._require_open()
        with self._closed_on_error():
            self._begin(list(range(self.num_envs)))
            self.observation.copy_from(self._state.observation)

    def restore(self, games: Sequence[GameState], next_episode: int) -> list[str]:
        """Replay `games` into the environments in order, and go on from there.

        Returns one message per game that could not be brought back exactly. Its environment
        begins a fresh episode instead, as does one for which there is no game.
        """
        self._require_open()
        with self._closed_on_error():
            return self._restore(games, next_episode)

    def step(self, actions: np.ndarray) -> StepResult:
        """Play `actions` (integers [E], 0 to 22).

        Raises ValueError for anything else, and RuntimeError before `start` or after `close`.

        Where a worker was lost, its environments report a truncation with reward 0 and no
        Episode, `final_observation` holds their last observation, and fresh episodes begin.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be {self.num_envs} integers, not "
                f"{actions.dtype} of shape {actions.shape}"
            )
        if actions.min() < 0 or actions.max() >= NUM_ACTIONS:
            raise ValueError(f"actions must lie in 0..{NUM_ACTIONS - 1}, not {actions}")
        self._require_started()
        with self._closed_on_error():
            return self._step(actions)

    def games(self) -> list[GameState]:
        """Every running game, in environment order.

        A game whose worker is found dead has an empty hash; the next step reports the loss.
        """
        self._require_started()
        with self._closed_on_error():
            lost = self._exchange(DIGEST, self._workers)
        hashes = [digest.tobytes().hex() for digest in self._state.digest]
        for worker in lost:
            for row in worker.rows:
                hashes[row] = ""
        return [
            GameState(number, log[:length].tobytes(), digest)
            for number, log, length, digest in zip(
                self._episode, self._state.log, self._state.num_actions, hashes
            )
        ]

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers, in environment order."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """End the workers and free everything they held. May be called twice."""
        self._release()

    def __enter__(self) -> "VectorEnv":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _step(self, actions: np.ndarray) -> StepResult:
        state = self._state
        state.action[:] = actions
        lost = self._exchange(STEP, self._workers)
        state.log[self._rows, state.num_actions] = actions
        state.num_actions += 1
        reward = state.reward.copy()
        terminated = state.terminated.copy()
        truncated = state.truncated.copy()
        for worker in self._workers:
            rows = slice(worker.rows.start, worker.rows.stop)
            if worker in lost:  # it may have died halfway through writing
                reward[rows] = 0
                terminated[rows] = truncated[rows] = False
            else:
                self.observation[rows] = state.observation[rows]

        ended = np.flatnonzero(terminated | truncated).tolist()
        episodes = [self._finished_episode(row) for row in ended]
        begun = self._begin(sorted(ended + self._replace(lost))) if ended or lost else []
        for row in begun:
            if not terminated[row]:
                truncated[row] = True
                self.final_observation[row] = self.observation[row]
            self.observation[row] = state.observation[row]
        messages, self._lost = self._lost, []
        return StepResult(reward, terminated, truncated, episodes, messages)

    def _restore(self, games: Sequence[GameState], next_episode: int) -> list[str]:
        messages = []
        self.next_episode = next_episode
        replayed = []
        for row, game in enumerate(games):
            problem = self._obstacle(row, game)
            if problem:
                messages.append(f"episode {game.episode} was not restored: {problem}")
            else:
                self._assign(row, game.episode, game.actions)
                replayed.append(row)
        lost_rows = self._replace(self._launch(replayed))
        fresh = set(range(self.num_envs)).difference(replayed)
        for row in replayed:
            digest = self._state.digest[row].tobytes().hex()
            if row in lost_rows or digest != games[row].observation_hash:
                cause = "its worker died" if row in lost_rows else "another observation came out"
                messages.append(
                    f"episode {games[row].episode} was not restored: {cause} when its "
                    f"{len(games[row].actions)} actions were replayed"
                )
                fresh.add(row)
        self._begin(sorted(fresh))
        self.observation.copy_from(self._state.observation)
        return messages

    def _obstacle(self, row: int, game: GameState) -> str:
        """Why a game cannot even be replayed; empty if it can."""
        if row >= self.num_envs:
            return f"there are only {self.num_envs} environments"
        if len(game.actions) >= self._max_steps:
            return f"it is {len(game.actions)} steps long, the limit is {self._max_steps}"
        if max(game.actions, default=0) >= NUM_ACTIONS:
            return f"its log holds action {max(game.actions)}, the last is {NUM_ACTIONS - 1}"
        return ""

    def _begin(self, rows: list[int]) -> list[int]:
        """Begin fresh episodes in `rows`; returns these and those lost on the way, all begun."""
        begun: set[int] = set()
        for _ in range(_MAX_DEATHS_IN_A_ROW):
            for row in rows:
                self._assign(row, self.next_episode, b"")
                self.next_episode += 1
            begun.update(rows)
            rows = self._replace(self._launch(rows))
            if not rows:
                return sorted(begun)
        raise WorkerError(f"games cannot be started: {self._lost[-1]}")

    def _assign(self, row: int, episode: int, actions: bytes) -> None:
        self._episode[row] = episode
        self._state.seeds[row] = episode_seeds(self._run_seed, episode)
        self._state.num_actions[row] = len(actions)
        self._state.log[row, : len(actions)] = np.frombuffer(actions, np.uint8)

    def _launch(self, rows: list[int]) -> dict[WorkerProcess, str]:
        """Begin the games assigned to `rows`, with what their logs hold; as `_exchange`."""
        state = self._state
        state.begin[:] = False
        state.begin[rows] = True
        workers = [worker for worker in self._workers if state.begin[worker.rows].any()]
        steps = int(state.num_actions[rows].sum())
        return self._exchange(BEGIN, workers, steps * _SECONDS_PER_REPLAYED_STEP)

    def _exchange(
        self, command: bytes, workers: list[WorkerProcess], extra_seconds: float = 0.0
    ) -> dict[WorkerProcess, str]:
        """Have `workers` carry out a command; returns those that are lost, each with its cause."""
        for worker in workers:
            worker.send(command)
        deadline = time.monotonic() + self._timeout + extra_seconds
        answers = {worker: worker.receive(deadline) for worker in workers}
        return {worker: cause for worker, cause in answers.items() if cause is not None}

    def _replace(self, lost: dict[WorkerProcess, str]) -> list[int]:
        """Start new workers for the lost ones; returns their environments, which have no game."""
        rows: list[int] = []
        for worker, cause in lost.items():
            episodes = ", ".join(str(self._episode[row]) for row in worker.rows)
            self._lost.append(f"game worker {worker.pid} {cause}; episodes lost: {episodes}")
            self.crashes += 1
            self._workers[self._workers.index(worker)] = self._new_worker(worker.rows)
            rows += worker.rows
        return rows

    def _finished_episode(self, row: int) -> Episode:
        *numbers, ending, killer = self._state.record[row].item()
        cause = killer.decode(errors="ignore")  # it may have been cut within a character
        return Episode(self._episode[row], *numbers, ENDINGS[ending], cause)

    def _require_open(self) -> None:
        if not self._release.alive:
            raise RuntimeError("this VectorEnv is closed: make a new one")

    def _require_started(self) -> None:
        self._require_open()
        if self._episode[0] < 0:
            raise RuntimeError("no games yet: call start() or restore() first")

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """After an error or an interrupt, workers and trainer may be out of step for good."""
        try:
            yield
        except BaseException:
            self.close()
            raise


def _release(workers: list[WorkerProcess], descriptors: list[int], directory: Path) -> None:
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.join()
    for descriptor in descriptors:
        os.close(descriptor)
    shutil.rmtree(directory, ignore_errors=True)
