"""Statistics of episodes against values worked out by hand."""

import math

import pytest

from tedg_fast.evaluate.summary import compare, summarise
from tedg_fast.nethack.games.episode import Episode


def episode(number, score, ending="death", killer="jackal"):
    last = 0 if ending == "death" else score
    return Episode(number, 0.0, 10 * number, score, last, 1, ending, killer, {})


def test_summary():
    played = [
        episode(0, 1), episode(1, 2), episode(2, 6, "truncated", ""), episode(3, 3, killer="newt"),
        episode(4, 8),
    ]  # fmt: skip
    found = summarise({e.number: e for e in played})
    assert found["episodes"] == 5
    assert found["true_score"]["mean"] == 4 and found["true_score"]["median"] == 3
    # Variance (9 + 4 + 4 + 1 + 16) / 4; 2.77645 is Student's quantile of 4 degrees of freedom.
    expected = 2.77645 * math.sqrt(34 / 4 / 5)
    assert found["true_score"]["half_width"] == pytest.approx(expected, rel=1e-5)
    assert found["last_observation_score"]["mean"] == pytest.approx(6 / 5)
    assert found["length"]["mean"] == 20
    assert found["died"] == 0.8
    assert found["endings"] == {"death": 4, "truncated": 1}
    assert found["killers"] == {"jackal": 3, "newt": 1}


def test_equal_counts_are_listed_by_name():
    killers = ["wand", "goblin", "jackal", "jackal"]
    for order in (killers, killers[::-1]):
        found = summarise({n: episode(n, 1, killer=killer) for n, killer in enumerate(order)})
        assert list(found["killers"].items()) == [("jackal", 2), ("goblin", 1), ("wand", 1)]


def test_one_game_has_no_interval():
    assert summarise({0: episode(0, 1)})["true_score"]["half_width"] is None


def test_comparison_pairs_the_common_games():
    one = {n: episode(n, score) for n, score in enumerate([100, 8, 4, 5])}
    other = {n: episode(n, score) for n, score in [(1, 1), (2, 2), (3, 5), (9, 77)]}
    found = compare(one, other)
    assert (found["games"], found["mean"]) == (3, 3)
    t = 3 / math.sqrt(13 / 3)  # of the differences 7, 2, 0
    assert found["p"] == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert found["half_width"] == pytest.approx(4.30265 * math.sqrt(13 / 3), rel=1e-5)


def test_nothing_in_common_says_nothing():
    found = compare({0: episode(0, 1)}, {1: episode(1, 2)})
    assert found == {"games": 0, "mean": None, "half_width": None, "p": None}
