"""What the benchmark of decisions says of them, on games of real NetHack."""

import numpy as np
import pytest
from decision_worth import Branches, spread

from tedg_fast.nethack.games.episode import draws_of


@pytest.fixture(scope="module")
def branches():
    return Branches(None, 1.5, 400, "mon-hum-neu-mal")


def test_a_replayed_decision_is_the_one_that_was_met(branches):
    actions, found = branches.decisions(5, 0)
    assert len(found) > 5
    draws = np.random.default_rng(0).integers(2**62, size=2)
    for step, own, others in found[:: len(found) // 3]:
        draw, (_, action) = draws_of(5, 0, 400)[step], own
        told = branches.begin(5, 0, actions[:step])
        assert actions[step] == action == branches.by_the_rules(told, draw)
        assert branches.options(draw) == (own, others)
        assert all(other != action for _, other in others)
        once, again = (branches.future(5, 0, actions[:step], action, int(draws[0])) for _ in "ab")
        assert once == again
    first = found[0][0]
    futures = [branches.future(5, 0, actions[:first], actions[first], core) for core in range(6)]
    assert len(set(map(tuple, futures))) > 1, "the same luck in every future"


def test_the_noise_of_futures_is_taken_off():
    """Decisions worth 30 points (root mean square) under a noise of 100."""
    random = np.random.default_rng(1)
    worth = 30 * random.standard_normal((20_000, 1))
    square, error = spread(worth + 100 * random.standard_normal((20_000, 5)))
    assert abs(square - 900) < 4 * error < 400
    square, error = spread(100 * random.standard_normal((20_000, 5)))
    assert abs(square) < 4 * error
