"""What each glyph number means: lookup tables built from NLE's own glyph helpers and monster data.

Every table has 65,536 entries and is indexed with the glyph number reinterpreted as uint16, so any
int16 (also a corrupt one) is a valid index; numbers beyond MAX_GLYPH mean nothing and map to 0.
"""

from enum import IntEnum

import numpy as np
from nle import nethack

TABLE_SIZE = 1 << 16
# Stands for the squares around the map's edge; no NLE glyph has this number.
EDGE_GLYPH = TABLE_SIZE - 1


# Terrain and Flag are plain integers: numpy is several times slower with enum members.
class Terrain:
    """What a square is made of, as far as its glyph tells."""

    UNKNOWN = 0  # blank: solid rock, or not seen yet
    COVERED = 1  # something lies or stands there, so it is no rock; the ground is not visible
    FLOOR = 2
    CORRIDOR = 3
    DOORWAY = 4  # without a door, or with a broken one: diagonal steps are possible
    OPEN_DOOR = 5
    CLOSED_DOOR = 6
    STAIRS_UP = 7
    STAIRS_DOWN = 8
    FURNITURE = 9  # altar, fountain, sink, throne, grave
    TRAP = 10
    PIT = 11
    HOLE = 12  # trap door or hole: leads down
    LIQUID = 13  # water or lava; from here on nothing can be walked on
    WALL = 14  # walls, trees, iron bars, raised drawbridges
    COUNT = 15


class Flag:
    """Properties of a shown glyph; a glyph may have several."""

    HOSTILE = 1 << 0  # a monster that is neither pet nor of a usually peaceful kind
    PET = 1 << 1
    KEEPER = 1 << 2  # shopkeeper, temple priest, guard, watchman: peaceful until angered
    UNTOUCHABLE = 1 << 3  # hitting it harms the attacker more than it: floating eye and such
    COCKATRICE = 1 << 4  # kills who touches it with bare skin
    PASSIVE = 1 << 5  # acid blob, jellies: stays put or is harmless unless hit
    WEAK = 1 << 6  # monster level 0 or 1
    STRONG = 1 << 7  # monster level 5 or more
    FAST = 1 << 8  # speed above the monk's 15
    SLOW = 1 << 9  # speed below 9
    EXPLODER = 1 << 10  # gas spore and lights: they explode
    THIEF = 1 << 11  # nymphs and leprechauns
    UNSEEN = 1 << 12  # remembered invisible monster, warning, detected monster
    GOLD = 1 << 13
    FOOD = 1 << 14
    MAGIC_ITEM = 1 << 15  # scroll, potion, wand, ring, amulet, spellbook
    BOULDER = 1 << 16
    SOLID = 1 << 17  # shown as wall or rock
    LAVA_OR_WATER = 1 << 18
    ENGULFED = 1 << 19
    OPEN_DOOR = 1 << 20
    WALKABLE = 1 << 21  # a terrain glyph that one can step on
    EDGE = 1 << 22  # beyond the map
    STICKY = 1 << 23  # holds on to its victim, who then cannot just walk away
    MEAL = 1 << 24  # food that keeps: no corpse, egg or tin
    ITEM = 1 << 25  # any thing but a boulder, a statue or a corpse
    CORPSE = 1 << 26
    SHUNNED = 1 << 27  # walked round: keepers, and what stays put and must not be touched


TERRAIN_SHIFT = 28  # above every flag
ANY_MONSTER = Flag.HOSTILE | Flag.PET | Flag.KEEPER | Flag.UNSEEN


class GlyphClass(IntEnum):
    """The vocabulary of the egocentric crop."""

    BLANK = 0
    FLOOR = 1
    CORRIDOR = 2
    DOORWAY = 3
    OPEN_DOOR = 4
    CLOSED_DOOR = 5
    STAIRS_UP = 6
    STAIRS_DOWN = 7
    FURNITURE = 8
    TRAP = 9
    PIT = 10
    HOLE = 11
    LIQUID = 12
    WALL = 13
    EDGE = 14
    PET = 15
    KEEPER = 16
    WEAK_MONSTER = 17
    MONSTER = 18
    STRONG_MONSTER = 19
    PASSIVE_MONSTER = 20
    UNSEEN_MONSTER = 21
    GOLD = 22
    FOOD = 23
    MAGIC_ITEM = 24
    OBJECT = 25
    BOULDER = 26
    STATUE = 27
    EFFECT = 28  # zaps, explosions, the inside of an engulfer


NUM_GLYPH_CLASSES = len(GlyphClass)

_CLASS_OF_TERRAIN = {
    Terrain.UNKNOWN: GlyphClass.BLANK, Terrain.COVERED: GlyphClass.BLANK,
    Terrain.FLOOR: GlyphClass.FLOOR, Terrain.CORRIDOR: GlyphClass.CORRIDOR,
    Terrain.DOORWAY: GlyphClass.DOORWAY, Terrain.OPEN_DOOR: GlyphClass.OPEN_DOOR,
    Terrain.CLOSED_DOOR: GlyphClass.CLOSED_DOOR, Terrain.STAIRS_UP: GlyphClass.STAIRS_UP,
    Terrain.STAIRS_DOWN: GlyphClass.STAIRS_DOWN, Terrain.FURNITURE: GlyphClass.FURNITURE,
    Terrain.TRAP: GlyphClass.TRAP, Terrain.PIT: GlyphClass.PIT, Terrain.HOLE: GlyphClass.HOLE,
    Terrain.LIQUID: GlyphClass.LIQUID, Terrain.WALL: GlyphClass.WALL,
}  # fmt: skip
CLASS_OF_TERRAIN = np.array([_CLASS_OF_TERRAIN[t] for t in range(Terrain.COUNT)], dtype=np.uint8)

# Words in NLE's own explanation of a map symbol -> terrain; the first that fits is taken.
_TERRAIN_WORDS = (
    ("staircase up", Terrain.STAIRS_UP), ("ladder up", Terrain.STAIRS_UP),
    ("staircase down", Terrain.STAIRS_DOWN), ("ladder down", Terrain.STAIRS_DOWN),
    ("open door", Terrain.OPEN_DOOR), ("closed door", Terrain.CLOSED_DOOR),
    ("doorway", Terrain.DOORWAY), ("raised drawbridge", Terrain.WALL),
    ("lowered drawbridge", Terrain.FLOOR), ("water", Terrain.LIQUID), ("lava", Terrain.LIQUID),
    ("corridor", Terrain.CORRIDOR), ("floor", Terrain.FLOOR), ("dark part", Terrain.FLOOR),
    ("ice", Terrain.FLOOR), ("air", Terrain.FLOOR), ("cloud", Terrain.FLOOR),
    ("wall", Terrain.WALL), ("iron bars", Terrain.WALL), ("tree", Terrain.WALL),
    ("altar", Terrain.FURNITURE), ("grave", Terrain.FURNITURE), ("throne", Terrain.FURNITURE),
    ("sink", Terrain.FURNITURE), ("fountain", Terrain.FURNITURE),
)  # fmt: skip

_KEEPERS = ("shopkeeper", "guard", "watchman", "watch captain", "aligned priest", "high priest",
            "Oracle")  # fmt: skip
_UNTOUCHABLE = ("floating eye", "blue jelly", "gelatinous cube")
_EXPLODERS = ("gas spore", "yellow light", "black light", "flaming sphere", "freezing sphere",
              "shocking sphere")  # fmt: skip
_SHUNNED = (*_UNTOUCHABLE, "gas spore", "spotted jelly", "brown mold", "yellow mold", "green mold",
            "red mold")  # fmt: skip
_PASSIVES = ("acid blob", "spotted jelly", "ochre jelly", "green mold", "yellow mold",
             "brown mold", "red mold", "lichen", "violet fungus", "shrieker")  # fmt: skip
_STICKY = ("lichen", "violet fungus", "small mimic", "large mimic", "giant mimic", "owlbear",
           "python", "rope golem", "giant eel", "electric eel", "kraken", "trapper",
           "lurker above")  # fmt: skip
_MAGIC_CLASSES = (nethack.SCROLL_CLASS, nethack.POTION_CLASS, nethack.WAND_CLASS,
                  nethack.RING_CLASS, nethack.AMULET_CLASS, nethack.SPBOOK_CLASS)  # fmt: skip


def _terrain_of_symbol(symbol: int) -> int:
    words = nethack.symdef.from_idx(symbol).explanation
    if symbol == 0:
        return Terrain.UNKNOWN
    if words and nethack.glyph_is_trap(nethack.GLYPH_CMAP_OFF + symbol):
        if words in ("hole", "trap door"):
            return Terrain.HOLE
        return Terrain.PIT if words.endswith("pit") else Terrain.TRAP
    for word, terrain in _TERRAIN_WORDS:
        if word in words:
            return terrain
    return Terrain.UNKNOWN


def _flags_of_terrain(terrain: int) -> int:
    match terrain:
        case Terrain.UNKNOWN | Terrain.WALL:
            return Flag.SOLID
        case Terrain.LIQUID:
            return Flag.LAVA_OR_WATER
        case Terrain.CLOSED_DOOR:
            return 0
        case Terrain.OPEN_DOOR:
            return Flag.OPEN_DOOR | Flag.WALKABLE
        case _:
            return Flag.WALKABLE


def _flags_of_monster(index: int) -> int:
    monster = nethack.permonst(index)
    name = monster.mname
    if name in _KEEPERS:
        return Flag.KEEPER | Flag.SHUNNED
    flags = Flag.HOSTILE
    flags |= Flag.SHUNNED if name in _SHUNNED else 0
    flags |= Flag.UNTOUCHABLE if name in _UNTOUCHABLE else 0
    flags |= Flag.EXPLODER if name in _EXPLODERS else 0
    flags |= Flag.STICKY if name in _STICKY else 0
    flags |= Flag.PASSIVE if name in _PASSIVES else 0
    flags |= Flag.COCKATRICE if name in ("cockatrice", "chickatrice", "Medusa") else 0
    kind = nethack.class_sym.from_mlet(monster.mlet).explain
    flags |= Flag.THIEF if kind in ("nymph", "leprechaun") else 0
    flags |= Flag.WEAK if monster.mlevel <= 1 else 0
    flags |= Flag.STRONG if monster.mlevel >= 5 else 0
    flags |= Flag.FAST if monster.mmove > 15 else 0
    flags |= Flag.SLOW if monster.mmove < 9 else 0
    return flags


def _class_of_monster(flags: int) -> GlyphClass:
    if flags & Flag.KEEPER:
        return GlyphClass.KEEPER
    if flags & (Flag.UNTOUCHABLE | Flag.EXPLODER | Flag.COCKATRICE | Flag.PASSIVE):
        return GlyphClass.PASSIVE_MONSTER
    if flags & Flag.WEAK:
        return GlyphClass.WEAK_MONSTER
    return GlyphClass.STRONG_MONSTER if flags & Flag.STRONG else GlyphClass.MONSTER


def _describe(glyph: int) -> tuple[int, int, int]:
    """Terrain, flags and crop class of one valid glyph number."""
    covered = Terrain.COVERED
    if nethack.glyph_is_cmap(glyph):
        symbol = nethack.glyph_to_cmap(glyph)
        terrain = _terrain_of_symbol(symbol)
        if terrain == Terrain.UNKNOWN and symbol != 0:  # zaps, explosions
            return covered, 0, GlyphClass.EFFECT
        return terrain, _flags_of_terrain(terrain), GlyphClass(CLASS_OF_TERRAIN[terrain])
    if nethack.glyph_is_swallow(glyph):
        return Terrain.UNKNOWN, Flag.ENGULFED, GlyphClass.EFFECT
    if nethack.glyph_is_pet(glyph):
        return covered, Flag.PET, GlyphClass.PET
    if nethack.glyph_is_normal_monster(glyph) or nethack.glyph_is_ridden_monster(glyph):
        flags = _flags_of_monster(nethack.glyph_to_mon(glyph))
        return covered, flags, _class_of_monster(flags)
    if (
        nethack.glyph_is_invisible(glyph)
        or nethack.glyph_is_detected_monster(glyph)
        or nethack.glyph_is_warning(glyph)
    ):
        return covered, Flag.UNSEEN, GlyphClass.UNSEEN_MONSTER
    if nethack.glyph_is_statue(glyph):
        return covered, 0, GlyphClass.STATUE
    if nethack.glyph_is_body(glyph):
        return covered, Flag.FOOD | Flag.CORPSE, GlyphClass.FOOD
    if nethack.glyph_is_object(glyph):
        return covered, *_describe_object(nethack.glyph_to_obj(glyph))
    return covered, 0, GlyphClass.EFFECT


def _describe_object(index: int) -> tuple[int, int]:
    if nethack.OBJ_NAME(nethack.objclass(index)) == "boulder":
        return Flag.BOULDER, GlyphClass.BOULDER
    kind = ord(nethack.objclass(index).oc_class)
    if kind == nethack.COIN_CLASS:
        return Flag.ITEM | Flag.GOLD, GlyphClass.GOLD
    if kind == nethack.FOOD_CLASS:
        name = nethack.OBJ_NAME(nethack.objclass(index))
        keeps = name not in ("corpse", "egg", "tin") and not name.startswith("glob of")
        return Flag.ITEM | Flag.FOOD | (Flag.MEAL if keeps else 0), GlyphClass.FOOD
    if kind in _MAGIC_CLASSES:
        return Flag.ITEM | Flag.MAGIC_ITEM, GlyphClass.MAGIC_ITEM
    return Flag.ITEM, GlyphClass.OBJECT


def _tables() -> tuple[np.ndarray, np.ndarray]:
    properties = np.zeros(TABLE_SIZE, dtype=np.uint32)
    classes = np.zeros(TABLE_SIZE, dtype=np.uint8)
    for glyph in range(nethack.MAX_GLYPH):
        terrain, flags, classes[glyph] = _describe(glyph)
        properties[glyph] = flags | terrain << TERRAIN_SHIFT
    properties[EDGE_GLYPH] = Flag.EDGE | Terrain.WALL << TERRAIN_SHIFT
    classes[EDGE_GLYPH] = GlyphClass.EDGE
    return properties, classes


# uint32 and uint8 [65536], indexed by glyph number as uint16. PROPERTIES hold the Flag bits, and
# above them the Terrain (one table, because looking glyphs up is what costs time).
PROPERTIES_OF_GLYPH, CLASS_OF_GLYPH = _tables()
