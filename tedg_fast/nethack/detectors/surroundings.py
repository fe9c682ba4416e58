"""Conditions about what is on and around the player's square, and in sight."""

import numpy as np

from tedg_fast.nethack.detectors.registry import STRAIGHT, detects
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.glyphs import Flag, Terrain
from tedg_fast.nethack.memory import LOCKED
from tedg_fast.nethack.scene import AREA, WIDTH

# The sixteen squares at distance two.
_RING = np.array(
    [y * WIDTH + x for y in range(-2, 3) for x in range(-2, 3) if max(abs(x), abs(y)) == 2]
)


def _in_sight(view: View, flags: Flag) -> np.ndarray:
    return view.scene.seen & flags != 0


def _adjacent(view: View, flags: Flag) -> np.ndarray:
    return view.near_flags & flags != 0


def _hostile_with(view: View, flags: Flag) -> np.ndarray:
    return view.hostile_flags & flags != 0


def _walkable(view: View) -> np.ndarray:
    ground = view.ground
    return (ground != Terrain.UNKNOWN) & (ground != Terrain.WALL) & (ground != Terrain.LIQUID)


@detects("on_stairs_down")
def on_stairs_down(view: View) -> np.ndarray:
    """Standing on stairs or a ladder down."""
    return view.here == Terrain.STAIRS_DOWN


@detects("on_stairs_up")
def on_stairs_up(view: View) -> np.ndarray:
    """Standing on stairs or a ladder up."""
    return view.here == Terrain.STAIRS_UP


@detects("on_hole")
def on_hole(view: View) -> np.ndarray:
    """Standing at a hole or trap door."""
    return view.here == Terrain.HOLE


@detects("on_doorway")
def on_doorway(view: View) -> np.ndarray:
    """Standing in a doorway or an open door."""
    return (view.here == Terrain.DOORWAY) | (view.here == Terrain.OPEN_DOOR)


@detects("on_open_door")
def on_open_door(view: View) -> np.ndarray:
    """Standing in a door frame that forbids diagonal steps."""
    return view.here == Terrain.OPEN_DOOR


@detects("in_corridor")
def in_corridor(view: View) -> np.ndarray:
    """Standing in a corridor."""
    return view.here == Terrain.CORRIDOR


@detects("in_room")
def in_room(view: View) -> np.ndarray:
    """Standing on a room's floor."""
    return view.here == Terrain.FLOOR


@detects("on_unknown_ground")
def on_unknown_ground(view: View) -> np.ndarray:
    """What lies under the player has never been seen."""
    return view.here <= Terrain.COVERED


@detects("on_furniture")
def on_furniture(view: View) -> np.ndarray:
    """Standing on an altar, fountain, sink, throne or grave."""
    return view.here == Terrain.FURNITURE


@detects("engulfed")
def engulfed(view: View) -> np.ndarray:
    """Inside an engulfing monster."""
    return _in_sight(view, Flag.ENGULFED)


@detects("hostile_{}")
def hostile_towards(view: View) -> np.ndarray:
    """A monster that may be fought stands next to the player in that direction."""
    shunned = Flag.UNTOUCHABLE | Flag.EXPLODER
    return view.hostile & (view.scene.near & shunned == 0)


@detects("hostile_adjacent")
def hostile_adjacent(view: View) -> np.ndarray:
    """At least one monster not known to be peaceful is adjacent."""
    return view.num_hostile >= 1


@detects("hostiles_adjacent_two")
def hostiles_adjacent_two(view: View) -> np.ndarray:
    """Two or three such monsters are adjacent."""
    return (view.num_hostile >= 2) & (view.num_hostile <= 3)


@detects("hostiles_adjacent_many")
def hostiles_adjacent_many(view: View) -> np.ndarray:
    """Four or more such monsters are adjacent."""
    return view.num_hostile >= 4


@detects("hostile_close")
def hostile_close(view: View) -> np.ndarray:
    """A monster that may be hostile is exactly two squares away."""
    squares = np.clip(view.scene.position[:, None] + _RING, 0, AREA - 1)
    return (view.scene.flags[view.scene.rows_column, squares] & Flag.HOSTILE != 0).any(axis=1)


@detects("hostile_in_sight")
def hostile_in_sight(view: View) -> np.ndarray:
    """A monster that may be hostile is on the map."""
    return _in_sight(view, Flag.HOSTILE)


@detects("nobody_in_sight")
def nobody_in_sight(view: View) -> np.ndarray:
    """No monster that may be hostile is on the map."""
    return ~_in_sight(view, Flag.HOSTILE | Flag.UNSEEN)


@detects("strong_hostile_adjacent")
def strong_hostile_adjacent(view: View) -> np.ndarray:
    """An adjacent hostile monster is of level 5 or more."""
    return _hostile_with(view, Flag.STRONG)


@detects("strong_hostile_in_sight")
def strong_hostile_in_sight(view: View) -> np.ndarray:
    """A monster of level 5 or more is on the map."""
    return _in_sight(view, Flag.STRONG)


@detects("weak_hostile_adjacent")
def weak_hostile_adjacent(view: View) -> np.ndarray:
    """An adjacent hostile monster is of level 0 or 1."""
    return _hostile_with(view, Flag.WEAK)


@detects("fast_hostile_adjacent")
def fast_hostile_adjacent(view: View) -> np.ndarray:
    """An adjacent hostile monster is faster than the monk."""
    return _hostile_with(view, Flag.FAST)


@detects("slow_hostile_adjacent")
def slow_hostile_adjacent(view: View) -> np.ndarray:
    """An adjacent hostile monster is slow enough to walk away from."""
    return _hostile_with(view, Flag.SLOW)


@detects("thief_adjacent")
def thief_adjacent(view: View) -> np.ndarray:
    """A nymph or leprechaun is adjacent."""
    return _hostile_with(view, Flag.THIEF)


@detects("exploder_adjacent")
def exploder_adjacent(view: View) -> np.ndarray:
    """A gas spore, light or exploding sphere is adjacent."""
    return _adjacent(view, Flag.EXPLODER)


@detects("untouchable_adjacent")
def untouchable_adjacent(view: View) -> np.ndarray:
    """A floating eye or another monster that one must not hit is adjacent."""
    return _adjacent(view, Flag.UNTOUCHABLE)


@detects("untouchable_in_sight")
def untouchable_in_sight(view: View) -> np.ndarray:
    """A floating eye or another monster that one must not hit is on the map."""
    return _in_sight(view, Flag.UNTOUCHABLE)


@detects("cockatrice_adjacent")
def cockatrice_adjacent(view: View) -> np.ndarray:
    """A monster whose touch turns to stone is adjacent."""
    return _adjacent(view, Flag.COCKATRICE)


@detects("passive_adjacent")
def passive_adjacent(view: View) -> np.ndarray:
    """An acid blob, mold, jelly or fungus is adjacent."""
    return _adjacent(view, Flag.PASSIVE)


@detects("unseen_adjacent")
def unseen_adjacent(view: View) -> np.ndarray:
    """An invisible or merely sensed monster is adjacent."""
    return _adjacent(view, Flag.UNSEEN)


@detects("pet_adjacent")
def pet_adjacent(view: View) -> np.ndarray:
    """A pet is adjacent."""
    return _adjacent(view, Flag.PET)


@detects("pet_in_sight")
def pet_in_sight(view: View) -> np.ndarray:
    """A pet is on the map."""
    return _in_sight(view, Flag.PET)


@detects("peaceful_adjacent")
def peaceful_adjacent(view: View) -> np.ndarray:
    """A monster of the kind that the game called peaceful a short while ago is adjacent."""
    return view.spared.any(axis=1)


@detects("keeper_adjacent")
def keeper_adjacent(view: View) -> np.ndarray:
    """A shopkeeper, priest, guard or watchman is adjacent."""
    return _adjacent(view, Flag.KEEPER)


@detects("keeper_in_sight")
def keeper_in_sight(view: View) -> np.ndarray:
    """A shopkeeper, priest, guard or watchman is on the map."""
    return _in_sight(view, Flag.KEEPER)


@detects("gold_in_sight")
def gold_in_sight(view: View) -> np.ndarray:
    """Gold is on the map."""
    return _in_sight(view, Flag.GOLD)


@detects("magic_item_in_sight")
def magic_item_in_sight(view: View) -> np.ndarray:
    """A scroll, potion, wand, ring, amulet or book is on the map."""
    return _in_sight(view, Flag.MAGIC_ITEM)


@detects("food_in_sight")
def food_in_sight(view: View) -> np.ndarray:
    """Food or a corpse is on the map."""
    return _in_sight(view, Flag.FOOD)


@detects("food_adjacent")
def food_adjacent(view: View) -> np.ndarray:
    """Food or a corpse lies next to the player."""
    return _adjacent(view, Flag.FOOD)


@detects("object_adjacent")
def object_adjacent(view: View) -> np.ndarray:
    """Some object lies next to the player."""
    return _adjacent(view, Flag.OBJECT)


@detects("boulder_adjacent")
def boulder_adjacent(view: View) -> np.ndarray:
    """A boulder is adjacent."""
    return _adjacent(view, Flag.BOULDER)


@detects("trap_adjacent")
def trap_adjacent(view: View) -> np.ndarray:
    """A trap is known on an adjacent square."""
    return ((view.ground == Terrain.TRAP) | (view.ground == Terrain.PIT)).any(axis=1)


@detects("liquid_adjacent")
def liquid_adjacent(view: View) -> np.ndarray:
    """Water or lava is adjacent."""
    return (view.ground == Terrain.LIQUID).any(axis=1)


@detects("closed_door_{}", STRAIGHT)
def closed_door_towards(view: View) -> np.ndarray:
    """A closed door that is not known to be locked is adjacent in that direction."""
    return (view.ground == Terrain.CLOSED_DOOR)[:, :4] & ~_locked(view)


@detects("locked_door_{}", STRAIGHT)
def locked_door_towards(view: View) -> np.ndarray:
    """A door known to be locked is adjacent in that direction."""
    return _locked(view)


def _locked(view: View) -> np.ndarray:
    marks = view.memory.marks[view.scene.rows_column, view.scene.around[:, :4]]
    return (marks & LOCKED != 0) & (view.ground[:, :4] == Terrain.CLOSED_DOOR)


@detects("dead_end")
def dead_end(view: View) -> np.ndarray:
    """At most one adjacent square can be walked on."""
    return np.count_nonzero(_walkable(view), axis=1) <= 1


@detects("narrow_place")
def narrow_place(view: View) -> np.ndarray:
    """Exactly two adjacent squares can be walked on, as in a corridor."""
    return np.count_nonzero(_walkable(view), axis=1) == 2


@detects("open_space")
def open_space(view: View) -> np.ndarray:
    """At least seven adjacent squares can be walked on."""
    return np.count_nonzero(_walkable(view), axis=1) >= 7
