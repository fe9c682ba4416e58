"""Mutual information against closed forms, its control, and conditions found in packed bits."""

import math

import numpy as np
import pytest

from tedg_fast.evaluate.contexts import ALL, CONTEXTS, mutual_information, relations, situations
from tedg_fast.hypergraph import load_hypergraph


def test_information_of_small_tables():
    assert mutual_information(np.array([[5, 0], [0, 5]])) == pytest.approx(math.log(2))
    assert mutual_information(np.array([[6, 2], [3, 1]])) == pytest.approx(0)
    assert mutual_information(np.array([[0, 0], [3, 1]])) == pytest.approx(0)
    # H(X) + H(Y) − H(X, Y) of the joint distribution (1/2, 1/4, 0, 1/4).
    h_x = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    h_xy = 1.5 * math.log(2)
    assert mutual_information(np.array([[2, 1], [0, 1]])) == pytest.approx(
        h_x + math.log(2) - h_xy
    )


def test_an_expert_that_follows_the_context_stands_out():
    rng = np.random.default_rng(1)
    near = rng.random(4000) < 0.3
    noise = rng.integers(0, 4, 4000)
    leading = np.where(near, 1, noise).astype(np.uint8)
    found = relations(leading, {"near": near, "noise": rng.random(4000) < 0.5}, 4)
    assert list(found) == ["near", "noise", ALL]
    assert found["near"].share == near.mean()
    assert found["near"].information == pytest.approx(
        mutual_information(np.array([np.bincount(leading[near == x], minlength=4) for x in (0, 1)]))
    )
    assert found["near"].information > 100 * found["near"].control_95
    assert found["noise"].information < 2 * found["noise"].control_95
    assert found[ALL].information >= found["near"].information
    assert found["near"].control_mean < found["near"].control_95


def test_control_knows_that_slow_series_look_related():
    """Two independent series of long runs: single shuffled steps would call them related."""
    rng = np.random.default_rng(2)
    over = 0
    for _ in range(20):
        leading, near = (np.repeat(rng.integers(0, 2, 60), 100) for _ in range(2))
        relation = relations(leading.astype(np.uint8), {"near": near.astype(bool)}, 2)["near"]
        over += relation.information > relation.control_95
    assert over <= 4


def test_contexts_are_read_from_the_packed_conditions():
    rules = load_hypergraph()
    active = np.zeros((4, rules.num_conditions), bool)
    active[1, rules.condition_index["hp_critical"]] = True
    active[2, rules.condition_index["hostile_adjacent"]] = True
    active[3, rules.condition_index["frontier_near"]] = True
    active[3, rules.condition_index["hp_low"]] = True
    found = situations(np.packbits(active, axis=1), rules)
    assert {name: holds.tolist() for name, holds in found.items()} == {
        "HP low": [False, True, False, True],
        "monster adjacent": [False, False, True, False],
        "unexplored nearby": [False, False, False, True],
    }


def test_the_packaged_rules_know_every_context():
    index = load_hypergraph().condition_index
    assert all(name in index for names in CONTEXTS.values() for name in names)
