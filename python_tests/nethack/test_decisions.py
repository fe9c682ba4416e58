"""VectorEnv's decisions: workers play on by the rules until one is asked for."""

import os
import signal

import numpy as np
import pytest
from plain_decisions import LONGEST_STRETCH, PlainGame
from small_rules import rule, small
from vector_games import (
    allowed_actions,
    assert_same,
    make_env,
    numbers_to_come,
    whoever_decided,
)

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.games.vector_env import VectorEnv


def contested_env(**changes):
    return make_env(decide="contested", **changes)


def some_actions(observation, rng, grounder):
    """Mostly what the rules say, now and then anything allowed, for some rows."""
    rows = len(observation.action_mask)
    actions, _ = grounder.choose(observation, rng.random(rows))
    mask = observation.action_mask
    return np.where(rng.random(rows) < 0.8, actions, np.argmax(rng.random(mask.shape) * mask, 1))


@pytest.fixture(scope="module")
def chooser():
    return Grounder(load_hypergraph(), 0)


@pytest.mark.parametrize("margin, max_steps", [(2.0, 170), (0.5, 1200)])
def test_decisions_are_as_step_by_step(chooser, margin, max_steps):
    """Rewards, lengths, observations and ends against the definition, from each step's own."""
    rules, discount, envs = load_hypergraph(), 0.9, 4
    plain = [PlainGame(rules, 3, row, envs, max_steps, margin, discount) for row in range(envs)]
    rng = np.random.default_rng(0)
    cut_unasked = died_unasked = long = 0
    with contested_env(num_envs=envs, run_seed=3, margin=margin, max_steps=max_steps) as env:
        env.discount = discount
        assert env.discount == discount
        env.start()
        for _ in range(150):
            for row, game in enumerate(plain):
                assert_same(env.observation[row], game.observation[0])
                assert (env.episode[row], env.played[row]) == (game.number, game.game.length)
            actions = some_actions(env.observation, rng, chooser)
            result = env.step(actions)
            ended = []
            for row, game in enumerate(plain):
                number = game.number
                expected = game.decide(int(actions[row]))
                assert result.reward[row] == np.float32(expected.reward)
                for name in ("length", "terminated", "truncated", "follows"):
                    assert getattr(result, name)[row] == getattr(expected, name)
                assert_same(result.shown[row], expected.shown)
                if expected.truncated:
                    assert_same(env.final_observation[row], expected.last)
                    cut_unasked += expected.last.rule_action >= 0
                died_unasked += expected.terminated and expected.length > 1
                long = max(long, expected.length)
                if expected.terminated or expected.truncated:
                    ended.append(number)
            assert [episode.number for episode in result.episodes] == ended
    assert cut_unasked > 0 or max_steps == 1200
    assert died_unasked > 0 or max_steps == 170
    assert long > 20


def stream(env, decisions, receive, chooser):
    """By group, all that so many decisions of it give; each group's draws are its own."""
    found = [[] for _ in env.groups]
    draws = [np.random.default_rng(group) for group in range(len(env.groups))]
    left = [decisions] * len(env.groups)
    playing = []

    def send(group):
        view = env.observation[env.groups[group]]
        found[group].append(view.copy())
        env.send(group, some_actions(view, draws[group], chooser))
        playing.append(group)
        left[group] -= 1

    for group in range(len(env.groups)):
        send(group)
    while playing:
        group, result = receive(env, playing)
        assert result.lost == []
        playing.remove(group)
        cut = env.final_observation[env.groups[group]][result.truncated]
        found[group] += [result, cut]
        if left[group]:
            send(group)
    return [found, env.games(), numbers_to_come(env)]


def any_group(env, playing):
    return env.receive_any()


def latest_group(env, playing):
    """The one that was sent last: all others wait until it has no decisions left."""
    return playing[-1], env.receive(playing[-1])


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_neither_workers_nor_order_change_a_bit(chooser, num_workers):
    settings = {"num_envs": 7, "num_groups": 3, "max_steps": 100}
    with contested_env(num_workers=3, **settings) as env:
        env.start()
        expected = stream(env, 40, latest_group, chooser)
    with contested_env(num_workers=num_workers, **settings) as env:
        env.start()
        assert_same(stream(env, 40, any_group, chooser), expected)
    assert any(result.truncated.any() for result in expected[0][0][1::3])


def test_stopping_at_every_step_the_rules_can_be_followed_from_outside(chooser):
    rng, uncontested = np.random.default_rng(1), 0
    settings = {"num_envs": 1, "num_workers": 1, "max_steps": 80}
    with (
        contested_env(**settings) as decided,
        contested_env(every_step=True, **settings) as stepped,
        make_env(**settings) as always,
    ):
        for env in (decided, stepped, always):
            env.start()
        for _ in range(25):
            assert_same(decided.observation, stepped.observation)
            actions = some_actions(decided.observation, rng, chooser)
            result = decided.step(actions)
            for step in range(result.length[0]):
                assert always.observation.rule_action[0] == -1
                each = stepped.step(actions)
                assert_same(whoever_decided(always.step(actions)), whoever_decided(each))
                assert each.length == [1]
                if step == 0:
                    assert_same([each.shown, each.follows], [result.shown, result.follows])
                assert (each.terminated | each.truncated) == (
                    step == result.length[0] - 1 and (result.terminated | result.truncated)
                )
                actions = stepped.observation.rule_action.copy()
                uncontested += actions[0] >= 0
            assert each.episodes == result.episodes
            assert_same(decided.games(), stepped.games())
    assert uncontested > 100


def test_without_decisions_the_rules_ask_at_a_games_beginning_and_after_long(tmp_path):
    """One rule that always says the same is never contested."""
    rules = small(tmp_path, rule("r", "search", ["me.max_hp > 0"]))
    lengths = []
    with VectorEnv(rules, num_envs=3, num_workers=1, run_seed=0, max_steps=700) as env:
        env.start()
        for _ in range(4):
            result = env.step(np.full(3, 22))
            lengths.append(result.length)
            assert (result.truncated | result.terminated | (result.length == LONGEST_STRETCH)).all()
            assert (env.observation.rule_action == -1).all()
    assert (np.array(lengths) == LONGEST_STRETCH).any()
    assert (np.array(lengths) == 700 - LONGEST_STRETCH).any()


def test_a_rule_may_ask_for_a_decision(tmp_path):
    """What `decide = true` says holds for a candidate, not for a rule that others outweigh."""
    search = rule("r", "search", ["me.max_hp > 0"], priority=3)
    asking = rule("s", "search", ["me.max_hp > 0"], priority=1).rstrip() + "\ndecide = true\n"
    rules = small(tmp_path, search, asking)
    for margin, length in ((2.0, 1), (1.9, 50)):
        with VectorEnv(
            rules, num_envs=1, num_workers=1, run_seed=0, max_steps=50, margin=margin
        ) as env:
            env.start()
            assert env.step(np.array([22])).length == [length]


def test_beyond_the_limit_nothing_begins(chooser):
    rng, numbers = np.random.default_rng(2), []
    with contested_env(num_envs=3, num_groups=2, max_steps=40, limit=7, next_episode=1) as env:
        env.start()
        while not env.idle.all():
            idle = env.idle.copy()
            result = env.step(some_actions(env.observation, rng, chooser))
            numbers += [episode.number for episode in result.episodes]
            for name in ("reward", "length", "terminated", "truncated", "follows", "shown"):
                assert not getattr(result, name)[idle].any()
            assert (result.length[~idle] > 0).all()
            assert len(env.games()) == (~env.idle).sum()
        assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
        assert env.games() == []
        os.kill(env.worker_pids[0], signal.SIGKILL)
        result = env.step(np.zeros(3, np.int64))
        assert len(result.lost) == 1 and result.lost[0].endswith("episodes lost: ")
        assert env.idle.all() and not result.truncated.any() and not result.length.any()
    with contested_env(num_envs=3, limit=2) as env:
        env.start()
        assert env.idle.tolist() == [False, False, True]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_restored_games_go_on_with_the_same_decisions(chooser, num_workers):
    def play(env, rng):
        found = []
        for _ in range(30):
            result = env.step(some_actions(env.observation, rng, chooser))
            found += [result, env.observation.copy()]
        return [*found, env.games(), numbers_to_come(env)]

    settings = {"num_envs": 5, "max_steps": 150}
    with contested_env(**settings) as env:
        env.start()
        play(env, np.random.default_rng(0))
        coming, games = numbers_to_come(env), env.games()
        further = play(env, np.random.default_rng(1))
    number, unbegun = coming
    with contested_env(
        num_workers=num_workers, next_episode=number, unbegun=unbegun, **settings
    ) as env:
        assert env.restore(games) == []
        assert_same([numbers_to_come(env), env.games()], [coming, games])
        assert_same(play(env, np.random.default_rng(1)), further)


def test_a_changed_discount_is_refused_while_games_are_played():
    with contested_env() as env:
        env.start()
        env.send(0, np.zeros(3, np.int64))
        with pytest.raises(RuntimeError, match="group 0 is playing"):
            env.discount = 0.5
        env.receive(0)
        with pytest.raises(RuntimeError, match="no group is playing: call send first"):
            env.receive_any()


def test_a_worker_that_dies_or_hangs_costs_its_own_games_only():
    """Found by whoever waits for any group; the others' decisions are as without the loss."""
    settings = {"num_envs": 4, "num_groups": 2, "max_steps": 300, "timeout": 6.0}
    for harm in (signal.SIGKILL, signal.SIGSTOP):
        rng = np.random.default_rng(3)
        with contested_env(**settings) as twin, contested_env(**settings) as env:
            for each in (twin, env):
                each.start()
            for _ in range(5):
                actions = allowed_actions(twin, rng)
                assert_same(twin.step(actions), env.step(actions))
            os.kill(env.worker_pids[1], harm)
            actions = allowed_actions(twin, rng)
            expected, before = twin.step(actions), env.observation.copy()
            for group, rows in enumerate(env.groups):
                env.send(group, actions[rows])
            results = dict(env.receive_any() for _ in env.groups)
            assert_same(results[0], cut_to(expected, env.groups[0]))
            assert results[1].truncated.all() and (results[1].length == 1).all()
            assert len(results[1].lost) == 1 and results[1].episodes == []
            assert_same(env.final_observation[2:], before[2:])
            assert env.episode.tolist()[2:] == [row + 4 for row in (2, 3)]
            assert env.crashes == 1


def cut_to(result, rows):
    """The rows of a result in which no episode ended."""
    assert result.episodes == []
    arrays = ("reward", "length", "terminated", "truncated", "follows", "shown")
    return type(result)(
        **{name: getattr(result, name)[rows] for name in arrays}, episodes=[], lost=[]
    )


def test_nobody_waits_for_the_slowest():
    with contested_env(num_envs=4, num_groups=2) as env:
        env.start()
        os.kill(env.worker_pids[0], signal.SIGSTOP)
        env.send(0, np.zeros(2, np.int64))
        for _ in range(3):
            env.send(1, np.zeros(2, np.int64))
            assert env.receive_any()[0] == 1
        os.kill(env.worker_pids[0], signal.SIGCONT)
        assert env.receive_any()[0] == 0
        assert env.crashes == 0
