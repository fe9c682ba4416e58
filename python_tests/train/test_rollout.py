"""Rollouts of real games: what is stored belongs together, whoever played which games when.

"Workers" have the policy play in the workers, "central" here.
"""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from probe import SymbolEnv, tiny_hypergraph
from vector_games import make_env

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.observation import ObservationSpec
from tedg_fast.nethack.games.shared_state import RolloutSetup
from tedg_fast.nethack.games.worker_process import WorkerError
from tedg_fast.policy import Policy, PolicyConfig, Routing, player_setup
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.rollout import CentralCollector, Rollout, WorkerCollector, collector_of
from tedg_fast.train.stopwatch import Stopwatch

STEPS, GAMES = 48, 5
SPEC = ObservationSpec(load_hypergraph().num_conditions)
ROUTING = Routing("softmax", 1.0)
SMALL = PolicyConfig(hidden_size=32, gat_heads=2, gat_head_size=8)


COLLECTORS = {"workers": WorkerCollector, "central": CentralCollector}
in_both = pytest.mark.parametrize("where", COLLECTORS)


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


def collect(policy, where, rollouts=2, **settings):
    """The last of some rollouts in a row, all episodes of them, and the games afterwards."""
    generator = torch.Generator().manual_seed(1)
    if where == "workers":
        settings["rollout"] = RolloutSetup(player_setup(policy), STEPS)
    with make_env(num_envs=GAMES, decide="contested", **settings) as env:
        env.start()
        normaliser = RewardNormaliser(GAMES, 10.0)
        collector = collector_of(env, policy, normaliser, generator, STEPS, 4, Stopwatch())
        assert type(collector) is COLLECTORS[where]
        played = [collector.collect(ROUTING, 0.99) for _ in range(rollouts)]
        games = env.games()  # refused while any is being played
    return collector.rollout, [episode for each in played for episode in each.episodes], games


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


@in_both
def test_rollouts_do_not_depend_on_the_number_of_workers(policy, where):
    first, *rest = [collect(policy, where, num_workers=workers) for workers in (1, 2, 5)]
    assert first[0].truncated.any()
    for other in rest:
        for name, array in contents(first[0]).items():
            np.testing.assert_array_equal(contents(other[0])[name], array, err_msg=name)
        assert other[1:] == first[1:]


def test_halves_and_workers_play_as_the_whole_does(policy):
    """Two groups or one, here or in the workers, the same games are played but for rounding, and
    what is known of their decisions is the same."""
    for settings in ({"max_steps": 500}, {"max_steps": 60}):
        whole, episodes, games = collect(policy, "central", num_groups=1, **settings)
        assert whole.truncated.any()
        for where in COLLECTORS:
            other, same_episodes, same_games = collect(policy, where, num_groups=2, **settings)
            assert games == same_games and episodes == same_episodes
            for name, array in contents(whole).items():
                np.testing.assert_allclose(contents(other)[name], array, atol=1e-4, err_msg=name)


@in_both
def test_values_and_probabilities_are_those_of_the_stored_observations(policy, where):
    """Evaluated anew, row by row; and the next value of a truncated step is neither of these."""
    rollout, _, _ = collect(policy, where)
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


@in_both
def test_what_follows_an_action_is_what_was_seen_right_after_it(policy, where):
    """Where a decision lasts a single game step, that is the next one's observation."""
    rollout, _, _ = collect(policy, where)
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
    collector = CentralCollector(env, policy, normaliser, generator, rollout, Stopwatch())
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
        collector = CentralCollector(env, policy, normaliser, generator, rollout, Stopwatch())
        collector.collect(ROUTING, 0.99)
        rollouts.append(contents(rollout))
    assert rollouts[0]["truncated"].any() and rollouts[0]["length"].max() == 6
    for name, array in rollouts[0].items():
        np.testing.assert_array_equal(rollouts[1][name], array, err_msg=name)


@in_both
def test_time_is_accounted_for(policy, where):
    watch = Stopwatch()
    rollout = RolloutSetup(player_setup(policy), STEPS) if where == "workers" else None
    with make_env(num_envs=GAMES, rollout=rollout) as env:
        env.start()
        normaliser = RewardNormaliser(GAMES, 10.0)
        collector = collector_of(env, policy, normaliser, torch.Generator(), STEPS, 4, watch)
        began = time.perf_counter()
        collector.collect(ROUTING, 0.99)
        took = time.perf_counter() - began
    assert watch.seconds["games"] > 0 and watch.seconds["policy"] > 0
    assert sum(watch.seconds.values()) == pytest.approx(took, rel=0.05)


def test_a_rollout_whose_worker_dies_is_played_anew(policy):
    """Its games are lost, and others begin in their place; the rest is as if nothing had been."""
    with make_env(num_envs=GAMES, num_workers=1, num_groups=2, max_steps=500) as env:
        with pytest.raises(RuntimeError, match="have no policy"):
            env.rollout()
    rollout = RolloutSetup(player_setup(policy), STEPS)
    settings = dict(num_envs=GAMES, num_groups=2, max_steps=500, rollout=rollout)
    rollouts = []
    for harm in (False, True):
        with make_env(num_workers=2, **settings) as env:
            env.start()
            normaliser, generator = RewardNormaliser(GAMES, 10.0), torch.Generator()
            collector = collector_of(env, policy, normaliser, generator, STEPS, 4, Stopwatch())
            collector.collect(ROUTING, 0.99)
            normaliser.returns[:] = 1000.0
            if harm:
                os.kill(env.worker_pids[1], signal.SIGKILL)
            played = collector.collect(ROUTING, 0.99)
            rollouts.append(contents(collector.rollout))
            episodes, kept = env.episode.tolist(), normaliser.returns > 500
            logs = [len(game.actions) for game in env.games()]
            assert logs == env.played.tolist()
    lost = [3, 4]  # the second group is the second worker's
    assert env.crashes == 1 and len(played.lost) == 1
    assert "killed by SIGKILL; episodes lost: 3, 4" in played.lost[0]
    assert episodes == [0, 1, 2, 8, 9]
    assert kept.tolist() == [True] * 3 + [False] * 2  # what a lost game had gained counts no more
    whole, harmed = rollouts
    assert harmed["length"][:, lost].sum(0).tolist() == logs[3:]
    for name, array in whole.items():
        rest = [row for row in range(GAMES) if row not in lost]
        if name != "reward":  # all are divided by the deviation of all
            np.testing.assert_array_equal(harmed[name][:, rest], array[:, rest], err_msg=name)
    assert (harmed["value"][:, lost] != whole["value"][:, lost]).any()


def test_a_rollout_that_no_worker_survives_is_an_error(policy):
    """Each new worker is killed, too."""
    rollout = RolloutSetup(player_setup(policy), 100_000)
    with make_env(num_envs=2, num_workers=1, max_steps=500, rollout=rollout) as env:
        env.start()
        dead = set()

        def kill():
            while not env.closed:
                for pid in set(env.worker_pids) - dead:
                    os.kill(pid, signal.SIGKILL)
                    dead.add(pid)
                time.sleep(0.01)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(WorkerError, match="killed by SIGKILL"):
            env.rollout()
        killer.join()
