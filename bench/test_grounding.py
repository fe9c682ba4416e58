"""The compiled grounding against the numpy one, on observations of real games."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nle")  # the kernels are compared also where there are no games

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.action_mask import allowed_actions
from tedg_fast.nethack.grounding import Grounder
from tedg_fast.nethack.facts.grounder import Grounder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python_tests"))
from grounded_games import GroundedGames, diving_actions  # noqa: E402

GAMES, STEPS = 16, 300


@pytest.fixture(scope="module")
def recording():
    """[(raw, last_action, games that begin)] of games that explore, a fourth of them at random."""
    games, rng, steps = GroundedGames(GAMES, seed=300), np.random.default_rng(3), []
    for _ in range(STEPS):
        steps.append((games.raw.copy(), games.last_action.copy(), np.flatnonzero(games.new)))
        view = games.look()
        actions = diving_actions(view, allowed_actions(view), rng)
        actions[::4] = rng.integers(0, 23, len(actions[::4]))
        games.step(actions)
    games.close()
    return steps


@pytest.mark.parametrize("grounder", [Grounder, Grounder])
def test_grounding(benchmark, grounder, recording):
    """One round is the whole recording; extra_info holds the microseconds a game-step."""
    made = grounder(load_hypergraph(), GAMES)
    out = made.spec.empty(GAMES)

    def ground_all():
        for raw, last_action, begun in recording:
            for game in begun:
                made.reset(int(game))
            made(raw, last_action, out)

    benchmark.group = f"grounding | {GAMES} games"
    benchmark.extra_info["implementation"] = grounder.__name__
    benchmark.pedantic(ground_all, rounds=20 if grounder is Grounder else 3)
    fastest = benchmark.stats.stats.min
    benchmark.extra_info["microseconds_a_game_step"] = 1e6 * fastest / (GAMES * STEPS)
