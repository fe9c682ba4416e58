"""What the agent remembers of each game: the current level's map, its own moves, its failures.

A level's memory is dropped when the level changes; all of it when a new game begins.
"""

from dataclasses import dataclass, fields

import numpy as np

from tedg_fast.nethack.actions import (
    DOWN,
    EAT,
    FIRST_FAR_MOVE,
    FIRST_MOVE,
    IS_DIAGONAL,
    SEARCH,
    UP,
)
from tedg_fast.nethack.facts.glyphs import ANY_MONSTER, Terrain
from tedg_fast.nethack.messages import Said
from tedg_fast.nethack.rows import Rows
from tedg_fast.nethack.scene import AREA, COLUMNS, NEIGHBOURS, WIDTH, Scene

TRAIL = 8

# Bits of `marks`, remembered for each square of the level.
VISITED = 1  # the player has been there
BLOCKED = 2  # a step onto it failed although nothing shown explains why
NO_DIAGONAL = 4  # a diagonal step onto or off it failed
LOCKED = 8  # a locked door
TRIED = 16  # one unexplained failure; the second one blocks
TASTED = 32  # an attempt was made to eat what lies there

PEACEFUL_TURNS = 30


@dataclass
class Memory(Rows):
    """Arrays with one row per game; squares are flattened as in scene.py."""

    fresh: np.ndarray  # bool [G]: the next observation is the first of a new game
    terrain: np.ndarray  # uint8 [G, AREA]: last seen Terrain of every square
    marks: np.ndarray  # uint8 [G, AREA]: bits above
    searched: np.ndarray  # uint8 [G, AREA]: turns spent searching while on the square
    level: np.ndarray  # int64 [G]
    depth: np.ndarray  # int64 [G]
    position: np.ndarray  # int64 [G]: flattened square
    trail: np.ndarray  # int64 [G, TRAIL]: positions, newest first
    time: np.ndarray  # int64 [G]: game turn of the last observation
    hp: np.ndarray  # int64 [G]
    gold: np.ndarray  # int64 [G]
    experience: np.ndarray  # int64 [G]
    prompt: np.ndarray  # bool [G]: the last observation was a prompt
    still: np.ndarray  # int64 [G]: observations since the position changed
    frozen: np.ndarray  # int64 [G]: observations since the game's time advanced
    arrival: np.ndarray  # int64 [G]: game turn at which the level was entered
    discovery: np.ndarray  # int64 [G]: game turn at which a new square was last seen
    hurt: np.ndarray  # int64 [G]: HP lost in the last step
    trapped: np.ndarray  # bool [G]: something may hold the player on this square
    failed: np.ndarray  # bool [G]: the last step did not move the player and fought nothing
    peaceful: np.ndarray  # int64 [G]: glyph of the monster the game asked about, -1 if none
    peaceful_until: np.ndarray  # int64 [G]: turn until which that kind counts as peaceful
    kill: np.ndarray  # int64 [G]: square of the last kill, or -1
    killed_at: np.ndarray  # int64 [G]: game turn of that kill
    no_meal: np.ndarray  # bool [G]: the last eating prompt offered no letter that an action sends
    gold_gained: np.ndarray  # int64 [G]: in the last step
    experience_gained: np.ndarray  # int64 [G]: experience points, in the last step
    known: np.ndarray  # int64 [G]: number of squares with known terrain

    @classmethod
    def empty(cls, games: int) -> "Memory":
        """Memory of games that have not begun."""
        maps = {"terrain", "marks", "searched"}
        flags = {"fresh", "prompt", "trapped", "failed", "no_meal"}
        arrays = {}
        for field in fields(cls):
            if field.name in maps:
                arrays[field.name] = np.zeros((games, AREA), dtype=np.uint8)
            elif field.name == "trail":
                arrays[field.name] = np.zeros((games, TRAIL), dtype=np.int64)
            else:
                dtype = bool if field.name in flags else np.int64
                arrays[field.name] = np.zeros(games, dtype=dtype)
        arrays["fresh"][:] = True
        return cls(**arrays)

    def update(self, scene: Scene, last_action: np.ndarray) -> None:
        """Takes in the observation that followed `last_action` (int64 [G], -1 = none)."""
        new_level = self.fresh | (scene.level != self.level)
        moved = (scene.position != self.position) | new_level
        arrival_terrain = self._arrival_terrain(scene, last_action)
        self._forget(scene, new_level)
        self._see(scene, new_level, arrival_terrain)
        self._judge_step(scene, last_action, moved)
        self._note_kill(scene, last_action, moved)
        self._walk(scene, last_action, moved, new_level)
        self._count(scene, last_action, moved, new_level)
        tasted = np.flatnonzero((last_action == EAT) & ~new_level)
        self.marks[tasted, scene.position[tasted]] |= TASTED
        eating = scene.prompt & (scene.said & Said.EAT_ITEM_PROMPT != 0)
        self.no_meal[:] = np.where(eating, scene.offered == 0, self.no_meal)
        self.fresh[:] = False

    def _arrival_terrain(self, scene: Scene, last_action: np.ndarray) -> np.ndarray:
        """Terrain that the way of arrival puts under the player, 0 where nothing is implied."""
        left = self.terrain[scene.rows, self.position]
        went_down = (
            (last_action == DOWN) & (left == Terrain.STAIRS_DOWN) & (scene.depth == self.depth + 1)
        )
        went_up = (
            (last_action == UP) & (left == Terrain.STAIRS_UP) & (scene.depth == self.depth - 1)
        )
        terrain = np.where(went_down, Terrain.STAIRS_UP, 0)
        terrain = np.where(went_up, Terrain.STAIRS_DOWN, terrain)
        # A game begins on the up stairs of level 1.
        begins = self.fresh & (scene.depth == 1) & (scene.time <= 1)
        return np.where(begins, Terrain.STAIRS_UP, np.where(self.fresh, 0, terrain))

    def _forget(self, scene: Scene, new_level: np.ndarray) -> None:
        if not new_level.any():
            return
        for array in (self.terrain, self.marks, self.searched):
            array[new_level] = 0
        for array in (self.still, self.frozen, self.hurt):
            array[new_level] = 0
        for array in (self.trapped, self.failed):
            array[new_level] = False
        self.peaceful[new_level] = -1
        self.kill[new_level] = -1
        self.trail[new_level] = -1
        self.arrival[new_level] = scene.time[new_level]
        begun = self.fresh
        for array in (self.prompt, self.no_meal):
            array[begun] = False
        for name in ("hp", "gold", "experience", "time"):
            getattr(self, name)[begun] = getattr(scene, name)[begun]

    def _see(self, scene: Scene, new_level: np.ndarray, arrival_terrain: np.ndarray) -> None:
        kept = np.maximum(self.terrain, scene.shown)
        np.copyto(self.terrain, kept)
        np.copyto(self.terrain, scene.shown, where=scene.shown > Terrain.COVERED)
        implied = np.where(new_level, arrival_terrain, 0)
        down, up = Said.STAIRS_DOWN_HERE, Said.STAIRS_UP_HERE
        implied = np.where(scene.said & down != 0, Terrain.STAIRS_DOWN, implied)
        implied = np.where(scene.said & up != 0, Terrain.STAIRS_UP, implied)
        told = np.flatnonzero((implied > 0) & ~scene.prompt)
        self.terrain[told, scene.position[told]] = implied[told]
        known = np.count_nonzero(self.terrain, axis=1)
        self.discovery[:] = np.where((known > self.known) | new_level, scene.time, self.discovery)
        self.known[:] = known

    def _judge_step(self, scene: Scene, last_action: np.ndarray, moved: np.ndarray) -> None:
        """Learns from a step that did not move the player: locked door, boulder, unseen block."""
        near = (last_action >= FIRST_MOVE) & (last_action < FIRST_FAR_MOVE)
        far = (last_action >= FIRST_FAR_MOVE) & (last_action < FIRST_FAR_MOVE + 8)
        # Where the last action was no step, any direction does: nothing is made of it.
        aim = np.where(near | far, (last_action - FIRST_MOVE) % 8, 0)
        step = (near | far) & ~self.prompt & ~moved & ~scene.prompt & ~scene.more
        target = scene.position + NEIGHBOURS[aim]
        seen = scene.flags[scene.rows, target]
        ground = self.terrain[scene.rows, target]
        monster = (seen & ANY_MONSTER) != 0
        idle = scene.time == self.time
        self.failed[:] = step & idle
        locked = step & (scene.said & Said.DOOR_LOCKED != 0)
        refused = step & (scene.said & Said.NO_DIAGONAL != 0)
        diagonal = refused.copy()
        boulder = step & (scene.said & Said.BOULDER_STUCK != 0)
        puzzling = (
            step & near & idle & ~monster & ~locked & ~refused & ~boulder
            & (ground != Terrain.UNKNOWN) & (ground != Terrain.WALL)
            & (scene.said & (Said.IN_THE_WAY | Said.DOOR_RESISTS) == 0)
        )  # fmt: skip
        tried = self.marks[scene.rows, target]
        again = puzzling & (tried & TRIED != 0)
        slanted = IS_DIAGONAL[aim]
        unpassable = boulder | (again & ~slanted)
        diagonal |= again & slanted
        self.marks[scene.rows, target] = (
            tried | locked * LOCKED | unpassable * BLOCKED | diagonal * NO_DIAGONAL
            | puzzling * TRIED
        )  # fmt: skip
        in_frame = refused & (self._standing(scene) <= Terrain.COVERED)
        self.marks[scene.rows, scene.position] |= (in_frame * NO_DIAGONAL).astype(np.uint8)
        asked = np.flatnonzero(near & scene.prompt & (scene.said & Said.ATTACK_PROMPT != 0))
        self.peaceful[asked] = scene.glyphs[asked, target[asked]]
        self.peaceful_until[asked] = scene.time[asked] + PEACEFUL_TURNS

    def _standing(self, scene: Scene) -> np.ndarray:
        return self.terrain[scene.rows, scene.position]

    def _note_kill(self, scene: Scene, last_action: np.ndarray, moved: np.ndarray) -> None:
        """Remembers where a blow has just killed a monster: its corpse would be fresh.

        It is forgotten once the player has left it, or a step failed, perhaps the one towards it.
        """
        self.kill[self.failed | (moved & (self.kill == self.position))] = -1
        blow = (last_action >= FIRST_MOVE) & (last_action < FIRST_FAR_MOVE) & ~moved
        games = np.flatnonzero(blow & (scene.said & Said.KILLED != 0))
        self.kill[games] = scene.position[games] + NEIGHBOURS[last_action[games] - FIRST_MOVE]
        self.killed_at[games] = scene.time[games]

    def _walk(
        self, scene: Scene, last_action: np.ndarray, moved: np.ndarray, new_level: np.ndarray
    ) -> None:
        """Marks the squares that the last move passed: a long move runs along a straight line."""
        self.marks[scene.rows, scene.position] |= VISITED
        ran = moved & ~new_level & (last_action >= FIRST_FAR_MOVE)
        ran &= last_action < FIRST_FAR_MOVE + 8
        games = np.flatnonzero(ran)
        if games.size == 0:
            return
        direction = last_action[games] - FIRST_FAR_MOVE
        step = NEIGHBOURS[direction]
        start, end = self.position[games], scene.position[games]
        row, column = np.divmod(end, WIDTH)
        old_row, old_column = np.divmod(start, WIDTH)
        length = np.maximum(abs(row - old_row), abs(column - old_column))
        straight = start + length * step == end
        for_game, along = np.nonzero(
            straight[:, None] & (np.arange(COLUMNS) < length[:, None])
        )
        self.marks[games[for_game], start[for_game] + along * step[for_game]] |= VISITED

    def _count(
        self, scene: Scene, last_action: np.ndarray, moved: np.ndarray, new_level: np.ndarray
    ) -> None:
        passed = scene.time - self.time
        looked = np.flatnonzero((last_action == SEARCH) & (passed > 0) & ~moved & ~self.prompt)
        here = scene.position[looked]
        self.searched[looked, here] += self.searched[looked, here] < 255
        self.hurt[:] = np.maximum(self.hp - scene.hp, 0)
        self.gold_gained[:] = scene.gold - self.gold
        self.experience_gained[:] = scene.experience - self.experience
        told = scene.said & Said.TRAPPED != 0
        pit = self._standing(scene) == Terrain.PIT
        hurt = self.hurt > 0
        # Falling into a pit always hurts; so a painless step shows that nothing holds the player.
        self.trapped[:] = np.where(moved, told | pit | hurt, self.trapped | told | hurt)
        self.still[:] = np.where(moved, 0, self.still + 1)
        self.frozen[:] = np.where((passed != 0) | new_level, 0, self.frozen + 1)
        self.trail[:, 1:] = self.trail[:, :-1].copy()
        self.trail[:, 0] = scene.position
        self.level[:], self.depth[:] = scene.level, scene.depth
        self.position[:], self.time[:] = scene.position, scene.time
        self.hp[:], self.gold[:], self.experience[:] = scene.hp, scene.gold, scene.experience
        self.prompt[:] = scene.prompt
