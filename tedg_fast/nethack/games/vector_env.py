"""Many NetHack games at once, played by worker processes over shared memory.

A step is one *decision*: the caller gives an action, and the worker plays on by the rules until the
game comes to a state in which a decision is asked for (facts/grounder.py says where). Time passes
unequally in it, so it is a semi-Markov decision process (Sutton, Precup & Singh 1999).

The games form groups. `send` begins a step of a group, `receive` ends it, and several may be under
way, so that no game waits for the slowest. Or the workers decide, too: `rollout` has them take many
decisions in every game with a policy that they are given. What comes out depends on the run seed,
the numbers of environments and groups, and the actions alone, never on the number of workers or on
timing: an environment's episodes have numbers of their own, and with them seeds. A worker that dies
costs its own games only.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tedg_fast.nethack.actions import require_actions
from tedg_fast.nethack.facts.grounder import MARGIN, Decide, Grounder, by_rule
from tedg_fast.nethack.games.character import unplayable
from tedg_fast.nethack.games.episode import ENDINGS, Episode, GameState
from tedg_fast.nethack.games.rollouts import Rolled, Rollouts
from tedg_fast.nethack.games.seats import Seats
from tedg_fast.nethack.games.shared_state import RolloutSetup
from tedg_fast.nethack.games.step_result import ARRAYS, StepResult
from tedg_fast.nethack.games.worker import DIGEST, MAX_GROUPS, WorkerSetup, step_command
from tedg_fast.nethack.games.worker_pool import WorkerPool
from tedg_fast.nethack.games.worker_process import WorkerProcess

GROUP_SIZE = 8


class VectorEnv:
    """`num_envs` games in `num_workers` processes. Call `start` or `restore` first.

    Which environment plays which episode depends on when `deal` is called, and not on timing.

    Parameters
    ----------
    hypergraph : what `grounder` grounds the observations by, a `Hypergraph` for the default.
    run_seed : with an episode's number it determines that episode's seeds.
    max_steps : game steps after which an episode is truncated.
    character : NLE's character string, as "mon-hum-neu-mal", or "@" for any.
    prayer : whether there is an action to pray with, after the task's own.
    next_episode : the number of the first episode, and of those that follow
    number_step : how far apart they are, for several VectorEnvs to share them.
    unbegun : lower numbers that are to be played, too.
    limit : episodes of this number or above are not begun; an environment that would is idle.
    decide, margin, use_mask : as of `Grounder`.
    every_step : whether each game step is a decision, also where the rules would carry on; the
        observation's `rule_action` tells where, and with what.
    grounder : class, or other picklable callable, that makes a `Grounder` of the hypergraph, a
        number of games, and these settings, `prayer` and `max_steps` by their names.
    rollout : the policy that the workers are to play rollouts with, and how long these are.
    num_groups : groups of consecutive environments, of nearly equal size; by default as many as
        are needed for at most `GROUP_SIZE` environments each, but at least 2, and no more than
        `MAX_GROUPS`.
    timeout : seconds after which a worker that does not answer counts as dead.

    Attributes
    ----------
    spec : ObservationSpec of the observations.
    groups : the environments of each group, as a slice.
    observation : [E, ...], what to decide upon. After an episode has ended it is already of the
        next one. Overwritten by the next `receive`, a group's rows only: copy what is kept.
    final_observation : [E, ...], where the last step truncated an episode that episode's last
        valid observation; elsewhere meaningless.
    episode : int64 [E], the number of the episode that is played.
    played : int64 [E], the game steps of it that were played.
    idle : bool [E], where no episode is played any more. Actions for such environments are ignored,
        and in results their rows are zero.
    crashes : workers lost so far.
    rollouts : what the workers' policy has decided, and its weights; None without a `rollout`.

    Raises ValueError for a character that NetHack does not have, sizes below 1, more workers or
    groups than environments, more than `MAX_GROUPS` groups, a negative seed or episode number, or
    what the grounder refuses; WorkerError if games cannot be started at all. After a WorkerError
    or an interrupt the environment is closed.
    """

    def __init__(
        self,
        hypergraph: Any,
        *,
        num_envs: int,
        num_workers: int,
        run_seed: int,
        max_steps: int,
        character: str = "mon-hum-neu-mal",
        prayer: bool = False,
        next_episode: int = 0,
        number_step: int = 1,
        unbegun: Sequence[int] = (),
        limit: int | None = None,
        decide: Decide = "contested",
        margin: float = MARGIN,
        use_mask: bool = True,
        every_step: bool = False,
        grounder: Callable[..., Any] = Grounder,
        rollout: RolloutSetup | None = None,
        num_groups: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        if num_groups is None:
            num_groups = min(max(-(-num_envs // GROUP_SIZE), 2), num_envs, MAX_GROUPS)
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
        if rollout is not None and limit is not None:
            raise ValueError("a rollout goes on past any limit of episodes: give one of the two")
        if problem := unplayable(character):
            raise ValueError(problem)
        if num_groups > MAX_GROUPS:
            raise ValueError(f"num_groups must be at most {MAX_GROUPS}, not {num_groups}")
        self.num_envs, self._prayer = num_envs, prayer
        make_grounder = partial(
            grounder,
            hypergraph,
            decide=decide,
            margin=margin,
            use_mask=use_mask,
            prayer=prayer,
            max_steps=max_steps,
        )
        # Built here, too, so that a hypergraph it refuses is the caller's error, not a worker's.
        grounder_here = make_grounder(1)
        self.spec, self._rules = grounder_here.spec, grounder_here.rules
        self.observation = self.spec.empty(num_envs)
        self.final_observation = self.spec.empty(num_envs)

        bounds = [int(block[0]) for block in np.array_split(np.arange(num_envs), num_groups)]
        ranges = [range(*pair) for pair in zip(bounds, [*bounds[1:], num_envs])]
        self.groups = tuple(slice(rows.start, rows.stop) for rows in ranges)
        self._in_flight: list[int] = []  # groups, in the order they were sent

        stride = number_step * num_envs
        setup = WorkerSetup(
            make_grounder, num_envs, run_seed, max_steps, character, stride, limit, every_step,
            rollout,
        )  # fmt: skip
        layout = setup.memory(grounder_here)
        memory = layout.create()
        self._state, decisions, weights = layout.map(memory)
        self._state.discount[:] = 1
        self._pool = WorkerPool(setup, memory, ranges, num_workers, timeout)
        self._seats = seats = Seats(
            self._state, self._pool, max_steps, prayer, next_episode, number_step, limit, unbegun
        )
        self.episode, self.played, self.idle = seats.episode, seats.played, seats.idle
        self.rollouts: Rollouts | None = None
        if decisions is not None:
            self.rollouts = Rollouts(
                decisions, weights, self._state, seats, self._pool, num_groups, self._episode_of
            )

    def start(self) -> None:
        """Every environment begins an episode.

        As `deal`, `restore`, `games` and setting `discount`, it raises RuntimeError between a
        `send` and its `receive`.
        """
        self._require_idle()
        with self._closed_on_error():
            self._seats.deal()
            self._seats.begin(list(range(self.num_envs)))
            self._take_over(slice(None))

    def deal(self) -> None:
        """Deal out the numbers of the episodes that are to follow, the lowest ones first.

        Without it an environment goes on with numbers of its own, and the longer the games of one
        last the further behind are its numbers.
        """
        self._require_started()
        self._require_idle()
        with self._closed_on_error():
            self._seats.deal()
            self._take_over(slice(None))

    def restore(self, games: Sequence[GameState]) -> list[str]:
        """Replay `games` into the environments in order, and go on from there.

        Returns one message per game that could not be brought back exactly. Its environment
        begins another episode instead, as does one for which there is no game.
        """
        self._require_idle()
        with self._closed_on_error():
            messages = self._seats.restore(games)
            self._take_over(slice(None))
            return messages

    def send(self, group: int, actions: np.ndarray) -> None:
        """Begin to play `actions` (integers, 0 to 22, one for each of the group's environments).

        Raises ValueError for anything else, and RuntimeError before `start`, after `close`, or
        when the group's last step was not received yet.
        """
        rows = self.groups[group]
        actions = require_actions(actions, rows.stop - rows.start, self._prayer)
        self._require_started()
        if group in self._in_flight:
            raise RuntimeError(f"group {group} is playing already: call receive({group}) first")
        with self._closed_on_error():
            self._state.action[rows] = actions
            command = step_command(group)
            for worker in self._players(group):
                worker.send(command)
            self._in_flight.append(group)

    def receive(self, group: int) -> StepResult:
        """Wait until a group has come to its next decisions; rows are those of the group.

        Raises RuntimeError if nothing was sent.

        Where a worker was lost, its environments report a truncation after one game step with
        reward 0 and no Episode, `final_observation` holds their last observation, and their next
        episodes begin: each group's when it is received.
        """
        self._require_open()
        if group not in self._in_flight:
            raise RuntimeError(f"group {group} is not playing: call send({group}, ...) first")
        with self._closed_on_error():
            return self._receive(group)

    def receive_any(self) -> tuple[int, StepResult]:
        """Wait for whichever group comes to its next decisions first: its number, and as `receive`.

        Raises RuntimeError if nothing was sent.
        """
        self._require_open()
        if not self._in_flight:
            raise RuntimeError("no group is playing: call send first")
        with self._closed_on_error():
            waiting = {group: self._players(group) for group in self._in_flight}
            first = self._pool.first_done({step_command(g): w for g, w in waiting.items()})
            group = first[0]  # the command is the group's number
            return group, self._receive(group)

    def step(self, actions: np.ndarray) -> StepResult:
        """`send` and `receive` for all groups; `actions` and the result have all E rows."""
        actions = require_actions(actions, self.num_envs, self._prayer)
        self._require_started()
        self._require_idle()
        for group, rows in enumerate(self.groups):
            self.send(group, actions[rows])
        return StepResult.joined([self.receive(group) for group in range(len(self.groups))])

    def rollout(self) -> Rolled:
        """Play a rollout with every environment, and wait for it: see `rollouts`.

        Raises RuntimeError without a policy, before `start`, after `close`, or between a `send` and
        its `receive`.
        """
        if self.rollouts is None:
            raise RuntimeError("the workers have no policy: make the VectorEnv with a rollout")
        self._require_started()
        self._require_idle()
        with self._closed_on_error():
            rolled = self.rollouts.play()
            self._take_over(slice(None))
        return rolled

    def games(self) -> list[GameState]:
        """Every running game, in environment order.

        A game whose worker is found dead has an empty hash; the next step reports the loss.
        """
        self._require_started()
        self._require_idle()
        with self._closed_on_error():
            lost = self._pool.exchange(DIGEST, self._pool.workers)
        hashes = [digest.tobytes().hex() for digest in self._state.digest]
        gone = np.flatnonzero(self._seats.gone).tolist()
        for row in gone + [row for worker in lost for row in worker.rows]:
            hashes[row] = ""
        return [
            GameState(number, log[:length].tobytes(), digest)
            for number, log, length, digest, idle in zip(
                self.episode.tolist(), self._state.log, self.played, hashes, self.idle
            )
            if not idle
        ]

    @property
    def discount(self) -> float:
        """By what a reward counts less for each game step after the decision; 1 at first."""
        return float(self._state.discount[0])

    @discount.setter
    def discount(self, discount: float) -> None:
        self._require_idle()
        self._state.discount[:] = discount

    @property
    def next_episode(self) -> int:
        """The lowest number above those of all episodes begun when numbers were last dealt: from
        it, and with the `unbegun` ones, a VectorEnv with any number of environments may go on."""
        return self._seats.next_episode

    @property
    def unbegun(self) -> list[int]:
        """The numbers below `next_episode` of which no episode was begun until then, rising."""
        return list(self._seats.unbegun)

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

    @property
    def closed(self) -> bool:
        """Whether it is of no use any more."""
        return self._pool.closed

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
            if (rows := worker.shares[group]) and not self._seats.gone[rows.start]
        ]

    def _receive(self, group: int) -> StepResult:
        seats = self._seats
        seats.lose(self._pool.receive(step_command(group), self._players(group)))
        self._in_flight.remove(group)
        rows = self.groups[group]
        state, final = self._state[rows], self.final_observation[rows]
        arrays = {name: getattr(state, name).copy() for name in ARRAYS}
        gone = seats.gone[rows].nonzero()[0]
        for array in arrays.values() if len(gone) else ():
            array[gone] = 0  # their worker may have died halfway through writing
        cut = arrays["truncated"].nonzero()[0]
        if len(cut):
            final[cut] = state.last[cut]
        ended = (arrays["terminated"] | arrays["truncated"]).nonzero()[0] + rows.start
        episodes = [
            self._episode_of(self._state.record[row], self._state.decided[row]) for row in ended
        ]
        if len(gone):
            lost = gone[~self.idle[rows][gone]]
            final[lost] = self.observation[rows][lost]
            arrays["length"][lost], arrays["truncated"][lost] = 1, True
            seats.begin((gone + rows.start).tolist())
        self._take_over(rows)
        messages, seats.messages = seats.messages, []
        return StepResult(**arrays, episodes=episodes, lost=messages)

    def _take_over(self, rows: slice) -> None:
        """Copy what the workers have written of environments that none of them plays now."""
        self.observation[rows].copy_from(self._state.observation[rows])
        self._seats.take_over(rows)

    def _episode_of(self, record: Any, decided_by: np.ndarray) -> Episode:
        *numbers, ending, killer = record.item()
        cause = killer.decode(errors="ignore")  # it may have been cut within a character
        decided = by_rule(self._rules, decided_by)
        return Episode(*numbers, ENDINGS[ending], cause, decided)  # type: ignore[call-arg]  # as in RECORD

    def _require_open(self) -> None:
        if self._pool.closed:
            raise RuntimeError("this VectorEnv is closed: make a new one")

    def _require_started(self) -> None:
        self._require_open()
        if self.episode[0] < 0:
            raise RuntimeError("no games yet: call start() or restore() first")

    def _require_idle(self) -> None:
        self._require_open()
        for group in self._in_flight:
            raise RuntimeError(f"group {group} is playing: call receive({group}) first")

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """After an error or an interrupt, workers and trainer may be out of step for good."""
        try:
            yield
        except BaseException:
            self.close()
            raise
