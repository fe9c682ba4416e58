"""The Grounder as a whole: any bytes, any grouping of games, the same rows every time."""

from dataclasses import fields

import numpy as np
import pytest
from grounded_games import GroundedGames, diving_action
from hypothesis import given, settings
from hypothesis import strategies as st
from nle import nethack
from small_rules import rule, small

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.features import NUM_FEATURES
from tedg_fast.nethack.facts.glyphs import NUM_GLYPH_CLASSES
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import (
    CROP,
    INSTANCES,
    NO_RULE,
    NOTHING,
    OBJECT,
    OBJECTS,
    Observation,
    ObservationSpec,
    instances_of,
    objects_of,
)
from tedg_fast.nethack.games.game import empty_observations

GAMES = 6


@pytest.fixture(scope="module")
def graph():
    return load_hypergraph()


@pytest.fixture(scope="module")
def recording():
    """[(raw, last_action, games that began)] of real games."""
    games, rng, steps = GroundedGames(GAMES, seed=70, max_steps=150), np.random.default_rng(7), []
    for _ in range(250):
        steps.append((games.raw.copy(), games.last_action.copy(), np.flatnonzero(games.new)))
        looks = [games.look(game) for game in range(GAMES)]
        games.step([diving_action(look, look.action_mask(), rng) for look in looks])
    games.close()
    return steps


def ground(graph, recording, groups) -> list[Observation]:
    """Observations of the recording, its games handed over in the given groups."""
    grounder = Grounder(graph, GAMES)
    result = []
    for raw, last_action, begun in recording:
        for game in begun:
            grounder.reset(int(game))
        out = grounder.spec.empty(GAMES)
        for group in groups:
            part = out[group]
            if group == list(range(GAMES)):
                grounder(raw, last_action, out)
                continue
            grounder(raw[group], last_action[group], part, np.array(group))
            out[group] = part
        result.append(out)
    return result


def assert_same(one: list[Observation], other: list[Observation]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        for field in fields(Observation):
            assert np.array_equal(getattr(mine, field.name), getattr(theirs, field.name))


def test_rows_do_not_depend_on_how_games_are_grouped(graph, recording):
    together = ground(graph, recording, [list(range(GAMES))])
    assert_same(together, ground(graph, recording, [[game] for game in range(GAMES)]))
    assert_same(together, ground(graph, recording, [[4, 1], [0, 5, 2, 3]]))


def test_the_same_games_give_the_same_rows(graph, recording):
    everything = [list(range(GAMES))]
    assert_same(ground(graph, recording, everything), ground(graph, recording, everything))


def test_a_grounder_that_has_played_before_gives_the_same_rows(graph, recording):
    grounder = Grounder(graph, GAMES)
    passes = []
    for _ in range(2):
        rows = []
        for step, (raw, last_action, begun) in enumerate(recording):
            for game in range(GAMES) if step == 0 else begun:
                grounder.reset(int(game))
            out = grounder.spec.empty(GAMES)
            grounder(raw, last_action, out)
            rows.append(out)
        passes.append(rows)
    assert_same(*passes)


def test_inputs_are_left_alone_and_outputs_are_in_range(graph, recording):
    grounder = Grounder(graph, GAMES)
    for raw, last_action, _ in recording[:60]:
        before = raw.copy()
        out = grounder.spec.empty(GAMES)
        grounder(raw, last_action, out)
        for field in fields(raw):
            assert np.array_equal(getattr(raw, field.name), getattr(before, field.name))
        assert np.isfinite(out.features).all() and np.abs(out.features).max() <= 1
        assert out.crop.max() < NUM_GLYPH_CLASSES
        assert out.action_mask.any(axis=1).all()
        bits = np.unpackbits(out.active_bits, axis=1)
        assert not bits[:, graph.num_conditions :].any()
        assert (bits.sum(axis=1) >= 4).all()
        listed = instances_of(out)
        none = listed["rule"] == NO_RULE
        assert (listed["rule"][~none] < graph.num_operators).all() and not none.all()
        assert not (none[:, :-1] & ~none[:, 1:]).any()  # nothing follows the first without a rule
        assert (listed["actions"][none] == NOTHING).all()
        assert (listed["actions"][~none, 0] < NUM_ACTIONS).all()  # each proposes something
        places = objects_of(out)["kind"] == NOTHING
        assert not (places[:, :-1] & ~places[:, 1:]).any()


def test_the_spec_is_what_comes_out(graph):
    spec = Grounder(graph, 2).spec
    assert spec == ObservationSpec(graph.num_conditions)
    out = spec.empty(3, 2)
    assert out.active_bits.shape == (3, 2, -(-graph.num_conditions // 8))
    assert out.instances.shape == (3, 2, INSTANCES, 8) and out.instances.dtype == np.uint8
    assert out.objects.shape == (3, 2, OBJECTS, OBJECT.itemsize)
    assert out.objects.dtype == np.uint8
    assert out.features.shape == (3, 2, NUM_FEATURES) and out.features.dtype == np.float32
    assert out.crop.shape == (3, 2, CROP * CROP) and out.crop.dtype == np.uint8
    assert out.action_mask.shape == (3, 2, NUM_ACTIONS) and out.action_mask.dtype == bool
    for name, (shape, dtype) in spec.fields().items():
        assert getattr(out, name).shape[2:] == shape and getattr(out, name).dtype == dtype


def test_two_leading_dimensions_become_one(graph):
    out = Grounder(graph, 2).spec.empty(3, 2)
    out.crop[:] = np.arange(6).reshape(3, 2, 1)
    flat = out.flat()
    assert flat.crop[:, 0].tolist() == list(range(6))
    assert flat.instances.shape == (6, INSTANCES, 8)
    out.objects = out.objects[:, :, :0]  # as where there are none
    assert out.flat().objects.shape == (6, 0, OBJECT.itemsize)


def test_views_and_copies_of_an_observation(graph):
    out = Grounder(graph, 2).spec.empty(4)
    out[1].features[:] = 3
    assert (out.features[1] == 3).all()
    kept = out.copy()
    out[1].features[:] = 5
    assert (kept.features[1] == 3).all()
    kept.copy_from(out)
    assert (kept.features[1] == 5).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["bytes", "plausible", "text"]))
def test_any_bytes_in_and_never_an_exception(seed, kind):
    graph = load_hypergraph()
    rng = np.random.default_rng(seed)
    grounder = Grounder(graph, 3)
    out = grounder.spec.empty(3)
    for _ in range(6):
        raw = empty_observations(3)
        for field in fields(raw):
            array = getattr(raw, field.name)
            array.view(np.uint8)[...] = rng.integers(0, 256, array.view(np.uint8).shape)
        if kind != "bytes":
            raw.glyphs[:] = rng.integers(0, nethack.MAX_GLYPH, raw.glyphs.shape)
            raw.blstats[:] = rng.integers(-2, 90, raw.blstats.shape)
            raw.misc[:] = rng.integers(0, 2, raw.misc.shape)
        if kind == "text":
            words = [b"What do you want to eat? [a-", b"z-a]", b"Really attack", b"[", b"-", b"]",
                     b"eat it? [ynq]", b"In what direction?", b"or ?*]"]  # fmt: skip
            for row in raw.message:
                text = b" ".join(rng.choice(words, 5))[:255]
                row[:] = 0
                row[: len(text)] = np.frombuffer(text, dtype=np.uint8)
        if rng.random() < 0.3:
            grounder.reset(int(rng.integers(3)))
        grounder(raw, rng.integers(-1, NUM_ACTIONS, 3), out)
        assert out.action_mask.any(axis=1).all()
        assert np.isfinite(out.features).all()
        assert out.crop.max() < NUM_GLYPH_CLASSES


def test_a_small_file_of_rules(tmp_path):
    rules = small(tmp_path, rule("go", "west", ["me.hp < 0.4 * me.max_hp"]),
                  rule("stay", "wait", ["me.turn > 5"]))  # fmt: skip
    grounder = Grounder(rules, 1)
    raw = empty_observations(1)
    raw.blstats[0, nethack.NLE_BL_HP], raw.blstats[0, nethack.NLE_BL_HPMAX] = 3, 10
    out = grounder.spec.empty(1)
    grounder(raw, np.array([-1]), out)
    texts = ("me.hp < 0.4 * me.max_hp", "me.turn > 5")
    hurt, late = (rules.condition_index[text] for text in texts)
    bits = np.unpackbits(out.active_bits)
    assert bits[hurt] and not bits[late]
    (listed,) = instances_of(out)
    assert listed["rule"].tolist() == [0] + [NO_RULE] * (INSTANCES - 1)
    assert listed["objects"][0].tolist() == [NOTHING, NOTHING]
    assert listed["actions"][0].tolist() == [4, NOTHING, NOTHING, NOTHING]


def test_a_game_is_restored_by_showing_it_again(graph, recording):
    """What is remembered of a game is a function of its observations and actions."""
    through, later = Grounder(graph, GAMES), Grounder(graph, 1)
    begins = [step for step, (_, _, begun) in enumerate(recording) if 2 in begun]
    first, after = begins[0], next((b for b in begins[1:]), len(recording))
    out, again = through.spec.empty(GAMES), later.spec.empty(1)
    for raw, last_action, begun in recording[first : after - 1]:
        for game in begun:
            through.reset(int(game))
        through(raw, last_action, out)
        later(raw[2:3], last_action[2:3], again)
    for field in fields(Observation):
        assert np.array_equal(getattr(out, field.name)[2:3], getattr(again, field.name))
    assert later.facts["level"][0]["turns"] > 0
