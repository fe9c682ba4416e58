"""What one observation shows, before any memory: padded glyph maps and the player's own numbers.

Maps are padded by one square on every side and flattened, so that a square's neighbours are at
fixed offsets and never need a bounds check: square (row y, column x) is at (y + 1) * WIDTH + x + 1.
"""

from dataclasses import dataclass

import numpy as np
from nle import nethack

from tedg_fast.nethack.actions import STEPS
from tedg_fast.nethack.facts.glyphs import (
    EDGE_GLYPH,
    PROPERTIES_OF_GLYPH,
    TERRAIN_SHIFT,
)
from tedg_fast.nethack.messages import MessageReader
from tedg_fast.nethack.rows import Rows

ROWS, COLUMNS = nethack.DUNGEON_SHAPE
WIDTH = COLUMNS + 2
AREA = (ROWS + 2) * WIDTH

# Offsets of the eight neighbours in action order.
NEIGHBOURS = STEPS[:, 0] * WIDTH + STEPS[:, 1]


OBSERVATION_KEYS = ("glyphs", "blstats", "message", "misc")


@dataclass
class RawObservation(Rows):
    """NLE's arrays of G games, stacked; only the keys in OBSERVATION_KEYS are asked for."""

    glyphs: np.ndarray  # int16 [G, 21, 79]
    blstats: np.ndarray  # int64 [G, 27]
    message: np.ndarray  # uint8 [G, 256]
    misc: np.ndarray  # int32 [G, 3]: in a yes/no prompt, in a text prompt, at --More--


class Scene:
    """Arrays read off one call's observations; G games, everything vectorised over them."""

    def __init__(self, raw: RawObservation, reader: MessageReader):
        games = raw.glyphs.shape[0]
        blstats = raw.blstats
        self.blstats = blstats
        self.misc = raw.misc
        self.rows = np.arange(games)
        self.rows_column = self.rows[:, None]
        glyphs = np.full((games, ROWS + 2, WIDTH), EDGE_GLYPH, dtype=np.uint16)
        glyphs[:, 1:-1, 1:-1] = raw.glyphs.view(np.uint16)
        self.glyphs = glyphs.reshape(games, AREA)  # uint16 [G, AREA]
        # uint32 [G, AREA]: Flag bits, and the shown Terrain above them
        self.flags = PROPERTIES_OF_GLYPH.take(self.glyphs)
        self.shown = (self.flags >> TERRAIN_SHIFT).astype(np.uint8)  # uint8 [G, AREA]: Terrain
        x = np.minimum(np.maximum(blstats[:, nethack.NLE_BL_X], 0), COLUMNS - 1)
        y = np.minimum(np.maximum(blstats[:, nethack.NLE_BL_Y], 0), ROWS - 1)
        self.position = (y + 1) * WIDTH + x + 1  # int64 [G]
        # bool [G]: the status line says Hungry or worse
        self.hungry = blstats[:, nethack.NLE_BL_HUNGER] >= 2
        self.flags[self.rows, self.position] = 0  # the player is no monster to himself
        self.around = self.position[:, None] + NEIGHBOURS  # int64 [G, 8]
        self.near = self.flags[self.rows_column, self.around]  # uint32 [G, 8]
        self.seen = np.bitwise_or.reduce(self.flags, axis=1)  # uint32 [G]: flags on the map
        self.said, self.offered = reader.read(raw.message)  # int64 [G] each
        self.prompt = (raw.misc[:, 0] != 0) | (raw.misc[:, 1] != 0)  # bool [G]
        self.more = raw.misc[:, 2] != 0  # bool [G]
        self.level = blstats[:, nethack.NLE_BL_DNUM] * 256 + blstats[:, nethack.NLE_BL_DLEVEL]
        self.depth = blstats[:, nethack.NLE_BL_DEPTH]
        self.time = blstats[:, nethack.NLE_BL_TIME]
        self.hp = blstats[:, nethack.NLE_BL_HP]
        self.gold = blstats[:, nethack.NLE_BL_GOLD]
        self.experience = blstats[:, nethack.NLE_BL_EXP]
        self.hp_share = self.hp / np.maximum(blstats[:, nethack.NLE_BL_HPMAX], 1)  # float64 [G]
        self.conditions = blstats[:, nethack.NLE_BL_CONDITION]
