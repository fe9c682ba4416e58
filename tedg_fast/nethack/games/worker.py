"""The process that plays several games: its share of every group.

It is told what to do by single bytes on a socket and finds everything else in shared memory. It
carries out one command after the other and answers each with one byte. It ends when the socket
closes, thus also when the trainer dies, and takes the temporary files of its games along.
"""

import contextlib
import os
import pickle
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import CONTESTED
from tedg_fast.nethack.games.episode import ENDINGS, episode_seeds
from tedg_fast.nethack.games.game import Game, empty_observations
from tedg_fast.nethack.games.shared_state import Decisions, Memory, RolloutSetup, SharedState

# A command below MAX_GROUPS is the number of the group that is to play; the others concern all
# groups. Then the two answers; after FAILED comes the text of the exception.
MAX_GROUPS = 128
BEGIN, DIGEST = b"\xfe", b"\xff"
DONE, FAILED = b".", b"!"

# A game that hangs holds the interpreter, so only a signal can end this process when the trainer
# is no longer there to do it. Counted in processor time: waiting for a command costs none.
_CPU_SECONDS_PER_GAME = 120


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker of one VectorEnv must know.

    `stride` is how far apart the numbers of an environment's own are (see Seats); episodes from
    `limit` on are not begun. With `every_step` the games stop after each step, whatever the rules
    would do. With a `rollout` the workers may decide, too.
    """

    make_grounder: Callable[[int], Grounder]
    num_envs: int
    run_seed: int
    max_steps: int
    character: str
    stride: int
    limit: int | None
    every_step: bool
    rollout: RolloutSetup | None

    def memory(self, grounder: Grounder) -> Memory:
        """How the shared memory is divided, for games grounded by `grounder`."""
        rules = len(grounder.rules)
        return Memory(self.num_envs, self.max_steps, grounder.spec, rules, self.rollout)


def step_command(group: int) -> bytes:
    """The command to play every game of a group on to its next decision."""
    return bytes((group,))


class Share:
    """A worker's games of one group: environments `first` to `first + count - 1`."""

    def __init__(self, setup: WorkerSetup, memory: int, first: int, count: int) -> None:
        self._setup, self._first = setup, first
        self._grounder = setup.make_grounder(count)
        state, decisions, weights = setup.memory(self._grounder).map(memory)
        self._state = state = state[first : first + count]
        self._logs = [log.data for log in state.log]
        self._left_out = (0, 0)
        raw = empty_observations(count)
        self._rows = self._grounder.bind(raw, state.observation, state.last, state.shown)
        self._games = [
            Game(raw[game], max_steps=setup.max_steps, character=setup.character)
            for game in range(count)
        ]
        if setup.rollout is not None and decisions is not None:
            self._decisions = decisions.flat()
            player = setup.rollout.player.player(weights)
            self._actor = _native_grounding.Actor(
                player, state.observation, state.last, self._decisions
            )

    def play(self) -> None:
        """Play every game on: from its decision to the next, or a whole rollout."""
        state = self._state
        discount = float(state.discount[0])
        rollout = state.rollout[0] and self._setup.rollout
        if not rollout:
            _clear(state)
        for index in (~state.idle).nonzero()[0].tolist():
            if rollout:
                self._play_rollout(index, discount, rollout.decisions)
            else:
                self._play(index, discount, state.action.item(index), state, index)
        self._count_left_out()

    def _play_rollout(self, index: int, discount: float, decisions: int) -> None:
        """Take so many decisions in a game as the policy says."""
        # One game at a time: the others' memory would not fit into the core's cache beside it.
        out, actor, envs = self._decisions, self._actor, self._setup.num_envs
        env = self._first + index
        _clear(out[env::envs])
        for row in range(env, env + decisions * envs, envs):
            self._play(index, discount, actor.act(index, row), out, row)
            if out.truncated[row]:
                actor.judge_last(index, row)
        if not out.truncated[row]:
            actor.judge(index, row)

    def _play(
        self, index: int, discount: float, action: int, out: SharedState | Decisions, row: int
    ) -> None:
        """Carry out what was decided in a game, then the rules until a decision is asked for. What
        that leads to is written to a row of `out`, which was cleared.

        Where the episode ends on the way, the next one begins.
        """
        _limit_cpu_time()
        state, game, rows, log = self._state, self._games[index], self._rows, self._logs[index]
        step, take_in, every_step = game.step, rows.take_in, self._setup.every_step
        begun = length = game.length
        reward, weight = 0.0, 1.0
        while True:
            log[length] = action
            length += 1
            reward += weight * step(action)
            weight *= discount
            if game.terminated:
                self._grounder.end(index, action)
                break
            action = take_in(index, action)
            if length == begun + 1:
                rows.write_shown()
                if out is not state:
                    out.shown[row] = state.shown[index]
                out.follows[row] = True
            if game.truncated:
                rows.write_last()
                break
            if every_step or action == CONTESTED:
                rows.write()
                break
        out.reward[row] = reward
        out.length[row] = length - begun
        state.num_actions[index] = length
        if game.terminated or game.truncated:
            self._finish(index, out, row)

    def _finish(self, index: int, out: SharedState | Decisions, row: int) -> None:
        """Record the episode that has ended, and begin the next unless it is beyond the limit."""
        state, game = self._state, self._games[index]
        out.terminated[row], out.truncated[row] = game.terminated, game.truncated
        out.record[row] = (
            state.episode[index],
            game.reward,
            game.length,
            game.true_score,
            game.last_observation_score,
            game.depth,
            ENDINGS.index(game.ending),
            game.killer.encode(),
        )
        out.decided[row] = self._grounder.decided(index)
        number = int(state.next_episode[index])
        if self._setup.limit is not None and number >= self._setup.limit:
            state.idle[index] = True
            return
        state.next_episode[index] = state.later_episode[index]
        state.later_episode[index] += self._setup.stride
        state.episode[index] = number
        state.num_actions[index] = 0
        self._begin(index)

    def begin(self) -> None:
        """Begin the marked games, replay their action logs, write their digests.

        A game that ends before its log does stays over, and its digest is zero.
        """
        for index in np.flatnonzero(self._state.begin).tolist():
            self._begin(index)
            self._write_digest(index)
        self._count_left_out()

    def _begin(self, index: int) -> None:
        """Begin an environment's episode, and play what its log holds of it."""
        _limit_cpu_time()
        state, game, rows = self._state, self._games[index], self._rows
        game.start(*episode_seeds(self._setup.run_seed, int(state.episode[index])))
        self._grounder.reset(index)
        rows.take_in(index, -1)
        for action in self._logs[index][: state.num_actions[index]]:
            game.step(action)
            if game.terminated:
                return
            rows.take_in(index, action)
        rows.write()

    def digest(self) -> None:
        """Write the digest of every game's raw observation."""
        for index in range(len(self._games)):
            self._write_digest(index)

    def close(self) -> None:
        """End the games and remove their files."""
        for game in self._games:
            game.close()

    def _count_left_out(self) -> None:
        """Adds what the grounder has left out since; a worker before this one may have begun."""
        left_out = self._grounder.left_out
        if left_out != self._left_out:
            self._state.left_out[0] += np.subtract(left_out, self._left_out)
            self._left_out = left_out

    def _write_digest(self, index: int) -> None:
        digest = self._games[index].observation_digest()
        self._state.digest[index] = np.frombuffer(digest, np.uint8)


def main() -> None:
    """Serve until the trainer hangs up.

    Arguments on the command line: the file descriptors of the socket, of the shared memory and
    of the pickled WorkerSetup; then for each group the first environment and how many, which may
    be none. TMPDIR is this worker's own.
    """
    # Ctrl-C and a shutdown's SIGTERM go to everyone; when to stop is the trainer's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Where there are fewer cores than processes, a command must not push the trainer, which is on
    # its way to the other group, off its core.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    control, memory, setup_file, *blocks = map(int, sys.argv[1:])
    connection = socket.socket(fileno=control)
    # All workers share this file's offset, hence not read().
    setup = pickle.loads(os.pread(setup_file, os.fstat(setup_file).st_size, 0))
    shares: dict[bytes, Share] = {}
    try:
        for group, (first, count) in enumerate(zip(blocks[::2], blocks[1::2])):
            if count:
                shares[step_command(group)] = Share(setup, memory, first, count)
        while command := connection.recv(1):
            if command == BEGIN:
                for share in shares.values():
                    share.begin()
            elif command == DIGEST:
                for share in shares.values():
                    share.digest()
            else:
                shares[command].play()
            connection.send(DONE)
    except ConnectionError:
        pass
    except Exception:
        with contextlib.suppress(OSError):
            connection.sendall(FAILED + traceback.format_exc().encode())
    finally:
        for share in shares.values():
            share.close()
        directory = os.environ["TMPDIR"]
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(directory))  # only the last worker finds it empty


def _clear(rows: SharedState | Decisions) -> None:
    """Nothing is known of what these decisions lead to."""
    for array in (rows.reward, rows.length, rows.shown):
        array[:] = 0
    rows.terminated[:] = rows.truncated[:] = rows.follows[:] = False


def _limit_cpu_time() -> None:
    """Let the kernel end this process unless called again within `_CPU_SECONDS_PER_GAME`."""
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS_PER_GAME)
