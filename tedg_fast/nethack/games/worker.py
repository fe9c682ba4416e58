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
from nle import nethack

from tedg_fast.nethack.games.episode import ENDINGS
from tedg_fast.nethack.games.game import Game
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS, RawObservation
from tedg_fast.nethack.games.shared_state import map_memory

# A command below MAX_GROUPS is the number of the group that is to step; the others concern all
# groups. Then the two answers; after FAILED comes the text of the exception.
MAX_GROUPS = 128
BEGIN, DIGEST = b"\xfe", b"\xff"
DONE, FAILED = b".", b"!"

# A game that hangs holds the interpreter, so only a signal can end this process when the trainer
# is no longer there to do it. Counted in processor time: waiting for a command costs none.
_CPU_SECONDS_PER_STEP = 120


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker of one VectorEnv must know."""

    make_grounder: Callable[[int], Grounder]
    num_envs: int
    max_steps: int
    character: str
    use_mask: bool


def step_command(group: int) -> bytes:
    """The command to play one action in every game of a group."""
    return bytes((group,))


class Share:
    """A worker's games of one group: environments `first` to `first + count - 1`."""

    def __init__(self, setup: WorkerSetup, memory: int, first: int, count: int) -> None:
        self._grounder = setup.make_grounder(count)
        state = map_memory(memory, setup.num_envs, setup.max_steps, self._grounder.spec)
        self._state = state[first : first + count]
        self._use_mask = setup.use_mask
        self._last_action = np.full(count, -1, np.int64)
        self._left_out = (0, 0)
        arrays = {}
        for key in OBSERVATION_KEYS:
            shape, dtype = nethack.OBSERVATION_DESC[key].values()
            arrays[key] = np.zeros((count, *shape), dtype)
        self._raw = RawObservation(**arrays)
        self._games = [
            Game(self._raw[game], max_steps=setup.max_steps, character=setup.character)
            for game in range(count)
        ]

    def step(self) -> None:
        """Play one action in every game; fill reward, flags, records and observations."""
        state = self._state
        _limit_cpu_time()
        state.terminated[:] = state.truncated[:] = False
        rewards = []
        for index, (game, action) in enumerate(zip(self._games, state.action.tolist())):
            rewards.append(game.step(action))
            if game.terminated or game.truncated:
                state.terminated[index] = game.terminated
                state.truncated[index] = game.truncated
                state.record[index] = (
                    game.reward,
                    game.length,
                    game.true_score,
                    game.last_observation_score,
                    game.depth,
                    ENDINGS.index(game.ending),
                    game.killer.encode(),
                )
        state.reward[:] = rewards
        self._last_action[:] = state.action
        self._grounder(self._raw, self._last_action, state.observation)
        self._count_left_out()
        self._apply_mask_setting()

    def begin(self) -> None:
        """Begin the marked games from their seeds, replay their action logs, write their digests.

        A game that ends before its log does stays over, and its digest is zero.
        """
        state = self._state
        marked = np.flatnonzero(state.begin)
        if not len(marked):
            return
        for index in marked:
            _limit_cpu_time()
            core_seed, display_seed = state.seeds[index].tolist()
            self._games[index].start(core_seed, display_seed)
            self._grounder.reset(index)
        self._last_action[marked] = -1
        self._observe(marked)
        for position in range(state.num_actions[marked].max(initial=0)):
            _limit_cpu_time()
            playing = np.array(
                [
                    index
                    for index in marked[state.num_actions[marked] > position]
                    if not self._games[index].terminated
                ],
                np.int64,
            )
            if not len(playing):  # games that differ from the logged ones may all have ended
                break
            self._last_action[playing] = state.log[playing, position]
            for index in playing:
                self._games[index].step(self._last_action[index])
            self._observe(playing)
        self._write_digests(marked)

    def digest(self) -> None:
        """Write the digest of every game's raw observation."""
        self._write_digests(np.arange(len(self._games)))

    def close(self) -> None:
        """End the games and remove their files."""
        for game in self._games:
            game.close()

    def _observe(self, games: np.ndarray) -> None:
        """Ground the observations of some games; the grounder's rows are these games only."""
        seen = self._grounder.spec.empty(len(games))
        self._grounder(self._raw[games], self._last_action[games], seen, games)
        self._state.observation[games] = seen
        self._count_left_out()
        self._apply_mask_setting()

    def _count_left_out(self) -> None:
        """Adds what the grounder has left out since; a worker before this one may have begun."""
        left_out = self._grounder.left_out
        if left_out != self._left_out:
            self._state.left_out[0] += np.subtract(left_out, self._left_out)
            self._left_out = left_out

    def _apply_mask_setting(self) -> None:
        if not self._use_mask:
            self._state.observation.action_mask[:] = True

    def _write_digests(self, games: np.ndarray) -> None:
        for index in games:
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
                shares[command].step()
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


def _limit_cpu_time() -> None:
    """Let the kernel end this process unless called again within `_CPU_SECONDS_PER_STEP`."""
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS_PER_STEP)
