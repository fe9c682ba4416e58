"""How much longer the slowest of many ranks takes: ``python bench/stragglers.py [ROLLOUTS]``.

Measures the processor time that a game worker takes for rollouts of real games under random
allowed actions (processor time, so that other work on the machine does not count), and draws from
these, again and again, the slowest of W ranks. Beyond some hundred ranks the slowest is the slowest
rollout that was seen, a lower bound: the line of the normal distribution stands beside it.
"""

import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv

GAMES, STEPS, DRAWS = 16, 128, 4000


def processor_seconds(pid: int) -> float:
    """Of all threads' first, in which the games are played."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def rollout_seconds(count: int) -> np.ndarray:
    """[count] processor time of a worker for GAMES games of STEPS steps each."""
    rng, seconds = np.random.default_rng(0), []
    with VectorEnv(
        load_hypergraph(), num_envs=GAMES, num_workers=1, run_seed=1, max_steps=2000,
        decide="always",
    ) as env:  # fmt: skip
        env.start()
        for _ in range(count):
            before = processor_seconds(env.worker_pids[0])
            for _ in range(STEPS):
                mask = env.observation.action_mask
                env.step((rng.random(mask.shape) * mask).argmax(1))
            seconds.append(processor_seconds(env.worker_pids[0]) - before)
    return np.array(seconds[2:])  # the first ones load files and grow memory


def main(count: int) -> None:
    seconds = rollout_seconds(count)
    mean, deviation = seconds.mean(), seconds.std(ddof=1)
    print(
        f"{len(seconds)} rollouts of {GAMES} games x {STEPS} steps: {mean * 1e3:.0f} ms of a "
        f"worker, deviation {deviation / mean:.1%}, slowest {seconds.max() / mean:.2f} of the mean"
    )
    print("| ranks | slowest / mean, drawn | normal |\n| --- | --- | --- |")
    rng = np.random.default_rng(0)
    for ranks in (2, 8, 64, 512, 8192):
        # The maximum of n draws is the quantile u^(1/n) of one.
        drawn = np.quantile(seconds, rng.random(DRAWS) ** (1 / ranks)).mean() / mean
        expected = NormalDist().inv_cdf(0.5 ** (1 / ranks))
        print(f"| {ranks} | {drawn:.3f} | {1 + expected * deviation / mean:.3f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
