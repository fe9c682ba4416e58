"""The float features of an observation.

Columns in order: 20 scaled blstats (SCALED), 4 logarithmic ones (LOGS), the 13 status bits
(blind, confused, ...), 3 prompt flags, share of HP left, how long the player has stood still and
how long the clock has stood still, closeness (1 / (1 + steps), 0 if there is none within reach) of
the kinds of places, and the last action one-hot (23, all 0 at the start). csrc/nethack/features.cpp
fills them in; the tables that it uses are made here.
"""

import numpy as np
from nle import nethack

from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.actions import NUM_ACTIONS

# (blstats index, offset, scale): the feature is (value - offset) / scale, clipped to [-1, 1].
SCALED = (
    (nethack.NLE_BL_X, 40, 40), (nethack.NLE_BL_Y, 11, 11),
    (nethack.NLE_BL_STR25, 14, 10), (nethack.NLE_BL_DEX, 14, 10), (nethack.NLE_BL_CON, 14, 10),
    (nethack.NLE_BL_INT, 14, 10), (nethack.NLE_BL_WIS, 14, 10), (nethack.NLE_BL_CHA, 14, 10),
    (nethack.NLE_BL_HP, 0, 100), (nethack.NLE_BL_HPMAX, 0, 100), (nethack.NLE_BL_DEPTH, 0, 20),
    (nethack.NLE_BL_ENE, 0, 50), (nethack.NLE_BL_ENEMAX, 0, 50), (nethack.NLE_BL_AC, 5, 10),
    (nethack.NLE_BL_XP, 0, 15), (nethack.NLE_BL_HUNGER, 1, 3), (nethack.NLE_BL_CAP, 0, 3),
    (nethack.NLE_BL_DNUM, 0, 5), (nethack.NLE_BL_ALIGN, 0, 10), (nethack.NLE_BL_DLEVEL, 0, 20),
)  # fmt: skip
# The feature is LOG_TABLE[value], the first or last entry for values below or beyond it.
LOGS = (nethack.NLE_BL_SCORE, nethack.NLE_BL_GOLD, nethack.NLE_BL_EXP, nethack.NLE_BL_TIME)
# float32 [22027]: log1p(value) / 10, clipped to [0, 1], which the last entry reaches. A table, as
# logarithms of different libraries differ in the last bit, and the compiled grounding must not.
LOG_TABLE = np.clip(np.log1p(np.arange(22_027)) / 10, 0, 1).astype(np.float32)
NUM_FEATURES = (
    len(SCALED) + len(LOGS) + nethack.BL_MASK_BITS + 3 + 3
    + _native_grounding.constants()["Goal.COUNT"] + NUM_ACTIONS
)  # fmt: skip
HP_SHARE = len(SCALED) + len(LOGS) + nethack.BL_MASK_BITS + 3  # its column
# Those that no turn or reflection of the map changes: without coordinates and the last action.
UNDIRECTED = slice(2, NUM_FEATURES - NUM_ACTIONS)


def closeness_column(kind: str) -> int:
    """Of the closeness of a kind of places, by its name in the vocabulary."""
    names = [entry["kind"] for entry in _native_grounding.vocabulary()]
    return NUM_FEATURES - NUM_ACTIONS - (len(names) - names.index(kind))
