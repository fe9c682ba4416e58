"""PPO on probe problems with known answers, and the faults of the update that must not return."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from exact import differences
from probe import SymbolEnv, tiny_hypergraph
from vector_games import make_env

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.ops import fenchel_young_loss
from tedg_fast.policy import Policy, PolicyConfig, Routing
from tedg_fast.runs.config import PPOConfig, TrainConfig
from tedg_fast.train import ppo as ppo_module
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.batch import Batch, segment_rows
from tedg_fast.train.distributed import ALONE
from tedg_fast.train.losses import advice
from tedg_fast.train.ppo import PPO, NotFinite
from tedg_fast.train.rollout import CentralCollector, Rollout
from tedg_fast.train.stopwatch import Stopwatch

CONFIG = PPOConfig(rollout_decisions=16, minibatch_size=64, segment_decisions=4)
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

    def __init__(self, seed=0, **env):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.policy = Policy(
            tiny_hypergraph(), 4, PolicyConfig(hidden_size=32, gat_heads=2, gat_head_size=8)
        )
        # The rules would give the answers away: here the networks must find them.
        self.policy.proposal_gain.requires_grad_(False).zero_()
        self.env = SymbolEnv(GAMES, seed=seed, **env)
        self.rollout = Rollout(self.env.spec, CONFIG.rollout_decisions, GAMES, 4)
        normaliser = RewardNormaliser(GAMES, CONFIG.reward_clip)
        self.collector = CentralCollector(
            self.env, self.policy, normaliser, generator, self.rollout, Stopwatch()
        )
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
    probe.policy.advice_weight = 0.0
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


def test_every_part_of_the_policy_learns_in_an_update_of_real_games():
    """Fault (a): updates ran without the graph, so the GAT never got a gradient."""
    torch.manual_seed(0)
    rules, generator = load_hypergraph(), torch.Generator().manual_seed(0)
    policy = Policy(rules, 4, PolicyConfig(hidden_size=32))
    with torch.no_grad():
        policy.router[-1].bias[2] += 1.0  # or it would agree with the advice at first
    ppo = PPO(policy, CONFIG, generator, Stopwatch())
    before = snapshot(policy)
    with make_env(num_envs=8, max_steps=300, decide="contested") as env:
        env.start()
        rollout = Rollout(env.spec, CONFIG.rollout_decisions, 8, 4)
        normaliser = RewardNormaliser(8, CONFIG.reward_clip)
        collector = CentralCollector(env, policy, normaliser, generator, rollout, Stopwatch())
        collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    signals = ppo.update(rollout, SETTINGS)
    unchanged = [
        name for name, value in policy.named_parameters() if torch.equal(before[name], value)
    ]
    assert not unchanged
    assert signals["alignment_loss"] > 0.01 and signals["effect_loss"] > 0
    assert signals["first_ratio_error"] < 1e-5


def test_alignment_moves_the_router_and_not_the_advice(probe):
    """Only its h_logic, which the router reads, may change; no rule's score does."""
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    with torch.no_grad():
        probe.policy.router[-1].bias[2] += 1.0
    output = probe.policy(
        probe.policy.inputs(probe.rollout.observation[0]), Routing("softmax", 1.0)
    )
    assert torch.equal(output.alignment_logits, output.router_logits)
    target = advice(output.advice_scores, 1.0)
    fenchel_young_loss("softmax", output.alignment_logits, target).backward()
    manager = probe.policy.manager
    assert probe.policy.router[-1].bias.grad.abs().max() > 0
    assert manager.priority.grad is None and manager.score.weight.grad is None


def test_frozen_manager_stays_as_it_is(probe):
    probe.learn(1)  # nor do gradients of before move it
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


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_share_a_step_and_change_nothing(threads):
    """Parts of unequal size, all terms of the loss, also those that are no plain means over rows.

    16 segments of 4 rows a minibatch; the seventh thread finds nothing left to do.
    """
    settings = replace(
        SETTINGS, load_balance_coef=50.0, temporal_coef=5.0, overlap_coef=1.0,
        diversity_coef=1.0, semantic_coef=1.0, learning_rate=0.0,
    )  # fmt: skip
    found = []
    for count in (1, threads):
        probe = Probe(longest=3)
        ppo = PPO(
            probe.policy, replace(CONFIG, epochs=1), torch.Generator().manual_seed(1),
            Stopwatch(), threads=count,
        )  # fmt: skip
        probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
        signals = ppo.update(probe.rollout, settings)
        gradient = [p.grad.flatten() for p in probe.policy.parameters() if p.grad is not None]
        found.append((torch.cat(gradient).double(), signals))
    (alone, signals_alone), (shared, signals_shared) = found
    assert not torch.equal(alone, shared), "the parts were not summed apart"
    assert (shared - alone).norm() < 1e-5 * alone.norm()
    assert signals_shared == pytest.approx(signals_alone, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("longest", [1, 7])
@pytest.mark.parametrize("gamma", [0.5, 0.999])
def test_rewards_are_discounted_as_the_phase_says(gamma, longest):
    probe = Probe(longest=longest)
    probe.learn(2)
    probe.collector.collect(Routing("softmax", 1.0), gamma)
    rollout = probe.rollout
    batch = Batch(rollout, probe.policy, replace(CONFIG, gae_lambda=1.0), gamma, ALONE)
    returns, expected = batch.returns.view(CONFIG.rollout_decisions, GAMES), rollout.next_value[-1]
    for t in reversed(range(CONFIG.rollout_decisions)):
        expected = torch.where(
            torch.from_numpy(rollout.truncated[t]), rollout.next_value[t], expected
        )
        expected = expected * torch.from_numpy(~rollout.terminated[t])
        discount = gamma ** torch.from_numpy(rollout.length[t])
        expected = torch.from_numpy(rollout.reward[t]) + discount * expected
        torch.testing.assert_close(returns[t], expected, rtol=1e-4, atol=1e-5)


def test_an_update_takes_the_phase_discount(probe, monkeypatch):
    taken = []
    monkeypatch.setattr(ppo_module, "Batch", lambda *args: taken.append(args[3]) or Batch(*args))
    probe.learn(1, replace(SETTINGS, gamma=0.25))
    assert taken == [0.25]


def test_graphs_are_built_once_an_update(probe, monkeypatch):
    """Fault (h): all that does not depend on the parameters was done again at every step."""
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    built = []
    reader = type(probe.policy.manager.read)
    read = reader.__call__
    monkeypatch.setattr(reader, "__call__", lambda *args: built.append(1) or read(*args))
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    assert not built, "play builds its own, natively"
    probe.ppo.update(probe.rollout, SETTINGS)
    assert len(built) == 1


def test_change_is_told_by_the_game_step(one_thread):
    """One over a decision's length, where the next one is of the same episode."""
    probe = Probe(longest=5)
    probe.learn(1)
    rollout = probe.rollout
    batch = Batch(rollout, probe.policy, CONFIG, 0.9, ALONE)
    closeness = batch.closeness.view(CONFIG.rollout_decisions, GAMES).numpy()
    assert rollout.length.max() == 5 and rollout.done.any() and not rollout.done.all()
    np.testing.assert_allclose(closeness[~rollout.done], 1 / rollout.length[~rollout.done])
    assert not closeness[rollout.done].any()
    segments = segment_rows(CONFIG.rollout_decisions, GAMES, CONFIG.segment_decisions)
    minibatch = batch.rows(segments[:3].flatten(), CONFIG.segment_decisions, torch.tensor(1.0))
    assert torch.equal(minibatch.closeness, batch.closeness[segments[:3, :-1]])


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
    receive = env.receive_any

    def truncating():
        env.final_observation.copy_from(env.observation)
        env.final_observation.features[:] = 1.0
        group, result = receive()
        none = np.zeros_like(result.terminated)
        return group, replace(result, terminated=none, truncated=result.terminated)

    env.receive_any = truncating
    probe.collector.collect(Routing("softmax", 1.0), SETTINGS.gamma)
    rollout = probe.rollout
    cut = torch.from_numpy(rollout.truncated)
    assert cut.any()
    follows = rollout.value[1:]
    assert torch.equal(rollout.next_value[:-1][~cut[:-1]], follows[~cut[:-1]])
    assert (rollout.next_value[:-1][cut[:-1]] != follows[cut[:-1]]).all()
