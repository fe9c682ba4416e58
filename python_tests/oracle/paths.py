"""Shortest known ways to what is worth walking to, by floods of sets of squares."""

from dataclasses import dataclass

import numpy as np

from oracle.memory import Level, Memory
from oracle.scene import Scene
from oracle.squares import (
    DIAGONAL, NEIGHBOURS, NUMBERS, WIDTH, AREA, set_of, slanted, straight,
)  # fmt: skip
from tedg_fast.nethack.facts.glyphs import Flag, Terrain
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary

GOALS = [name.removeprefix("Goal.").lower() for name in NUMBERS if name.startswith("Goal.")][:-1]
UNREACHED = 255
LONGEST = 200  # longer floods are given up
MOST_ROUNDS = 20
SEARCHES_A_ROUND = 10

_THIRD_ROWS = set_of(np.arange(AREA) // WIDTH % 3 == 1)
_THIRD_COLUMNS = set_of(np.arange(AREA) % WIDTH % 3 == 1)
_TABLE = [a.name for a in vocabulary().kind["monster"].attributes if a.table]
_UNWISE = monster_tables().values[:, _TABLE.index("unwise_to_eat")] != 0


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
class Ground:
    """Sets of squares: those that can be stepped on; those onto and off which no diagonal step
    leads."""

    passable: int
    no_slant: int

    def spread(self, reached: int) -> int:
        """A set and all that is at most one step from it."""
        upright = self.passable & ~self.no_slant
        return (
            reached
            | straight(reached) & self.passable
            | slanted(reached & upright) & upright
        )


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
        self.explored = False  # the last call found no frontier within reach
        self.rounds = 0  # how often every search spot within reach was used up

    def update(self, scene: Scene, memory: Memory) -> Ways:
        if scene.time == memory.arrival:
            self.explored, self.rounds = False, 0
        level = memory.here
        others = scene.flags.copy()
        others[scene.position] = 0  # what is shown there is the player
        walkable = set_of((level.terrain != Terrain.UNKNOWN) & (level.terrain < Terrain.LIQUID))
        shut = level.on(Terrain.CLOSED_DOOR) & level.marked("LOCKED")
        shunned = set_of(others & (Flag.UNTOUCHABLE | Flag.KEEPER) != 0)
        frames = level.on(Terrain.CLOSED_DOOR, Terrain.OPEN_DOOR)
        ground = Ground(
            passable=walkable & ~(shut | level.marked("BLOCKED") | shunned),
            no_slant=frames | level.marked("NO_DIAGONAL"),
        )
        unknown = level.on(Terrain.UNKNOWN)
        beside_unknown = unknown | straight(unknown) | slanted(unknown)
        down = level.on(Terrain.STAIRS_DOWN, Terrain.HOLE) & ~level.marked("BRANCH")
        hungry = scene.blstats[NUMBERS["nle.NLE_BL_HUNGER"]] >= 2
        meals = set_of(others & Flag.MEAL != 0) & ~level.marked("TASTED") if hungry else 0
        goals = {
            "stairs_down": down,
            "frontier": ground.passable & beside_unknown & ~level.marked("VISITED"),
            "gold": ground.passable & set_of(others & Flag.GOLD != 0),
            "search_spot": self._search_spots(level, ground.passable) if self.explored else 0,
            "meal": ground.passable & meals,
            "stairs_up": level.on(Terrain.STAIRS_UP),
            "fresh_corpse": ground.passable & fresh_corpses(scene, memory),
        }
        ways = {name: way_from(scene.position, goals[name], ground) for name in GOALS}
        explored = not ways["frontier"].reachable
        if explored and self.explored and not ways["search_spot"].reachable:
            self.rounds = min(self.rounds + 1, MOST_ROUNDS)
        self.explored = explored
        return Ways(ways, goals, ground, down != 0, self.rounds)

    def _search_spots(self, level: Level, passable: int) -> int:
        """Dead ends at first, in later rounds also the rooms' edges; and locked doors to kick."""
        corridor = level.on(Terrain.CORRIDOR)
        door = level.on(Terrain.DOORWAY, Terrain.OPEN_DOOR)
        closed = level.on(Terrain.CLOSED_DOOR)
        wall = level.on(Terrain.WALL)
        once = twice = 0  # squares with at least one, two passable neighbours
        for step in NEIGHBOURS:
            beside = passable << step if step > 0 else passable >> -step
            twice |= once & beside
            once |= beside
        north, south = passable << WIDTH, passable >> WIDTH
        west, east = passable << 1, passable >> 1
        two_sides = north & south | west & east | (north | south) & (west | east)
        # A door with a way on one side only seldom leads nowhere.
        dead_ends = corridor & ~twice | door & ~(twice & two_sides)
        spots = level.marked("VISITED") & dead_ends
        if self.rounds:
            # From there every square of a room's walls is within reach of a search.
            above, beside = wall << WIDTH | wall >> WIDTH, wall << 1 | wall >> 1
            edge = above & _THIRD_COLUMNS | beside & _THIRD_ROWS | above & beside
            spots |= passable & ~(corridor | door | closed) & edge
        enough = min(SEARCHES_A_ROUND * (1 + self.rounds), 255)
        worn = set_of(level.searched >= enough)
        return spots & ~worn | closed & level.marked("LOCKED")


def fresh_corpses(scene: Scene, memory: Memory) -> int:
    """Corpses of the player's own recent kills that are wise to eat."""
    found = 0
    for square, _ in memory.kills:
        monster = int(monster_tables().subject[scene.glyphs[square]])
        corpse = scene.flags[square] & Flag.CORPSE and monster < len(_UNWISE)
        if corpse and not _UNWISE[monster] and memory.killed_here(square, scene.time):
            found |= 1 << square
    return found


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
