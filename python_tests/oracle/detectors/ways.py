"""Conditions about ways to walk: to stairs, unexplored parts, gold, search spots, safety."""

import numpy as np

from tedg_fast.nethack.actions import IS_DIAGONAL
from tedg_fast.nethack.detectors.registry import detects
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.facts.glyphs import ANY_MONSTER, Flag, Terrain
from tedg_fast.nethack.paths import UNREACHED, Goal
from tedg_fast.nethack.scene import AREA, NEIGHBOURS

_EIGHT = np.arange(8)


def _towards(view: View, goal: int) -> np.ndarray:
    # At a prompt a direction key answers the prompt instead of moving.
    direction = np.where(view.scene.prompt, -1, view.ways.direction[:, goal])
    return direction[:, None] == _EIGHT


def _reachable(view: View, goal: int) -> np.ndarray:
    return view.ways.steps[:, goal] != UNREACHED


def _near(view: View, goal: int, steps: int) -> np.ndarray:
    return view.ways.steps[:, goal] <= steps


@detects("way_to_stairs_{}")
def way_to_stairs(view: View) -> np.ndarray:
    """The shortest known way to stairs down (or a hole) begins in that direction."""
    return _towards(view, Goal.STAIRS_DOWN)


@detects("way_to_frontier_{}")
def way_to_frontier(view: View) -> np.ndarray:
    """The shortest way to an unexplored part begins in that direction."""
    return _towards(view, Goal.FRONTIER)


@detects("way_to_gold_{}")
def way_to_gold(view: View) -> np.ndarray:
    """The shortest known way to gold begins in that direction."""
    return _towards(view, Goal.GOLD)


@detects("way_to_search_spot_{}")
def way_to_search_spot(view: View) -> np.ndarray:
    """Nothing is left to explore; the way to the next place to search or kick begins there."""
    return _towards(view, Goal.SEARCH_SPOT)


@detects("way_to_meal_{}")
def way_to_meal(view: View) -> np.ndarray:
    """Hungry; the shortest known way to food that keeps begins in that direction."""
    return _towards(view, Goal.MEAL)


@detects("stairs_down_known")
def stairs_down_known(view: View) -> np.ndarray:
    """Stairs down have been seen on this level."""
    return view.stairs_seen


@detects("stairs_down_unknown")
def stairs_down_unknown(view: View) -> np.ndarray:
    """No stairs down have been seen on this level."""
    return ~view.stairs_seen


@detects("way_down_reachable")
def way_down_reachable(view: View) -> np.ndarray:
    """A known way leads to stairs down or a hole."""
    return _reachable(view, Goal.STAIRS_DOWN)


@detects("way_down_near")
def way_down_near(view: View) -> np.ndarray:
    """Stairs down or a hole are at most five steps away."""
    return _near(view, Goal.STAIRS_DOWN, 5)


@detects("way_down_blocked")
def way_down_blocked(view: View) -> np.ndarray:
    """Stairs down are known but no known way leads there."""
    return view.stairs_seen & ~_reachable(view, Goal.STAIRS_DOWN)


@detects("frontier_near")
def frontier_near(view: View) -> np.ndarray:
    """An unexplored part is at most four steps away."""
    return _near(view, Goal.FRONTIER, 4)


@detects("frontier_far")
def frontier_far(view: View) -> np.ndarray:
    """The nearest unexplored part within reach is more than four steps away."""
    return _reachable(view, Goal.FRONTIER) & ~_near(view, Goal.FRONTIER, 4)


@detects("nothing_to_explore")
def nothing_to_explore(view: View) -> np.ndarray:
    """No unexplored part is within reach."""
    return ~_reachable(view, Goal.FRONTIER)


_CHARTING = 200  # turns


@detects("level_unfinished")
def level_unfinished(view: View) -> np.ndarray:
    """An unexplored part is within reach, and fewer than 200 turns were spent on the level."""
    stay = view.scene.time - view.memory.arrival
    return _reachable(view, Goal.FRONTIER) & (stay < _CHARTING)


@detects("level_finished")
def level_finished(view: View) -> np.ndarray:
    """Nothing is left to explore, or 200 turns were spent on the level."""
    return ~level_unfinished(view)


@detects("gold_near")
def gold_near(view: View) -> np.ndarray:
    """Gold is at most six steps away."""
    return _near(view, Goal.GOLD, 6)


@detects("gold_far")
def gold_far(view: View) -> np.ndarray:
    """Gold is within reach, more than six steps away."""
    return _reachable(view, Goal.GOLD) & ~_near(view, Goal.GOLD, 6)


@detects("at_search_spot")
def at_search_spot(view: View) -> np.ndarray:
    """Nothing is left to explore, and this is a place to search."""
    return view.ways.steps[:, Goal.SEARCH_SPOT] == 0


@detects("nowhere_to_search")
def nowhere_to_search(view: View) -> np.ndarray:
    """Nothing is left to explore, and every place to search has had its turn."""
    return nothing_to_explore(view) & ~_reachable(view, Goal.SEARCH_SPOT)


@detects("escape_{}")
def escape_towards(view: View) -> np.ndarray:
    """A hostile monster is adjacent, but none would be after a step in that direction."""
    scene = view.scene
    squares = scene.around[:, :, None] + NEIGHBOURS  # [G, 8, 8]
    squares = np.minimum(np.maximum(squares, 0), AREA - 1)
    hostile = scene.flags[scene.rows[:, None, None], squares] & Flag.HOSTILE != 0
    ground = view.ground
    free = (ground >= Terrain.FLOOR) & (ground < Terrain.TRAP) & (ground != Terrain.CLOSED_DOOR)
    free &= scene.near & (ANY_MONSTER | Flag.BOULDER) == 0
    in_door = (view.here == Terrain.OPEN_DOOR)[:, None] | (ground == Terrain.OPEN_DOOR)
    free &= ~(in_door & IS_DIAGONAL)
    pressed = (view.num_hostile > 0) & ~view.scene.prompt
    return free & ~hostile.any(axis=2) & pressed[:, None]
