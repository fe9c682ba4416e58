"""What one observation shows, before any memory."""

import numpy as np
from nle import nethack

from oracle.messages import SAID, read
from oracle.squares import COLUMNS, NEIGHBOURS, ROWS, WIDTH, wrap
from tedg_fast.nethack.facts.glyphs import EDGE_GLYPH, PROPERTIES_OF_GLYPH, TERRAIN_SHIFT
from tedg_fast.nethack.facts.observation import RawObservation

DYING = (nethack.BL_MASK_STONE | nethack.BL_MASK_SLIME | nethack.BL_MASK_STRNGL
         | nethack.BL_MASK_FOODPOIS | nethack.BL_MASK_TERMILL)  # fmt: skip
SHARES = ((5, 5), (13, 6), (21, 7), (29, 8))  # up to a level, one in so many hit points is few
FLAG_BITS = (1 << TERRAIN_SHIFT) - 1


class Scene:
    """One game's observation: `raw` without the leading dimension.

    `glyphs`, `flags` (Flag bits) and `shown` (Terrain) are arrays [AREA] over the padded map; the
    player's own square is not left out of them.
    """

    def __init__(self, raw: RawObservation):
        glyphs = np.full((ROWS + 2, WIDTH), EDGE_GLYPH, np.uint16)
        glyphs[1:-1, 1:-1] = raw.glyphs.view(np.uint16)
        self.glyphs = glyphs.reshape(-1)
        properties = PROPERTIES_OF_GLYPH[self.glyphs]
        self.flags = properties & FLAG_BITS
        self.shown = (properties >> TERRAIN_SHIFT).astype(np.uint8)
        self.blstats: list[int] = raw.blstats.tolist()
        self.misc: list[int] = raw.misc.tolist()
        self.said, self.offered = read(raw.message.tobytes())
        self.prompt = bool(self.misc[0] or self.misc[1])
        self.more = bool(self.misc[2])
        x = min(max(self.blstats[nethack.NLE_BL_X], 0), COLUMNS - 1)
        y = min(max(self.blstats[nethack.NLE_BL_Y], 0), ROWS - 1)
        self.position = (y + 1) * WIDTH + x + 1
        self.around = [self.position + step for step in NEIGHBOURS]
        self.level = wrap(
            wrap(self.blstats[nethack.NLE_BL_DNUM] * 256) + self.blstats[nethack.NLE_BL_DLEVEL]
        )
        self.depth = self.blstats[nethack.NLE_BL_DEPTH]
        self.time = self.blstats[nethack.NLE_BL_TIME]
        self.hp = self.blstats[nethack.NLE_BL_HP]
        self.most_hp = max(self.blstats[nethack.NLE_BL_HPMAX], 1)
        self.gold = self.blstats[nethack.NLE_BL_GOLD]
        self.experience = self.blstats[nethack.NLE_BL_EXP]
        self.conditions = self.blstats[nethack.NLE_BL_CONDITION]
        others = self.flags.copy()
        others[self.position] = 0
        others.reshape(ROWS + 2, WIDTH)[[0, -1]] = 0  # the padding is not seen
        others.reshape(ROWS + 2, WIDTH)[:, [0, -1]] = 0
        self.others = others  # flags without the player's own square and the padding
        self.seen = int(np.bitwise_or.reduce(others))
        self.near = [int(self.flags[square]) for square in self.around]

    @property
    def near_death(self) -> bool:
        """At most 5 hit points, or a share that falls with the level, of at most 15 a level."""
        level = self.blstats[nethack.NLE_BL_XP]
        share = next((share for most, share in SHARES if level <= most), 9)
        return self.hp <= 5 or wrap(self.hp * share) <= min(self.most_hp, wrap(15 * level))

    @property
    def in_trouble(self) -> bool:
        """What a god helps against, as far as the status line shows it."""
        weak = self.blstats[nethack.NLE_BL_HUNGER] >= 3
        return self.near_death or weak or self.conditions & DYING != 0

    def says(self, *names: str) -> bool:
        return any(self.said & SAID[name] for name in names)

    def asks(self, *names: str) -> bool:
        return self.prompt and self.says(*names)
