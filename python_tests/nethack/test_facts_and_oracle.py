"""The compiled facts, features, crop and mask against the oracle: equal in every bit."""

import numpy as np
import pytest
from beside_oracle import Both, Compared
from grounded_games import GroundedGames, play
from nle import nethack
from odd_observations import RandomWorlds, noise
from oracle import Look
from oracle.paths import GOALS, MOST_ROUNDS
from staged_scenes import monster, symbol

from tedg_fast.hypergraph import ACTIONS, load_hypergraph
from tedg_fast.nethack import actions
from tedg_fast.nethack.games.game import empty_observations

CHARACTERS = ("mon-hum-neu-mal", "val-dwa-law-fem", "sam-hum-law-mal", "wiz-elf-cha-fem",
              "arc-gno-neu-mal", "cav-dwa-law-mal", "hea-hum-neu-fem",
              "pri-hum-cha-mal")  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return load_hypergraph()


def compare_games(graph, count: int, steps: int, seed: int) -> int:
    """Plays and compares; returns the deepest level seen. Three games of four dive, one is left to
    chance."""
    games = GroundedGames(count, seed, max_steps=1100, characters=CHARACTERS)
    compared, deepest = Compared(graph, count), 0

    def watch(index: int, look: Look) -> None:
        nonlocal deepest
        if games.new[index]:
            compared.reset(index)
        compared.check(games.raw[index : index + 1], look.last_action, look, index)
        deepest = max(deepest, look.scene.depth)

    play(games, steps, np.random.default_rng(seed), watch)
    games.close()
    return deepest


def test_ten_thousand_real_observations(graph):
    assert compare_games(graph, 16, 640, seed=4000) >= 3


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_hundred_thousand_real_observations(graph):
    """Eight characters, several levels deep."""
    assert compare_games(graph, 64, 1600, seed=8000) >= 5


@pytest.mark.parametrize("prayer", [False, True])
def test_games_that_the_rules_play(graph, prayer):
    """What the rules seek out, chance does not find."""
    count = 16
    games = GroundedGames(count, 300, max_steps=2000, characters=CHARACTERS, prayer=prayer)
    compared, rng = Compared(graph, count, prayer), np.random.default_rng(1)
    for _ in range(400):
        chosen = []
        for index in range(count):
            if games.new[index]:
                compared.reset(index)
            look = games.look(index)
            compared.check(games.raw[index : index + 1], look.last_action, look, index)
            chosen.append(compared.native.choose(compared.out, rng.random(1))[0][0])
        games.step(chosen)
    games.close()


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes(graph, seed):
    rng, both = np.random.default_rng(seed), Both(graph, 10)
    for _ in range(12):
        both(noise(10, rng), rng.choice([-1, 0, 5, 12, 22, 23, 2**63 - 1, -(2**63)], 10))
        both.reset(int(rng.integers(10)))


@pytest.mark.parametrize(("seed", "prayer"), [(0, False), (1, False), (2, True)])
def test_worlds_that_change_at_random(graph, seed, prayer):
    rng, count = np.random.default_rng(100 + seed), 10
    both, worlds = Both(graph, count, prayer), RandomWorlds(count, rng)
    for _ in range(150):
        both(worlds.raw, worlds.actions)
        worlds.step()
        if rng.random() < 0.05:
            both.reset(int(rng.integers(count)))
    assert both.native.left_out[0] > 0


def test_levels_come_back_as_they_were_left_and_the_oldest_of_thirteen_does_not(graph):
    """Numbers of levels at the ends of their range, -1 among them, are levels like any other."""
    rng, both = np.random.default_rng(8), Both(graph, 1)
    raw = RandomWorlds(1, rng).raw
    extremes = [-1, 0, 2**63 - 1, -(2**63), *range(1, 15)]
    for step in range(400):
        raw.glyphs.reshape(-1)[rng.integers(0, 1659, 20)] = symbol("floor of a room")
        few = step // 100 % 2  # visits among six levels, then among eighteen
        raw.blstats[0, nethack.NLE_BL_DLEVEL] = extremes[rng.integers(6 if few else 18)]
        raw.blstats[0, nethack.NLE_BL_DNUM] = rng.integers(2)
        raw.blstats[0, nethack.NLE_BL_TIME] += 1
        both(raw, [rng.choice([actions.UP, actions.DOWN, 3])])
        if step % 90 == 89:
            both.reset(0)


def test_search_goes_on_for_more_rounds_than_are_counted(graph):
    """A player shut in with search spots that he uses up, round after round."""
    both, raw = Both(graph, 1), empty_observations(1)
    raw.glyphs[:] = nethack.GLYPH_CMAP_OFF
    raw.glyphs[0, 8:11, 8:12] = symbol("wall")
    raw.glyphs[0, 9, 9:11] = symbol("floor of a room")
    raw.blstats[0, nethack.NLE_BL_Y] = 9
    for turn in range(60 * (MOST_ROUNDS // 2 + 3)):
        here = turn // 12 % 2
        arrived = turn % 12 == 0
        raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_TIME]] = 9 + here, turn
        move = ("west", "east")[here]
        both(raw, [ACTIONS.index(move) if arrived else actions.SEARCH])
    assert both.native.facts["level"][0]["rounds"] == MOST_ROUNDS


def test_what_is_shown_on_the_players_own_square_blocks_no_way(graph):
    """In a corridor of three squares, where he has searched out one end and looks like a monster
    to be shunned, the other end is the next dead end, not the middle."""
    both, raw = Both(graph, 1), empty_observations(1)
    raw.glyphs[:] = nethack.GLYPH_CMAP_OFF
    raw.glyphs[0, 8:11, 8:13] = symbol("wall")
    raw.glyphs[0, 9, 9:12] = symbol("corridor")
    raw.blstats[0, nethack.NLE_BL_Y] = 9
    walk = [(9, "wait"), (10, "east"), (11, "east"), (10, "west"), (9, "west")]
    for turn, (column, action) in enumerate([*walk, *[(9, "search")] * 14]):
        raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_TIME]] = column, turn
        if turn >= len(walk):
            raw.glyphs[0, 9, 9] = monster("floating eye")
        both(raw, [ACTIONS.index(action)])
    assert both.native.facts["search_spot"][0]["steps"] == 2
    closeness = both.out.features[0, -len(ACTIONS) - len(GOALS) :]
    assert closeness[GOALS.index("search_spot")] == np.float32(1 / 3)


def test_some_of_the_games_in_any_order(graph):
    rng, count = np.random.default_rng(3), 12
    both, worlds = Both(graph, count), RandomWorlds(count, rng)
    for _ in range(40):
        games = rng.permutation(count)[: rng.integers(1, count)]
        last_action = worlds.step()
        both(worlds.raw[games], last_action[games], games)


def test_what_does_not_fit_is_counted(graph):
    """A map full of newts and another full of gold: the nearest are kept."""
    both, raw = Both(graph, 1), empty_observations(1)
    raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_Y]] = 40, 10
    for glyph, kind in ((monster("newt"), "monster"), (symbol("floor of a room"), None)):
        raw.glyphs[:] = glyph
        (look,) = both(raw, [-1])
        if kind:
            limit = len(look.facts.objects[kind])
            assert limit == 24
            assert both.native.left_out == (21 * 79 - 1 - limit, both.native.left_out[1])
            assert all(m["adjacent"] == (i < 8) for i, m in enumerate(look.facts.objects[kind]))
    assert both.native.left_out[0] == 21 * 79 - 1 - limit
