"""Conditions about the player's body and progress, read from blstats."""

import numpy as np
from nle import nethack

from tedg_fast.nethack.detectors.registry import detects
from tedg_fast.nethack.detectors.view import View

_GNOMISH_MINES, _SOKOBAN = 2, 4  # dungeon numbers in NetHack's dungeon.def order
_DYING = (
    nethack.BL_MASK_STONE | nethack.BL_MASK_SLIME | nethack.BL_MASK_STRNGL
    | nethack.BL_MASK_FOODPOIS | nethack.BL_MASK_TERMILL
)  # fmt: skip


def _share(view: View, low: float, high: float) -> np.ndarray:
    return (view.scene.hp_share >= low) & (view.scene.hp_share < high)


def _stat(view: View, index: int) -> np.ndarray:
    return view.scene.blstats[:, index]


def _between(values: np.ndarray, low: int, high: int) -> np.ndarray:
    return (values >= low) & (values <= high)


def _suffers(view: View, bits: int) -> np.ndarray:
    return view.scene.conditions & bits != 0


@detects("hp_good")
def hp_good(view: View) -> np.ndarray:
    """HP is at least 70 % of the maximum."""
    return view.scene.hp_share >= 0.7


@detects("hp_medium")
def hp_medium(view: View) -> np.ndarray:
    """HP is between 40 % and 70 % of the maximum."""
    return _share(view, 0.4, 0.7)


@detects("hp_low")
def hp_low(view: View) -> np.ndarray:
    """HP is between 20 % and 40 % of the maximum."""
    return _share(view, 0.2, 0.4)


@detects("hp_critical")
def hp_critical(view: View) -> np.ndarray:
    """HP is below 20 % of the maximum."""
    return view.scene.hp_share < 0.2


@detects("hp_dropped")
def hp_dropped(view: View) -> np.ndarray:
    """HP fell in the last step."""
    return view.memory.hurt > 0


@detects("hp_dropped_badly")
def hp_dropped_badly(view: View) -> np.ndarray:
    """The last step cost a quarter of the maximum HP or more."""
    return view.memory.hurt * 4 >= np.maximum(_stat(view, nethack.NLE_BL_HPMAX), 1)


@detects("hunger_satiated")
def hunger_satiated(view: View) -> np.ndarray:
    """The status line says Satiated."""
    return _stat(view, nethack.NLE_BL_HUNGER) == 0


@detects("hunger_none")
def hunger_none(view: View) -> np.ndarray:
    """Neither satiated nor hungry."""
    return _stat(view, nethack.NLE_BL_HUNGER) == 1


@detects("hunger_hungry")
def hunger_hungry(view: View) -> np.ndarray:
    """The status line says Hungry."""
    return _stat(view, nethack.NLE_BL_HUNGER) == 2


@detects("hunger_weak")
def hunger_weak(view: View) -> np.ndarray:
    """The status line says Weak."""
    return _stat(view, nethack.NLE_BL_HUNGER) == 3


@detects("hunger_fainting")
def hunger_fainting(view: View) -> np.ndarray:
    """Fainting from hunger, or worse."""
    return _stat(view, nethack.NLE_BL_HUNGER) >= 4


@detects("blind")
def blind(view: View) -> np.ndarray:
    """The player is blind."""
    return _suffers(view, nethack.BL_MASK_BLIND)


@detects("confused")
def confused(view: View) -> np.ndarray:
    """The player is confused."""
    return _suffers(view, nethack.BL_MASK_CONF)


@detects("stunned")
def stunned(view: View) -> np.ndarray:
    """The player is stunned."""
    return _suffers(view, nethack.BL_MASK_STUN)


@detects("hallucinating")
def hallucinating(view: View) -> np.ndarray:
    """The player hallucinates, so monsters and objects are not what they seem."""
    return _suffers(view, nethack.BL_MASK_HALLU)


@detects("dying_of_illness")
def dying_of_illness(view: View) -> np.ndarray:
    """Turning to stone or slime, strangled, or terminally ill."""
    return _suffers(view, _DYING)


@detects("off_the_ground")
def off_the_ground(view: View) -> np.ndarray:
    """Levitating or flying."""
    return _suffers(view, nethack.BL_MASK_LEV | nethack.BL_MASK_FLY)


@detects("burdened")
def burdened(view: View) -> np.ndarray:
    """Carrying enough to be slowed down."""
    return _stat(view, nethack.NLE_BL_CAP) >= 1


@detects("experience_low")
def experience_low(view: View) -> np.ndarray:
    """Experience level 1 or 2."""
    return _stat(view, nethack.NLE_BL_XP) <= 2


@detects("experience_medium")
def experience_medium(view: View) -> np.ndarray:
    """Experience level 3 to 5."""
    return _between(_stat(view, nethack.NLE_BL_XP), 3, 5)


@detects("experience_high")
def experience_high(view: View) -> np.ndarray:
    """Experience level 6 or more."""
    return _stat(view, nethack.NLE_BL_XP) >= 6


@detects("depth_1")
def depth_1(view: View) -> np.ndarray:
    """On the first dungeon level."""
    return view.scene.depth <= 1


@detects("depth_2")
def depth_2(view: View) -> np.ndarray:
    """Two levels deep."""
    return view.scene.depth == 2


@detects("depth_3_to_4")
def depth_3_to_4(view: View) -> np.ndarray:
    """Three or four levels deep."""
    return _between(view.scene.depth, 3, 4)


@detects("depth_5_to_9")
def depth_5_to_9(view: View) -> np.ndarray:
    """Five to nine levels deep."""
    return _between(view.scene.depth, 5, 9)


@detects("depth_10_plus")
def depth_10_plus(view: View) -> np.ndarray:
    """Ten levels deep or more."""
    return view.scene.depth >= 10


@detects("in_gnomish_mines")
def in_gnomish_mines(view: View) -> np.ndarray:
    """In the Gnomish Mines, the branch without doors."""
    return _stat(view, nethack.NLE_BL_DNUM) == _GNOMISH_MINES


@detects("in_sokoban")
def in_sokoban(view: View) -> np.ndarray:
    """In Sokoban, which leads upwards only."""
    return _stat(view, nethack.NLE_BL_DNUM) == _SOKOBAN


@detects("gold_gained")
def gold_gained(view: View) -> np.ndarray:
    """The last step brought gold."""
    return view.memory.gold_gained > 0


@detects("experience_gained")
def experience_gained(view: View) -> np.ndarray:
    """The last step brought experience points."""
    return view.memory.experience_gained > 0
