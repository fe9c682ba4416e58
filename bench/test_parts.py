"""The parts of training, each alone, with the default configuration on real games."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nle")  # the kernels are compared also where there are no games
import torch

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Routing, player_of
from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import TrainConfig
from tedg_fast.runs.model import build_policy
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.display import Display
from tedg_fast.train.ppo import PPO
from tedg_fast.train.rollout import CentralCollector, Rollout
from tedg_fast.train.stopwatch import Stopwatch
from tedg_fast.train.trainer import Trainer

CONFIG = TrainConfig()
SETTINGS = CONFIG.settings_at(0)
ROUTING = Routing(SETTINGS.routing, SETTINGS.temperature)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def hypergraph():
    return load_hypergraph()


@pytest.fixture(scope="module")
def games(hypergraph):
    with VectorEnv(
        hypergraph, num_envs=CONFIG.num_envs, num_workers=CONFIG.num_workers, run_seed=0,
        max_steps=CONFIG.max_steps, character=CONFIG.character, decide=CONFIG.decide,
        margin=CONFIG.margin,
    ) as env:  # fmt: skip
        env.start()
        yield env


@pytest.fixture(scope="module")
def played(games, hypergraph):
    """(policy, a rollout of it)"""
    policy = build_policy(hypergraph, CONFIG)
    decisions, num_envs = CONFIG.ppo.rollout_decisions, CONFIG.num_envs
    rollout = Rollout(games.spec, decisions, num_envs, CONFIG.num_experts)
    normaliser = RewardNormaliser(num_envs, CONFIG.ppo.reward_clip)
    collector = CentralCollector(games, policy, normaliser, torch.Generator(), rollout, Stopwatch())
    collector.collect(ROUTING, SETTINGS.gamma)
    return policy, rollout


def name(benchmark, part):
    benchmark.group = f"training | {part}"
    benchmark.extra_info["implementation"] = "Trainer"


@pytest.mark.parametrize("rows", [8, 32])
def test_policy_call(benchmark, played, rows):
    """From an observation of so many games to logits and values."""
    policy, rollout = played
    observation = rollout.observation[0][:rows]
    name(benchmark, f"policy call of {rows} rows")
    with torch.inference_mode():
        player = player_of(policy, ROUTING)
        assert benchmark(player, observation).logits.shape == (rows, 23)


def test_update(benchmark, played):
    """All epochs of minibatches; extra_info holds the milliseconds of one minibatch."""
    policy, rollout = played
    ppo = PPO(policy, CONFIG.ppo, torch.Generator(), Stopwatch(), threads=CONFIG.threads)
    name(benchmark, "update")
    signals = benchmark.pedantic(ppo.update, (rollout, SETTINGS), rounds=5, warmup_rounds=1)
    assert np.isfinite(signals["loss"])
    rows = rollout.decisions * rollout.num_envs
    minibatches = CONFIG.ppo.epochs * -(-rows // CONFIG.ppo.minibatch_size)
    fastest = benchmark.stats.stats.min
    benchmark.extra_info["milliseconds_a_minibatch"] = 1e3 * fastest / minibatches


def test_checkpoint_save(benchmark, hypergraph, tmp_path):
    """A new trainer's whole state to a file that is synced to the disk."""
    config = TrainConfig(results=str(tmp_path))
    trainer = Trainer(config, hypergraph, Display(1, quiet=True))
    state, path = trainer.state_dict([trainer.rank_state()]), Path(tmp_path) / "model.pth"
    name(benchmark, "checkpoint save")
    benchmark(checkpoint.save, path, state)
    assert path.stat().st_size > 0


def test_vector_step(benchmark, games):
    """From one decision of all games to the next, random allowed actions drawn included."""
    rng = np.random.default_rng(0)

    def step():
        mask = games.observation.action_mask
        return games.step((rng.random(mask.shape) * mask).argmax(1))

    workers = len(games.worker_pids)
    name(benchmark, f"decision in each of {games.num_envs} games, {workers} workers")
    assert benchmark(step).reward.shape == (games.num_envs,)
