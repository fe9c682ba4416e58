"""What detectors look at: one call's scene, the games' memory, the ways; G games in all of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tedg_fast.nethack.facts.glyphs import Flag, Terrain
from tedg_fast.nethack.memory import LOCKED, Memory
from tedg_fast.nethack.paths import Ways
from tedg_fast.nethack.scene import Scene


@dataclass
class View:
    """Inputs of a detector, and the arrays that several of them share."""

    scene: Scene
    memory: Memory
    ways: Ways
    last_action: np.ndarray  # int64 [G], -1 = none

    @cached_property
    def spared(self) -> np.ndarray:
        """bool [G, 8]: neighbours that hold a monster the game has called peaceful."""
        glyphs = self.scene.glyphs[self.scene.rows_column, self.scene.around]
        asked = self.memory.peaceful_until >= self.scene.time
        return asked[:, None] & (glyphs == self.memory.peaceful[:, None])

    @cached_property
    def hostile(self) -> np.ndarray:
        """bool [G, 8]: neighbours that hold a monster not known to be pet or peaceful."""
        return (self.scene.near & (Flag.HOSTILE | Flag.UNSEEN) != 0) & ~self.spared

    @cached_property
    def num_hostile(self) -> np.ndarray:
        """int64 [G]: hostile neighbours."""
        return np.count_nonzero(self.hostile, axis=1)

    @cached_property
    def hostile_flags(self) -> np.ndarray:
        """uint32 [G]: flags of all hostile neighbours together."""
        return np.bitwise_or.reduce(self.scene.near * self.hostile, axis=1)

    @cached_property
    def near_flags(self) -> np.ndarray:
        """uint32 [G]: flags of all neighbours together."""
        return np.bitwise_or.reduce(self.scene.near, axis=1)

    @cached_property
    def ground(self) -> np.ndarray:
        """uint8 [G, 8]: remembered Terrain of the neighbours."""
        return self.memory.terrain[self.scene.rows_column, self.scene.around]

    @cached_property
    def locked(self) -> np.ndarray:
        """bool [G, 4]: doors known to be locked in the four straight directions."""
        marks = self.memory.marks[self.scene.rows_column, self.scene.around[:, :4]]
        return (marks & LOCKED != 0) & (self.ground[:, :4] == Terrain.CLOSED_DOOR)

    @cached_property
    def stairs_seen(self) -> np.ndarray:
        """bool [G]: stairs down are known on this level."""
        return (self.memory.terrain == Terrain.STAIRS_DOWN).any(axis=1)

    @cached_property
    def here(self) -> np.ndarray:
        """uint8 [G]: remembered Terrain under the player."""
        return self.memory.terrain[self.scene.rows, self.scene.position]
