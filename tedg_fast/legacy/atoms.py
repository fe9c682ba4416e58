"""V3's atoms: facts read off one observation's numbers and the 3×3 glyphs around the player.

An observation's atoms are a row of bools; the atoms' order here is the order in which V3 lists
them, which its features depend on.
"""

from typing import NamedTuple

import numpy as np
from nle import nethack

ROWS, COLUMNS = nethack.DUNGEON_SHAPE

# V3 wrote its glyph numbers down by hand, and its weights were fitted to what they give. In NLE's
# numbering they mean something else: "wall" is blank rock, two walls and a corner, "door" the other
# corners, "floor" the last object, "item" pets and what is detected or warned of from afar, and
# the hero counts as a monster. They are kept literally: right ranges would be other inputs.
GLYPH_RANGES = {
    "monster": (1, 399),
    "wall": (2359, 2362),
    "door": (2363, 2365),
    "item": (401, 799),
    "floor": (2358, 2358),
}
"""First and last glyph of each kind, in the order of the features that count them."""
_FIRST, _LAST = np.array(list(GLYPH_RANGES.values())).T
_OUTSIDE = -1  # stands for squares beyond the map's edge; of no kind

MONSTERS, WALLS, DOORS, ITEMS, FLOORS = range(len(GLYPH_RANGES))

PRE_ATOMS = (
    "player_alive",
    "hp_full",
    "hp_medium",
    "hp_low",
    "has_gold",
    "hunger_satiated",
    "hunger_hungry",
)
DEEPEST = 10
SCENE_ATOMS = (
    *(f"dlvl_{depth}" for depth in range(1, DEEPEST + 1)),
    "monsters_nearby",
    "many_monsters",
    "in_corridor",
    "in_room",
    "door_nearby",
    "items_nearby",
)


class Atoms(NamedTuple):
    """``pre`` bool [B, len(PRE_ATOMS)] and ``scene`` bool [B, len(SCENE_ATOMS)]."""

    pre: np.ndarray
    scene: np.ndarray

    def names(self, row: int) -> tuple[list[str], list[str]]:
        """Names of the pre and of the scene atoms that hold in ``row``, in V3's order."""
        pairs = zip((PRE_ATOMS, SCENE_ATOMS), (self.pre[row], self.scene[row]))
        pre, scene = ([name for name, holds in zip(*pair) if holds] for pair in pairs)
        return pre, scene


def count_glyphs(glyphs: np.ndarray, blstats: np.ndarray) -> np.ndarray:
    """How many of the 3×3 squares around the player show each of the kinds of ``GLYPH_RANGES``.

    ``glyphs`` [B, 21, 79] and ``blstats`` [B, 27] integers, any values → int64 [B, 5]. Squares
    beyond the map's edge are not counted.
    """
    step = np.arange(9)
    # Clipped two squares beyond the edge, where nothing of the map is in reach any more.
    column = np.clip(blstats[:, nethack.NLE_BL_X, None], -2, COLUMNS + 1) + step % 3 - 1
    row = np.clip(blstats[:, nethack.NLE_BL_Y, None], -2, ROWS + 1) + step // 3 - 1
    inside = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
    game = np.arange(len(glyphs))[:, None]
    near = glyphs[game, np.clip(row, 0, ROWS - 1), np.clip(column, 0, COLUMNS - 1)]
    near = np.where(inside, near, _OUTSIDE)[:, :, None]
    return ((near >= _FIRST) & (near <= _LAST)).sum(1)


def find_atoms(blstats: np.ndarray, counts: np.ndarray) -> Atoms:
    """Which atoms hold, from ``blstats`` [B, 27] and ``count_glyphs``' counts [B, 5]."""
    hp, hpmax = blstats[:, nethack.NLE_BL_HP], blstats[:, nethack.NLE_BL_HPMAX]
    hunger, depth = blstats[:, nethack.NLE_BL_HUNGER], blstats[:, nethack.NLE_BL_DEPTH]
    share = hp / np.maximum(hpmax, 1)
    known = hpmax > 0
    pre = (
        hp > 0,
        known & (share >= 0.8),
        known & (share >= 0.5) & (share < 0.8),
        known & (share < 0.3),
        blstats[:, nethack.NLE_BL_GOLD] > 0,
        hunger == 0,
        hunger > 500,
    )
    levels = np.minimum(depth, DEEPEST)[:, None] == np.arange(1, DEEPEST + 1)
    scene = (
        counts[:, MONSTERS] > 0,
        counts[:, MONSTERS] >= 3,
        counts[:, WALLS] >= 6,
        counts[:, WALLS] <= 2,
        counts[:, DOORS] > 0,
        counts[:, ITEMS] > 0,
    )
    return Atoms(np.stack(pre, 1), np.concatenate([levels, np.stack(scene, 1)], 1))
