"""Shortest known ways to what is worth walking to, by floods of sets of squares."""

from dataclasses import dataclass

import numpy as np

from oracle.ground import Ground
from oracle.memory import FRAMES, WARY, Level, Memory
from oracle.scene import Scene
from oracle.squares import (
    AREA,
    COLUMNS,
    DIAGONAL,
    NEIGHBOURS,
    NUMBERS,
    ROWS,
    WIDTH,
    set_of,
    slanted,
    straight,
    wrap,
)  # fmt: skip
from tedg_fast.nethack.facts.glyphs import ANY_MONSTER, Flag, Terrain

GOALS = [name.removeprefix("Goal.").lower() for name in NUMBERS if name.startswith("Goal.")][:-1]
UNREACHED = 255
LONGEST = 200  # longer floods are given up
MOST_ROUNDS = 20
STAGES = 4
SEARCHES_A_ROUND = 12  # turns at a dead end
EDGE_SEARCHES = 8  # turns at each place of a room's edge

_ROW, _COLUMN = np.arange(AREA) // WIDTH, np.arange(AREA) % WIDTH
_THIRD_ROWS, _THIRD_COLUMNS = set_of(_ROW % 3 == 1), set_of(_COLUMN % 3 == 1)
_MAP = set_of((_ROW >= 1) & (_ROW <= ROWS) & (_COLUMN >= 1) & (_COLUMN <= COLUMNS))
# Nothing ever lies in the outermost squares.
_INNER = set_of((_ROW >= 3) & (_ROW <= ROWS - 2) & (_COLUMN >= 4) & (_COLUMN <= COLUMNS - 3))


@dataclass(frozen=True)
class Way:
    """The way to the nearest goal of a kind: `direction` (0-7) of the first step, -1 where there is
    none; `steps`, 0 on the goal; so many of them `straight` in that direction before it turns."""

    direction: int
    steps: int
    straight: int = 0

    @property
    def reachable(self) -> bool:
        return self.steps != UNREACHED


@dataclass(frozen=True)
class Ways:
    """`to` has a way for each of GOALS; `goals` the sets they lead to."""

    to: dict[str, Way]
    goals: dict[str, int]
    ground: Ground
    down_known: bool
    rounds: int


class Paths:
    """One game's."""

    def __init__(self) -> None:
        self.rounds = 0  # how often every search spot within reach was used up

    def update(self, scene: Scene, memory: Memory) -> Ways:
        if scene.time == memory.arrival:
            self.rounds = 0
        level, ground = memory.here, _ground(scene, memory)
        others = scene.flags.copy()
        others[scene.position] = 0  # what is shown there is the player
        unknown = level.on(Terrain.UNKNOWN)
        beside_unknown = unknown | straight(unknown) | slanted(unknown)
        meals = set_of(others & Flag.MEAL != 0) & ~level.marked("TASTED")
        fresh = sum({1 << kill.square for kill in memory.kills
                     if memory.fresh_corpse(kill.square, scene.time)})  # fmt: skip
        down, branch = level.on(Terrain.STAIRS_DOWN, Terrain.HOLE), level.marked("BRANCH")
        goals = {
            "stairs_down": down & ~branch,
            "frontier": ground.passable & beside_unknown & ~level.marked("VISITED"),
            "gold": ground.passable & set_of(others & Flag.GOLD != 0),
            "search_spot": 0,
            "meal": ground.passable & meals,
            "stairs_up": level.on(Terrain.STAIRS_UP),
            "fresh_corpse": ground.passable & fresh,
            "side_stairs": down & branch,
        }
        ways = {name: way_from(scene.position, goals[name], ground) for name in GOALS}
        # Where nothing is left to explore: what is left to search, in this round or the next ones.
        begun = self.rounds
        while not ways["frontier"].reachable:
            goals["search_spot"] = self._search_spots(scene, level, ground)
            ways["search_spot"] = way_from(scene.position, goals["search_spot"], ground)
            if ways["search_spot"].reachable:
                break
            if self.rounds == min(begun + STAGES, MOST_ROUNDS):
                self.rounds = begun
                break
            self.rounds += 1
        return Ways(ways, goals, ground, goals["stairs_down"] != 0, self.rounds)

    def _search_spots(self, scene: Scene, level: Level, ground: Ground) -> int:
        """At first what stairs may lie under, then dead ends, then the edges of rooms that look
        onto large blank parts of the map, then all edges; and locked doors to kick."""
        corridor = level.on(Terrain.CORRIDOR)
        door = level.on(Terrain.DOORWAY, Terrain.OPEN_DOOR)
        closed = level.on(Terrain.CLOSED_DOOR)
        # No door is a corridor's diagonal neighbour.
        beside = _Neighbours(ground.passable, ground.passable & ~ground.no_slant)
        # A corridor goes on where two of its neighbours do not touch each other; at a bend they do.
        through = (beside.north | beside.northwest | beside.northeast) & (
            beside.south | beside.southwest | beside.southeast
        ) | (beside.west | beside.northwest | beside.southwest) & (
            beside.east | beside.northeast | beside.southeast
        )
        # A door with a way on one side only seldom leads nowhere.
        two_sides = (
            beside.north & beside.south | beside.west & beside.east
            | (beside.north | beside.south) & (beside.west | beside.east)
        )  # fmt: skip
        dead_ends = corridor & ~through | door & ~(beside.twice() & two_sides)
        dead_ends &= ground.passable & level.marked("VISITED") if self.rounds else 0
        edges = 0
        if self.rounds > 1:
            wall = _Neighbours(level.on(Terrain.WALL))
            # From there every square of a room's walls is within reach of a search.
            along, across = wall.north | wall.south, wall.west | wall.east
            edges = along & _THIRD_COLUMNS | across & _THIRD_ROWS | along & across
            # Not among things lying about: a shop's mimics look like them, its door is known.
            items = set_of(scene.flags & Flag.ITEM != 0)
            edges &= ground.passable & ~(items | items << 1 | items >> 1 | corridor | door | closed)
            edges &= ~dead_ends
            if self.rounds == 2:
                edges &= _near_void(level)
        worn = set_of(level.searched >= min(SEARCHES_A_ROUND * self.rounds, 255))
        worn_edges = set_of(level.searched >= min(EDGE_SEARCHES * (self.rounds - 1), 255))
        # An object hides what it lies on from all but those who stand there.
        hiding = level.on(Terrain.COVERED) & ground.passable
        hiding &= ~(level.marked("VISITED") | level.marked("TASTED"))
        locked = closed & level.marked("LOCKED")
        return dead_ends & ~worn | edges & ~worn_edges | hiding | locked


class _Neighbours:
    """Of a set of squares: those whose neighbour in each direction belongs to it, or to another set
    for the diagonal ones."""

    def __init__(self, squares: int, diagonal: int | None = None):
        slanted = squares if diagonal is None else diagonal
        self.north, self.south = squares << WIDTH, squares >> WIDTH
        self.west, self.east = squares << 1, squares >> 1
        self.northwest, self.northeast = slanted << WIDTH + 1, slanted << WIDTH - 1
        self.southwest, self.southeast = slanted >> WIDTH - 1, slanted >> WIDTH + 1

    def twice(self) -> int:
        """Squares at least two of whose neighbours belong to it."""
        once = twice = 0
        for beside in vars(self).values():
            twice |= once & beside
            once |= beside
        return twice


def _ground(scene: Scene, memory: Memory) -> Ground:
    level = memory.here
    walkable = level.walkable
    shut = level.on(Terrain.CLOSED_DOOR) & level.marked("LOCKED")
    shunned = set_of(scene.flags & Flag.SHUNNED != 0)
    for square, seen_at, _ in memory.shunned:
        if wrap(scene.time - seen_at) <= WARY:
            shunned |= 1 << square
    for square in np.flatnonzero(scene.flags & ANY_MONSTER).tolist():
        if memory.spares(int(scene.glyphs[square]), scene.time):
            shunned |= 1 << square
    shunned &= ~(1 << scene.position)
    # Traps and wares are walked round where a row of three squares beside them allows that, but
    # not before doors.
    beside = _Neighbours(walkable)
    above = beside.northwest & beside.north & beside.northeast
    below = beside.southwest & beside.south & beside.southeast
    left = beside.northwest & beside.west & beside.southwest
    right = beside.northeast & beside.east & beside.southeast
    wares = set_of(scene.flags & Flag.ITEM != 0) & level.marked("TASTED")
    avoided = (
        (level.on(Terrain.TRAP, Terrain.PIT) | wares)
        & ~straight(level.on(*FRAMES))
        & (
            beside.west & beside.east & (above | below)
            | beside.north & beside.south & (left | right)
        )
    )
    return Ground(
        passable=walkable & ~(shut | level.marked("BLOCKED") | shunned | avoided),
        no_slant=level.on(*FRAMES) | level.marked("NO_DIAGONAL"),
    )


def _near_void(level: Level) -> int:
    """Squares within reach of parts of the map that are blank and wide enough to hold a room."""

    def grown(squares: int, steps: int) -> int:
        for _ in range(steps):
            squares = (squares | straight(squares) | slanted(squares)) & _MAP
        return squares

    known = _MAP & ~level.on(Terrain.UNKNOWN)
    return grown(_INNER & ~grown(known, 3), 8)


def way_from(start: int, goals: int, ground: Ground) -> Way:
    """The way from a square to the nearest of the goals; the first of equal first steps."""
    if goals >> start & 1:
        return Way(-1, 0)
    no_slant = ground.no_slant
    first_steps = [
        (way, start + step) for way, step in enumerate(NEIGHBOURS)
        if not (DIAGONAL[way] and (no_slant >> start & 1 or no_slant >> start + step & 1))
    ]  # fmt: skip
    within = [goals]  # [k]: at most k steps from a goal
    while True:
        for way, square in first_steps:
            if within[-1] >> square & 1:
                steps = len(within)
                return Way(way, steps, _straight(start, way, steps, within, ground))
        grown = ground.spread(within[-1])
        if grown == within[-1] or len(within) > LONGEST:
            return Way(-1, UNREACHED)
        within.append(grown)


def _straight(start: int, way: int, steps: int, within: list[int], ground: Ground) -> int:
    at = start
    for count in range(steps):
        at += NEIGHBOURS[way]
        if not within[steps - count - 1] >> at & 1:
            return count
        if DIAGONAL[way] and ground.no_slant >> at & 1:
            return count + 1
    return steps
