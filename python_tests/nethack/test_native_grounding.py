"""The compiled grounding against Grounder, which defines it: equal in every bit."""

from dataclasses import fields

import numpy as np
import pytest
from grounded_games import GroundedGames, diving_actions, empty_raw
from hypothesis import given, settings
from hypothesis import strategies as st
from nle import nethack
from odd_observations import RandomWorlds, noise
from staged_scenes import monster, symbol

from tedg_fast.hypergraph import ACTIONS, load_hypergraph
from tedg_fast.nethack import _native_grounding, actions, glyphs, memory, messages, paths
from tedg_fast.nethack.action_mask import allowed_actions
from tedg_fast.nethack.detectors import DETECTORS
from tedg_fast.nethack.facts.features import LOG_TABLE
from tedg_fast.nethack.grounding import Grounder, RawObservation
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import Observation

CHARACTERS = ("mon-hum-neu-mal", "val-dwa-law-fem", "sam-hum-law-mal", "wiz-elf-cha-fem",
              "arc-gno-neu-mal", "cav-dwa-law-mal", "hea-hum-neu-fem",
              "pri-hum-cha-mal")  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return load_hypergraph()


def assert_same(native: Observation, defined: Observation, graph, note: str = "") -> None:
    for field in fields(Observation):
        ours, theirs = getattr(native, field.name), getattr(defined, field.name)
        if ours.tobytes() == theirs.tobytes():
            continue
        if field.name == "active_bits":
            ours, theirs = (np.unpackbits(bits, axis=1) for bits in (ours, theirs))
        game, column = np.argwhere(ours != theirs)[0]
        name = graph.conditions[column].name if field.name == "active_bits" else column
        pytest.fail(f"{note} game {game}: {field.name}[{name}] is {ours[game, column]}, "
                    f"Grounder says {theirs[game, column]}")  # fmt: skip


class Both:
    """Grounds the same observations both ways and compares."""

    def __init__(self, graph, games: int):
        self.graph = graph
        self.native, self.defined = Grounder(graph, games), Grounder(graph, games)

    def reset(self, game: int) -> None:
        self.native.reset(game)
        self.defined.reset(game)

    def __call__(
        self, raw: RawObservation, last_action: np.ndarray, games: np.ndarray | None = None
    ) -> None:
        native, defined = (self.native.spec.empty(len(last_action)) for _ in range(2))
        native.features[:] = np.nan  # whatever is there must be overwritten
        native.active_bits[:] = 255
        self.native(raw, last_action, native, games)
        self.defined(raw, last_action, defined, games)
        assert_same(native, defined, self.graph)


def test_a_hundred_thousand_real_observations(graph):
    """Eight characters, rule-like play and mere chance; several levels deep."""
    count, steps = 64, 1600
    games = GroundedGames(count, seed=4000, max_steps=1100, characters=CHARACTERS)
    native = Grounder(graph, count)
    rng, deepest = np.random.default_rng(11), 0
    ours, theirs = native.spec.empty(count), native.spec.empty(count)
    for step in range(steps):
        for game in np.flatnonzero(games.new):
            native.reset(int(game))
        native(games.raw, games.last_action, ours)
        view = games.look()
        games.grounder.describe(view, theirs)
        assert_same(ours, theirs, graph, f"step {step},")
        played = diving_actions(view, allowed_actions(view), rng)
        played[::4] = rng.integers(0, 23, count // 4)
        deepest = max(deepest, view.scene.depth.max())
        games.step(played)
    games.close()
    assert count * steps >= 100_000 and deepest >= 5


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes(graph, seed):
    rng, both = np.random.default_rng(seed), Both(graph, 40)
    for _ in range(10):
        both(noise(40, rng), rng.choice([-1, 0, 5, 12, 22, 23, 2**63 - 1, -(2**63)], 40))
        both.reset(int(rng.integers(40)))


@pytest.mark.parametrize("seed", range(3))
def test_worlds_that_change_at_random(graph, seed):
    rng, count = np.random.default_rng(100 + seed), 40
    both, worlds = Both(graph, count), RandomWorlds(count, rng)
    for _ in range(200):
        both(worlds.raw, worlds.actions)
        worlds.step()
        if rng.random() < 0.05:
            both.reset(int(rng.integers(count)))


def test_search_goes_on_for_more_rounds_than_are_counted(graph):
    """A player shut in with search spots that he uses up, round after round."""
    both, raw = Both(graph, 1), empty_raw(1)
    raw.glyphs[:] = nethack.GLYPH_CMAP_OFF
    raw.glyphs[0, 8:11, 8:12] = symbol("wall")
    raw.glyphs[0, 9, 9:11] = symbol("floor of a room")
    raw.blstats[0, nethack.NLE_BL_Y] = 9
    for turn in range(60 * (paths._MOST_ROUNDS // 2 + 3)):
        here = turn // 12 % 2
        arrived = turn % 12 == 0
        raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_TIME]] = 9 + here, turn
        move = ("west", "east")[here]
        both(raw, np.array([ACTIONS.index(move) if arrived else actions.SEARCH]))
    assert both.defined._paths.round[0] == paths._MOST_ROUNDS


def test_what_is_shown_on_the_players_own_square_blocks_no_way(graph):
    """In a corridor of three squares, where he has searched out one end and looks like a monster
    to be shunned, the other end is the next dead end, not the middle."""
    both, raw = Both(graph, 1), empty_raw(1)
    raw.glyphs[:] = nethack.GLYPH_CMAP_OFF
    raw.glyphs[0, 8:11, 8:13] = symbol("wall")
    raw.glyphs[0, 9, 9:12] = symbol("corridor")
    raw.blstats[0, nethack.NLE_BL_Y] = 9
    walk = [(9, "wait"), (10, "east"), (11, "east"), (10, "west"), (9, "west")]
    for turn, (column, action) in enumerate([*walk, *[(9, "search")] * 14]):
        raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_TIME]] = column, turn
        if turn >= len(walk):
            raw.glyphs[0, 9, 9] = monster("floating eye")
        both(raw, np.array([ACTIONS.index(action)]))
    out = both.native.spec.empty(1)
    both.native(raw, np.array([-1]), out)
    closeness = out.features[0, -len(ACTIONS) - paths.Goal.COUNT :]
    assert closeness[paths.Goal.SEARCH_SPOT] == np.float32(1 / 3)  # two steps


def test_some_of_the_games_in_any_order(graph):
    rng, count = np.random.default_rng(3), 12
    both, worlds = Both(graph, count), RandomWorlds(count, rng)
    for _ in range(60):
        games = rng.permutation(count)[: rng.integers(1, count)]
        last_action = worlds.step()
        both(worlds.raw[games], last_action[games], games)


def test_no_games_are_fine_too(graph):
    grounder = Grounder(graph, 3)
    nothing = np.zeros(0, np.int64)
    grounder(empty_raw(0), nothing, grounder.spec.empty(0), nothing)


def test_rows_may_be_far_apart(graph):
    rng, count = np.random.default_rng(5), 6
    both, worlds = Both(graph, count), RandomWorlds(2 * count, rng)
    native, defined = both.native.spec.empty(3 * count), both.defined.spec.empty(count)
    for _ in range(5):
        worlds.step()
        raw = worlds.raw[::2]
        last_action = np.arange(2 * count)[::-2]
        both.native(raw, last_action, native[1::3])
        both.defined(raw, last_action, defined)
        assert_same(native[1::3].copy(), defined, graph)
        for field in fields(Observation):
            assert not getattr(native, field.name)[0::3].any()


def says(text: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """What a message tells, by the compiled reader and by the regular expressions."""
    said, offered = messages.MessageReader().read(
        np.frombuffer(text.ljust(256, b"\0"), np.uint8)[None]
    )
    return says.native.read_message(text), (int(said[0]), int(offered[0]))


says.native = Grounder(load_hypergraph(), 0)._native
SAYING = st.one_of(
    *(st.from_regex(pattern) for pattern in messages._PATTERNS.values()),
    st.from_regex(messages._OFFER).map(lambda text: b"What do you want to eat?" + text),
    st.sampled_from([b"\n", b" you!", b"You ", b"at empty", b" way", b"corpse", b" outside"]),
    st.binary(max_size=6),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(SAYING, max_size=5))
def test_messages_are_read_as_by_the_regular_expressions(sayings):
    native, defined = says(b"".join(sayings)[:256])
    assert native == defined


@pytest.mark.parametrize("text", [
    b"You kick at empty space.", b"You kick at emptiness. You hit it.", b"You misses!",
    b"You  misses!", b"It misses you.", b"It misses you?", b"hits you", b"hits you!", b"stings!",
    b"move out of \n way", b"move out of  way", b"move out of your way", b"move out of x way",
    b"move out of " + 40 * b"x" + b" way", b"move out of " + 41 * b"x" + b" way",
    b"see here corpse", b"see here\ncorpse", b"see here a\ncorpse, a corpse",
    b"feel here " + 60 * b"x" + b"corpse", b"feel here " + 61 * b"x" + b"corpse",
    b"leave the  outside", b"leave the pick\naxe outside", b"leave the pick outside",
    b"leave the " + 20 * b"x" + b" outside", b"leave the " + 21 * b"x" + b" outside",
    b"in a bear pit", b"in the spiked web", b"in a", b"in a  trap", b"trap door", b"trapdoor",
    *(b"What do you want to eat? [" + letters for letters in (
        b"h-k or ?*]", b"h- or ?*]", b"hk or ?*", b"h or ?*j]", b"h]k]", b"[h]",
        b"k-h]", b"-h]", b"h-]", b"--]",
        b"h-\n]", b"\n-k]", b" or ?*]", b"or ?*]", b"]h]", b"", b"k-h-z]", b"\x80-\xff]",
    )),
    b"In what direction?\0Really attack", b"x" * 256, b"x" * 246 + b"You hear  ",
    b"x" * 247 + b"You hear ", b"x" * 248 + b"You hear",
])  # fmt: skip
def test_messages_at_the_edge_of_a_pattern(text):
    native, defined = says(text)
    assert native == defined


@pytest.mark.parametrize("pattern", messages._PATTERNS.values(), ids=str)
def test_every_message_pattern_is_found(pattern):
    @settings(max_examples=40, deadline=None, database=None)
    @given(st.from_regex(pattern))
    def check(text):
        native, defined = says(text[:256])
        assert native == defined

    check()


def test_the_conditions_are_those_of_the_detectors():
    names = _native_grounding.condition_names()
    assert len(names) == len(set(names))
    assert set(names) == {name for detector in DETECTORS for name in detector.descriptions}


def test_the_constants_are_pythons():
    homes = {
        "Terrain": glyphs.Terrain, "Flag": glyphs.Flag, "Said": messages.Said, "memory": memory,
        "Goal": paths.Goal, "actions": actions, "nle": nethack,
    }  # fmt: skip
    constants = _native_grounding.constants()
    for name, value in constants.items():
        home, attribute = name.split(".")
        assert getattr(homes[home], attribute) == value, name
    for home in (glyphs.Terrain, glyphs.Flag, messages.Said, paths.Goal):
        for attribute in vars(home):
            assert attribute.startswith("_") or f"{home.__name__}.{attribute}" in constants


def test_the_table_of_logarithms_is_exact_and_reaches_its_bound():
    values = np.concatenate([np.arange(30_000), [10**9, 2**63 - 1]])
    expected = np.clip(np.log1p(values) / 10, 0, 1).astype(np.float32)
    found = LOG_TABLE[np.minimum(values, len(LOG_TABLE) - 1)]
    assert np.abs(found.view(np.int32) - expected.view(np.int32)).max() <= 1
    assert LOG_TABLE[-1] == 1 > LOG_TABLE[-2]


def test_arrays_of_other_kinds_are_refused(graph):
    grounder, out = Grounder(graph, 2), Grounder(graph, 2).spec.empty(2)
    raw, last_action = empty_raw(2), np.array([-1, -1])
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
    with pytest.raises(ValueError, match="active_bits has another number of rows"):
        grounder(raw, last_action, Grounder(graph, 3).spec.empty(3))
    out.features.flags.writeable = False
    with pytest.raises(ValueError, match="features has read-only memory"):
        grounder(raw, last_action, out)


def test_games_that_there_are_not(graph):
    grounder, out = Grounder(graph, 2), Grounder(graph, 2).spec.empty(1)
    for game in (2, -1):
        with pytest.raises(IndexError, match=f"game {game} of 2"):
            grounder.reset(game)
        with pytest.raises(IndexError, match=f"game {game} of 2"):
            grounder(empty_raw(1), np.array([-1]), out, np.array([game]))
