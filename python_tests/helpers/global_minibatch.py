"""One global minibatch on two ranks and in one process: ``torchrun ... global_minibatch.py OUT``.

Each rank plays real games, and both take one gradient step (of step size 0). The first rank takes
the same step alone, with all games in one rollout and the same rows in one minibatch, and writes
to OUT what came of each.
"""

import json
import sys
from dataclasses import replace

import numpy as np
import torch
from vector_games import make_env

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.observation import ObservationSpec
from tedg_fast.policy import Policy, PolicyConfig, Routing
from tedg_fast.runs.config import PPOConfig, TrainConfig
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.batch import segment_rows
from tedg_fast.train.distributed import joined
from tedg_fast.train.ppo import PPO
from tedg_fast.train.ranks import first_generator
from tedg_fast.train.rollout import CentralCollector, Rollout
from tedg_fast.train.stopwatch import Stopwatch

GAMES, DECISIONS, EXPERTS = 3, 32, 4
CONFIG = PPOConfig(rollout_decisions=DECISIONS, minibatch_size=96, epochs=1, max_grad_norm=1e9)
# All terms of the loss count, those that are no plain means over rows most of all.
SETTINGS = replace(
    TrainConfig().settings_at(2000),
    learning_rate=0.0, load_balance_coef=50.0, temporal_coef=5.0, overlap_coef=1.0,
)  # fmt: skip


def new_policy():
    torch.manual_seed(0)
    return Policy(
        load_hypergraph(), EXPERTS, PolicyConfig(hidden_size=32, gat_heads=2, gat_head_size=8)
    )


def gradients(policy):
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])


def play(world, policy):
    """A rollout, with the rewards as the games gave them beside the normalised ones."""
    raw = []

    class Remembering(RewardNormaliser):
        def __call__(self, reward, length, done, gamma):
            raw.append(reward.copy())
            return super().__call__(reward, length, done, gamma)

    normaliser = Remembering(GAMES, CONFIG.reward_clip, world)
    with make_env(
        num_envs=GAMES,
        num_workers=1,
        max_steps=40,
        decide="contested",
        next_episode=world.rank,
        number_step=2,
    ) as env:
        env.start()
        rollout = Rollout(env.spec, DECISIONS, GAMES, EXPERTS)
        generator = first_generator(1, world.rank)
        collector = CentralCollector(env, policy, normaliser, generator, rollout, Stopwatch())
        collector.collect(Routing(SETTINGS.routing, SETTINGS.temperature), SETTINGS.gamma)
    return rollout, raw[0]


def merged(parts):
    """The rollouts of all ranks as one; the games of rank r are the columns from r·GAMES on."""
    spec = ObservationSpec(load_hypergraph().num_conditions)
    whole = Rollout(spec, DECISIONS, GAMES * len(parts), EXPERTS)
    for rank, part in enumerate(parts):
        columns = slice(rank * GAMES, (rank + 1) * GAMES)
        for name, value in vars(part).items():
            if isinstance(value, np.ndarray | torch.Tensor):
                getattr(whole, name)[:, columns] = value
        whole.observation[:, columns].copy_from(part.observation)
    return whole


def main(out):
    with joined() as world:
        torch.set_num_threads(1)
        policy = new_policy()
        rollout, raw = play(world, policy)
        ppo = PPO(policy, CONFIG, first_generator(2, world.rank), Stopwatch(), world)
        chosen = []
        minibatches = ppo._minibatches
        ppo._minibatches = lambda count: chosen.append(minibatches(count)[:1]) or chosen[-1]
        signals = ppo.update(rollout, SETTINGS)
        parts = world.gather((rollout, raw, chosen[0][0]))
        mine = gradients(policy)
        others = world.gather(mine)
        if parts is None:
            return
        rollouts, raws, segments = zip(*parts)
        whole = merged(rollouts)
        alone = RewardNormaliser(GAMES * world.size, CONFIG.reward_clip)
        rewards = alone(np.concatenate(raws, 1), whole.length, whole.done, SETTINGS.gamma)

        single = PPO(new_policy(), CONFIG, torch.Generator(), Stopwatch())
        rows = segment_rows(DECISIONS, GAMES, CONFIG.segment_decisions)
        ours = segment_rows(DECISIONS, GAMES * world.size, CONFIG.segment_decisions)
        number = {tuple(segment): k for k, segment in enumerate(ours.tolist())}
        same = [
            number[tuple((row // GAMES) * GAMES * world.size + rank * GAMES + row % GAMES
                         for row in rows[k].tolist())]
            for rank, taken in enumerate(segments)
            for k in taken.tolist()
        ]  # fmt: skip
        single._minibatches = lambda count: [torch.tensor(same)]
        expected = single.update(whole, SETTINGS)
        reference = gradients(single.policy)
        result = {
            "ranks_agree": bool(torch.equal(others[0], others[1])),
            "largest": reference.abs().max().item(),
            "error": (mine - reference).abs().max().item(),
            "reward_error": float(np.abs(rewards - whole.reward).max()),
            "rewards_differ": bool((rewards != np.concatenate(raws, 1)).any()),
            "signals": signals,
            "expected": expected,
        }
        with open(out, "w") as file:
            json.dump(result, file)


if __name__ == "__main__":
    main(sys.argv[1])
