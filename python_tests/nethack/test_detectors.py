"""Every condition has a detector, and every detector fires on what it describes."""

import numpy as np
import pytest
from grounded_games import GroundedGames, play
from nle import nethack
from staged_scenes import STAGED, Stage, symbol, thing

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.detectors import DETECTORS, View


def active(view: View) -> dict[str, np.ndarray]:
    """Condition -> bool [G]."""
    found = {}
    for detector in DETECTORS:
        columns = detector.function(view).reshape(len(view.here), -1)
        assert columns.dtype == bool and columns.shape[1] == len(detector.descriptions)
        found |= dict(zip(detector.descriptions, columns.T, strict=True))
    return found


@pytest.fixture(scope="module")
def rates() -> dict[str, float]:
    """Share of the steps of real games in which each condition holds."""
    games, seen = GroundedGames(16, seed=777), []

    def watch(view: View) -> None:
        seen.append({name: hits.mean() for name, hits in active(view).items()})

    play(games, 500, np.random.default_rng(0), watch)
    games.close()
    return {name: float(np.mean([step[name] for step in seen])) for name in seen[0]}


def test_conditions_and_detectors_match_one_to_one():
    conditions = {condition.name for condition in load_hypergraph().conditions}
    detected = [name for detector in DETECTORS for name in detector.descriptions]
    assert sorted(conditions - set(detected)) == [], "conditions without a detector"
    assert sorted(set(detected) - conditions) == [], "detectors without a condition"
    assert len(detected) == len(set(detected)), "a condition has two detectors"


def test_every_detector_says_when_it_fires():
    for detector in DETECTORS:
        for name, text in detector.descriptions.items():
            assert text.strip().endswith("."), name


@pytest.mark.parametrize("name", sorted(STAGED))
def test_fires_in_a_staged_scene(name):
    stage = Stage()
    assert not active(stage.show())[name].any(), "fires before the scene is set"
    STAGED[name](stage)
    assert active(stage.show())[name].all()


def test_every_other_detector_fires_in_real_games(rates):
    silent = [name for name, rate in rates.items() if rate == 0 and name not in STAGED]
    assert silent == []


def test_few_conditions_hold_nearly_always(rates):
    assert sum(rate > 0.9 for rate in rates.values()) <= 4
    assert 5 < sum(rates.values()) < 25  # active conditions per step


def test_no_direction_is_offered_at_a_prompt():
    stage = Stage()
    stage.put("east", symbol("staircase down"))
    assert active(stage.show())["way_to_stairs_east"].all()
    stage.say("In what direction? ", prompt=True)
    assert not active(stage.show("kick"))["way_to_stairs_east"].any()


def test_the_spared_peaceful_is_no_target():
    stage = Stage()
    STAGED["peaceful_adjacent"](stage)
    found = active(stage.show())
    assert not found["hostile_east"].any() and not found["hostile_adjacent"].any()
    stage.raw.blstats[0, 20] += 100  # much later it may be another one
    assert active(stage.show())["hostile_east"].all()


def test_a_kill_is_forgotten_once_its_square_was_left_or_the_corpse_is_old():
    stage = Stage()
    stage.say("You kill the newt!")
    stage.show("east")
    stage.walk("east")
    assert active(stage.show("east"))["on_kill"].all()
    stage.say("")
    stage.walk("west")
    assert not active(stage.show("west"))["kill_east"].any()
    stage.say("You kill the newt!")
    stage.show("north")
    stage.stat(nethack.NLE_BL_TIME, stage.raw.blstats[0, nethack.NLE_BL_TIME] + 19)
    assert active(stage.show())["kill_north"].all()
    stage.say("")
    stage.stat(nethack.NLE_BL_TIME, stage.raw.blstats[0, nethack.NLE_BL_TIME] + 1)
    assert not active(stage.show())["kill_north"].any()


def test_a_kill_that_cannot_be_reached_is_forgotten():
    stage = Stage()
    STAGED["kill_northeast"](stage)
    assert active(stage.show())["kill_northeast"].all()
    stage.say("You can't move diagonally out of an intact doorway.")
    assert not active(stage.show("northeast"))["kill_northeast"].any()


def test_no_meal_is_at_hand_once_no_key_chooses_one():
    stage = Stage()
    stage.stat(nethack.NLE_BL_HUNGER, 2)
    stage.say("What do you want to eat? [fgi or ?*] ", prompt=True)
    stage.show("eat")
    stage.say("")
    assert not active(stage.show("more"))["meal_at_hand"].any()


def test_a_meal_is_tried_once():
    stage = Stage()
    STAGED["way_to_meal_east"](stage)
    stage.show()
    stage.walk("east")
    stage.show("east")
    stage.show("eat")
    stage.walk("west")
    stage.put("east", thing("food ration"))
    assert not active(stage.show("west"))["way_to_meal_east"].any()


def test_a_fresh_kill_is_no_stale_meal():
    stage = Stage()
    STAGED["on_kill"](stage)
    STAGED["stale_meal_offered"](stage)
    assert not active(stage.show("eat"))["stale_meal_offered"].any()


def test_a_level_is_finished_after_a_while():
    stage = Stage()
    assert active(stage.show())["level_unfinished"].all()
    stage.stat(nethack.NLE_BL_TIME, stage.raw.blstats[0, nethack.NLE_BL_TIME] + 200)
    assert active(stage.show())["level_finished"].all()
