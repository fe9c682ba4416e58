"""Which of the 23 actions a policy may choose.

Two tables, both conservative. `impossible`: the action certainly leaves map, status and clock as
they are (a test plays such actions in real games). `harmful`: it certainly hurts and gains nothing
that another action could not. When confusion, a trap or the like makes the outcome unsure, nothing
is called impossible; and no row is ever left without an allowed action.
"""

import numpy as np
from nle import nethack

from tedg_fast.nethack.actions import (
    DOWN,
    EAT,
    FAR_MOVES,
    FIRST_FAR_MOVE,
    FIRST_MOVE,
    IS_DIAGONAL,
    MORE,
    MOVES,
    NO,
    NUM_ACTIONS,
    UP,
    YES,
)
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.facts.glyphs import Flag, Terrain
from tedg_fast.nethack.messages import Said

_UNSURE = (
    nethack.BL_MASK_CONF | nethack.BL_MASK_STUN | nethack.BL_MASK_HALLU | nethack.BL_MASK_BLIND
)
_ERRATIC = nethack.BL_MASK_CONF | nethack.BL_MASK_STUN
_OFF_GROUND = nethack.BL_MASK_LEV | nethack.BL_MASK_FLY
_BITS = np.arange(NUM_ACTIONS)
# Yes/no questions take capital letters too, which the long moves send.
_YES = (YES, YES + FIRST_FAR_MOVE - FIRST_MOVE)
_NO = (NO, NO + FIRST_FAR_MOVE - FIRST_MOVE)
_ANSWERS = np.isin(_BITS, (MORE, *_YES, *_NO))


def allowed_actions(view: View) -> np.ndarray:
    """bool [G, 23]: neither impossible nor harmful; all True where nothing else would be left."""
    allowed = ~(impossible(view) | harmful(view))
    allowed[~allowed.any(axis=1)] = True
    return allowed


def impossible(view: View) -> np.ndarray:
    """bool [G, 23]: actions that certainly change neither map nor status nor clock.

    At a prompt that means: the key is no answer, or an answer that only ends the prompt.
    """
    scene, here = view.scene, view.here
    nothing = np.zeros((len(here), NUM_ACTIONS), dtype=bool)
    free = ~scene.prompt & ~scene.more & (scene.seen & Flag.ENGULFED == 0)
    loose = free & ~view.memory.trapped & (view.near_flags & Flag.STICKY == 0)
    sure = loose & (scene.conditions & _UNSURE == 0)
    blocked = _blocked(view) & sure[:, None]
    nothing[:, MORE] = free
    nothing[:, MOVES] = blocked
    nothing[:, FAR_MOVES] = blocked
    known = loose & (here > Terrain.COVERED) & (here != Terrain.PIT)
    top = (scene.depth == 1) & (scene.blstats[:, nethack.NLE_BL_DNUM] == 0)
    nothing[:, UP] = known & ((here != Terrain.STAIRS_UP) | top)
    nothing[:, DOWN] = known & (here != Terrain.STAIRS_DOWN) & (here != Terrain.HOLE)
    nothing |= _no_answers(view)
    return nothing


def _blocked(view: View) -> np.ndarray:
    """bool [G, 8]: walls, rock, and diagonal steps through a door's frame."""
    near = view.scene.near
    solid = near & Flag.SOLID != 0
    into_door = near & Flag.OPEN_DOOR != 0
    out_of_door = (view.here == Terrain.OPEN_DOOR)[:, None] & (near & Flag.WALKABLE != 0)
    return solid | ((into_door | out_of_door) & IS_DIAGONAL)


def _no_answers(view: View) -> np.ndarray:
    """bool [G, 23]: keys that answer nothing at the prompt that is up."""
    scene = view.scene

    def asks(which: int) -> np.ndarray:
        return (scene.prompt & (scene.said & which != 0))[:, None]

    directions = np.zeros(NUM_ACTIONS, dtype=bool)
    directions[MORE] = directions[MOVES] = True
    steady = (scene.conditions & _ERRATIC == 0)[:, None]
    offered = (scene.offered[:, None] >> _BITS) & 1 != 0
    offered[:, MORE] = True
    return (
        (asks(Said.DIRECTION_PROMPT) & steady & ~directions)
        | (asks(Said.EAT_ITEM_PROMPT) & ~offered)
        | (asks(Said.EAT_HERE_PROMPT | Said.ATTACK_PROMPT) & ~_ANSWERS)
    )


def harmful(view: View) -> np.ndarray:
    """bool [G, 23]: actions that certainly do harm and no good."""
    scene = view.scene
    bad = np.zeros((len(scene.rows), NUM_ACTIONS), dtype=bool)
    free = ~scene.prompt & ~scene.more
    sees = scene.conditions & nethack.BL_MASK_BLIND == 0
    wet = (scene.near & Flag.LAVA_OR_WATER != 0) & (scene.conditions & _OFF_GROUND == 0)[:, None]
    paralyses = (scene.near & Flag.UNTOUCHABLE != 0) & sees[:, None]
    off_map = scene.near & Flag.EDGE != 0  # costs a turn and leads nowhere
    bad[:, MOVES] = (wet | off_map | paralyses) & free[:, None]
    bad[:, FAR_MOVES] = (wet | off_map) & free[:, None]
    bad[:, EAT] = free & (scene.blstats[:, nethack.NLE_BL_HUNGER] == 0)  # risks choking
    kicks = scene.prompt & (scene.said & Said.DIRECTION_PROMPT != 0)
    sore = Flag.SOLID | Flag.UNTOUCHABLE | Flag.COCKATRICE | Flag.PET | Flag.KEEPER
    bad[:, MOVES] |= (scene.near & sore != 0) & kicks[:, None]
    attacks = scene.said & Said.ATTACK_PROMPT != 0
    deadly = (scene.said & Said.EAT_HERE_PROMPT != 0) & (scene.said & Said.DEADLY_FOOD != 0)
    bad[:, _YES] |= (scene.prompt & (attacks | deadly))[:, None]
    return bad
