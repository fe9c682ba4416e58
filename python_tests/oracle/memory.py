"""What is remembered of one game: the levels it has been to, the player's moves and failures."""

from dataclasses import dataclass, field

import numpy as np

from oracle.scene import Scene
from oracle.squares import (
    AREA, DIAGONAL, NEIGHBOURS, NUMBERS, PADDING, distance, set_of, wrap,
)  # fmt: skip
from tedg_fast.nethack.actions import DOWN, EAT, FIRST_FAR_MOVE, FIRST_MOVE, SEARCH, UP
from tedg_fast.nethack.facts.glyphs import ANY_MONSTER, Terrain
from tedg_fast.nethack.facts.tables import ROLES, monster_tables

MARKS = {n.removeprefix("memory."): bit for n, bit in NUMBERS.items() if n.startswith("memory.")}
MOST_LEVELS = 12
FRESH = 30  # turns for which a corpse is fresh
KILLS = 8
PEACEFUL_TURNS = 30
LONG_AGO = 1000
STAIRS = (Terrain.STAIRS_UP, Terrain.STAIRS_DOWN)


@dataclass
class Level:
    """One level; arrays uint8 [AREA] over the padded map."""

    terrain: np.ndarray = field(default_factory=lambda: np.zeros(AREA, np.uint8))
    marks: np.ndarray = field(default_factory=lambda: np.zeros(AREA, np.uint8))
    searched: np.ndarray = field(default_factory=lambda: np.zeros(AREA, np.uint8))
    searches: int = 0
    visits: int = 0

    @property
    def known(self) -> int:
        """How many squares' terrain is known; the padding, all wall, is not counted."""
        return max(int(np.count_nonzero(self.terrain)) - PADDING, 0)

    def marked(self, name: str) -> int:
        """The set of squares with a mark."""
        return set_of(self.marks & MARKS[name] != 0)

    def on(self, *terrains: int) -> int:
        """The set of squares with one of these terrains."""
        return sum(set_of(self.terrain == terrain) for terrain in terrains)


class Memory:
    """One game's. `update` takes in an observation and the action that led to it."""

    def __init__(self) -> None:
        self.fresh = True  # the next observation is the first of a new game
        self.levels: dict[int, Level] = {}  # the one left longest ago first

    def update(self, scene: Scene, last_action: int) -> None:
        if self.fresh:
            self._begin(scene)
        new_level = self.fresh or scene.level != self.level
        moved = new_level or scene.position != self.position
        implied = self._arrival_terrain(scene, last_action) if new_level else 0
        branched = not self.fresh and new_level and scene.level >> 8 != self.level >> 8
        if branched and self.here.terrain[self.position] in STAIRS:
            self._mark(self.position, "BRANCH")
        if new_level:
            self._enter(scene)
        self._see(scene, new_level, implied)
        if branched and self.here.terrain[scene.position] in STAIRS:
            self._mark(scene.position, "BRANCH")
        self._judge_step(scene, last_action, moved)
        self._note_kill(scene, last_action, moved)
        self._walk(scene, last_action, moved and not new_level)
        self._count(scene, last_action, moved, new_level)
        if not new_level and last_action == EAT:
            self._mark(scene.position, "TASTED")
        if scene.asks("EAT_ITEM_PROMPT"):
            self.no_meal = scene.offered == 0
        if scene.says("NO_FOOD"):
            self.no_meal = True
        self.fresh = False

    def _mark(self, square: int, *names: str) -> None:
        for name in names:
            self.here.marks[square] |= MARKS[name]

    def _begin(self, scene: Scene) -> None:
        self.levels.clear()
        self.prompt = self.no_meal = False
        self.peaceful_until = self.position = 0
        self.hp, self.gold = scene.hp, scene.gold
        self.experience, self.time = scene.experience, scene.time
        monster = int(monster_tables().subject[scene.glyphs[scene.position]])
        roles = monster_tables().role
        self.role = int(roles[monster]) if monster < len(roles) else len(ROLES) - 1

    def _arrival_terrain(self, scene: Scene, last_action: int) -> int:
        """Terrain that the way of arrival puts under the player, 0 where nothing is implied."""
        if self.fresh:  # a game begins on the up stairs of level 1
            return Terrain.STAIRS_UP if scene.depth == 1 and scene.time <= 1 else 0
        left = self.here.terrain[self.position]
        if last_action == UP and left == Terrain.STAIRS_UP and scene.depth == wrap(self.depth - 1):
            return Terrain.STAIRS_DOWN
        if (last_action == DOWN and left == Terrain.STAIRS_DOWN
                and scene.depth == wrap(self.depth + 1)):  # fmt: skip
            return Terrain.STAIRS_UP
        return 0

    def _enter(self, scene: Scene) -> None:
        """Turns to the level's map, and forgets moves on the one just left."""
        self.here = self.levels.pop(scene.level, None) or Level()
        if len(self.levels) == MOST_LEVELS:
            del self.levels[next(iter(self.levels))]
        self.levels[scene.level] = self.here
        self.here.visits += 1
        self.still = self.frozen = 0
        self.trapped = False
        self.peaceful = -1
        self.kills: list[tuple[int, int]] = []  # square and turn, the newest last
        self.trail = [-1] * 4  # positions, the newest first
        self.arrival = self.hurt_at = scene.time
        self.known = self.here.known

    def _see(self, scene: Scene, new_level: bool, implied: int) -> None:
        here = self.here
        kept = np.maximum(here.terrain, scene.shown)
        here.terrain = np.where(scene.shown > Terrain.COVERED, scene.shown, kept)
        if scene.says("STAIRS_DOWN_HERE"):
            implied = Terrain.STAIRS_DOWN
        if scene.says("STAIRS_UP_HERE"):
            implied = Terrain.STAIRS_UP
        if implied and not scene.prompt:
            here.terrain[scene.position] = implied
        if new_level or here.known > self.known:
            self.discovery = scene.time
        self.known = here.known

    def _judge_step(self, scene: Scene, last_action: int, moved: bool) -> None:
        """Learns from a step that did not move the player: locked door, boulder, unseen block."""
        self.failed = False
        if not FIRST_MOVE <= last_action < FIRST_FAR_MOVE + 8:
            return
        near, aim = last_action < FIRST_FAR_MOVE, (last_action - FIRST_MOVE) % 8
        target = scene.position + NEIGHBOURS[aim]
        if near and scene.asks("ATTACK_PROMPT"):
            self.peaceful = int(scene.glyphs[target])
            self.peaceful_until = wrap(scene.time + PEACEFUL_TURNS)
        if self.prompt or moved or scene.prompt or scene.more:
            return
        self.failed = scene.time == self.time
        explained = scene.says("DOOR_LOCKED", "NO_DIAGONAL", "BOULDER_STUCK", "IN_THE_WAY",
                               "DOOR_RESISTS")  # fmt: skip
        expected = self.here.terrain[target] in (Terrain.UNKNOWN, Terrain.WALL) or bool(
            scene.flags[target] & ANY_MONSTER
        )
        puzzling = near and self.failed and not explained and not expected
        again = puzzling and self.here.marks[target] & MARKS["TRIED"]
        if scene.says("DOOR_LOCKED"):
            self._mark(target, "LOCKED")
        if scene.says("BOULDER_STUCK") or (again and not DIAGONAL[aim]):
            self._mark(target, "BLOCKED")
        if scene.says("NO_DIAGONAL") or (again and DIAGONAL[aim]):
            self._mark(target, "NO_DIAGONAL")
        if puzzling:
            self._mark(target, "TRIED")
        if scene.says("NO_DIAGONAL") and self.here.terrain[scene.position] <= Terrain.COVERED:
            self._mark(scene.position, "NO_DIAGONAL")

    def _note_kill(self, scene: Scene, last_action: int, moved: bool) -> None:
        """Remembers where a blow has just killed a monster: its corpse would be fresh."""
        blow = FIRST_MOVE <= last_action < FIRST_FAR_MOVE and not moved and not self.prompt
        if blow and scene.says("KILLED"):
            fallen = scene.position + NEIGHBOURS[last_action - FIRST_MOVE], scene.time
            self.kills = [*self.kills, fallen][-KILLS:]

    def kill_age(self, square: int, now: int) -> int:
        """Turns since the player killed a monster on a square."""
        ages = [wrap(now - time) for fallen, time in self.kills if fallen == square]
        return max(min([LONG_AGO, *ages]), 0)

    def killed_here(self, square: int, now: int) -> bool:
        return self.kill_age(square, now) < FRESH

    def _walk(self, scene: Scene, last_action: int, moved: bool) -> None:
        """Marks the squares that the last move passed: a long move runs along a straight line."""
        self._mark(scene.position, "VISITED")
        if moved and FIRST_FAR_MOVE <= last_action < FIRST_FAR_MOVE + 8:
            step = NEIGHBOURS[last_action - FIRST_FAR_MOVE]
            length = distance(self.position, scene.position)
            if self.position + length * step == scene.position:
                for along in range(length):
                    self._mark(self.position + along * step, "VISITED")

    def _count(self, scene: Scene, last_action: int, moved: bool, new_level: bool) -> None:
        passed = wrap(scene.time - self.time)
        if last_action == SEARCH and passed > 0 and not moved and not self.prompt:
            self.here.searches += 1
            self.here.searched[scene.position] += self.here.searched[scene.position] < 255
        self.hurt = max(wrap(self.hp - scene.hp), 0)
        if self.hurt > 0:
            self.hurt_at = scene.time
        self.gold_gained = wrap(scene.gold - self.gold)
        self.experience_gained = wrap(scene.experience - self.experience)
        # Falling into a pit always hurts; so a painless step shows that nothing holds the player.
        held = scene.says("TRAPPED") or self.hurt > 0
        in_pit = self.here.terrain[scene.position] == Terrain.PIT
        self.trapped = bool(held or (in_pit if moved else self.trapped))
        self.still = 0 if moved else self.still + 1
        self.frozen = 0 if passed != 0 or new_level else self.frozen + 1
        self.trail = [scene.position, *self.trail[:3]]
        self.level, self.depth, self.position = scene.level, scene.depth, scene.position
        self.time, self.hp, self.gold = scene.time, scene.hp, scene.gold
        self.experience, self.prompt = scene.experience, scene.prompt
