"""The package's rollouts and PPO updates go on from a V3 checkpoint, on real games."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exact import differences
from v3_files import checkpoint_content, real_files, small_hypergraph

from tedg_fast.legacy import V3Checkpoint, V3Grounder, V3Hypergraph, V3Policy
from tedg_fast.nethack.actions import WAIT
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Routing
from tedg_fast.runs.config import PPOConfig, TrainConfig
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.ppo import PPO
from tedg_fast.train.rollout import CentralCollector, Rollout
from tedg_fast.train.stopwatch import Stopwatch

GAMES, STEPS, MAX_STEPS = 3, 16, 12
CONFIG = PPOConfig(rollout_decisions=STEPS, minibatch_size=24, segment_decisions=4, epochs=2)
UPDATES = 2 * (GAMES * STEPS // 24)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["small", "real"])
def resumed(request, tmp_path):
    """Hypergraph, checkpoint, and the policy, PPO and collector that go on from it."""
    torch.manual_seed(0)
    if request.param == "real":
        folder = real_files()
        hypergraph, path = V3Hypergraph.load(folder), folder / "model_00100.pth"
    else:
        hypergraph, path = small_hypergraph(tmp_path / "hypergraph"), tmp_path / "model.pth"
        torch.save(checkpoint_content(V3Policy(hypergraph, 4)), path)
    v3 = V3Checkpoint.load(path)
    policy = V3Policy.of(v3, hypergraph)
    generator = torch.Generator().manual_seed(0)
    ppo = PPO(policy, CONFIG, generator, Stopwatch())
    ppo.optimizer.load_state_dict(v3.adam_state_dict(policy, ppo.optimizer))
    env = VectorEnv(
        hypergraph,
        grounder=V3Grounder,
        num_envs=GAMES,
        num_workers=1,
        run_seed=0,
        max_steps=MAX_STEPS,
        decide="always",
    )
    rollout = Rollout(env.spec, STEPS, GAMES, v3.num_experts)
    normaliser = RewardNormaliser(GAMES, CONFIG.reward_clip)
    with env:
        env.start()
        collector = CentralCollector(env, policy, normaliser, generator, rollout, Stopwatch())
        yield hypergraph, v3, policy, ppo, collector


@pytest.mark.parametrize("episode", [100, 2000, 4000])
def test_updates_are_correct_and_reach_the_graph(resumed, episode):
    _, v3, policy, ppo, collector = resumed
    settings = TrainConfig().settings_at(episode)
    collector.collect(Routing(settings.routing, settings.temperature), settings.gamma)
    signals = ppo.update(collector.rollout, settings)
    assert signals["first_ratio_error"] < 1e-4
    assert all(np.isfinite(value) for value in signals.values())
    names = [name for name, _ in policy.named_parameters()]
    moved = [n for n in names if not torch.equal(policy.state_dict()[n], v3.weights[n])]
    # Attention only shapes the operators' scores, which reach the loss as advice, without gradient.
    attention = {f"gat.gat{i}.att_{end}" for i in (1, 2) for end in ("src", "dst")}
    assert set(names) - set(moved) == attention

    state = ppo.optimizer.state_dict()["state"]
    before = {name: entry["step"].item() for name, entry in v3.adam.items()}
    for number, name in enumerate(names):
        if name in moved:
            assert state[number]["step"].item() == before.get(name, 0) + UPDATES


def test_frozen_graph_stays(resumed):
    _, v3, policy, ppo, collector = resumed
    policy.manager.requires_grad_(False)
    collector.collect(Routing("softmax", 1.0), 0.99)
    ppo.update(collector.rollout, TrainConfig().settings_at(100))
    for name, value in policy.state_dict().items():
        assert torch.equal(value, v3.weights[name]) == name.startswith("gat."), name


def test_training_goes_on_from_a_saved_state(resumed, tmp_path):
    """V3's file once, from then on the package's own state, to the last bit."""
    hypergraph, v3, policy, ppo, collector = resumed
    settings = TrainConfig().settings_at(100)
    collector.collect(Routing("softmax", 1.0), 0.99)
    ppo.update(collector.rollout, settings)
    path = tmp_path / "model_00120.pth"
    state = {"policy": policy.state_dict(), "optimizer": ppo.optimizer.state_dict()}
    torch.save(state | {"generator": ppo.generator.get_state()}, path)

    state = torch.load(path, weights_only=True)
    again = V3Policy(hypergraph, v3.num_experts)
    again.load_state_dict(state["policy"])
    resumed_ppo = PPO(again, CONFIG, torch.Generator(), Stopwatch())
    resumed_ppo.optimizer.load_state_dict(state["optimizer"])
    resumed_ppo.generator.set_state(state["generator"])
    for each in (ppo, resumed_ppo):
        each.update(collector.rollout, settings)
    assert not differences(dict(again.state_dict()), dict(policy.state_dict()))
    assert not differences(resumed_ppo.optimizer.state_dict(), ppo.optimizer.state_dict())


def test_workers_count_the_steps_of_each_game(resumed):
    env = resumed[-1].env
    for step in range(2 * MAX_STEPS + 1):
        expected = step % MAX_STEPS / 1000
        np.testing.assert_allclose(env.observation.features[:, 9], expected, atol=1e-7)
        result = env.step(np.full(GAMES, WAIT))
        assert result.truncated.all() == (step % MAX_STEPS == MAX_STEPS - 1)
    last = env.final_observation.features[:, 9]
    np.testing.assert_allclose(last, MAX_STEPS / 1000, atol=1e-7)


def test_attention_variance_of_a_rollout(resumed):
    _, _, policy, _, collector = resumed
    inputs = policy.inputs(collector.env.observation)
    assert inputs.active.shape == (GAMES, policy.observer.num_nodes) and inputs.active.any()
    assert 0 <= policy.manager.attention_variance(inputs) <= 1


def test_workers_need_no_torch():
    """A game worker that grounds for V3 must not pay for importing torch."""
    program = "import sys, tedg_fast.legacy; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
