"""PPO on probe problems with known answers, and the faults of the update that must not return."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from exact import differences
from probe import SymbolEnv, tiny_hypergraph

from tedg_fast.policy import Policy, PolicyConfig, Routing
from tedg_fast.train import ppo as ppo_module
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.config import PPOConfig, TrainConfig
from tedg_fast.train.distributed import ALONE
from tedg_fast.train.ppo import PPO, Batch, NotFinite
from tedg_fast.train.stopwatch import Stopwatch
from tedg_fast.train.rollout import Collector, Rollout

CONFIG = PPOConfig(rollout_steps=16, minibatch_size=64, segment_steps=4)
SETTINGS = replace(TrainConfig().settings_at(0), learning_rate=3e-3, gamma=0.5, entropy_coef=0.001)
GAMES = 32


@pytest.fixture(autouse=True)
def one_thread():
    """The probes' products are too small to share out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Probe:
    """Everything that learns, around a ``SymbolEnv``."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.policy = Policy(
            tiny_hypergraph(), 4, PolicyConfig(hidden_size=32, gat_heads=2, gat_head_size=8)
        )
        # The rules would give the answers away: here the networks must find them.
        self.policy.proposal_gain.requires_grad_(False).zero_()
        self.env = SymbolEnv(GAMES, seed=seed)
        self.rollout = Rollout(self.env.spec, CONFIG.rollout_steps, GAMES, 4)
        normaliser = RewardNormaliser(GAMES, CONFIG.reward_clip)
        self.collector = Collector(self.env, self.policy, normaliser, generator, self.rollout)
        self.ppo = PPO(self.policy, CONFIG, generator, Stopwatch())

    def learn(self, updates, settings=SETTINGS):
        """Share of right answers in the last rollout."""
        for _ in range(updates):
            self.collector.collect(Routing(settings.routing, settings.temperature), settings.gamma)
            self.ppo.update(self.rollout, settings)
        return self.right_answers()

    def right_answers(self):
        bits = np.unpackbits(self.rollout.observation.active_bits, axis=-1, count=4)
        return (self.rollout.action == 1 + bits.argmax(-1)).mean()


@pytest.fixture
def probe(one_thread):
    return Probe()


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_learns_what_only_the_graph_can_tell():
    """The state stream is constant: the right action follows from the active nodes alone.

    The experts see only the state, so each must settle on an answer and the router, which hears
    the graph, must choose among them by the active condition.
    """
    probe = Probe()
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    assert probe.right_answers() < 0.2
    assert probe.learn(20) > 0.9


def test_a_deaf_manager_cannot_solve_the_probe():
    """The probe is only a proof if it cannot be solved without the graph."""
    probe = Probe()
    manager = probe.policy.manager
    with torch.no_grad():
        manager.readout[0].weight.zero_()
    manager.requires_grad_(False)
    assert probe.learn(15) < 0.5


def test_learns_to_call_the_right_expert():
    """Expert k can only say answer k; routing by the active condition is all that can be learnt."""
    probe = Probe(seed=1)
    experts = probe.policy.experts
    with torch.no_grad():
        experts.weight.zero_()
        experts.bias.zero_()
        experts.bias[torch.arange(4), 0, 1 + torch.arange(4)] = 8.0
    experts.requires_grad_(False)
    without_advice = replace(SETTINGS, alignment_coef=0.0, alpha_entropy_coef=0.0)
    assert probe.learn(15, without_advice) > 0.9
    sparse = replace(without_advice, routing="sparsemax", temperature=0.5)
    assert probe.learn(5, sparse) > 0.9


def test_every_part_of_the_manager_learns_in_an_update(probe):
    """Fault (a): updates ran without the graph, so the GAT never got a gradient."""
    probe.policy.proposal_gain.data.fill_(1)  # scores matter
    before = snapshot(probe.policy.manager)
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    signals = probe.ppo.update(probe.rollout, SETTINGS)
    after = probe.policy.manager.state_dict()
    unchanged = [name for name in before if torch.equal(before[name], after[name])]
    of_objects = ("nodes.monster.", "nodes.objects.", "nodes.norm.")  # the probe has none
    assert [name for name in unchanged if not name.startswith(of_objects)] == []
    assert signals["alignment_loss"] > 0.01


def test_frozen_manager_stays_as_it_is(probe):
    probe.policy.manager.requires_grad_(False)
    before = snapshot(probe.policy.manager)
    probe.learn(2)
    assert all(torch.equal(before[n], v) for n, v in probe.policy.manager.state_dict().items())


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
def test_first_ratio_is_one(probe, mapping):
    """Fault (d): other masks or inputs in the update make the ratio wrong from the first step."""
    settings = replace(SETTINGS, routing=mapping)
    probe.learn(10, settings)
    rng = np.random.default_rng(0)
    mask = probe.env.observation.action_mask
    mask[:] = rng.random(mask.shape) < 0.6
    mask[:, 1:5] = True
    probe.collector.collect(Routing(mapping, settings.temperature), settings.gamma)
    assert not probe.rollout.observation.action_mask.all()
    assert probe.ppo.update(probe.rollout, settings)["first_ratio_error"] < 2e-5  # rounding


def test_a_lost_mask_is_noticed(probe):
    """The test above can fail: without the stored masks the ratio is not 1."""
    probe.env.observation.action_mask[:, 5:] = False
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    probe.rollout.observation.action_mask[:] = True
    assert probe.ppo.update(probe.rollout, SETTINGS)["first_ratio_error"] > 0.01


@pytest.mark.parametrize("gamma", [0.5, 0.999])
def test_rewards_are_discounted_as_the_phase_says(probe, gamma):
    probe.learn(2)
    probe.collector.collect(Routing("softmax", 1.0), gamma)
    rollout = probe.rollout
    batch = Batch(rollout, probe.policy, replace(CONFIG, gae_lambda=1.0), gamma, ALONE)
    returns, expected = batch.returns.view(CONFIG.rollout_steps, GAMES), rollout.next_value[-1]
    for t in reversed(range(CONFIG.rollout_steps)):
        expected = torch.where(
            torch.from_numpy(rollout.truncated[t]), rollout.next_value[t], expected
        )
        expected = expected * torch.from_numpy(~rollout.terminated[t])
        expected = torch.from_numpy(rollout.reward[t]) + gamma * expected
        torch.testing.assert_close(returns[t], expected, rtol=1e-4, atol=1e-5)


def test_an_update_takes_the_phase_discount(probe, monkeypatch):
    taken = []
    monkeypatch.setattr(ppo_module, "Batch", lambda *args: taken.append(args[3]) or Batch(*args))
    probe.learn(1, replace(SETTINGS, gamma=0.25))
    assert taken == [0.25]


def test_graph_is_evaluated_once_per_parameter_state(probe, monkeypatch):
    """Fault (h): the graph was evaluated at every step, nine tenths of the time."""
    evaluated = []
    rules = type(probe.policy.manager).rules
    monkeypatch.setattr(
        type(probe.policy.manager), "rules", lambda self: evaluated.append(1) or rules(self)
    )
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    assert len(evaluated) == 1
    evaluated.clear()
    probe.ppo.update(probe.rollout, SETTINGS)
    minibatches = CONFIG.epochs * GAMES * CONFIG.rollout_steps // CONFIG.minibatch_size
    assert len(evaluated) == minibatches


@pytest.mark.parametrize("spoil", ["reward", "parameter", "late gradient"])
def test_an_update_that_is_not_finite_is_undone(probe, monkeypatch, spoil):
    probe.learn(2)
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    if spoil == "reward":
        probe.rollout.reward[3, 5] = np.nan
    if spoil == "parameter":
        probe.rollout.observation.features[2, 1, 0] = np.inf
    if spoil == "late gradient":  # after some good steps of the same update
        calls = []
        original = ppo_module.ppo_loss

        def poisoned(*args, **kwargs):
            loss, terms = original(*args, **kwargs)
            calls.append(1)
            return (loss * np.nan if len(calls) == 5 else loss), terms

        monkeypatch.setattr(ppo_module, "ppo_loss", poisoned)
    before = copy.deepcopy((probe.policy.state_dict(), probe.ppo.optimizer.state_dict()))
    with pytest.raises(NotFinite):
        probe.ppo.update(probe.rollout, SETTINGS)
    after = (dict(probe.policy.state_dict()), probe.ppo.optimizer.state_dict())
    assert not differences(after, (dict(before[0]), before[1]))
    monkeypatch.undo()
    probe.learn(1)


def test_values_bootstrap_from_the_last_valid_observation(probe):
    """A truncated game's next value is that of its own last observation, not of the next game."""
    torch.nn.init.normal_(probe.policy.critic[-1].weight)  # it begins with 0 for every state
    env = probe.env
    receive = env.receive

    def truncating(group):
        env.final_observation.copy_from(env.observation)
        env.final_observation.features[:] = 1.0
        result = receive(group)
        return replace(result, terminated=~result.terminated & False, truncated=result.terminated)

    env.receive = truncating
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    rollout = probe.rollout
    cut = torch.from_numpy(rollout.truncated)
    assert cut.any()
    follows = rollout.value[1:]
    assert torch.equal(rollout.next_value[:-1][~cut[:-1]], follows[~cut[:-1]])
    assert (rollout.next_value[:-1][cut[:-1]] != follows[cut[:-1]]).all()
