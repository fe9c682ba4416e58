"""Shortest known ways to what is worth walking to, as distance fields over the remembered map.

A field holds each square's number of steps to the nearest goal of one kind. Fields are kept from
call to call and flooded anew only for the games whose map changed, or whose player left the part
that was flooded; a flood stops as soon as it has reached the players it is made for.
"""

from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack.actions import IS_DIAGONAL
from tedg_fast.nethack.facts.glyphs import Flag, Terrain
from tedg_fast.nethack.memory import BLOCKED, LOCKED, NO_DIAGONAL, TASTED, VISITED, Memory
from tedg_fast.nethack.rows import Rows
from tedg_fast.nethack.scene import AREA, ROWS, WIDTH, Scene

UNREACHED = 255
_LONGEST = 200  # longer ways count as unreachable; below UNREACHED
_BURST = 4  # flood steps between two looks at whether the flood may stop
_MOST_ROUNDS = 20


class Goal:
    """Kinds of goals, one field each."""

    STAIRS_DOWN = 0  # also holes and trap doors
    FRONTIER = 1  # unvisited squares next to something unseen
    GOLD = 2
    SEARCH_SPOT = 3  # where a hidden door or passage is likely, and locked doors to kick
    MEAL = 4  # food on the floor that the player has not tried to eat, while hungry
    COUNT = 5


# Bits of a square's code. Two maps with equal codes have equal fields.
_PASSABLE = 1
_NO_SLANT = 2  # no diagonal step onto or off it
_SHIFT = np.uint8(2) + np.arange(Goal.COUNT, dtype=np.uint8)  # goal k has bit 1 << _SHIFT[k]
_GOAL_BITS = np.left_shift(np.uint8(1), _SHIFT)

_SEARCHES_A_ROUND = 10


_THIRD_COLUMN = np.tile(np.arange(WIDTH) % 3 == 1, ROWS + 2)
_THIRD_ROW = np.repeat(np.arange(ROWS + 2) % 3 == 1, WIDTH)


def _any_neighbour(squares: np.ndarray) -> np.ndarray:
    """bool [G, AREA] -> whether any of the eight neighbours is set (wrong on the padding only)."""
    flat = squares.reshape(-1)
    across = flat.copy()
    across[1:] |= flat[:-1]
    across[:-1] |= flat[1:]
    result = across.copy()
    result[WIDTH:] |= across[:-WIDTH]
    result[:-WIDTH] |= across[WIDTH:]
    return result.reshape(squares.shape)


def _count_neighbours(squares: np.ndarray) -> np.ndarray:
    """bool [G, AREA] -> uint8 number of set squares among the eight neighbours."""
    flat = squares.reshape(-1).view(np.uint8)
    across = flat.copy()
    across[1:] += flat[:-1]
    across[:-1] += flat[1:]
    result = across.copy()
    result[WIDTH:] += across[:-WIDTH]
    result[:-WIDTH] += across[WIDTH:]
    return (result - flat).reshape(squares.shape)


def _count_pair(squares: np.ndarray, step: int) -> np.ndarray:
    """bool [G, AREA] -> uint8 number of set squares among the two that are ``step`` away."""
    flat = squares.reshape(-1).view(np.uint8)
    result = np.zeros_like(flat)
    result[step:] += flat[:-step]
    result[:-step] += flat[step:]
    return result.reshape(squares.shape)


@dataclass
class Paths(Rows):
    """The fields of G games, kept from call to call."""

    code: np.ndarray  # uint8 [G, AREA]: what the fields were made for
    distance: np.ndarray  # uint8 [G, Goal, AREA]: steps to the nearest goal, or UNREACHED
    complete: np.ndarray  # bool [G, Goal]: flooded to the end, so UNREACHED means unreachable
    explored: np.ndarray  # bool [G]: the last call found no frontier within reach
    round: np.ndarray  # int64 [G]: how often every search spot within reach was used up

    @classmethod
    def empty(cls, games: int) -> "Paths":
        """Fields of games that have not begun."""
        return cls(
            code=np.zeros((games, AREA), dtype=np.uint8),
            distance=np.full((games, Goal.COUNT, AREA), UNREACHED, dtype=np.uint8),
            complete=np.zeros((games, Goal.COUNT), dtype=bool),
            explored=np.zeros(games, dtype=bool),
            round=np.zeros(games, dtype=np.int64),
        )

    def update(self, scene: Scene, memory: Memory) -> "Ways":
        """Brings the fields up to date and reads each player's way to each goal from them."""
        entered = memory.time == memory.arrival
        self.round[entered] = 0
        self.explored[entered] = False
        code = self._codes(scene, memory)
        changed = (code != self.code).any(axis=1)
        self.distance[changed] = UNREACHED
        self.complete[changed] = False
        np.copyto(self.code, code)
        present = np.bitwise_or.reduce(code, axis=1)[:, None] & _GOAL_BITS != 0
        self.complete |= ~present
        slants = (code[scene.rows_column, scene.around] | self._here(scene)[:, None]) & _NO_SLANT
        legal = (slants == 0) | ~IS_DIAGONAL  # bool [G, 8]
        ways = self._read(scene, legal)
        games, goals = np.nonzero(~self.complete & (ways.steps == UNREACHED))
        if games.size:
            self._flood(games, goals, scene, legal)
            ways = self._read(scene, legal)
        reachable = ways.steps != UNREACHED
        explored = ~reachable[:, Goal.FRONTIER]
        stumped = explored & self.explored & ~reachable[:, Goal.SEARCH_SPOT]
        self.round += stumped & (self.round < _MOST_ROUNDS)
        self.explored[:] = explored
        return ways

    def _here(self, scene: Scene) -> np.ndarray:
        return self.code[scene.rows, scene.position]

    def _codes(self, scene: Scene, memory: Memory) -> np.ndarray:
        # Comparisons of bytes, not table look-ups: those cost ten times as much.
        terrain, marks = memory.terrain, memory.marks
        closed = terrain == Terrain.CLOSED_DOOR
        locked = closed & (marks & LOCKED != 0)
        shunned = scene.flags & (Flag.UNTOUCHABLE | Flag.KEEPER) != 0
        passable = (terrain != Terrain.UNKNOWN) & (terrain < Terrain.LIQUID)
        passable &= ~(locked | shunned | (marks & BLOCKED != 0))
        upright = closed | (terrain == Terrain.OPEN_DOOR) | (marks & NO_DIAGONAL != 0)
        unseen = _any_neighbour(terrain == Terrain.UNKNOWN)
        goals = {
            Goal.STAIRS_DOWN: (terrain == Terrain.STAIRS_DOWN) | (terrain == Terrain.HOLE),
            Goal.FRONTIER: passable & unseen & (marks & VISITED == 0),
            Goal.GOLD: passable & (scene.flags & Flag.GOLD != 0),
            Goal.MEAL: passable & (scene.flags & Flag.MEAL != 0) & (marks & TASTED == 0)
            & scene.hungry[:, None],
        }
        code = passable.view(np.uint8) | (upright.view(np.uint8) * _NO_SLANT)
        for goal, squares in goals.items():
            code |= squares.view(np.uint8) << _SHIFT[goal]
        stuck = np.flatnonzero(self.explored)
        if stuck.size:
            spots = self._search_spots(stuck, memory, passable[stuck]) | locked[stuck]
            code[stuck] |= spots.view(np.uint8) << _SHIFT[Goal.SEARCH_SPOT]
        return code

    def _search_spots(
        self, games: np.ndarray, memory: Memory, passable: np.ndarray
    ) -> np.ndarray:
        """bool [len(games), AREA]: dead ends at first, in later rounds also the rooms' edges."""
        terrain = memory.terrain[games]
        visited = memory.marks[games] & VISITED != 0
        narrow = (terrain >= Terrain.CORRIDOR) & (terrain <= Terrain.OPEN_DOOR)
        door = narrow & (terrain != Terrain.CORRIDOR)
        dead_end = _count_neighbours(passable) <= 1
        # A door seldom leads nowhere.
        dead_end |= door & (_count_pair(passable, 1) + _count_pair(passable, WIDTH) <= 1)
        spots = narrow & visited & dead_end
        wall = terrain == Terrain.WALL
        beside, above = _count_pair(wall, 1) > 0, _count_pair(wall, WIDTH) > 0
        # From there every square of a room's walls is within reach of a search.
        edge = (above & _THIRD_COLUMN) | (beside & _THIRD_ROW) | (above & beside)
        room = passable & ~narrow & (terrain != Terrain.CLOSED_DOOR)
        spots |= room & edge & (self.round[games] > 0)[:, None]
        enough = np.minimum(_SEARCHES_A_ROUND * (1 + self.round[games]), UNREACHED)
        return spots & (memory.searched[games] < enough[:, None])

    def _read(self, scene: Scene, legal: np.ndarray) -> "Ways":
        rows = scene.rows[:, None]
        here = self.distance[rows, np.arange(Goal.COUNT), scene.position[:, None]]
        near = self.distance[
            scene.rows[:, None, None], np.arange(Goal.COUNT)[:, None], scene.around[:, None, :]
        ]
        near = np.where(legal[:, None, :], near, UNREACHED)  # uint8 [G, Goal, 8]
        direction = near.argmin(axis=2)
        steps = near.min(axis=2)
        steps += steps != UNREACHED
        steps = np.where(here == 0, 0, steps)
        direction = np.where((steps == UNREACHED) | (steps == 0), -1, direction)
        return Ways(direction, steps)

    def _flood(
        self, games: np.ndarray, goals: np.ndarray, scene: Scene, legal: np.ndarray
    ) -> None:
        """Floods field goals[i] of game games[i] until every flood has reached its player."""
        code = self.code[games]
        passable = (code & _PASSABLE).reshape(-1)
        straight = passable & ~((code & _NO_SLANT) >> 1).reshape(-1)
        reached = ((code & _GOAL_BITS[goals][:, None]) != 0).view(np.uint8).reshape(-1)
        distance = np.zeros_like(reached)
        side, upright, slanted = (np.zeros_like(reached) for _ in range(3))
        around = np.arange(games.size)[:, None] * AREA + scene.around[games]
        legal = legal[games]
        filled, steps = np.count_nonzero(reached), 0
        exhausted = False
        while steps < _LONGEST:
            for _ in range(_BURST):
                distance += reached ^ 1
                np.bitwise_or(reached[2:], reached[:-2], out=side[1:-1])
                np.bitwise_or(
                    reached[2 * WIDTH :], reached[: -2 * WIDTH], out=upright[WIDTH:-WIDTH]
                )
                side |= upright
                np.bitwise_and(reached, straight, out=upright)
                np.bitwise_or(upright[2:], upright[:-2], out=slanted[1:-1])
                np.bitwise_or(
                    slanted[2 * WIDTH :], slanted[: -2 * WIDTH], out=upright[WIDTH:-WIDTH]
                )
                upright &= straight
                side |= upright
                side &= passable
                reached |= side
            steps += _BURST
            now = np.count_nonzero(reached)
            exhausted, filled = now == filled, now
            if exhausted or (reached[around].view(bool) & legal).any(axis=1).all():
                break
        distance[reached == 0] = UNREACHED
        self.distance[games, goals] = distance.reshape(games.size, AREA)
        self.complete[games, goals] = exhausted or steps >= _LONGEST


@dataclass
class Ways:
    """Each player's way to each kind of goal."""

    direction: np.ndarray  # int64 [G, Goal]: index (0-7) of the first step, -1 where there is none
    steps: np.ndarray  # uint8 [G, Goal]: length of the way, 0 on the goal, or UNREACHED
