"""The action that a task has only where it is asked for: when it is allowed, what it does."""

import numpy as np
import pytest
from nle import nethack
from staged_scenes import Stage
from vector_games import make_env

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.actions import NUM_ACTIONS, PRAY, YES
from tedg_fast.nethack.facts.observation import NO_RULE, instances_of
from tedg_fast.rules.game import GroundedGame

HP, MOST, LEVEL = nethack.NLE_BL_HP, nethack.NLE_BL_HPMAX, nethack.NLE_BL_XP
HUNGER, CONDITION = nethack.NLE_BL_HUNGER, nethack.NLE_BL_CONDITION
QUESTION = "Are you sure you want to pray? [yn] (n) "


def staged(hp=40, most=40, level=5, hunger=1, condition=0, prayer=True) -> Stage:
    stage = Stage(prayer=prayer)
    for index, value in ((HP, hp), (MOST, most), (LEVEL, level), (HUNGER, hunger),
                         (CONDITION, condition)):  # fmt: skip
        stage.stat(index, value)
    return stage


def may_pray(stage: Stage) -> bool:
    """As the compiled mask and the oracle's say it."""
    stage.show()
    return bool(stage.both.out.action_mask[0, PRAY])


@pytest.mark.parametrize(
    ("trouble", "counts"),
    [
        ({}, False),
        ({"hp": 8}, True), ({"hp": 9}, False),  # a fifth at level 5
        ({"hp": 6, "level": 6}, True), ({"hp": 7, "level": 6}, False),  # then a sixth,
        ({"hp": 5, "level": 14}, True), ({"hp": 6, "level": 14}, False),  # a seventh
        ({"hp": 5, "most": 6, "level": 1}, True), ({"hp": 6, "most": 6, "level": 1}, False),
        # Of hit points beyond 15 a level none counts as lost.
        ({"hp": 6, "most": 90, "level": 2}, True), ({"hp": 7, "most": 90, "level": 2}, False),
        ({"hunger": 2}, False), ({"hunger": 3}, True), ({"hunger": 4}, True),
        ({"condition": nethack.BL_MASK_FOODPOIS}, True),
        ({"condition": nethack.BL_MASK_CONF}, False),
    ],
)  # fmt: skip
def test_prayer_is_for_those_in_trouble(trouble, counts):
    stage = staged(**trouble)
    assert may_pray(stage) == counts
    assert stage.facts()["me"][0]["in_trouble"] == counts
    assert not may_pray(staged(**trouble, prayer=False))


def test_the_question_takes_a_yes_or_a_no():
    stage = staged(hp=3)
    stage.say(QUESTION, prompt=True)
    stage.show("pray")
    allowed = np.flatnonzero(stage.both.out.action_mask[0]).tolist()
    assert allowed == [0, 6, 8, 14, 16]  # escape, n, y, N, Y


def test_turns_since_a_prayer_are_counted_from_its_end():
    stage = staged(hp=3)
    assert stage.facts()["me"][0]["since_prayer"] > 10_000
    stage.say(QUESTION, prompt=True)
    stage.show("pray")
    stage.say("You finish your prayer.")
    stage.pass_turns(3)
    assert stage.facts("northwest")["me"][0]["since_prayer"] == 0
    stage.pass_turns(70)
    assert stage.facts()["me"][0]["since_prayer"] == 70
    stage.say(QUESTION, prompt=True)
    stage.show("pray")
    stage.say("")
    assert (
        stage.facts("southeast")["me"][0]["since_prayer"] == 70
    )  # no was answered: no time passed
    stage.begin()
    assert stage.facts(-1)["me"][0]["since_prayer"] > 10_000


OF_PRAYER = {"pray", "confirm_prayer", "fight_what_bars", "wander"}
"""Packaged rules that apply only where there is prayer."""


def prayers(seed: int, prayer: bool) -> list[tuple[dict, dict]]:
    """Plays a game by the rules; the facts before and after each of its prayers."""
    rules, found = load_hypergraph(), []
    game = GroundedGame(rules, seed, 0, 3000, "mon-hum-neu-mal", prayer=prayer)
    names = np.array([operator.name for operator in rules.operators])
    while not game.over:
        rows = instances_of(game.observation)[0]
        applied = names[rows["rule"][rows["rule"] != NO_RULE]]
        assert prayer or not OF_PRAYER & {*applied}
        action = int(game.grounder.choose(game.observation, np.array([game.draw]))[0][0])
        before = game.grounder.facts["me"][0]
        game.step(action)
        if action == PRAY:
            assert prayer
            game.step(YES)
            if not game.over:
                found.append((before, game.grounder.facts["me"][0]))
    game.close()
    return found


def test_a_god_heals_and_feeds_whoever_prays_in_time():
    """Real games: most prayers help, and none comes soon after another."""
    found = [pair for seed in range(8) for pair in prayers(seed, True)]
    assert len(found) >= 6
    helped = [after["hp"] == after["max_hp"] and after["hunger"] <= 1 for _, after in found]
    assert np.mean(helped) > 0.6
    assert all(before["in_trouble"] and before["since_prayer"] > 200 for before, _ in found)
    assert all(after["since_prayer"] < 10 for _, after in found)


def test_without_prayer_no_rule_prays():
    assert prayers(0, False) == []


def test_the_action_exists_only_where_it_is_asked_for():
    for prayer, last in ((False, NUM_ACTIONS - 2), (True, NUM_ACTIONS - 1)):
        with make_env(prayer=prayer) as env:
            env.start()
            with pytest.raises(ValueError, match=rf"actions must lie in 0\.\.{last}"):
                env.step(np.full(5, last + 1))
            env.step(np.full(5, last))
            games = env.games()
        assert all(last in game.actions for game in games)
        with make_env(prayer=prayer) as env:
            assert env.restore(games) == []
    with make_env(prayer=False) as env:
        messages = env.restore(games)
    assert len(messages) == 5 and "its log holds action 23, the last is 22" in messages[0]
