"""Workers and trainers that die, hang or fail: what is lost, and what must not be left behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from vector_games import allowed_actions, assert_same, make_env

from tedg_fast.nethack.games.worker_process import WorkerError

# Five environments in groups of three and two; the rows of the second worker of so many.
ROWS = {2: [3, 4], 3: [1, 4]}


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def steps_with_a_loss(harm, cause, num_workers=3, **settings):
    """Play beside an undisturbed twin; `harm` the second worker's process on the way."""
    rng = np.random.default_rng(0)
    lost = ROWS[num_workers]
    kept = [row for row in range(5) if row not in lost]
    settings |= {"max_steps": 500, "num_workers": num_workers}
    with make_env(max_steps=500) as twin, make_env(**settings) as env:
        for each in (twin, env):
            each.start()
        for _ in range(20):
            actions = allowed_actions(twin, rng)
            twin.step(actions)
            env.step(actions)
        before = env.observation.copy()
        pids = env.worker_pids
        harm(env, pids[1])
        actions = allowed_actions(twin, rng)
        expected, result = twin.step(actions), env.step(actions)

        assert env.crashes == 1
        assert result.lost == [
            f"game worker {pids[1]} {cause}; episodes lost: {lost[0]}, {lost[1]}"
        ]
        assert result.episodes == []
        assert np.flatnonzero(result.truncated).tolist() == lost
        assert not result.terminated.any()
        assert not result.reward[lost].any() and not result.follows[lost].any()
        assert (result.length == 1).all()
        assert_same(env.final_observation[lost], before[lost])
        numbers, lengths = list(range(5)), [21] * 5
        for row in lost:
            numbers[row], lengths[row] = row + 5, 0
        assert [game.episode for game in env.games()] == numbers
        assert [len(game.actions) for game in env.games()] == lengths
        assert not is_running(pids[1])
        assert env.worker_pids[0] == pids[0]

        # The others never noticed, and the new games are the ones their numbers say.
        assert_same(result.reward[kept], expected.reward[kept])
        with make_env(next_episode=5) as fresh:
            fresh.start()
            assert_same(env.observation[lost], fresh.observation[lost])
        for _ in range(30):
            actions = allowed_actions(twin, rng)
            actions[lost] = 0
            expected, result = twin.step(actions), env.step(actions)
            assert result.lost == []
            assert_same(result.reward[kept], expected.reward[kept])
            assert_same(env.observation[kept], twin.observation[kept])
        for mine, theirs in zip(env.games(), twin.games()):
            assert (mine == theirs) == (theirs.episode in kept)


@pytest.mark.parametrize("num_workers", ROWS)
def test_a_killed_worker_costs_its_own_games_only(num_workers):
    def kill(env, pid):
        os.kill(pid, signal.SIGKILL)

    steps_with_a_loss(kill, "was killed by SIGKILL", num_workers)


def test_a_hung_worker_is_killed_after_a_bounded_time():
    def stop(env, pid):
        os.kill(pid, signal.SIGSTOP)

    started = time.monotonic()
    steps_with_a_loss(stop, "did not answer in time and was killed", timeout=6.0)
    assert time.monotonic() - started < 60


def test_a_worker_found_dead_while_saving_is_reported_by_the_next_step():
    def kill_and_save(env, pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))
        games = env.games()
        assert [row for row in range(5) if games[row].observation_hash == ""] == ROWS[3]
        assert all(len(game.actions) == 20 for game in games)

    steps_with_a_loss(kill_and_save, "was killed by SIGKILL")


@pytest.mark.parametrize("when", ["before a send", "in flight", "after an answer"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_worker_that_dies_between_groups_loses_each_when_it_is_received(first, when):
    """The death is found when the group `first` is received; the other's games are lost with it."""
    second = 1 - first
    lost = {0: 1, 1: 4}  # the dead worker's row in each group
    with make_env(num_workers=3) as env:
        env.start()
        for _ in range(10):
            env.step(np.ones(5, np.int64))
        last = env.observation.copy()
        ones = {0: np.ones(3, np.int64), 1: np.ones(2, np.int64)}
        pid = env.worker_pids[1]
        if when == "before a send":
            os.kill(pid, signal.SIGKILL)
            env.send(first, ones[first])
        if when == "in flight":
            os.kill(pid, signal.SIGSTOP)  # or it would answer before it is killed
            env.send(second, ones[second])
            env.send(first, ones[first])
            os.kill(pid, signal.SIGKILL)
        if when == "after an answer":
            env.send(second, ones[second])
            env.receive(second)
            last = env.observation.copy()
            os.kill(pid, signal.SIGKILL)
            env.send(first, ones[first])
        result = env.receive(first)
        assert len(result.lost) == 1
        assert result.lost[0].endswith("was killed by SIGKILL; episodes lost: 1, 4")
        row = lost[first] - env.groups[first].start
        assert np.flatnonzero(result.truncated).tolist() == [row]
        assert_same(env.observation[lost[second]], last[lost[second]])

        if when != "in flight":
            with pytest.raises(RuntimeError, match="not playing"):
                env.receive(second)
            assert env.games()[lost[second]].observation_hash == ""
            env.send(second, ones[second])
        result = env.receive(second)
        row = lost[second] - env.groups[second].start
        assert result.lost == []
        assert np.flatnonzero(result.truncated).tolist() == [row]
        assert result.reward[row] == 0
        for gone in lost.values():
            assert_same(env.final_observation[gone], last[gone])
        assert env.crashes == 1
        assert env.episode.tolist() == [0, 6, 2, 3, 9]
        with make_env(next_episode=5) as fresh:
            fresh.start()
            rows = [lost[first], lost[second]]
            assert_same(env.observation[rows], fresh.observation[rows])
        assert env.step(np.ones(5, np.int64)).lost == []


def test_an_interrupt_while_a_group_plays_closes_everything():
    class Interrupt(BaseException):
        pass

    def interrupt(*_):
        raise Interrupt

    env = make_env()
    env.start()
    pids = env.worker_pids
    os.kill(pids[0], signal.SIGSTOP)
    env.send(0, np.ones(3, np.int64))
    env.send(1, np.ones(2, np.int64))
    handler = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Interrupt):
            env.receive(0)
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert not any(is_running(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="closed"):
        env.receive(1)


def test_games_that_replay_lost_with_their_worker_begin_afresh():
    with make_env() as env:
        env.start()
        for _ in range(10):
            env.step(np.ones(5, np.int64))
        games = env.games()
    with make_env(num_workers=3) as env:
        pid = env.worker_pids[1]
        os.kill(pid, signal.SIGKILL)
        messages = env.restore(games)
        assert messages == [
            f"episode {number} was not restored: its worker died when its 10 actions were replayed"
            for number in ROWS[3]
        ]
        assert [game.episode for game in env.games()] == [0, 6, 2, 3, 9]
        assert env.crashes == 1
        assert len(env.step(np.ones(5, np.int64)).lost) == 1


def test_interrupts_and_termination_are_left_to_the_trainer():
    with make_env() as env:
        env.start()
        for pid in env.worker_pids:
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert env.step(np.ones(5, np.int64)).lost == []
        pids = env.worker_pids
    assert not any(is_running(pid) for pid in pids)


def test_workers_that_die_at_every_start_are_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    env = make_env()
    with pytest.raises(WorkerError, match=r"games cannot be started: .* exited with code 1;"):
        env.start()
    with pytest.raises(RuntimeError, match="closed"):
        env.games()


def test_an_exception_in_a_worker_is_the_callers_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with make_env(num_workers=1) as env:
        wait_until(lambda: len(list(tmp_path.glob("tedg-games-*/*/nle*"))) == 5)
        env.start()
        (folder,) = tmp_path.glob("tedg-games-*/*")
        shutil.rmtree(folder)
        folder.write_text("where the games had their files")
        with pytest.raises(WorkerError) as error:
            env.start()
    assert "File exists" in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


ORPHANS = """
import sys, time
import numpy as np
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv
env = VectorEnv(load_hypergraph(), num_envs=4, num_workers=2, run_seed=0, max_steps=40)
env.start()
print(*env.worker_pids, flush=True)
while True:
    env.step(np.zeros(4, np.int64))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_trainer_is_killed(tmp_path, how):
    shared = set(os.listdir("/dev/shm"))
    search_path = os.pathsep.join(path for path in sys.path if path)
    trainer = subprocess.Popen(
        [sys.executable, "-c", ORPHANS],
        env={**os.environ, "PYTHONPATH": search_path, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with trainer:
        pids = [int(pid) for pid in trainer.stdout.readline().split()]
        assert len(pids) == 2 and all(is_running(pid) for pid in pids)
        assert len(os.listdir(tmp_path)) == 1
        time.sleep(0.2)
        trainer.send_signal(how)
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert os.listdir(tmp_path) == []
    assert set(os.listdir("/dev/shm")) == shared
