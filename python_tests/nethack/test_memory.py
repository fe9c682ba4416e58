"""What is remembered of a game, on real games where they get there and staged scenes elsewhere."""

import numpy as np
from grounded_games import GroundedGames, diving_actions
from nle import nethack
from staged_scenes import Stage, symbol

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.action_mask import allowed_actions
from tedg_fast.nethack.actions import DOWN, UP
from tedg_fast.nethack.facts.glyphs import Terrain
from tedg_fast.nethack.memory import BLOCKED, LOCKED, NO_DIAGONAL, VISITED
from tedg_fast.nethack.scene import NEIGHBOURS


def mark(stage: Stage, way: str, last_action: str = "wait") -> int:
    view = stage.show(last_action)
    square = view.scene.position + NEIGHBOURS[ACTIONS.index(way) - 1]
    return int(view.memory.marks[0, square[0]])


def test_a_game_begins_on_the_stairs_up():
    games = GroundedGames(4, seed=40)
    assert (games.look().here == Terrain.STAIRS_UP).all()
    games.close()


def test_stairs_taken_lie_underfoot_on_arrival():
    """Real games: down the stairs one stands on '<'; straight back up, on '>'."""
    games, rng = GroundedGames(8, seed=300), np.random.default_rng(3)
    arrived, returned = 0, 0
    depth, here, actions = None, None, None
    for _ in range(600):
        view = games.look()
        if actions is not None:
            same_game = ~games.new
            took = (actions == DOWN) & (here == Terrain.STAIRS_DOWN) & same_game
            took &= view.scene.depth == depth + 1
            assert (view.here[took] == Terrain.STAIRS_UP).all()
            rose = (actions == UP) & (here == Terrain.STAIRS_UP) & same_game
            rose &= view.scene.depth == depth - 1
            assert (view.here[rose] == Terrain.STAIRS_DOWN).all()
            arrived, returned = arrived + took.sum(), returned + rose.sum()
        depth, here = view.scene.depth.copy(), view.here.copy()
        actions = diving_actions(view, allowed_actions(view), rng)
        back = (here == Terrain.STAIRS_UP) & (depth > 1) & (rng.random(8) < 0.3)
        actions = np.where(back & ~view.scene.prompt, UP, actions)
        games.step(actions)
    games.close()
    assert arrived >= 5 and returned >= 2


def test_ground_under_the_player_is_remembered():
    stage = Stage()
    stage.put("east", symbol("corridor"))
    stage.show()
    stage.walk("east")
    assert stage.show("east").here[0] == Terrain.CORRIDOR


def test_a_fall_leaves_the_ground_unknown():
    stage = Stage()
    stage.stat(nethack.NLE_BL_DEPTH, 2)
    stage.stat(nethack.NLE_BL_DLEVEL, 2)
    assert stage.show("east").here[0] <= Terrain.COVERED


def test_a_level_is_forgotten_when_left():
    stage = Stage()
    before = stage.show()
    assert np.count_nonzero(before.memory.terrain) > 10
    assert (before.memory.marks & VISITED).any()
    stage.raw.glyphs[:] = symbol("dark part of a room")
    stage.stat(nethack.NLE_BL_DLEVEL, 2)
    after = stage.show()
    assert set(np.unique(after.memory.terrain)) == {Terrain.UNKNOWN, Terrain.WALL}  # map's edge
    assert np.count_nonzero(after.memory.marks) == 1  # where the player stands


def test_reset_forgets_everything():
    stage = Stage()
    stage.raw.blstats[0, nethack.NLE_BL_TIME] = 900
    stage.say("This door is locked.")
    assert mark(stage, "east", "east") & LOCKED
    assert stage.show().memory.arrival[0] == 1
    stage.grounder.reset(0)
    view = stage.show(-1)
    assert view.memory.arrival[0] == 900 and view.memory.still[0] == 0
    assert not (view.memory.marks & LOCKED).any()


def test_a_run_visits_the_squares_between():
    stage = Stage()
    start = stage.show().scene.position[0]
    stage.raw.blstats[0, nethack.NLE_BL_X] += 5
    stage.raw.blstats[0, nethack.NLE_BL_TIME] += 4
    visited = stage.show("far_east").memory.marks[0] & VISITED
    assert visited[start : start + 6].all() and visited.sum() == 6


def test_failures_are_learned_from():
    locked, boulder, slanted = Stage(), Stage(), Stage()
    locked.say("This door is locked.")
    assert mark(locked, "north", "north") & LOCKED
    boulder.say("You try to move the boulder, but in vain.")
    assert mark(boulder, "west", "west") & BLOCKED
    slanted.say("You can't move diagonally into an intact doorway.")
    assert mark(slanted, "northeast", "northeast") & NO_DIAGONAL


def test_an_unexplained_failure_blocks_only_the_second_time():
    stage = Stage()
    stage.put("east", symbol("floor of a room"))
    stage.say("")
    assert not mark(stage, "east", "east") & BLOCKED
    assert mark(stage, "east", "east") & BLOCKED


def test_a_stuck_door_is_not_taken_for_a_wall():
    """A fast player's failed attempt may take no time, so it looks like a step that did nothing."""
    stage = Stage()
    stage.put("east", symbol("closed door"))
    stage.say("The door resists!")
    for _ in range(3):
        assert not mark(stage, "east", "east") & BLOCKED


def test_searching_counts_turns_not_commands():
    stage = Stage()
    for turn, counted in ((0, 0), (1, 1), (1, 2)):
        stage.raw.blstats[0, nethack.NLE_BL_TIME] += turn
        view = stage.show("search")
        assert view.memory.searched[0, view.scene.position[0]] == counted


def test_a_hit_or_a_pit_may_hold_the_player():
    stage = Stage()
    assert not stage.show().memory.trapped[0]
    stage.raw.blstats[0, nethack.NLE_BL_HP] -= 3
    stage.walk("east")
    assert stage.show("east").memory.trapped[0]
    stage.walk("east")
    assert not stage.show("east").memory.trapped[0]
