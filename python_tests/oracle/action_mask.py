"""Which of the actions a policy may choose.

Two sets, both conservative. `impossible`: the action certainly leaves map, status and clock as they
are (a test plays such actions in real games). `harmful`: it certainly hurts and gains nothing that
another action could not. Where confusion, a trap or the like makes the outcome unsure, nothing is
called impossible; where everything would be forbidden, everything is allowed.
"""

from nle import nethack

from oracle.memory import Memory
from oracle.scene import Scene
from oracle.squares import DIAGONAL, wrap
from tedg_fast.nethack.actions import (
    DOWN,
    EAT,
    FIRST_FAR_MOVE,
    FIRST_MOVE,
    MORE,
    NO,
    NUM_ACTIONS,
    PRAY,
    UP,
    YES,
)  # fmt: skip
from tedg_fast.nethack.facts.glyphs import Flag, Terrain

_FAR = FIRST_FAR_MOVE - FIRST_MOVE
ALL = set(range(NUM_ACTIONS))
# Yes/no questions take capital letters too, which the long moves send.
_YES, _NO = {YES, YES + _FAR}, {NO, NO + _FAR}
_MOVES = set(range(FIRST_MOVE, FIRST_FAR_MOVE))
_UNSURE = (nethack.BL_MASK_CONF | nethack.BL_MASK_STUN | nethack.BL_MASK_HALLU
           | nethack.BL_MASK_BLIND)  # fmt: skip


def allowed_actions(scene: Scene, memory: Memory) -> set[int]:
    there = ALL if memory.prayer else ALL - {PRAY}
    return (there - impossible(scene, memory) - harmful(scene, memory)) or there


def _showing(scene: Scene, flags: int) -> set[int]:
    """The directions in which a neighbour has one of these flags."""
    return {way for way in range(8) if scene.near[way] & flags}


def _moves(ways: set[int]) -> set[int]:
    return {FIRST_MOVE + way for way in ways}


def _both_moves(ways: set[int]) -> set[int]:
    return _moves(ways) | {FIRST_FAR_MOVE + way for way in ways}


def impossible(scene: Scene, memory: Memory) -> set[int]:
    """Actions that certainly change neither map nor status nor clock."""
    here = int(memory.here.terrain[scene.position])
    free = not scene.prompt and not scene.more and not scene.seen & Flag.ENGULFED
    loose = free and not memory.trapped and not _showing(scene, Flag.STICKY)
    nothing = _no_answers(scene)
    if free:
        nothing.add(MORE)
    if loose and not scene.conditions & _UNSURE:
        doors = _showing(scene, Flag.OPEN_DOOR)
        if here == Terrain.OPEN_DOOR:
            doors |= _showing(scene, Flag.WALKABLE)
        slanted = {way for way in doors if DIAGONAL[way]}
        nothing |= _both_moves(_showing(scene, Flag.SOLID) | slanted)
    if loose and here > Terrain.COVERED and here != Terrain.PIT:
        top = scene.depth == 1 and scene.blstats[nethack.NLE_BL_DNUM] == 0
        if here != Terrain.STAIRS_UP or top:
            nothing.add(UP)
        if here not in (Terrain.STAIRS_DOWN, Terrain.HOLE):
            nothing.add(DOWN)
    return nothing


def _no_answers(scene: Scene) -> set[int]:
    """Keys that answer nothing at the prompt that is up."""
    none: set[int] = set()
    confused = scene.conditions & (nethack.BL_MASK_CONF | nethack.BL_MASK_STUN)
    if scene.asks("DIRECTION_PROMPT") and not confused:
        none |= ALL - {MORE} - _MOVES
    if scene.asks("EAT_ITEM_PROMPT"):
        none |= {action for action in ALL if not scene.offered >> action & 1} - {MORE}
    if scene.asks("EAT_HERE_PROMPT", "ATTACK_PROMPT", "PRAY_PROMPT"):
        none |= ALL - {MORE} - _YES - _NO
    return none


def harmful(scene: Scene, memory: Memory) -> set[int]:
    """Actions that certainly do harm and no good."""
    bad: set[int] = set()
    if not scene.prompt and not scene.more:
        # Leaving the map costs a turn and leads nowhere.
        shunned = _showing(scene, Flag.EDGE)
        if not scene.conditions & (nethack.BL_MASK_LEV | nethack.BL_MASK_FLY):
            shunned |= _showing(scene, Flag.LAVA_OR_WATER)
        bad |= _both_moves(shunned)
        # It may bar the only way, and who can pray may be healed.
        stuck = memory.prayer and wrap(scene.time - memory.discovery) >= 300
        if not stuck and not scene.conditions & nethack.BL_MASK_BLIND:
            bad |= _moves(_showing(scene, Flag.UNTOUCHABLE))
        if scene.blstats[nethack.NLE_BL_HUNGER] == 0:
            bad.add(EAT)  # risks choking
        if not scene.in_trouble:
            bad.add(PRAY)
    if scene.asks("DIRECTION_PROMPT"):
        bad |= _moves(_showing(scene, Flag.SOLID | Flag.UNTOUCHABLE | Flag.COCKATRICE | Flag.PET
                               | Flag.KEEPER))  # fmt: skip
    deadly = scene.says("EAT_HERE_PROMPT") and scene.says("DEADLY_FOOD")
    if scene.prompt and (deadly or scene.says("ATTACK_PROMPT")):
        bad |= _YES
    return bad
