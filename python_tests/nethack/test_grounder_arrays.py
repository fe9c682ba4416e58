"""What goes into the compiled grounding and comes out of it, as arrays and numbers."""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from nle import nethack
from odd_observations import RandomWorlds
from oracle.messages import PATTERNS

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack import _native_grounding, actions
from tedg_fast.nethack.facts import glyphs
from tedg_fast.nethack.facts.features import LOG_TABLE
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import Observation, RawObservation
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.nethack.games.game import empty_observations


@pytest.fixture(scope="module")
def graph():
    return load_hypergraph()


def test_no_games_are_fine_too(graph):
    grounder = Grounder(graph, 3)
    nothing = np.zeros(0, np.int64)
    grounder(empty_observations(0), nothing, grounder.spec.empty(0), nothing)


def test_rows_may_be_far_apart(graph):
    rng, count = np.random.default_rng(5), 6
    apart, dense = Grounder(graph, count), Grounder(graph, count)
    worlds = RandomWorlds(2 * count, rng)
    out, expected = apart.spec.empty(3 * count), dense.spec.empty(count)
    for _ in range(5):
        worlds.step()
        raw = worlds.raw[::2]
        last_action = np.arange(2 * count)[::-2]
        apart(raw, last_action, out[1::3])
        dense(raw.copy(), last_action.copy(), expected)
        for field in fields(Observation):
            written = getattr(out, field.name)
            assert np.array_equal(written[1::3], getattr(expected, field.name))
            assert not written[0::3].any()


def test_the_constants_are_pythons_and_nles():
    constants = _native_grounding.constants()
    homes = {
        "Terrain": glyphs.Terrain, "Flag": glyphs.Flag, "actions": actions, "nle": nethack,
    }  # fmt: skip
    for name, value in constants.items():
        home, attribute = name.split(".")
        if home in homes:
            assert getattr(homes[home], attribute) == value, name
    for home in (glyphs.Terrain, glyphs.Flag):
        for attribute in vars(home):
            assert attribute.startswith("_") or f"{home.__name__}.{attribute}" in constants
    groups = SimpleNamespace(Said=[], memory=[], Goal=[])
    for name, value in constants.items():
        getattr(groups, name.split(".")[0], []).append(value)
    assert groups.Said == [1 << i for i in range(len(PATTERNS))]
    assert groups.memory == [1 << i for i in range(len(groups.memory))]
    assert groups.Goal == list(range(len(groups.Goal)))


def test_the_flags_leave_room_for_the_terrain():
    assert (glyphs.Terrain.COUNT - 1) << glyphs.TERRAIN_SHIFT < 1 << 32
    flags = [bit for name, bit in vars(glyphs.Flag).items() if not name.startswith("_")]
    assert max(flags) < 1 << glyphs.TERRAIN_SHIFT
    assert sorted(flags) == [1 << i for i in range(len(flags))]


def test_the_words_of_a_terrain_are_its_names():
    words = vocabulary().kind["direction"].attribute["terrain"].words
    names = [name.lower() for name in vars(glyphs.Terrain) if name.isupper()]
    assert words == tuple(names[:-1])  # without COUNT


def test_the_table_of_logarithms_is_exact_and_reaches_its_bound():
    values = np.concatenate([np.arange(30_000), [10**9, 2**63 - 1]])
    expected = np.clip(np.log1p(values) / 10, 0, 1).astype(np.float32)
    found = LOG_TABLE[np.minimum(values, len(LOG_TABLE) - 1)]
    assert np.abs(found.view(np.int32) - expected.view(np.int32)).max() <= 1
    assert LOG_TABLE[-1] == 1 > LOG_TABLE[-2]


def test_arrays_of_other_kinds_are_refused(graph):
    grounder, out = Grounder(graph, 2), Grounder(graph, 2).spec.empty(2)
    raw, last_action = empty_observations(2), np.array([-1, -1])
    grounder(raw, last_action, out)
    wrong = [
        RawObservation(raw.glyphs.astype(np.int32), raw.blstats, raw.message, raw.misc),
        RawObservation(raw.glyphs, raw.blstats[:, :26], raw.message, raw.misc),
        RawObservation(raw.glyphs[:1], raw.blstats, raw.message, raw.misc),
        RawObservation(raw.glyphs, raw.blstats, raw.message[:, ::-1], raw.misc),
    ]
    for other in wrong:
        with pytest.raises(ValueError, match="has .*, expected .* rows"):
            grounder(other, last_action, out)
    with pytest.raises(ValueError, match="got 1 rows for 2 games"):
        grounder(raw[:1], last_action[:1], out[:1])
    for field in fields(Observation):
        other = out.copy()
        longer = np.concatenate([getattr(out, field.name)] * 2)
        setattr(other, field.name, longer)
        with pytest.raises(ValueError, match=f"{field.name} has another number of rows"):
            grounder(raw, last_action, other)
        read_only = out.copy()
        getattr(read_only, field.name).flags.writeable = False
        with pytest.raises(ValueError, match=f"{field.name} has read-only memory"):
            grounder(raw, last_action, read_only)


def test_games_that_there_are_not(graph):
    grounder, out = Grounder(graph, 2), Grounder(graph, 2).spec.empty(1)
    for game in (2, -1):
        with pytest.raises(IndexError, match=f"game {game} of 2"):
            grounder.reset(game)
        with pytest.raises(IndexError, match=f"game {game} of 2"):
            grounder(empty_observations(1), np.array([-1]), out, np.array([game]))


def test_conditions_and_objects_that_there_are_not(graph):
    grounder = Grounder(graph, 1)
    grounder(empty_observations(1), np.array([-1]), grounder.spec.empty(1))
    for condition, objects in ((-1, ()), (graph.num_conditions, ()), (0, (-1,)), (0, (0, 32))):
        with pytest.raises(IndexError, match="no such condition or object"):
            grounder.holds(condition, objects)
