"""The trainer beside a plain PyTorch loop with the same network, loss and minibatches.

    python bench/against_plain.py

First both compute the loss and the gradients of the same rollout of real games with the same
parameters, which must agree within rounding. Then each is timed: the plain loop (``plain_loop.py``)
with the graph evaluated for every sample, and with one evaluation a batch, and ``tedg-train`` with
its defaults. Writes bench/results/against_plain.md and .json. Run it on an idle machine.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

import plain_loop
import record
from plain_policy import Applying, PlainPolicy, Rows
from tedg_fast.hypergraph import Hypergraph, load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Policy, Routing, StateInput
from tedg_fast.train.advantages import RewardNormaliser, generalised_advantages
from tedg_fast.train.config import TrainConfig
from tedg_fast.train.model import build_policy
from tedg_fast.train.ppo import PPO
from tedg_fast.train.rollout import Collector, Rollout
from tedg_fast.train.stopwatch import Stopwatch
from training import train

PLAIN = {False: "for every sample", True: "once a batch"}
SMALL = 256
"""Rows of a minibatch where every sample has its own graph: each takes some 8 MB."""


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
        collector = Collector(env, policy, normaliser, generator, rollout, Stopwatch())
        for _ in range(20):
            collector.collect(Routing(settings.routing, settings.temperature), settings.gamma)
    return rollout


def plain_rows(rollout: Rollout, policy: Policy, gamma: float, gae_lambda: float) -> Rows:
    observation = rollout.observation
    terminated, truncated = map(torch.from_numpy, (rollout.terminated, rollout.truncated))
    advantage = generalised_advantages(
        torch.from_numpy(rollout.reward), torch.from_numpy(rollout.length), rollout.value, rollout.next_value, terminated, truncated,
        gamma=gamma, gae_lambda=gae_lambda,
    )  # fmt: skip
    conditions = policy.manager.num_conditions
    holds = np.unpackbits(observation.active_bits, axis=2, count=conditions).astype(bool)
    return plain_loop.flat_rows(
        policy, StateInput.of(observation),
        Applying(*map(torch.from_numpy, (holds, observation.instances))),
        torch.from_numpy(rollout.action), rollout.log_prob, advantage, advantage + rollout.value,
        torch.from_numpy(rollout.done),
    )  # fmt: skip


def disagreement(rollout: Rollout, policy: Policy, config: TrainConfig, shared: bool) -> dict:
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
    loss = PlainPolicy(policy, shared=shared).loss(rows, settings, config.ppo)
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
    ppo = replace(config.ppo, minibatch_size=SMALL, rollout_decisions=steps, segment_decisions=steps)
    return replace(config, ppo=ppo)


def check_equal(hypergraph: Hypergraph, config: TrainConfig) -> dict[bool, dict]:
    """``disagreement`` of both plain loops, after parameters moved on from the rollout's."""
    config = one_small_minibatch(config)
    policy = build_policy(hypergraph, config)
    rollout = real_rollout(hypergraph, policy, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in policy.parameters():
            step = torch.randn(parameter.shape, generator=generator)
            parameter += 0.02 * parameter.abs().mean() * step
    return {shared: disagreement(rollout, policy, config, shared) for shared in PLAIN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="of the trainer, at least")
    parser.add_argument(
        "--plain-steps", type=int, default=8192,
        help="of the plain loop with one graph a batch, at least; the other gets a sixteenth",
    )
    arguments = parser.parse_args()
    header = record.header()
    hypergraph, config = load_hypergraph(), TrainConfig()
    equal = check_equal(hypergraph, config)
    torch.set_num_threads(len(record.cores()))
    plain = {}
    for shared in PLAIN:
        # A step costs the same in a short rollout, and a long one would take ten minutes.
        chosen = config if shared else one_small_minibatch(config)
        steps = arguments.plain_steps if shared else arguments.plain_steps // 16
        policy = build_policy(hypergraph, chosen)
        plain[shared] = plain_loop.train(hypergraph, policy, chosen, steps, shared)
    ours = train([], arguments.steps, cores=record.cores()).speed

    rows = [["`tedg-train`", f"{ours:,.0f}", "", "", ""]]
    for shared, words in PLAIN.items():
        apart = (f"{equal[shared][what]:.1e}" for what in ("loss", "gradients"))
        speed = plain[shared]
        rows.append([f"plain, graph {words}", f"{speed:,.1f}", f"{ours / speed:.1f}", *apart])
    names = ("loop", "steps/s", "ours is faster by", "loss apart", "gradients apart")
    lines = ["# The trainer beside a plain PyTorch loop", "", *header, ""]
    lines += [
        f"{config.num_envs} games, {config.ppo.epochs} epochs of minibatches of "
        f"{config.ppo.minibatch_size} rows ({SMALL} where every sample has a graph of its own); "
        "apart: relative difference on equal data.",
        "",
        *record.table(names, rows),
    ]
    data = {"ours": ours, "plain": {PLAIN[s]: speed for s, speed in plain.items()},
            "apart": {PLAIN[s]: found for s, found in equal.items()}}  # fmt: skip
    record.write("against_plain", lines, data)


if __name__ == "__main__":
    main()
