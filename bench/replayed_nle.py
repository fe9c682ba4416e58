"""What NLE alone reaches in rule play: the same keys, replayed on all cores at once.

    python bench/replayed_nle.py            # prints steps a second of all cores together

Games played by rules go deeper than random ones and make long moves, so a step costs NLE more than
under random keys. The keys come from games that the packaged rules play; each core then replays
its share of the games through ``NetHackScore-v0``, one after the other, with the observation keys
that training reads and nothing else.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from raw_nle import make_game

GAMES = 64
STEPS = 1000
"""So many steps of each game are recorded, where it lives that long."""


def recorded_games(games: int = GAMES, steps: int = STEPS) -> list[tuple[int, int, list[int]]]:
    """NLE's two seeds and the actions of games that the packaged rules play."""
    from tedg_fast.hypergraph import load_hypergraph  # here: the replay needs NLE alone
    from tedg_fast.nethack.facts.grounder import Grounder
    from tedg_fast.nethack.games.episode import episode_seeds
    from tedg_fast.nethack.games.vector_env import VectorEnv

    rules, draws = load_hypergraph(), np.random.default_rng(0)
    grounder = Grounder(rules, 0)
    found = {}
    with VectorEnv(
        rules, num_envs=games, num_workers=len(os.sched_getaffinity(0)), run_seed=0,
        max_steps=steps + 1, decide="always",
    ) as env:  # fmt: skip
        env.start()
        for step in range(1, steps + 1):
            env.step(grounder.choose(env.observation, draws.random(games))[0])
            if step % 50 == 0:  # a game that ends is kept as it was at most so many steps before
                found |= {game.episode: game.actions for game in env.games()}
    return [(*episode_seeds(0, number), list(log)) for number, log in sorted(found.items())]


def replay(games: list[tuple[int, int, list[int]]]) -> float:
    """Steps a second of NLE alone."""
    nle = make_game()
    steps, began = 0, time.perf_counter()
    for core_seed, display_seed, actions in games:
        nle.unwrapped.seed(core_seed, display_seed, reseed=False)
        nle.reset()
        for action in actions:
            _, _, terminated, truncated, _ = nle.step(action)
            steps += 1
            if terminated or truncated:
                break
    speed = steps / (time.perf_counter() - began)
    nle.close()
    return speed


def replay_speed(games: list[tuple[int, int, list[int]]], cores: list[int]) -> float:
    """Steps a second of all ``cores`` together, each with a share of the ``games``."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(games, file)
        file.flush()
        processes = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__)), file.name, str(place), str(len(cores))],
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=lambda core=core: os.sched_setaffinity(0, [core]),
            )
            for place, core in enumerate(cores)
        ]
        return sum(float(process.communicate()[0]) for process in processes)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(replay_speed(recorded_games(), sorted(os.sched_getaffinity(0))))
    else:  # one core's share of the games in a file, as replay_speed starts it
        path, place, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        print(replay(json.loads(Path(path).read_text())[place::count]))
