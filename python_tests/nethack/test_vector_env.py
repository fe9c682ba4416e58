"""VectorEnv with real games and real worker processes: what it returns, and that it repeats."""

import os
import subprocess
import sys

import numpy as np
import pytest
from vector_games import allowed_actions, assert_same, make_env, numbers_to_come, play

from tedg_fast.nethack.actions import NUM_ACTIONS, num_actions
from tedg_fast.nethack.games.episode import episode_seeds
from tedg_fast.nethack.games.worker_pool import share_out


def test_the_number_of_workers_changes_nothing():
    streams = []
    for num_workers in (1, 2, 5):
        with make_env(num_workers=num_workers) as env:
            env.start()
            streams.append(play(env, 150, np.random.default_rng(0)))
    assert_same(streams[0], streams[1])
    assert_same(streams[0], streams[2])


def test_groups_in_turn_are_the_same_whatever_the_workers():
    """The order of a trainer: while one group plays, the other's step is received and answered."""
    streams = []
    for num_workers in (1, 2, 5):
        with make_env(num_workers=num_workers) as env:
            env.start()
            streams.append(play_in_turn(env, 150))
    assert_same(streams[0], streams[1])
    assert_same(streams[0], streams[2])


def play_in_turn(env, steps):
    """All that comes out of `steps` steps of each group, and the games then."""
    rng = np.random.default_rng(0)
    stream = []
    for step in range(steps + 1):
        for group, rows in enumerate(env.groups):
            if step:
                result = env.receive(group)
                assert result.lost == []
                stream += [result, env.observation[rows].copy()]
                stream.append(env.final_observation[rows][result.truncated])
            if step < steps:
                env.send(group, allowed_actions(env, rng)[rows])
    return [*stream, env.games(), numbers_to_come(env)]


def test_an_episode_is_the_same_whatever_the_groups():
    """Groups change which games are played at the same time, not the games."""
    streams = []
    for num_groups in (1, 2, 5):
        with make_env(num_groups=num_groups, max_steps=500) as env:
            assert len(env.groups) == num_groups
            env.start()
            streams.append(play(env, 100, np.random.default_rng(0)))
    assert_same(streams[0], streams[1])
    assert_same(streams[0], streams[2])


@pytest.mark.parametrize("num_envs, num_workers", [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (4, 3)])
def test_odd_sizes_play(num_envs, num_workers):
    with make_env(num_envs=num_envs, num_workers=num_workers, max_steps=5) as env:
        assert len(env.groups) == min(2, num_envs)
        env.start()
        stream = play(env, 12, np.random.default_rng(0))
        assert env.crashes == 0
        assert len(env.worker_pids) == num_workers
    assert stream[-1] == (3 * num_envs, [])  # two episodes ended in every environment, one runs


@pytest.mark.parametrize("num_groups", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("num_workers", [1, 2, 3, 5, 7])
def test_every_game_has_one_worker_and_every_worker_a_game(num_groups, num_workers):
    for num_envs in range(max(num_groups, num_workers), 20):
        blocks = np.array_split(np.arange(num_envs), num_groups)
        groups = [range(block[0], block[-1] + 1) for block in blocks]
        shares = share_out(groups, num_workers)
        for number, group in enumerate(groups):
            assert [row for share in shares for row in share[number]] == list(group)
        sizes = [sum(map(len, share)) for share in shares]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        if num_groups % num_workers == 0:  # no group waits for two workers
            assert all(sum(map(bool, played)) == 1 for played in zip(*shares))


@pytest.mark.parametrize("num_envs, num_groups", [(1, 1), (2, 2), (8, 2), (16, 2), (17, 3)])
def test_groups_depend_on_the_number_of_environments_alone(num_envs, num_groups):
    for num_workers in {1, min(num_envs, 3)}:
        with make_env(num_envs=num_envs, num_workers=num_workers) as env:
            assert len(env.groups) == num_groups
            assert max(rows.stop - rows.start for rows in env.groups) <= 8


def test_sends_and_receives_out_of_turn_are_refused_without_harm():
    with make_env() as env:
        env.start()
        zeros = np.zeros(5, np.int64)
        with pytest.raises(RuntimeError, match=r"group 1 is not playing: call send\(1"):
            env.receive(1)
        with pytest.raises(ValueError, match="actions must be 2 integers"):
            env.send(1, zeros)
        env.send(1, zeros[:2])
        games = "group 1 is playing: call receive"
        with pytest.raises(RuntimeError, match="group 1 is playing already: call receive"):
            env.send(1, zeros[:2])
        for call in (env.start, env.games, lambda: env.restore([]), lambda: env.step(zeros)):
            with pytest.raises(RuntimeError, match=games):
                call()
        env.send(0, zeros[:3])
        assert env.receive(1).reward.shape == (2,)
        assert env.receive(0).reward.shape == (3,)
        assert [len(game.actions) for game in env.games()] == [1] * 5


def test_the_run_seed_changes_everything():
    with make_env(run_seed=1) as one, make_env(run_seed=2) as other:
        one.start()
        other.start()
        hashes = [{game.observation_hash for game in env.games()} for env in (one, other)]
    assert hashes[0].isdisjoint(hashes[1])
    assert all(len(of_a_run) == 5 for of_a_run in hashes)


def test_episode_seeds_depend_on_run_and_number_alone():
    seeds = {episode_seeds(run, number) for run in range(20) for number in range(200)}
    assert len(seeds) == 4000
    assert all(0 <= seed < 2**63 for pair in seeds for seed in pair)
    assert episode_seeds(3, 17) == episode_seeds(3, 17)


def test_shapes_and_types_are_as_promised():
    with make_env() as env:
        env.start()
        result = env.step(np.zeros(5, np.int64))
        for name, (shape, dtype) in env.spec.fields().items():
            for observation in (env.observation, env.final_observation):
                array = getattr(observation, name)
                assert (array.shape, array.dtype) == ((5, *shape), dtype)
    assert (result.reward.dtype, result.reward.shape) == (np.float32, (5,))
    assert (result.length.dtype, result.length.shape) == (np.int64, (5,))
    for flags in (result.terminated, result.truncated, result.follows):
        assert (flags.dtype, flags.shape) == (np.bool_, (5,))
    conditions = -(-env.spec.num_conditions // 8)
    assert (result.shown.dtype, result.shown.shape) == (np.uint8, (5, conditions))


def test_truncation_numbers_the_next_episodes_and_keeps_the_last_observation():
    rng = np.random.default_rng(1)
    with make_env(max_steps=12) as env, make_env(max_steps=13) as longer:
        env.start()
        longer.start()
        rewards = np.zeros(5)
        for step in range(12):
            assert [game.episode for game in env.games()] == [0, 1, 2, 3, 4]
            actions = allowed_actions(env, rng)
            result = env.step(actions)
            longer.step(actions)
            rewards += result.reward
            assert result.truncated.all() == (step == 11)
        assert not result.terminated.any()
        assert_same(env.final_observation, longer.observation)
        assert [episode.number for episode in result.episodes] == [0, 1, 2, 3, 4]
        for episode, reward in zip(result.episodes, rewards):
            assert (episode.length, episode.ending, episode.depth) == (12, "truncated", 1)
            assert episode.reward == pytest.approx(reward, abs=1e-4)
            assert episode.true_score == episode.last_observation_score
        assert [game.episode for game in env.games()] == [5, 6, 7, 8, 9]
        assert [game.actions for game in env.games()] == [b""] * 5
        assert numbers_to_come(env) == (10, [])
        with make_env(next_episode=5) as fresh:
            fresh.start()
            assert_same(env.observation, fresh.observation)


def test_deaths_have_a_true_score_and_a_zero_last_one():
    rng = np.random.default_rng(2)
    episodes = []
    with make_env(num_envs=16, max_steps=5000) as env:
        env.start()
        while len(episodes) < 4:
            running = [game.episode for game in env.games()] if len(episodes) == 3 else None
            result = env.step(allowed_actions(env, rng))
            assert not (result.terminated & result.truncated).any()
            assert result.terminated.sum() == len(result.episodes)
            assert [episode.ending for episode in result.episodes].count("death") == len(
                result.episodes
            )
            episodes += result.episodes
            if running and result.episodes:
                ended = np.flatnonzero(result.terminated)
                assert [running[row] for row in ended] == [e.number for e in result.episodes]
                assert (env.episode[ended] >= 16).all()
    assert all(episode.last_observation_score == 0 for episode in episodes)
    assert all(episode.killer.isprintable() and episode.killer for episode in episodes)
    assert any(episode.true_score > 0 for episode in episodes)
    assert all(episode.length > 0 and episode.depth >= 1 for episode in episodes)


@pytest.mark.parametrize("prayer", [False, True])
def test_without_mask_every_action_that_the_task_has_is_allowed(prayer):
    there = np.arange(NUM_ACTIONS) < num_actions(prayer)
    with make_env(use_mask=False, max_steps=5, prayer=prayer) as env:
        env.start()
        for _ in range(12):
            assert (env.observation.action_mask == there).all()
            result = env.step(np.full(5, 18))
        assert (env.final_observation.action_mask[result.truncated] == there).all()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"num_envs": 0}, "num_envs must be at least 1, not 0"),
        ({"num_workers": 0}, "num_workers must be at least 1, not 0"),
        ({"num_workers": 6}, "num_workers (6) exceeds num_envs (5)"),
        ({"num_groups": 0}, "num_groups must be at least 1, not 0"),
        ({"num_groups": 6}, "num_groups (6) exceeds num_envs (5)"),
        ({"num_groups": 129, "num_envs": 200}, "num_groups must be at most 128, not 129"),
        ({"max_steps": 0}, "max_steps must be at least 1, not 0"),
        ({"run_seed": -1}, "run_seed must be at least 0, not -1"),
        ({"number_step": 0}, "number_step must be at least 1, not 0"),
        ({"next_episode": -1}, "next_episode must be at least 0, not -1"),
        ({"decide": "never"}, "decide must be 'contested' or 'always', not 'never'"),
        ({"margin": -1.0}, "margin must be a number of at least 0, not -1.0"),
        ({"margin": float("nan")}, "margin must be a number of at least 0, not nan"),
    ],
)
def test_bad_settings_are_refused(changes, words):
    with pytest.raises(ValueError) as error:
        make_env(**changes)
    assert str(error.value) == words


def test_two_environments_share_the_numbers():
    """Each plays every other episode, and the very games that one environment would."""
    numbers, games = [], {}
    for first in (0, 1):
        with make_env(max_steps=20, next_episode=first, number_step=2) as env:
            env.start()
            stream = play(env, 50, np.random.default_rng(first))
        *_, running, (following, unbegun) = stream
        ended = [episode.number for step in stream[1:-2:3] for episode in step.episodes]
        numbers += [*ended, *(game.episode for game in running)]
        games[first] = [stream[0]]
        assert following == max(numbers[-5:]) + 2
        assert {number % 2 for number in [*ended, *unbegun, following]} == {first}
    assert len(set(numbers)) == len(numbers)
    with make_env(num_envs=10, max_steps=20) as env:
        env.start()
        for first in (0, 1):
            assert_same(env.observation[first::2], games[first][0])


def test_bad_actions_and_bad_moments_are_refused_without_harm():
    env = make_env()
    with pytest.raises(RuntimeError, match="call start"):
        env.step(np.zeros(5, np.int64))
    env.start()
    for actions in (np.zeros(4, np.int64), np.zeros(5), np.full(5, 23), np.full(5, -1)):
        with pytest.raises(ValueError, match="actions must"):
            env.step(actions)
    env.step(np.zeros(5, np.int64))
    env.close()
    env.close()
    for call in (env.start, env.games, lambda: env.step(np.zeros(5, np.int64))):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_workers_are_light_and_use_no_torch():
    with make_env() as env:
        env.start()
        for pid in env.worker_pids:
            with open(f"/proc/{pid}/maps") as file:
                assert "torch" not in file.read()


def test_the_console_stays_silent_and_the_folder_empty(tmp_path):
    program = """
import numpy as np
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv
env = VectorEnv(load_hypergraph(), num_envs=4, num_workers=2, run_seed=0, max_steps=40)
env.start()
rng = np.random.default_rng(0)
for _ in range(100):
    env.step(rng.integers(0, 23, 4))
env.close()
"""
    # Not guarded by __main__ and not a file: neither must matter.
    search_path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": search_path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(tmp_path) == []


def test_resets_leak_neither_files_nor_memory():
    def files_and_kilobytes(pid):
        with open(f"/proc/{pid}/statm") as file:
            pages = int(file.read().split()[1])
        return len(os.listdir(f"/proc/{pid}/fd")), pages * os.sysconf("SC_PAGE_SIZE") // 1024

    with make_env(num_envs=2, max_steps=1) as env:
        env.start()
        pids = [os.getpid(), *env.worker_pids]
        for _ in range(30):
            env.step(np.ones(2, np.int64))
        before = [files_and_kilobytes(pid) for pid in pids]
        for _ in range(200):
            env.step(np.ones(2, np.int64))
        after = [files_and_kilobytes(pid) for pid in pids]
    for (files, kilobytes), (files_after, kilobytes_after) in zip(before, after):
        assert files_after == files
        assert kilobytes_after - kilobytes < 2000


def test_the_lowest_numbers_are_dealt_first():
    """Whatever was begun: no number twice, none passed over for good, none far ahead of others."""
    rng, begun = np.random.default_rng(3), set()
    with make_env(num_envs=6, max_steps=60, next_episode=10, unbegun=[4, 7]) as env:
        env.start()
        assert sorted(env.episode) == [4, 7, 10, 11, 12, 13]
        for _ in range(12):
            before = set(env.unbegun)
            for _ in range(25):
                begun.update(env.episode.tolist())
                result = env.step(allowed_actions(env, rng))
                assert begun.issuperset(episode.number for episode in result.episodes)
                ended = (result.terminated | result.truncated).nonzero()[0]
                assert begun.isdisjoint(env.episode[ended].tolist())
            begun.update(env.episode.tolist())
            env.deal()
            assert env.next_episode == max(begun) + 1
            assert set(env.unbegun) == {4, 7, *range(10, env.next_episode)} - begun
            # What was passed over is begun soon: within as many steps as a game has.
            assert len(before & set(env.unbegun)) < 6
        assert len(begun) > 30


def test_idle_environments_begin_what_others_have_not():
    """Where few episodes are left, nobody waits for the one who was to play them."""
    rng = np.random.default_rng(4)
    with make_env(num_envs=4, max_steps=30, limit=9) as env:
        env.start()
        steps = 0
        while not env.idle.all():
            env.step(np.where(env.idle, 0, allowed_actions(env, rng)))
            env.deal()
            steps += 1
            assert env.next_episode <= 9
        assert env.unbegun == [] and env.next_episode == 9 and steps < 100
