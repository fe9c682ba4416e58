"""The trainer beside a plain PyTorch loop with the same network, loss and minibatches.

    python bench/against_plain.py

First both compute the loss and the gradients of the same rollout of real games with the same
parameters, which must agree within rounding. Then each is timed: the plain loop
(``plain_loop.py``), which asks its network at every step, and ``tedg-train`` with its defaults.
Writes bench/results/against_plain.md and .json. Run it on an idle machine.
"""

import argparse
from dataclasses import replace

import plain_loop
import record
import torch
from plain_policy import PlainPolicy, Rows
from training import train

from tedg_fast.hypergraph import Hypergraph, load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Policy, Routing
from tedg_fast.runs.config import TrainConfig
from tedg_fast.runs.model import build_policy
from tedg_fast.train.advantages import RewardNormaliser, generalised_advantages
from tedg_fast.train.ppo import PPO
from tedg_fast.train.rollout import CentralCollector, Rollout
from tedg_fast.train.stopwatch import Stopwatch

SMALL = 256
"""Rows of the minibatch of which loss and gradients are compared."""


def real_rollout(hypergraph: Hypergraph, policy: Policy, config: TrainConfig) -> Rollout:
    """A rollout of games in their midst."""
    settings = config.settings_at(0)
    steps = config.ppo.rollout_decisions
    generator = torch.Generator().manual_seed(1)
    with VectorEnv(
        hypergraph, num_envs=config.num_envs, num_workers=2, run_seed=1, max_steps=config.max_steps
    ) as env:
        env.start()
        rollout = Rollout(env.spec, steps, config.num_envs, config.num_experts)
        normaliser = RewardNormaliser(config.num_envs, config.ppo.reward_clip)
        collector = CentralCollector(env, policy, normaliser, generator, rollout, Stopwatch())
        for _ in range(20):
            collector.collect(Routing(settings.routing, settings.temperature), settings.gamma)
    return rollout


def plain_rows(rollout: Rollout, policy: Policy, gamma: float, gae_lambda: float) -> Rows:
    observation = rollout.observation
    terminated, truncated = map(torch.from_numpy, (rollout.terminated, rollout.truncated))
    advantage = generalised_advantages(
        torch.from_numpy(rollout.reward), torch.from_numpy(rollout.length), rollout.value,
        rollout.next_value, terminated, truncated, gamma=gamma, gae_lambda=gae_lambda,
    )  # fmt: skip
    packed = torch.from_numpy(rollout.shown).flatten(0, 1)
    shown = policy.effects.shown(packed).unflatten(0, rollout.shown.shape[:2])
    return plain_loop.flat_rows(
        policy, observation, shown, torch.from_numpy(rollout.follows),
        torch.from_numpy(rollout.action), rollout.log_prob, advantage, advantage + rollout.value,
    )  # fmt: skip


def disagreement(rollout: Rollout, policy: Policy, config: TrainConfig) -> dict[str, float]:
    """How far the plain loss and gradients of a rollout are from the trainer's, relatively.

    Of the gradients, the norm of the difference of all of them over their norm. Raises
    AssertionError above what rounding explains.
    """
    # A learning rate of 0 leaves the parameters as they are.
    settings = replace(config.settings_at(0), learning_rate=0.0)
    one_pass = replace(config.ppo, epochs=1)
    generator = torch.Generator().manual_seed(2)
    signals = PPO(policy, one_pass, generator, Stopwatch()).update(rollout, settings)
    ours = [parameter.grad.clone() for parameter in policy.parameters()]

    policy.zero_grad()
    rows = plain_rows(rollout, policy, settings.gamma, config.ppo.gae_lambda)
    loss = PlainPolicy(policy).loss(rows, settings, config.ppo)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), config.ppo.max_grad_norm)
    theirs = [parameter.grad for parameter in policy.parameters()]
    apart = torch.stack([(a - b).norm() for a, b in zip(ours, theirs)]).norm()
    whole = torch.stack([a.norm() for a in ours]).norm()
    found = {
        "loss": abs(loss.item() - signals["loss"]) / abs(signals["loss"]),
        "gradients": (apart / whole).item(),
    }
    assert max(found.values()) < 1e-5, f"the plain loss or gradients differ: {found}"
    return found


def one_small_minibatch(config: TrainConfig) -> TrainConfig:
    """The same with rollouts of a single small minibatch."""
    steps = SMALL // config.num_envs
    sizes = {"rollout_decisions": steps, "segment_decisions": steps, "minibatch_size": SMALL}
    return replace(config, ppo=replace(config.ppo, **sizes))


def check_equal(hypergraph: Hypergraph, config: TrainConfig) -> dict[str, float]:
    """``disagreement`` with the plain loop, after parameters moved on from the rollout's."""
    config = one_small_minibatch(config)
    policy = build_policy(hypergraph, config)
    rollout = real_rollout(hypergraph, policy, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in policy.parameters():
            step = torch.randn(parameter.shape, generator=generator)
            parameter += 0.02 * parameter.abs().mean() * step
    return disagreement(rollout, policy, config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="of the trainer, at least")
    parser.add_argument(
        "--plain-steps",
        type=int,
        default=8192,
        help="of the plain loop, at least",
    )
    arguments = parser.parse_args()
    header = record.header()
    hypergraph, config = load_hypergraph(), TrainConfig()
    equal = check_equal(hypergraph, config)
    torch.set_num_threads(len(record.cores()))
    policy = build_policy(hypergraph, config)
    plain = plain_loop.train(hypergraph, policy, config, arguments.plain_steps)
    ours = train([], arguments.steps, cores=record.cores()).speed

    rows = [["`tedg-train`", f"{ours:,.0f}", "", "", ""]]
    apart = (f"{equal[what]:.1e}" for what in ("loss", "gradients"))
    rows.append(["plain, a decision every step", f"{plain:,.1f}", f"{ours / plain:.1f}", *apart])
    names = ("loop", "steps/s", "ours is faster by", "loss apart", "gradients apart")
    lines = ["# The trainer beside a plain PyTorch loop", "", *header, ""]
    lines += [
        f"{config.num_envs} games, {config.ppo.epochs} epochs of minibatches of "
        f"{config.ppo.minibatch_size} rows; apart: relative difference on equal data.",
        "",
        *record.table(names, rows),
    ]
    data = {"ours": ours, "plain": plain, "apart": equal}
    record.write("against_plain", lines, data)


if __name__ == "__main__":
    main()
