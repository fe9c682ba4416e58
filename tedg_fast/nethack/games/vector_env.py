"""Many NetHack games at once, played by worker processes over shared memory.

The games form groups, so that one group can be played while the caller thinks about another:
`send` begins a step of a group, `receive` ends it. What comes out depends on the run seed, the
number of environments and of groups, and the actions and their order alone, never on the number
of workers or on timing: episode numbers, which determine the seeds, are given out in environment
order when all workers have finished a group's step. A worker that dies costs its own games only.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.actions import require_actions
from tedg_fast.nethack.games.episode import ENDINGS, Episode, GameState, episode_seeds
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.games.shared_state import create_memory, map_memory
from tedg_fast.nethack.games.worker import BEGIN, DIGEST, MAX_GROUPS, WorkerSetup, step_command
from tedg_fast.nethack.games.worker_pool import WorkerPool
from tedg_fast.nethack.games.worker_process import WorkerError, WorkerProcess

_MAX_DEATHS_IN_A_ROW = 3
# Generous: a step with its grounding takes at most a few milliseconds.
_SECONDS_PER_REPLAYED_STEP = 1e-2


@dataclass(frozen=True)
class StepResult:
    """What one step of a group of G environments, or of all, gave.

    `reward` float32 [G]; `terminated` and `truncated` bool [G], never both; `episodes` that ended
    in this step, in environment order; `lost` says in words what was lost to crashed workers, one
    message a worker, all its games included.
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
    hypergraph : grounds the observations.
    run_seed : with an episode's number it determines that episode's seeds.
    max_steps : steps after which an episode is truncated.
    character : NLE's character string.
    next_episode : the number of the first episode that will start.
    number_step : from one episode's number to the next, for several environments to share them.
    use_mask : False makes every action allowed.
    grounder : class, or other picklable callable, that makes a `Grounder` of the hypergraph and
        a number of games.
    num_groups : groups of consecutive environments, of nearly equal size; 2 (of a single
        environment 1) if not given.
    timeout : seconds after which a worker that does not answer counts as dead.

    Attributes
    ----------
    spec : ObservationSpec of the observations.
    groups : the environments of each group, as a slice.
    observation : [E, ...], what to act upon. After a step that ended an episode it is already the
        first observation of the next one. Overwritten by the next `receive`, a group's rows only:
        copy what is kept.
    final_observation : [E, ...], where the last step truncated an episode that episode's last
        valid observation; elsewhere meaningless.
    next_episode : the number that the next episode to start will get.
    crashes : workers lost so far.

    Raises ValueError for sizes below 1, more workers or groups than environments, more than
    `MAX_GROUPS` groups, or a negative seed or episode number; WorkerError if games cannot be
    started at all. After a WorkerError or an interrupt the environment is closed.
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
        number_step: int = 1,
        use_mask: bool = True,
        grounder: Callable[[Hypergraph, int], Grounder] = Grounder,
        num_groups: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        if num_groups is None:
            num_groups = min(2, num_envs)
        for name, value, least in (
            ("num_envs", num_envs, 1), ("num_workers", num_workers, 1),
            ("num_groups", num_groups, 1), ("max_steps", max_steps, 1),
            ("number_step", number_step, 1), ("run_seed", run_seed, 0),
            ("next_episode", next_episode, 0),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
            if name in ("num_workers", "num_groups") and value > num_envs:
                raise ValueError(f"{name} ({value}) exceeds num_envs ({num_envs})")
        if num_groups > MAX_GROUPS:
            raise ValueError(f"num_groups must be at most {MAX_GROUPS}, not {num_groups}")
        self.num_envs = num_envs
        self.next_episode = next_episode
        self._number_step = number_step
        self._run_seed = run_seed
        self._max_steps = max_steps
        make_grounder = partial(grounder, hypergraph)
        # Built here, too, so that a hypergraph it refuses is the caller's error, not a worker's.
        self.spec = make_grounder(1).spec
        self.observation = self.spec.empty(num_envs)
        self.final_observation = self.spec.empty(num_envs)

        bounds = [int(block[0]) for block in np.array_split(np.arange(num_envs), num_groups)]
        ranges = [range(*pair) for pair in zip(bounds, [*bounds[1:], num_envs])]
        self.groups = tuple(slice(rows.start, rows.stop) for rows in ranges)
        self._index = np.arange(num_envs)
        self._in_flight = [False] * num_groups
        self._episode = [-1] * num_envs
        # Lost with their worker and not begun anew yet.
        self._gone = np.zeros(num_envs, bool)
        self._lost: list[str] = []

        memory = create_memory(num_envs, max_steps, self.spec)
        self._state = map_memory(memory, num_envs, max_steps, self.spec)
        self._parts = [(self._state[rows], self.observation[rows]) for rows in self.groups]
        setup = WorkerSetup(make_grounder, num_envs, max_steps, character, use_mask)
        self._pool = WorkerPool(setup, memory, ranges, num_workers, timeout)

    def start(self) -> None:
        """Every environment begins a fresh episode, numbered in environment order.

        As `restore` and `games`, it raises RuntimeError between a `send` and its `receive`.
        """
        self._require_idle()
        with self._closed_on_error():
            self._begin(list(range(self.num_envs)), slice(None))
            self.observation.copy_from(self._state.observation)

    def restore(self, games: Sequence[GameState], next_episode: int) -> list[str]:
        """Replay `games` into the environments in order, and go on from there.

        Returns one message per game that could not be brought back exactly. Its environment
        begins a fresh episode instead, as does one for which there is no game.
        """
        self._require_idle()
        with self._closed_on_error():
            return self._restore(games, next_episode)

    def send(self, group: int, actions: np.ndarray) -> None:
        """Begin to play `actions` (integers, 0 to 22, one for each of the group's environments).

        Raises ValueError for anything else, and RuntimeError before `start`, after `close`, or
        when the group's last step was not received yet.
        """
        rows = self.groups[group]
        actions = require_actions(actions, rows.stop - rows.start)
        self._require_started()
        if self._in_flight[group]:
            raise RuntimeError(f"group {group} is playing already: call receive({group}) first")
        with self._closed_on_error():
            self._state.action[rows] = actions
            command = step_command(group)
            for worker in self._players(group):
                worker.send(command)
            self._in_flight[group] = True

    def receive(self, group: int) -> StepResult:
        """Wait until a group has played what was sent; rows are those of the group.

        Raises RuntimeError if nothing was sent.

        Where a worker was lost, its environments report a truncation with reward 0 and no
        Episode, `final_observation` holds their last observation, and fresh episodes begin: each
        group's when it is received.
        """
        self._require_open()
        if not self._in_flight[group]:
            raise RuntimeError(f"group {group} is not playing: call send({group}, ...) first")
        with self._closed_on_error():
            self._in_flight[group] = False
            return self._receive(group)

    def step(self, actions: np.ndarray) -> StepResult:
        """`send` and `receive` for all groups; `actions` and the result have all E rows."""
        actions = require_actions(actions, self.num_envs)
        self._require_started()
        self._require_idle()
        for group, rows in enumerate(self.groups):
            self.send(group, actions[rows])
        results = [self.receive(group) for group in range(len(self.groups))]
        return StepResult(
            np.concatenate([result.reward for result in results]),
            np.concatenate([result.terminated for result in results]),
            np.concatenate([result.truncated for result in results]),
            [episode for result in results for episode in result.episodes],
            [message for result in results for message in result.lost],
        )

    def games(self) -> list[GameState]:
        """Every running game, in environment order.

        A game whose worker is found dead has an empty hash; the next step reports the loss.
        """
        self._require_started()
        self._require_idle()
        with self._closed_on_error():
            lost = self._pool.exchange(DIGEST, self._pool.workers)
        hashes = [digest.tobytes().hex() for digest in self._state.digest]
        gone = np.flatnonzero(self._gone).tolist()
        for row in gone + [row for worker in lost for row in worker.rows]:
            hashes[row] = ""
        return [
            GameState(number, log[:length].tobytes(), digest)
            for number, log, length, digest in zip(
                self._episode, self._state.log, self._state.num_actions, hashes
            )
        ]

    @property
    def crashes(self) -> int:
        """Workers lost so far."""
        return self._pool.losses

    @property
    def left_out(self) -> tuple[int, int]:
        """Objects and rule instances beyond the limits, in all observations so far."""
        return tuple(self._state.left_out.sum(0).tolist())

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers, in the order of their first environments."""
        return [worker.pid for worker in self._pool.workers]

    def close(self) -> None:
        """End the workers and free everything they held. May be called twice."""
        self._pool.close()

    def __enter__(self) -> "VectorEnv":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _players(self, group: int) -> list[WorkerProcess]:
        """The workers that have games of a group."""
        return [
            worker
            for worker in self._pool.workers
            if (rows := worker.shares[group]) and not self._gone[rows.start]
        ]

    def _receive(self, group: int) -> StepResult:
        self._replace(self._pool.receive(step_command(group), self._players(group)))
        rows = self.groups[group]
        state, observation = self._parts[group]
        state.log[self._index[: len(state.action)], state.num_actions] = state.action
        state.num_actions += 1
        reward = state.reward.copy()
        terminated, truncated = state.terminated.copy(), state.truncated.copy()
        gone = self._gone[rows].nonzero()[0]
        if len(gone):  # their worker may have died halfway through writing
            reward[gone] = 0
            terminated[gone] = truncated[gone] = False
            kept = ~self._gone[rows]
            observation[kept] = state.observation[kept]
        else:
            observation.copy_from(state.observation)

        ended = (terminated | truncated).nonzero()[0] + rows.start
        episodes = [self._finished_episode(row) for row in ended]
        to_begin = sorted([*ended, *(gone + rows.start)])
        for row in self._begin(to_begin, rows) if to_begin else ():
            if not terminated[row - rows.start]:
                truncated[row - rows.start] = True
                self.final_observation[row] = self.observation[row]
            self.observation[row] = self._state.observation[row]
        messages, self._lost = self._lost, []
        return StepResult(reward, terminated, truncated, episodes, messages)

    def _restore(self, games: Sequence[GameState], next_episode: int) -> list[str]:
        messages = []
        self.next_episode = next_episode
        replayed = []
        for row, game in enumerate(games):
            problem = game.obstacle(self._max_steps)
            if row >= self.num_envs:
                problem = f"there are only {self.num_envs} environments"
            if problem:
                messages.append(f"episode {game.episode} was not restored: {problem}")
            else:
                self._assign(row, game.episode, game.actions)
                replayed.append(row)
        self._replace(self._launch(replayed))
        fresh = set(range(self.num_envs)).difference(replayed)
        for row in replayed:
            digest = self._state.digest[row].tobytes().hex()
            if self._gone[row] or digest != games[row].observation_hash:
                cause = "its worker died" if self._gone[row] else "another observation came out"
                messages.append(
                    f"episode {games[row].episode} was not restored: {cause} when its "
                    f"{len(games[row].actions)} actions were replayed"
                )
                fresh.add(row)
        self._begin(sorted(fresh), slice(None))
        self.observation.copy_from(self._state.observation)
        return messages

    def _begin(self, rows: list[int], scope: slice) -> list[int]:
        """Begin fresh episodes in `rows`, and in those of `scope` that are lost on the way.

        Returns all in which episodes began.
        """
        begun: set[int] = set()
        for _ in range(_MAX_DEATHS_IN_A_ROW):
            for row in rows:
                self._assign(row, self.next_episode, b"")
                self.next_episode += self._number_step
            begun.update(rows)
            self._replace(self._launch(rows))
            rows = (np.flatnonzero(self._gone[scope]) + (scope.start or 0)).tolist()
            if not rows:
                return sorted(begun)
        raise WorkerError(f"games cannot be started: {self._lost[-1]}")

    def _assign(self, row: int, episode: int, actions: bytes) -> None:
        self._episode[row] = episode
        self._gone[row] = False
        self._state.seeds[row] = episode_seeds(self._run_seed, episode)
        self._state.num_actions[row] = len(actions)
        self._state.log[row, : len(actions)] = np.frombuffer(actions, np.uint8)

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

    def _replace(self, lost: dict[WorkerProcess, str]) -> None:
        """Start new workers for the lost ones; all their games, of any group, are gone."""
        for worker, cause in lost.items():
            # A game gone before was reported then.
            rows = [row for row in worker.rows if not self._gone[row]]
            episodes = ", ".join(str(self._episode[row]) for row in rows)
            self._lost.append(f"game worker {worker.pid} {cause}; episodes lost: {episodes}")
            self._gone[rows] = True
            self._pool.replace(worker)

    def _finished_episode(self, row: int) -> Episode:
        *numbers, ending, killer = self._state.record[row].item()
        cause = killer.decode(errors="ignore")  # it may have been cut within a character
        return Episode(self._episode[row], *numbers, ENDINGS[ending], cause)

    def _require_open(self) -> None:
        if self._pool.closed:
            raise RuntimeError("this VectorEnv is closed: make a new one")

    def _require_started(self) -> None:
        self._require_open()
        if self._episode[0] < 0:
            raise RuntimeError("no games yet: call start() or restore() first")

    def _require_idle(self) -> None:
        self._require_open()
        for group, playing in enumerate(self._in_flight):
            if playing:
                raise RuntimeError(f"group {group} is playing: call receive({group}) first")

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """After an error or an interrupt, workers and trainer may be out of step for good."""
        try:
            yield
        except BaseException:
            self.close()
            raise
