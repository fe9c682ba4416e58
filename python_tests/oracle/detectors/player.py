"""Conditions about the player's body and progress, read from blstats."""

import numpy as np
from nle import nethack

from tedg_fast.nethack.detectors.registry import detects, detects_each
from tedg_fast.nethack.detectors.view import View

_GNOMISH_MINES, _SOKOBAN = 2, 4  # dungeon numbers in NetHack's dungeon.def order
_MOST = np.iinfo(np.int64).max
_HUNGER, _LEVEL, _DEPTH, _DUNGEON, _LOAD = (
    nethack.NLE_BL_HUNGER, nethack.NLE_BL_XP, nethack.NLE_BL_DEPTH, nethack.NLE_BL_DNUM,
    nethack.NLE_BL_CAP,
)  # fmt: skip

# Condition -> (blstats column, least, most, when it fires).
_BANDS = {
    "hunger_satiated": (_HUNGER, 0, 0, "The status line says Satiated."),
    "hunger_none": (_HUNGER, 1, 1, "Neither satiated nor hungry."),
    "hunger_hungry": (_HUNGER, 2, 2, "The status line says Hungry."),
    "hunger_weak": (_HUNGER, 3, 3, "The status line says Weak."),
    "hunger_fainting": (_HUNGER, 4, _MOST, "Fainting from hunger, or worse."),
    "burdened": (_LOAD, 1, _MOST, "Carrying enough to be slowed down."),
    "experience_low": (_LEVEL, 0, 2, "Experience level 1 or 2."),
    "experience_medium": (_LEVEL, 3, 5, "Experience level 3 to 5."),
    "experience_high": (_LEVEL, 6, _MOST, "Experience level 6 or more."),
    "depth_1": (_DEPTH, 0, 1, "On the first dungeon level."),
    "depth_2": (_DEPTH, 2, 2, "Two levels deep."),
    "depth_3_to_4": (_DEPTH, 3, 4, "Three or four levels deep."),
    "depth_5_to_9": (_DEPTH, 5, 9, "Five to nine levels deep."),
    "depth_10_plus": (_DEPTH, 10, _MOST, "Ten levels deep or more."),
    "in_gnomish_mines": (
        _DUNGEON, _GNOMISH_MINES, _GNOMISH_MINES,
        "In the Gnomish Mines, the branch without doors.",
    ),
    "in_sokoban": (_DUNGEON, _SOKOBAN, _SOKOBAN, "In Sokoban, which leads upwards only."),
}  # fmt: skip
_COLUMNS, _LEAST, _GREATEST = (np.array([b[i] for b in _BANDS.values()]) for i in range(3))

_DYING = (
    nethack.BL_MASK_STONE | nethack.BL_MASK_SLIME | nethack.BL_MASK_STRNGL
    | nethack.BL_MASK_FOODPOIS | nethack.BL_MASK_TERMILL
)  # fmt: skip
# Condition -> (status bits of which one must be set, when it fires).
_STATUS = {
    "blind": (nethack.BL_MASK_BLIND, "The player is blind."),
    "confused": (nethack.BL_MASK_CONF, "The player is confused."),
    "stunned": (nethack.BL_MASK_STUN, "The player is stunned."),
    "hallucinating": (nethack.BL_MASK_HALLU, "Monsters and objects are not what they seem."),
    "dying_of_illness": (_DYING, "Turning to stone or slime, strangled, or terminally ill."),
    "off_the_ground": (nethack.BL_MASK_LEV | nethack.BL_MASK_FLY, "Levitating or flying."),
}
_STATUS_BITS = np.array([bits for bits, _ in _STATUS.values()])

# Condition -> (least share of the maximum HP, first share beyond it, when it fires).
_HP = {
    "hp_good": (0.7, np.inf, "HP is at least 70 % of the maximum."),
    "hp_medium": (0.4, 0.7, "HP is between 40 % and 70 % of the maximum."),
    "hp_low": (0.2, 0.4, "HP is between 20 % and 40 % of the maximum."),
    "hp_critical": (-np.inf, 0.2, "HP is below 20 % of the maximum."),
}
_HP_FROM, _HP_TO = (np.array([band[i] for band in _HP.values()]) for i in range(2))


@detects_each({name: band[2] for name, band in _HP.items()})
def hp(view: View) -> np.ndarray:
    """bool [G, len(_HP)]."""
    share = view.scene.hp_share[:, None]
    return (share >= _HP_FROM) & (share < _HP_TO)


@detects_each({name: band[3] for name, band in _BANDS.items()})
def bands(view: View) -> np.ndarray:
    """bool [G, len(_BANDS)]."""
    values = view.scene.blstats[:, _COLUMNS]
    return (values >= _LEAST) & (values <= _GREATEST)


@detects_each({name: text for name, (_, text) in _STATUS.items()})
def status(view: View) -> np.ndarray:
    """bool [G, len(_STATUS)]."""
    return view.scene.conditions[:, None] & _STATUS_BITS != 0


@detects("hp_dropped")
def hp_dropped(view: View) -> np.ndarray:
    """HP fell in the last step."""
    return view.memory.hurt > 0


@detects("hp_dropped_badly")
def hp_dropped_badly(view: View) -> np.ndarray:
    """The last step cost a quarter of the maximum HP or more."""
    return view.memory.hurt * 4 >= np.maximum(view.scene.blstats[:, nethack.NLE_BL_HPMAX], 1)


@detects("gold_gained")
def gold_gained(view: View) -> np.ndarray:
    """The last step brought gold."""
    return view.memory.gold_gained > 0


@detects("experience_gained")
def experience_gained(view: View) -> np.ndarray:
    """The last step brought experience points."""
    return view.memory.experience_gained > 0
