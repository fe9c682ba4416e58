"""Rollouts of real games: what is stored belongs together, whoever played which games when."""

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
    with make_env(num_envs=GAMES, **settings) as env:
        env.start()
        normaliser = RewardNormaliser(GAMES, 10.0)
        collector = Collector(env, policy, normaliser, generator, rollout)
        played = [collector.collect(ROUTING, 0.99) for _ in range(rollouts)]
        games = env.games()  # refused while any is being played
    return rollout, [episode for each in played for episode in each.episodes], games


def contents(rollout):
    observation = {f"observation.{name}": array for name, array in vars(rollout.observation).items()}
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
            observation = rollout.observation[t]
            output = policy(policy.inputs(observation), ROUTING)
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
    collector = Collector(env, policy, normaliser, torch.Generator().manual_seed(0), rollout)
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


def test_time_is_accounted_for(policy):
    rollout = Rollout(SPEC, STEPS, GAMES, 4)
    with make_env(num_envs=GAMES) as env:
        env.start()
        normaliser = RewardNormaliser(GAMES, 10.0)
        collector = Collector(env, policy, normaliser, torch.Generator(), rollout)
        played = collector.collect(ROUTING, 0.99)
    assert played.stepping_seconds > 0 and played.policy_seconds > 0
