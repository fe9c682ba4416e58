"""The unit of throughput: NLE alone, ``python bench/raw_nle.py STEPS`` on one core.

``NetHackScore-v0`` through gymnasium with the observation keys that training reads, uniformly
random actions, episodes cut off at 2000 steps, resets included. Prints steps a second. Needs
nothing of this package, so that ``against_sample_factory.py`` can use it elsewhere.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import gymnasium
import nle  # noqa: F401  (registers the environment)
import numpy as np

OBSERVATION_KEYS = ("glyphs", "blstats", "message", "misc")
"""Those of ``tedg_fast.nethack.facts.observation``."""
MAX_STEPS = 2000


def make_game(observation_keys: Sequence[str] = OBSERVATION_KEYS) -> gymnasium.Env:
    return gymnasium.make(
        "NetHackScore-v0",
        observation_keys=observation_keys,
        character="mon-hum-neu-mal",
        max_episode_steps=MAX_STEPS,
        disable_env_checker=True,
    )


def play(steps: int) -> float:
    """Steps a second of so many steps in this process."""
    game = make_game()
    actions = np.random.default_rng(0).integers(0, game.action_space.n, steps).tolist()
    game.reset()
    began = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = game.step(action)
        if terminated or truncated:
            game.reset()
    speed = steps / (time.perf_counter() - began)
    game.close()
    return speed


def raw_speed(steps: int, core: int) -> float:
    """Steps a second of ``play`` in a process of its own that may use one ``core``."""
    process = subprocess.run(
        [sys.executable, str(Path(__file__)), str(steps)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, [core]),
    )
    return float(process.stdout)


if __name__ == "__main__":
    print(play(int(sys.argv[1])))
