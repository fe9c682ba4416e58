"""What is remembered of a game, on real games where they get there and staged scenes elsewhere.

The compiled memory shows in facts only; the oracle's can be looked into, and Stage holds the two
equal.
"""

import numpy as np
from grounded_games import GroundedGames, diving_action
from nle import nethack
from oracle.memory import MARKS, PEACEFUL_TURNS
from oracle.squares import NEIGHBOURS
from staged_scenes import Stage, monster, symbol

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.actions import DOWN, UP
from tedg_fast.nethack.facts.glyphs import Terrain


def marked(stage: Stage, way: str, mark: str, last_action: str = "wait") -> bool:
    look = stage.show(last_action)
    square = look.scene.position + NEIGHBOURS[ACTIONS.index(way) - 1]
    return bool(look.memory.here.marks[square] & MARKS[mark])


def ground(look) -> int:
    return int(look.memory.here.terrain[look.scene.position])


def test_a_game_begins_on_the_stairs_up():
    games = GroundedGames(4, seed=40)
    assert all(ground(games.look(game)) == Terrain.STAIRS_UP for game in range(4))
    games.close()


def test_stairs_taken_lie_underfoot_on_arrival():
    """Real games: down the stairs one stands on '<'; straight back up, on '>'."""
    count = 8
    games, rng = GroundedGames(count, seed=300), np.random.default_rng(3)
    arrived, returned = 0, 0
    before = [None] * count  # depth, ground, action
    for _ in range(600):
        actions = []
        for game in range(count):
            look = games.look(game)
            depth, here = look.scene.depth, ground(look)
            if before[game] and not games.new[game]:
                was_depth, was_here, action = before[game]
                if (action, was_here, depth) == (DOWN, Terrain.STAIRS_DOWN, was_depth + 1):
                    assert here == Terrain.STAIRS_UP
                    arrived += 1
                if (action, was_here, depth) == (UP, Terrain.STAIRS_UP, was_depth - 1):
                    assert here == Terrain.STAIRS_DOWN
                    returned += 1
            back = here == Terrain.STAIRS_UP and depth > 1 and rng.random() < 0.3
            action = diving_action(look, look.action_mask(), rng)
            actions.append(UP if back and not look.scene.prompt else action)
            before[game] = depth, here, actions[-1]
        games.step(actions)
    games.close()
    assert arrived >= 5 and returned >= 2


def test_ground_under_the_player_is_remembered():
    stage = Stage()
    stage.put("east", symbol("corridor"))
    stage.show()
    stage.walk("east")
    assert ground(stage.show("east")) == Terrain.CORRIDOR


def test_a_fall_leaves_the_ground_unknown():
    stage = Stage()
    stage.stat(nethack.NLE_BL_DEPTH, 2)
    stage.stat(nethack.NLE_BL_DLEVEL, 2)
    assert ground(stage.show("east")) <= Terrain.COVERED


def test_a_level_is_remembered_while_the_player_is_elsewhere():
    stage = Stage()
    before = stage.facts()["level"][0]
    assert before["known"] > 10 and before["visits"] == 1
    home = stage.raw.glyphs.copy()
    stage.raw.glyphs[:] = symbol("dark part of a room")
    stage.stat(nethack.NLE_BL_DLEVEL, 2)
    look = stage.show()
    assert not look.memory.here.known and np.count_nonzero(look.memory.here.marks) == 1
    stage.raw.glyphs[:] = home
    stage.raw.glyphs[stage.raw.glyphs == symbol("floor of a room")] = symbol("dark part of a room")
    stage.stat(nethack.NLE_BL_DLEVEL, 1)
    after = stage.facts()["level"][0]
    assert after["known"] == before["known"] and after["visits"] == 2


def test_the_level_left_longest_ago_of_thirteen_is_forgotten():
    stage, visits = Stage(), []
    for level in (*range(1, 14), 2, 1):  # the first was forgotten for the thirteenth
        stage.stat(nethack.NLE_BL_DLEVEL, level)
        visits.append(stage.facts()["level"][0]["visits"])
    assert visits == [1] * 13 + [2, 1]


def test_stairs_to_another_branch_are_no_way_down():
    stage = Stage()
    stage.put("east", symbol("staircase down"))
    stage.show()
    stage.walk("east")
    assert stage.facts("east")["level"][0]["stairs_down_known"]
    stage.stat(nethack.NLE_BL_DNUM, 2)
    stage.stat(nethack.NLE_BL_DLEVEL, 2)
    stage.stat(nethack.NLE_BL_DEPTH, 2)
    stage.show("down")
    stage.stat(nethack.NLE_BL_DNUM, 0)
    stage.stat(nethack.NLE_BL_DLEVEL, 1)
    stage.stat(nethack.NLE_BL_DEPTH, 1)
    facts = stage.facts("up")
    assert not facts["level"][0]["stairs_down_known"] and not facts["stairs_down"]


def test_reset_forgets_everything():
    stage = Stage()
    stage.raw.blstats[0, nethack.NLE_BL_TIME] = 900
    stage.say("This door is locked.")
    assert marked(stage, "east", "LOCKED", "east")
    assert stage.facts()["level"][0]["turns"] == 899
    stage.begin()
    look = stage.show(-1)
    assert look.memory.arrival == 900 and look.memory.still == 0
    assert not (look.memory.here.marks & MARKS["LOCKED"]).any()


def test_a_run_visits_the_squares_between():
    stage = Stage()
    start = stage.show().scene.position
    stage.raw.blstats[0, nethack.NLE_BL_X] += 5
    stage.pass_turns(4)
    visited = stage.show("far_east").memory.here.marks & MARKS["VISITED"] != 0
    assert visited[start : start + 6].all() and visited.sum() == 6


def test_failures_are_learned_from():
    locked, boulder, slanted = Stage(), Stage(), Stage()
    locked.say("This door is locked.")
    assert marked(locked, "north", "LOCKED", "north")
    boulder.say("You try to move the boulder, but in vain.")
    assert marked(boulder, "west", "BLOCKED", "west")
    slanted.say("You can't move diagonally into an intact doorway.")
    assert marked(slanted, "northeast", "NO_DIAGONAL", "northeast")


def test_an_unexplained_failure_blocks_only_the_second_time():
    stage = Stage()
    stage.put("east", symbol("floor of a room"))
    stage.say("")
    assert not marked(stage, "east", "BLOCKED", "east")
    assert marked(stage, "east", "BLOCKED", "east")


def test_a_stuck_door_is_not_taken_for_a_wall():
    """A fast player's failed attempt may take no time, so it looks like a step that did nothing."""
    stage = Stage()
    stage.put("east", symbol("closed door"))
    stage.say("The door resists!")
    for _ in range(3):
        assert not marked(stage, "east", "BLOCKED", "east")


def test_searching_counts_turns_not_commands():
    stage = Stage()
    for turn, counted in ((0, 0), (1, 1), (1, 2)):
        stage.pass_turns(turn)
        level = stage.facts("search")["level"][0]
        assert level["searched_here"] == level["searches"] == counted


def test_a_hit_or_a_pit_may_hold_the_player():
    stage = Stage()
    assert not stage.facts()["me"][0]["trapped"]
    stage.raw.blstats[0, nethack.NLE_BL_HP] -= 3
    stage.walk("east")
    assert stage.facts("east")["me"][0]["trapped"]
    stage.walk("east")
    assert not stage.facts("east")["me"][0]["trapped"]


def test_the_spared_peaceful_is_no_target_for_a_while():
    stage = Stage()
    stage.send_hostiles_away()
    stage.put("east", monster("gnome"))
    east = ACTIONS.index("east") - 1
    assert stage.facts()["direction"][east]["hostile"]
    stage.say("Really attack the gnome? [yn] (n) ", prompt=True)
    stage.show("east")
    stage.say("")
    stage.pass_turns(PEACEFUL_TURNS)
    facts = stage.facts()
    (gnome,) = (m for m in facts["monster"] if m["gnome"])
    assert not facts["direction"][east]["hostile"] and gnome["peaceful"] and not gnome["hostile"]
    stage.pass_turns(1)  # later it may be another one
    facts = stage.facts()
    (gnome,) = (m for m in facts["monster"] if m["gnome"])
    assert facts["direction"][east]["hostile"] and gnome["hostile"] and not gnome["peaceful"]


def test_kills_are_remembered_each_with_its_age():
    stage = Stage()
    north, east = (ACTIONS.index(way) - 1 for way in ("north", "east"))
    stage.say("You kill the newt!")
    stage.show("east")
    stage.pass_turns(10)
    stage.show("north")
    stage.say("")
    directions = stage.facts()["direction"]
    assert directions[north]["kill"] and directions[east]["kill"]
    stage.pass_turns(20)
    directions = stage.facts()["direction"]
    assert directions[north]["kill"] and not directions[east]["kill"]
    stage.walk("north")
    assert stage.facts("north")["me"][0]["on_kill"]
    stage.pass_turns(10)
    assert not stage.facts()["me"][0]["on_kill"]


def test_a_wound_ends_all_sparing():
    """Whoever dealt it may be of the kind that was peaceful."""
    stage = Stage()
    stage.send_hostiles_away()
    stage.put("east", monster("gnome"))
    stage.say("Really attack the gnome? [yn] (n) ", prompt=True)
    stage.show("east")
    stage.say("")
    stage.raw.blstats[0, nethack.NLE_BL_HP] -= 1
    (gnome,) = (m for m in stage.facts()["monster"] if m["gnome"])
    assert gnome["hostile"]


def test_a_long_move_round_a_bend_visits_what_lies_between():
    stage = Stage()
    stage.room(["####", "#   ", "#@  "])
    start = stage.show(-1).scene.position
    stage.raw.blstats[0, nethack.NLE_BL_X] += 2
    stage.raw.blstats[0, nethack.NLE_BL_Y] -= 2
    stage.pass_turns(4)
    visited = stage.show("far_west").memory.here.marks & MARKS["VISITED"] != 0
    assert visited.sum() == 6 and visited[start - 1]


def test_what_must_not_be_touched_is_walked_round_while_out_of_sight():
    stage = Stage()
    stage.room(["------", "|@...|", "|....|", "------"])
    stage.put("east", monster("floating eye"), 2)
    stage.show(-1)
    square = stage.show().scene.position + 2
    stage.put("east", symbol("floor of a room"), 2)
    assert not stage.show().ways.ground.passable >> square & 1
    stage.walk("east")
    assert stage.show("east").ways.ground.passable >> square & 1  # it is seen to be gone


def test_a_hurtful_step_without_an_enemy_met_a_trap():
    stage = Stage()
    stage.room(["------", "|@...|", "|....|", "------"])
    stage.show(-1)
    stage.raw.blstats[0, nethack.NLE_BL_HP] -= 2
    stage.walk("east")
    assert ground(stage.show("east")) == Terrain.TRAP
    stage.walk("east")
    assert not stage.facts("east")["direction"][ACTIONS.index("west") - 1]["free"]
