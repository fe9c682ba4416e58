"""Fact by fact: what moves the score of a rule that stays the same, and what must not.

Each case changes one thing in a real state and looks at the scores of all instances and at h_logic.
"""

import numpy as np
import pytest
import torch
from manager_in_float64 import make_manager, read
from real_states import HYPERGRAPH, attack_state

from tedg_fast.nethack.facts.features import NUM_FEATURES, UNDIRECTED
from tedg_fast.nethack.facts.observation import NO_SUBJECT, objects_of
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.policy.nodes import monster_traits

OBJECTS = vocabulary().objects
OWN = [(kind.name, a.name) for kind in OBJECTS.values() for a in kind.attributes if not a.table]
TABLE = [a.name for a in OBJECTS["monster"].attributes if a.table]
SEEN = 1e-8  # rounding moves nothing by more than 1e-12


@pytest.fixture(scope="module")
def manager():
    return make_manager()


def outputs(manager, observation):
    with torch.no_grad():
        reading = read(manager, observation)
    return reading.score, reading.h_logic.flatten()


def moved(before, after):
    """By how much the scores and h_logic changed, the largest of each."""
    return tuple((a - b).abs().max().item() for a, b in zip(after, before))


def with_object(kind):
    """A state with an object of this kind, whose facts are small numbers, and these."""
    observation, _, place = attack_state()
    row = objects_of(observation)[0, place + 1]
    subject = 5 if kind in ("monster", "corpse") else NO_SUBJECT
    facts = np.zeros_like(row["facts"])
    for attribute in OBJECTS[kind].attributes:
        if not attribute.table:
            facts[attribute.number] = 2 if attribute.type == "number" else 1
    objects_of(observation)[0, place + 1] = OBJECTS[kind].number, 7, subject, facts
    return observation, objects_of(observation)["facts"][0, place + 1]


@pytest.mark.parametrize(("kind", "name"), OWN)
def test_facts_of_objects(manager, kind, name):
    """Every attribute counts, but for the names of directions: only how far apart east and south
    are counts, not which is which, nor the side."""
    observation, facts = with_object(kind)
    before = outputs(manager, observation)
    attribute = OBJECTS[kind].attribute[name]
    facts[attribute.number] += {"number": 3, "truth": -1, "word": 1}[attribute.type]
    changes = moved(before, outputs(manager, observation))
    if (kind, name) == ("direction", "name"):
        assert max(changes) == 0
    else:
        assert min(changes) > SEEN


@pytest.mark.parametrize("kind", ["monster", "item", "corpse"])
def test_sides_do_not_count(manager, kind):
    observation, facts = with_object(kind)
    east, south = (OBJECTS[kind].attribute[name].number for name in ("east", "south"))
    facts[[east, south]] = 4, -1
    before = outputs(manager, observation)
    for pair in ((-4, 1), (1, 4), (-1, -4)):
        facts[[east, south]] = pair
        assert max(moved(before, outputs(manager, observation))) == 0


@pytest.mark.parametrize("kind", ["monster", "corpse"])
@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_monsters(manager, kind, name):
    """A kind that differs from a newt in this alone, but for its name, is another one to fight or
    to eat."""
    observation, _ = with_object(kind)
    row = objects_of(observation)[0]
    place = int(np.argmax(row["kind"] == OBJECTS[kind].number))
    if kind == "monster":
        place += 1  # the first is the one that was there
    before = outputs(manager, observation)
    known = manager.nodes.monsters.clone()
    table = monster_tables().values[row["subject"][place]]
    attribute = OBJECTS["monster"].attribute[name]
    try:
        changed = table.copy()
        changed[TABLE.index(name)] += {"number": 3, "truth": 1, "word": 1}[attribute.type]
        traits = monster_traits(changed[None])[0]
        manager.nodes.monsters[row["subject"][place]] = traits
        after = outputs(manager, observation)
    finally:
        manager.nodes.monsters.copy_(known)
    changes = moved(before, after)
    assert max(changes) == 0 if name == "name" else min(changes) > SEEN


@pytest.mark.parametrize("column", range(NUM_FEATURES))
def test_what_the_player_knows_of_himself(manager, column):
    """All features but where on the map he is and what he did last."""
    observation, _, _ = attack_state()
    before = outputs(manager, observation)
    observation.features[0, column] += 0.5
    changes = moved(before, outputs(manager, observation))
    if column in range(NUM_FEATURES)[UNDIRECTED]:
        assert min(changes) > SEEN
    else:
        assert max(changes) == 0


@pytest.mark.parametrize("condition", range(HYPERGRAPH.num_conditions))
def test_conditions_that_hold(manager, condition):
    observation, _, _ = attack_state()
    before = outputs(manager, observation)
    observation.active_bits[0, condition // 8] ^= 0x80 >> condition % 8
    assert min(moved(before, outputs(manager, observation))) > SEEN
