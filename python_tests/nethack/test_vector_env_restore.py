"""Running games come back from their action logs, or the difference is reported."""

from dataclasses import replace

import numpy as np
import pytest
from vector_games import allowed_actions, assert_same, make_env, play


@pytest.fixture(scope="module")
def played():
    """Games after 300 steps, the observation then, and all that 100 further steps give."""
    with make_env(num_envs=6, max_steps=350) as env:
        env.start()
        rng = np.random.default_rng(0)
        play(env, 300, rng)
        games, number, observation = env.games(), env.next_episode, env.observation.copy()
        further = play(env, 100, np.random.default_rng(1))
    assert any(len(game.actions) == 300 for game in games)
    return games, number, observation, further


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_restored_games_go_on_identically(played, num_workers):
    games, number, observation, further = played
    with make_env(num_envs=6, max_steps=350, num_workers=num_workers) as env:
        assert env.restore(games, number) == []
        assert env.games() == games
        assert_same(env.observation, observation)
        assert_same(play(env, 100, np.random.default_rng(1)), further)


def test_a_game_that_differs_is_reported_and_begins_afresh(played):
    games, number, observation, _ = played
    tampered = list(games)
    tampered[1] = replace(games[1], observation_hash="00" * 16)
    tampered[4] = replace(games[4], actions=games[4].actions[:100])
    with make_env(num_envs=6, max_steps=350) as env:
        messages = env.restore(tampered, number)
        restored = env.games()
        assert_same(env.observation[[0, 2, 3, 5]], observation[[0, 2, 3, 5]])
    assert len(messages) == 2
    assert messages[0] == (
        f"episode {games[1].episode} was not restored: another observation came out when its "
        f"{len(games[1].actions)} actions were replayed"
    )
    assert messages[1].startswith(f"episode {games[4].episode} was not restored")
    assert [restored[row].episode for row in (1, 4)] == [games[row].following for row in (1, 4)]
    assert [restored[row].actions for row in (1, 4)] == [b"", b""]
    assert [restored[row] for row in (0, 2, 3, 5)] == [games[row] for row in (0, 2, 3, 5)]


def test_another_run_seed_restores_nothing(played):
    games, number, _, _ = played
    with make_env(num_envs=6, max_steps=350, run_seed=8) as env:
        assert len(env.restore(games, number)) == 6
        assert [game.episode for game in env.games()] == [game.following for game in games]
        env.step(allowed_actions(env, np.random.default_rng(0)))


def test_fewer_or_more_environments_than_games(played):
    games, number, _, _ = played
    with make_env(num_envs=2, max_steps=350) as env:
        messages = env.restore(games, number)
        assert len(messages) == 4
        assert messages[0].endswith("there are only 2 environments")
        assert [replace(game, following=0) for game in env.games()] == [
            replace(game, following=0) for game in games[:2]
        ]
        assert [game.following for game in env.games()] == [number, number + 1]
    with make_env(num_envs=7, max_steps=350) as env:
        assert env.restore(games, number) == []
        assert [game.actions for game in env.games()][:6] == [game.actions for game in games]
        assert [game.following for game in env.games()][:6] == list(range(number, number + 6))
        assert env.games()[6].episode == number + 6


def test_logs_that_cannot_be_played_are_refused(played):
    games, number, _, _ = played
    longest = max(len(game.actions) for game in games)
    with make_env(num_envs=6, max_steps=longest) as env:
        messages = env.restore(games, number)
        assert any(f"it is {longest} steps long, the limit is {longest}" in m for m in messages)
        impossible = [replace(games[0], actions=b"\x17")]
        assert env.restore(impossible, number) == [
            f"episode {games[0].episode} was not restored: its log holds action 23, "
            "the last is 22"
        ]
        env.step(allowed_actions(env, np.random.default_rng(0)))
