"""Mutual information against closed forms, its control, and contexts found in observations."""

import math

import numpy as np
import pytest

from tedg_fast.evaluate.contexts import (
    ALL,
    CONTEXTS,
    contexts_of,
    expert_use,
    mutual_information,
    relations,
)
from tedg_fast.nethack.facts.features import HP_SHARE, closeness_column
from tedg_fast.nethack.facts.observation import (
    NO_SUBJECT,
    NOTHING,
    OBJECT_FACTS,
    ObservationSpec,
    objects_of,
)
from tedg_fast.nethack.facts.vocabulary import vocabulary


def test_information_of_small_tables():
    assert mutual_information(np.array([[5, 0], [0, 5]])) == pytest.approx(math.log(2))
    assert mutual_information(np.array([[6, 2], [3, 1]])) == pytest.approx(0)
    assert mutual_information(np.array([[0, 0], [3, 1]])) == pytest.approx(0)
    # H(X) + H(Y) − H(X, Y) of the joint distribution (1/2, 1/4, 0, 1/4).
    h_x = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    h_xy = 1.5 * math.log(2)
    assert mutual_information(np.array([[2, 1], [0, 1]])) == pytest.approx(h_x + math.log(2) - h_xy)


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


def test_contexts_are_read_from_features_and_objects():
    observation = ObservationSpec(5).empty(8)
    objects = objects_of(observation)
    objects["kind"] = NOTHING
    observation.features[:, HP_SHARE] = 1

    def put(row, place, kind, distance):
        facts = np.zeros(OBJECT_FACTS)
        facts[:2] = distance, distance == 1
        objects[row, place] = vocabulary().kind[kind].number, 0, NO_SUBJECT, facts

    observation.features[1, HP_SHARE] = 0.39
    observation.features[2, HP_SHARE] = 0.4
    put(3, 0, "monster", 1)
    put(4, 0, "monster", 2)
    put(5, 0, "item", 1)
    observation.features[5, closeness_column("frontier")] = 1 / 5  # four steps away
    observation.features[6, closeness_column("frontier")] = 1 / 6
    observation.features[6, closeness_column("gold")] = 1
    put(7, 46, "monster", 2)
    put(7, 47, "monster", 1)
    found = dict(zip(CONTEXTS, contexts_of(observation).T, strict=True))
    assert {name: np.flatnonzero(holds).tolist() for name, holds in found.items()} == {
        "HP low": [1], "monster adjacent": [3, 7], "unexplored nearby": [5],
    }  # fmt: skip


def test_observations_without_objects_have_no_contexts():
    """V3's: what its experts were used for is still told, without contexts."""
    observation = ObservationSpec(5).empty(6)
    observation.objects = observation.objects[:, :0]
    contexts = contexts_of(observation)
    assert contexts.shape == (6, 0)
    use = expert_use(np.array([0, 1, 1, 0, 1, 1]), np.array([0.4, 0.6]), contexts)
    assert use["decisions"] == 6 and use["contexts"] == {}
    assert list(use["leading"].values()) == pytest.approx([1 / 3, 2 / 3])
