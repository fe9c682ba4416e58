"""Conditions about what is on and around the player's square, and in sight."""

import numpy as np

from tedg_fast.nethack.detectors.registry import STRAIGHT, detects, detects_each
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.facts.glyphs import Flag, Terrain
from tedg_fast.nethack.messages import Said
from tedg_fast.nethack.scene import AREA, WIDTH

# The sixteen squares at distance two.
_RING = np.array(
    [y * WIDTH + x for y in range(-2, 3) for x in range(-2, 3) if max(abs(x), abs(y)) == 2]
)


# Condition -> (the terrains that count, when it fires).
_GROUND = {
    "on_stairs_down": ((Terrain.STAIRS_DOWN,), "Standing on stairs or a ladder down."),
    "on_stairs_up": ((Terrain.STAIRS_UP,), "Standing on stairs or a ladder up."),
    "on_hole": ((Terrain.HOLE,), "Standing at a hole or trap door."),
    "on_doorway": ((Terrain.DOORWAY, Terrain.OPEN_DOOR), "Standing in a doorway or open door."),
    "on_open_door": ((Terrain.OPEN_DOOR,), "Standing in a door frame that forbids diagonals."),
    "in_corridor": ((Terrain.CORRIDOR,), "Standing in a corridor."),
    "in_room": ((Terrain.FLOOR,), "Standing on a room's floor."),
    "on_unknown_ground": (
        (Terrain.UNKNOWN, Terrain.COVERED), "What lies under the player has never been seen."
    ),
    "on_furniture": (
        (Terrain.FURNITURE,), "Standing on an altar, fountain, sink, throne or grave."
    ),
}
_GROUND_TABLE = np.zeros((Terrain.COUNT, len(_GROUND)), dtype=bool)
for _column, (_terrains, _) in enumerate(_GROUND.values()):
    _GROUND_TABLE[list(_terrains), _column] = True

# Condition -> (glyph flags of which one must be on the map, when it fires).
_IN_SIGHT = {
    "engulfed": (Flag.ENGULFED, "Inside an engulfing monster."),
    "hostile_in_sight": (Flag.HOSTILE, "A monster that may be hostile is on the map."),
    "strong_hostile_in_sight": (Flag.STRONG, "A monster of level 5 or more is on the map."),
    "untouchable_in_sight": (
        Flag.UNTOUCHABLE, "A floating eye, or another monster that one must not hit, is on the map."
    ),
    "keeper_in_sight": (Flag.KEEPER, "A shopkeeper, priest, guard or watchman is on the map."),
    "gold_in_sight": (Flag.GOLD, "Gold is on the map."),
    "magic_item_in_sight": (
        Flag.MAGIC_ITEM, "A scroll, potion, wand, ring or the like is on the map."
    ),
}
# The same for the eight neighbours.
_ADJACENT = {
    "exploder_adjacent": (Flag.EXPLODER, "A gas spore, light or exploding sphere is adjacent."),
    "untouchable_adjacent": (
        Flag.UNTOUCHABLE, "A floating eye, or another monster that one must not hit, is adjacent."
    ),
    "cockatrice_adjacent": (Flag.COCKATRICE, "A monster whose touch turns to stone is adjacent."),
    "passive_adjacent": (Flag.PASSIVE, "An acid blob, mold, jelly or fungus is adjacent."),
    "unseen_adjacent": (Flag.UNSEEN, "An invisible or merely sensed monster is adjacent."),
    "keeper_adjacent": (Flag.KEEPER, "A shopkeeper, priest, guard or watchman is adjacent."),
    "food_adjacent": (Flag.FOOD, "Food or a corpse lies next to the player."),
    "magic_item_adjacent": (
        Flag.MAGIC_ITEM, "A scroll, potion or the like lies next to the player."
    ),
    "boulder_adjacent": (Flag.BOULDER, "A boulder is adjacent."),
}
# The same for those neighbours that hold a monster not known to be peaceful.
_HOSTILE = {
    "strong_hostile_adjacent": (Flag.STRONG, "An adjacent hostile monster is of level 5 or more."),
    "weak_hostile_adjacent": (Flag.WEAK, "An adjacent hostile monster is of level 0 or 1."),
    "fast_hostile_adjacent": (Flag.FAST, "An adjacent hostile monster is faster than the monk."),
    "slow_hostile_adjacent": (Flag.SLOW, "An adjacent hostile monster can be outrun easily."),
    "thief_adjacent": (Flag.THIEF, "A nymph or leprechaun is adjacent."),
}
_SIGHT_BITS, _ADJACENT_BITS, _HOSTILE_BITS = (
    np.array([bits for bits, _ in table.values()], dtype=np.uint32)
    for table in (_IN_SIGHT, _ADJACENT, _HOSTILE)
)


def _texts(table: dict[str, tuple]) -> dict[str, str]:
    return {name: entry[1] for name, entry in table.items()}


@detects_each(_texts(_GROUND))
def ground(view: View) -> np.ndarray:
    """bool [G, len(_GROUND)]: what the player stands on."""
    return _GROUND_TABLE[view.here]


@detects_each(_texts(_IN_SIGHT))
def in_sight(view: View) -> np.ndarray:
    """bool [G, len(_IN_SIGHT)]."""
    return view.scene.seen[:, None] & _SIGHT_BITS != 0


@detects_each(_texts(_ADJACENT))
def adjacent(view: View) -> np.ndarray:
    """bool [G, len(_ADJACENT)]."""
    return view.near_flags[:, None] & _ADJACENT_BITS != 0


@detects_each(_texts(_HOSTILE))
def hostile_kinds(view: View) -> np.ndarray:
    """bool [G, len(_HOSTILE)]."""
    return view.hostile_flags[:, None] & _HOSTILE_BITS != 0


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
    squares = np.minimum(np.maximum(view.scene.position[:, None] + _RING, 0), AREA - 1)
    return (view.scene.flags[view.scene.rows_column, squares] & Flag.HOSTILE != 0).any(axis=1)


@detects("nobody_in_sight")
def nobody_in_sight(view: View) -> np.ndarray:
    """No monster that may be hostile is on the map."""
    return view.scene.seen & (Flag.HOSTILE | Flag.UNSEEN) == 0


@detects("pet_in_fight")
def pet_in_fight(view: View) -> np.ndarray:
    """A pet and a hostile monster are both adjacent."""
    return (view.near_flags & Flag.PET != 0) & (view.num_hostile > 0)


@detects("pet_in_the_way")
def pet_in_the_way(view: View) -> np.ndarray:
    """A pet is adjacent, and a monster was in the way of the last move."""
    return (view.near_flags & Flag.PET != 0) & (view.scene.said & Said.IN_THE_WAY != 0)


@detects("peaceful_adjacent")
def peaceful_adjacent(view: View) -> np.ndarray:
    """A monster of the kind that the game called peaceful a short while ago is adjacent."""
    return view.spared.any(axis=1)


@detects("food_wanted_in_sight")
def food_wanted_in_sight(view: View) -> np.ndarray:
    """Hungry or worse, and food or a corpse is on the map."""
    return view.scene.hungry & (view.scene.seen & Flag.FOOD != 0)


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
    return (view.ground == Terrain.CLOSED_DOOR)[:, :4] & ~view.locked


@detects("locked_door_{}", STRAIGHT)
def locked_door_towards(view: View) -> np.ndarray:
    """A door known to be locked is adjacent in that direction."""
    return view.locked


@detects_each(
    {
        "dead_end": "At most one adjacent square can be walked on.",
        "narrow_place": "Exactly two adjacent squares can be walked on, as in a corridor.",
        "fight_in_the_open": "A hostile monster is adjacent, and at least seven free squares.",
    }
)
def room_to_move(view: View) -> np.ndarray:
    """bool [G, 3]."""
    ground = view.ground
    free = (ground != Terrain.UNKNOWN) & (ground != Terrain.WALL) & (ground != Terrain.LIQUID)
    ways = np.count_nonzero(free, axis=1)
    in_the_open = (ways >= 7) & (view.num_hostile > 0)
    return np.stack((ways <= 1, ways == 2, in_the_open), axis=1)
