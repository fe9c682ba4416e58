"""Rollouts of real games: what is stored belongs together, whoever played which games when."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from probe import SymbolEnv, tiny_hypergraph
from vector_games import make_env

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.observation import ObservationSpec
from tedg_fast.policy import Policy, PolicyConfig, Routing
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.rollout import Collector, Rollout
from tedg_fast.train.stopwatch import Stopwatch

STEPS, GAMES = 48, 5
SPEC = ObservationSpec(load_hypergraph().num_conditions)
ROUTING = Routing("softmax", 1.0)
SMALL = PolicyConfig(hidden_size=32, gat_heads=2, gat_head_size=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    policy = Policy(load_hypergraph(), 4, SMALL)
    torch.nn.init.normal_(policy.critic[-1].weight)  # it begins with 0 for every state
    return policy


def collect(policy, rollouts=2, **settings):
    """The last of some rollouts in a row, all episodes of them, and the games afterwards."""
    generator = torch.Generator().manual_seed(1)
    rollout = Rollout(SPEC, STEPS, GAMES, 4)
    with make_env(num_envs=GAMES, decide="contested", **settings) as env:
        env.start()
        normaliser = RewardNormaliser(GAMES, 10.0)
        collector = Collector(env, policy, normaliser, generator, rollout, Stopwatch())
        played = [collector.collect(ROUTING, 0.99) for _ in range(rollouts)]
        games = env.games()  # refused while any is being played
    return rollout, [episode for each in played for episode in each.episodes], games


def contents(rollout):
    observation = {
        f"observation.{name}": array for name, array in vars(rollout.observation).items()
    }
    arrays = {
        name: np.asarray(value)
        for name, value in vars(rollout).items()
        if isinstance(value, (np.ndarray, torch.Tensor))
    }
    return arrays | observation


def test_rollouts_do_not_depend_on_the_number_of_workers(policy):
    first, *rest = [collect(policy, num_workers=workers) for workers in (1, 2, 5)]
    assert first[0].truncated.any()
    for other in rest:
        for name, array in contents(first[0]).items():
            np.testing.assert_array_equal(contents(other[0])[name], array, err_msg=name)
        assert other[1:] == first[1:]


def test_halves_play_as_the_whole_does(policy):
    """Two groups or one, the same games are played but for rounding, until episodes end."""
    whole, _, games = collect(policy, max_steps=500, num_groups=1)
    halves, _, same_games = collect(policy, max_steps=500, num_groups=2)
    assert games == same_games
    for name, array in contents(whole).items():
        np.testing.assert_allclose(contents(halves)[name], array, atol=1e-4, err_msg=name)


def test_values_and_probabilities_are_those_of_the_stored_observations(policy):
    """Evaluated anew, row by row; and the next value of a truncated step is neither of these."""
    rollout, _, _ = collect(policy)
    with torch.no_grad():
        for t in range(STEPS):
            output = policy(policy.inputs(rollout.observation[t]), ROUTING)
            action = torch.from_numpy(rollout.action[t])
            log_prob = output.logits.log_softmax(-1).gather(1, action[:, None]).squeeze(1)
            torch.testing.assert_close(rollout.log_prob[t], log_prob, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(rollout.value[t], output.value, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(rollout.alpha[t], output.alpha, atol=1e-5, rtol=1e-4)
    assert rollout.observation.action_mask[
        np.arange(STEPS)[:, None], np.arange(GAMES), rollout.action
    ].all()
    cut = torch.from_numpy(rollout.truncated)
    assert cut[:-1].any()
    assert torch.equal(rollout.next_value[:-1][~cut[:-1]], rollout.value[1:][~cut[:-1]])
    assert (rollout.next_value[:-1][cut[:-1]] != rollout.value[1:][cut[:-1]]).all()


def test_what_follows_an_action_is_what_was_seen_right_after_it(policy):
    """Where a decision lasts a single game step, that is the next one's observation."""
    rollout, _, _ = collect(policy)
    assert (rollout.length >= 1).all() and rollout.length.max() > 3
    assert not rollout.follows[rollout.terminated & (rollout.length == 1)].any()
    assert rollout.follows[~rollout.done].all()
    single = (rollout.length == 1)[:-1] & ~rollout.done[:-1]
    assert single.sum() > 10
    np.testing.assert_array_equal(
        rollout.shown[:-1][single], rollout.observation.active_bits[1:][single]
    )
    longer = (rollout.length > 1)[:-1] & ~rollout.done[:-1]
    assert (rollout.shown[:-1][longer] != rollout.observation.active_bits[1:][longer]).any()


def test_actions_are_drawn_from_the_policys_distribution():
    """Frequencies over 51,200 draws, forbidden actions among them, whatever the noise."""
    torch.manual_seed(3)
    policy = Policy(tiny_hypergraph(), 4, SMALL)
    with torch.no_grad():
        policy.experts.weight.mul_(20)
    env = SymbolEnv(512)
    env.observation.action_mask[:, 7:] = False
    rollout = Rollout(env.spec, 100, 512, 4)
    normaliser = RewardNormaliser(512, 10.0)
    generator = torch.Generator().manual_seed(0)
    collector = Collector(env, policy, normaliser, generator, rollout, Stopwatch())
    collector.collect(ROUTING, 0.99)
    assert rollout.action.max() == 6
    with torch.no_grad():
        for symbol in range(4):
            shown = rollout.observation.active_bits[..., 0] == 0x80 >> symbol
            counts = np.bincount(rollout.action[shown], minlength=7)
            t, e = np.argwhere(shown)[0]
            one = rollout.observation[t, e : e + 1]
            expected = policy(policy.inputs(one), ROUTING).logits.softmax(-1)[0, :7].numpy()
            spread = np.sqrt(expected * (1 - expected) / counts.sum())
            assert (abs(counts / counts.sum() - expected) < 4.5 * spread).all()
            assert expected.max() > 2 * expected.min()


def test_the_order_in_which_groups_are_ready_changes_no_bit():
    """Truncated games among them, whose last observations are one batch."""
    torch.manual_seed(3)
    policy = Policy(tiny_hypergraph(), 4, SMALL)
    torch.nn.init.normal_(policy.critic[-1].weight)
    rollouts = []
    for last_first in (True, False):
        env = SymbolEnv(12, longest=6, num_groups=3, last_first=last_first)
        receive = env.receive_any

        def truncating():
            group, result = receive()
            env.final_observation[env.groups[group]] = env.observation[env.groups[group]]
            none = np.zeros_like(result.terminated)
            return group, replace(result, terminated=none, truncated=result.terminated)

        env.receive_any = truncating
        rollout = Rollout(env.spec, 30, 12, 4)
        normaliser, generator = RewardNormaliser(12, 10.0), torch.Generator().manual_seed(0)
        collector = Collector(env, policy, normaliser, generator, rollout, Stopwatch())
        collector.collect(ROUTING, 0.99)
        rollouts.append(contents(rollout))
    assert rollouts[0]["truncated"].any() and rollouts[0]["length"].max() == 6
    for name, array in rollouts[0].items():
        np.testing.assert_array_equal(rollouts[1][name], array, err_msg=name)


def test_time_is_accounted_for(policy):
    rollout, watch = Rollout(SPEC, STEPS, GAMES, 4), Stopwatch()
    with make_env(num_envs=GAMES) as env:
        env.start()
        normaliser = RewardNormaliser(GAMES, 10.0)
        collector = Collector(env, policy, normaliser, torch.Generator(), rollout, watch)
        began = time.perf_counter()
        collector.collect(ROUTING, 0.99)
        took = time.perf_counter() - began
    assert watch.seconds["games"] > 0 and watch.seconds["policy"] > 0
    assert sum(watch.seconds.values()) == pytest.approx(took, rel=0.05)
