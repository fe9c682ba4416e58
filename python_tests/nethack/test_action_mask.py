"""The action mask against the game itself, and its judgement of harm in staged scenes."""

from collections import Counter

import numpy as np
import pytest
from grounded_games import GroundedGames, diving_actions
from nle import nethack
from staged_scenes import Stage, monster, symbol

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.action_mask import allowed_actions, harmful, impossible
from tedg_fast.nethack.actions import COMPASS


def play_impossible_actions(checks: int, seed: int) -> Counter:
    """Plays that many actions called impossible; returns how often each was played.

    Real games, about half of the steps: none may change the map or any status, the clock
    included, and none may end the game.
    """
    games, rng = GroundedGames(8, seed), np.random.default_rng(seed)
    played = Counter()
    while sum(played.values()) < checks:
        view = games.look()
        table = impossible(view)
        actions = diving_actions(view, allowed_actions(view), rng)
        chosen = table.any(axis=1) & (rng.random(len(actions)) < 0.5)
        actions = np.where(chosen, np.argmax(rng.random(table.shape) * table, axis=1), actions)
        before = games.raw.copy()
        games.step(actions)
        for game in np.flatnonzero(chosen & ~games.cut):
            action = ACTIONS[actions[game]]
            message = before.message[game].tobytes().rstrip(b"\0")
            what = f"'{action}' after {message!r}"
            assert not games.new[game], f"{what} ended the game"
            assert np.array_equal(before.glyphs[game], games.raw.glyphs[game]), what
            assert np.array_equal(before.blstats[game], games.raw.blstats[game]), what
            played[action] += 1
    games.close()
    return played


def test_impossible_actions_change_nothing():
    assert len(play_impossible_actions(3_000, seed=1)) >= 20  # nearly every action has its turn


@pytest.mark.slow
def test_impossible_actions_change_nothing_at_length():
    assert len(play_impossible_actions(20_000, seed=10_000)) == len(ACTIONS)


def test_some_action_is_always_allowed_and_time_can_pass():
    games, rng = GroundedGames(8, seed=60), np.random.default_rng(6)
    for _ in range(300):
        view = games.look()
        allowed = allowed_actions(view)
        assert allowed.any(axis=1).all()
        waiting = ~view.scene.prompt & ~view.scene.more
        assert allowed[waiting][:, ACTIONS.index("search")].all()
        assert allowed[~waiting][:, ACTIONS.index("more")].all()
        games.step(np.argmax(rng.random(allowed.shape) * allowed, axis=1))
    games.close()


def verdict(stage: Stage, table=harmful) -> set[str]:
    return {ACTIONS[i] for i in np.flatnonzero(table(stage.show())[0])}


@pytest.mark.parametrize("glyph", ["molten lava", "water"])
def test_no_steps_into_lava_or_water(glyph):
    stage = Stage()
    stage.put("east", symbol(glyph))
    assert {"east", "far_east"} <= verdict(stage)
    stage.stat(nethack.NLE_BL_CONDITION, nethack.BL_MASK_LEV)
    assert "east" not in verdict(stage)


def test_a_floating_eye_is_not_hit_unless_blind():
    stage = Stage()
    stage.put("north", monster("floating eye"))
    assert "north" in verdict(stage)
    stage.stat(nethack.NLE_BL_CONDITION, nethack.BL_MASK_BLIND)
    assert "north" not in verdict(stage)


def test_peacefuls_are_spared_with_either_yes():
    stage = Stage()
    stage.say("Really attack the watchman? [yn] (n) ", prompt=True)
    assert verdict(stage) == {"northwest", "far_northwest"}
    answers = {"more", "northwest", "far_northwest", "southeast", "far_southeast"}
    assert verdict(stage, impossible) == set(ACTIONS) - answers


def test_deadly_meals_are_refused_and_others_not():
    stage = Stage()
    stage.say("There is a cockatrice corpse here; eat it? [ynq] (n) ", prompt=True)
    assert verdict(stage) == {"northwest", "far_northwest"}
    stage.say("There is a newt corpse here; eat it? [ynq] (n) ", prompt=True)
    assert verdict(stage) == set()


def test_kicks_spare_walls_pets_and_bare_feet():
    stage = Stage()
    for way in COMPASS:
        stage.put(way, symbol("floor of a room"))
    stage.put("north", symbol("wall"))
    stage.put("east", monster("cockatrice"))
    stage.put("south", nethack.GLYPH_PET_OFF)
    stage.put("west", monster("jackal"))
    stage.say("In what direction? ", prompt=True)
    assert verdict(stage) == {"north", "east", "south"}


def test_the_eating_prompt_takes_listed_letters_only():
    stage = Stage()
    stage.say("What do you want to eat? [f-hj or ?*] ", prompt=True)
    possible = set(ACTIONS) - verdict(stage, impossible)
    assert possible == {"more", "west", "south"}


def test_nobody_eats_on_a_full_stomach():
    stage = Stage()
    stage.stat(nethack.NLE_BL_HUNGER, 0)
    assert "eat" in verdict(stage)


def test_confusion_makes_nothing_impossible_but_what_needs_no_direction():
    stage = Stage()
    for way in COMPASS:
        stage.put(way, symbol("wall"))
    assert {"north", "far_west"} <= verdict(stage, impossible)
    stage.stat(nethack.NLE_BL_CONDITION, nethack.BL_MASK_CONF)
    assert verdict(stage, impossible) <= {"more", "up", "down"}
