"""The action mask against the game itself, and its judgement of harm in staged scenes."""

from collections import Counter

import numpy as np
import pytest
from grounded_games import GroundedGames, diving_action
from nle import nethack
from oracle.action_mask import harmful, impossible
from staged_scenes import Stage, monster, symbol

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.actions import COMPASS


def play_impossible_actions(checks: int, seed: int) -> Counter:
    """Plays that many actions called impossible; returns how often each was played.

    Real games, about half of the steps: none may change the map or any status, the clock
    included, and none may end the game.
    """
    count = 8
    games, rng = GroundedGames(count, seed), np.random.default_rng(seed)
    played = Counter()
    while sum(played.values()) < checks:
        actions, tried = [], []
        for game in range(count):
            look = games.look(game)
            barred = sorted(impossible(look.scene, look.memory))
            if barred and rng.random() < 0.5:
                tried.append(game)
                actions.append(rng.choice(barred))
            else:
                actions.append(diving_action(look, look.action_mask(), rng))
        before = games.raw.copy()
        games.step(actions)
        for game in tried:
            if games.cut[game]:
                continue
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


@pytest.mark.long
def test_impossible_actions_change_nothing_at_length():
    assert len(play_impossible_actions(20_000, seed=10_000)) == len(ACTIONS)


def test_some_action_is_always_allowed_and_time_can_pass():
    games, rng = GroundedGames(8, seed=60), np.random.default_rng(6)
    for _ in range(300):
        actions = []
        for game in range(8):
            look = games.look(game)
            allowed = look.action_mask()
            waiting = not look.scene.prompt and not look.scene.more
            assert allowed[ACTIONS.index("search" if waiting else "more")]
            actions.append(rng.choice(np.flatnonzero(allowed)))
        games.step(actions)
    games.close()


def verdict(stage: Stage, which: str = "harmful") -> set[str]:
    look = stage.show()  # where the compiled mask is the oracle's
    found = (harmful if which == "harmful" else impossible)(look.scene, look.memory)
    return {ACTIONS[action] for action in found}


@pytest.mark.parametrize("glyph", ["molten lava", "water"])
def test_no_steps_into_lava_or_water(glyph):
    stage = Stage()
    stage.put("east", symbol(glyph))
    assert {"east", "far_east"} <= verdict(stage)
    stage.stat(nethack.NLE_BL_CONDITION, nethack.BL_MASK_LEV)
    assert "east" not in verdict(stage)


@pytest.mark.parametrize("prayer", [False, True])
def test_a_floating_eye_is_not_hit_unless_blind_or_stuck_with_a_prayer(prayer):
    stage = Stage(prayer=prayer)
    stage.put("north", monster("floating eye"))
    assert "north" in verdict(stage)
    stage.stat(nethack.NLE_BL_CONDITION, nethack.BL_MASK_BLIND)
    assert "north" not in verdict(stage)
    stage.stat(nethack.NLE_BL_CONDITION, 0)
    stage.pass_turns(299)
    assert "north" in verdict(stage)
    stage.pass_turns(1)  # nothing new was seen for 300 turns: it may bar the only way
    assert ("north" in verdict(stage)) != prayer


def test_peacefuls_are_spared_with_either_yes():
    stage = Stage()
    stage.say("Really attack the watchman? [yn] (n) ", prompt=True)
    assert verdict(stage) == {"northwest", "far_northwest"}
    answers = {"more", "northwest", "far_northwest", "southeast", "far_southeast"}
    assert verdict(stage, "impossible") == set(ACTIONS) - answers


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
    assert set(ACTIONS) - verdict(stage, "impossible") == {"more", "west", "south"}


def test_nobody_eats_on_a_full_stomach():
    stage = Stage()
    stage.stat(nethack.NLE_BL_HUNGER, 0)
    assert "eat" in verdict(stage)


def test_confusion_makes_nothing_impossible_but_what_needs_no_direction():
    stage = Stage()
    for way in COMPASS:
        stage.put(way, symbol("wall"))
    assert {"north", "far_west"} <= verdict(stage, "impossible")
    stage.stat(nethack.NLE_BL_CONDITION, nethack.BL_MASK_CONF)
    assert verdict(stage, "impossible") <= {"more", "up", "down"}
