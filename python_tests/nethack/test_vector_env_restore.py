"""Running games come back from their action logs, or the difference is reported."""

from dataclasses import replace

import numpy as np
import pytest
from vector_games import allowed_actions, assert_same, make_env, numbers_to_come, play


@pytest.fixture(scope="module")
def played():
    """Games after 300 steps, the observation then, and all that 100 further steps give."""
    with make_env(num_envs=6, max_steps=350) as env:
        env.start()
        rng = np.random.default_rng(0)
        play(env, 300, rng)
        coming = numbers_to_come(env)
        games, observation = env.games(), env.observation.copy()
        further = play(env, 100, np.random.default_rng(1))
    assert any(len(game.actions) == 300 for game in games)
    return games, coming, observation, further


def going_on(coming, **changes):
    """Environments whose episodes are to follow those that were begun."""
    number, unbegun = coming
    return make_env(max_steps=350, next_episode=number, unbegun=unbegun, **changes)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_restored_games_go_on_identically(played, num_workers):
    games, coming, observation, further = played
    with going_on(coming, num_envs=6, num_workers=num_workers) as env:
        assert env.restore(games) == []
        assert env.games() == games
        assert_same(env.observation, observation)
        assert_same(play(env, 100, np.random.default_rng(1)), further)


def test_a_game_that_differs_is_reported_and_begins_afresh(played):
    games, coming, observation, _ = played
    tampered = list(games)
    tampered[1] = replace(games[1], observation_hash="00" * 16)
    tampered[4] = replace(games[4], actions=games[4].actions[:100])
    with going_on(coming, num_envs=6) as env:
        messages = env.restore(tampered)
        restored = env.games()
        assert_same(env.observation[[0, 2, 3, 5]], observation[[0, 2, 3, 5]])
    assert len(messages) == 2
    assert messages[0] == (
        f"episode {games[1].episode} was not restored: another observation came out when its "
        f"{len(games[1].actions)} actions were replayed"
    )
    assert messages[1].startswith(f"episode {games[4].episode} was not restored")
    number, unbegun = coming
    fresh = [restored[row].episode for row in (1, 4)]
    assert len(set(fresh)) == 2 and all(n >= number or n in unbegun for n in fresh)
    assert [restored[row].actions for row in (1, 4)] == [b"", b""]
    assert [restored[row] for row in (0, 2, 3, 5)] == [games[row] for row in (0, 2, 3, 5)]


def test_another_run_seed_restores_nothing(played):
    games, coming, _, _ = played
    with going_on(coming, num_envs=6, run_seed=8) as env:
        assert len(env.restore(games)) == 6
        number, unbegun = coming
        begun = sorted(game.episode for game in env.games())
        assert begun == [*unbegun, *range(number, number + 6 - len(unbegun))]
        env.step(allowed_actions(env, np.random.default_rng(0)))


def test_fewer_or_more_environments_than_games(played):
    games, coming, _, _ = played
    with going_on(coming, num_envs=2) as env:
        messages = env.restore(games)
        assert len(messages) == 4
        assert messages[0].endswith("there are only 2 environments")
        assert env.games() == games[:2]
    with going_on(coming, num_envs=7) as env:
        assert env.restore(games) == []
        assert [game.actions for game in env.games()][:6] == [game.actions for game in games]
        number, unbegun = coming
        assert env.games()[6].episode in [*unbegun, *range(number, number + 7)]


def test_logs_that_cannot_be_played_are_refused(played):
    games, coming, _, _ = played
    longest = max(len(game.actions) for game in games)
    with make_env(num_envs=6, max_steps=longest) as env:
        messages = env.restore(games)
        assert any(f"it is {longest} steps long, the limit is {longest}" in m for m in messages)
        impossible = [replace(games[0], actions=b"\x17")]
        assert env.restore(impossible) == [
            f"episode {games[0].episode} was not restored: its log holds action 23, the last is 22"
        ]
        env.step(allowed_actions(env, np.random.default_rng(0)))
