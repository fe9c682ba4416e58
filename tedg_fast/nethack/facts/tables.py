"""NLE's tables of monster kinds and of objects, as the facts need them.

NLE's Python interface shows neither attacks nor roles. The attacks are read out of the library's
own array `mons` (NetHack 3.6, include/permonst.h), which is held against what the interface shows
of every kind, so that another layout is an error and never a wrong number.
"""

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np
from nle import nethack
from nle.nethack.nethack import DLPATH

from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.facts.glyphs import TABLE_SIZE

_NO_SUBJECT = 0xFFFF
_NUM_ATTACKS = 6

# include/monattk.h: kinds of attack, and of damage.
_AT_NONE, _AT_SPIT, _AT_ENGULF, _AT_BREATH, _AT_EXPLODE, _AT_BOOM = 0, 10, 11, 12, 13, 14
_AT_GAZE, _AT_WEAPON, _AT_MAGIC = 15, 254, 255
_AD_PARALYZE, _AD_STONE, _AD_STICK, _AD_WRAP, _AD_HALLUCINATE = 14, 18, 19, 28, 36
_AD_STEAL = (20, 21, 22, 35)  # gold, items, by seduction of either kind
# include/monflag.h
_M1_FLY, _M1_MINDLESS, _M1_ACID, _M1_POISONOUS = 0x1, 0x10000, 0x8000000, 0x10000000
_M2_UNDEAD, _M2_WERE, _M2_HUMAN, _M2_ELF, _M2_DWARF, _M2_GNOME, _M2_ORC = (
    0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x80,
)  # fmt: skip
_M2_DOMESTIC = 0x400000

# In the order of the words of me.role; the last stands for everything else.
ROLES = (
    "archeologist", "barbarian", "caveman", "healer", "knight", "monk", "priest", "rogue",
    "ranger", "samurai", "tourist", "valkyrie", "wizard", "other",
)  # fmt: skip
_FEMININE = {"cavewoman": "caveman", "priestess": "priest"}
# Experience levels from which a role resists poison.
_POISON_PROOF_FROM = {"barbarian": 1.0, "healer": 1.0, "monk": 3.0}
_FAST_ROLES = ("archeologist", "monk", "samurai")
# Beyond what the flags below tell: turning to stone or slime, stunning, shape changes, hunger for
# one's own pets, teleportation, hallucination.
_UNWISE = (
    "cockatrice", "chickatrice", "Medusa", "green slime", "stalker", "bat", "giant bat",
    "vampire bat", "little dog", "dog", "large dog", "kitten", "housecat", "large cat",
    "small mimic", "large mimic", "giant mimic", "chameleon", "doppelganger", "leprechaun",
    "violet fungus",
)  # fmt: skip


class _Monster(ctypes.Structure):
    """`struct permonst`."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("letter", ctypes.c_char),
        ("level", ctypes.c_byte),
        ("speed", ctypes.c_byte),
        ("armor_class", ctypes.c_byte),
        ("resistance", ctypes.c_byte),
        ("alignment", ctypes.c_byte),
        ("geno", ctypes.c_ushort),
        ("attacks", ctypes.c_ubyte * 4 * _NUM_ATTACKS),  # kind, damage, dice, sides
        ("weight", ctypes.c_ushort),
        ("nutrition", ctypes.c_ushort),
    ]


class Attack(NamedTuple):
    """One attack: `kind` and `damage` as NetHack numbers them, at most `most` points."""

    kind: int
    damage: int
    most: int


class MonsterTables(NamedTuple):
    """What the facts need of NLE's monsters and objects.

    `subject` uint16 [65536]: the monster kind that a glyph shows, or whose corpse, 0xffff for none;
    `class_of_object` uint8 [65536]: place among the words of `item.class`; `values` float64
    [381, W]: the table attributes in the vocabulary's order; `role` uint8 [381]: place in ROLES;
    `speed_of_role` float64 [14]; `poison_proof_from` float64 [14]: the experience level; `names`,
    `letters`: the words of `monster.name` and `.letter`. """

    subject: np.ndarray
    class_of_object: np.ndarray
    values: np.ndarray
    role: np.ndarray
    speed_of_role: np.ndarray
    poison_proof_from: np.ndarray
    names: tuple[str, ...]
    letters: tuple[str, ...]


@cache
def attacks() -> tuple[tuple[Attack, ...], ...]:
    """Every monster kind's attacks, in NetHack's order.

    Raises RuntimeError where NLE's library lays its monsters out otherwise.
    """
    library = ctypes.CDLL(DLPATH)
    monsters = ctypes.addressof(_Monster.in_dll(library, "mons"))
    stride = _stride(monsters)
    found = []
    for index in range(nethack.NUMMONS):
        monster = _Monster.from_address(monsters + index * stride)
        shown = nethack.permonst(index)
        if (monster.name.decode(), monster.level, monster.speed, monster.armor_class,
                monster.nutrition) != (shown.mname, shown.mlevel, shown.mmove, shown.ac,
                                       shown.cnutrit):  # fmt: skip
            raise RuntimeError(f"NLE's monster {index} is laid out otherwise; this needs nle 1.3.0")
        found.append(tuple(
            Attack(kind, damage, dice * sides)
            for kind, damage, dice, sides in (tuple(a) for a in monster.attacks)
            if kind or damage or dice
        ))  # fmt: skip
    return tuple(found)


def _stride(monsters: int) -> int:
    """Bytes from one monster to the next: where the second one's name stands."""
    second = nethack.permonst(1).mname.encode()
    for stride in range(ctypes.sizeof(_Monster), 128, 8):
        pointer = ctypes.c_void_p.from_address(monsters + stride).value
        first = ctypes.c_void_p.from_address(monsters).value or 0
        if pointer and abs(pointer - first) < 1 << 16 and ctypes.string_at(pointer) == second:
            return stride
    raise RuntimeError("NLE's monsters were not found in its library; this needs nle 1.3.0")


def _attributes(index: int, names: tuple[str, ...], letters: tuple[str, ...]) -> dict[str, float]:
    monster = nethack.permonst(index)
    name = monster.mname
    all_attacks = attacks()[index]
    active = [a for a in all_attacks if a.kind not in (_AT_NONE, _AT_BOOM)]
    passive = [a for a in all_attacks if a.kind in (_AT_NONE, _AT_BOOM)]
    kinds = {a.kind for a in all_attacks}
    damages = {a.damage for a in all_attacks}
    flags1, flags2 = monster.mflags1, monster.mflags2
    unwise = (
        bool(flags1 & _M1_ACID)
        or bool(flags2 & (_M2_WERE | _M2_HUMAN | _M2_ELF | _M2_UNDEAD))
        or name in _UNWISE
        or _AD_HALLUCINATE in damages
    )
    return {
        "name": names.index(name),
        "letter": letters.index(_letter(index)),
        "level": monster.mlevel,
        "speed": monster.mmove,
        "armor_class": monster.ac,
        "difficulty": monster.difficulty,
        "attacks": len(active),
        "damage": sum(a.most for a in active),
        "passive_damage": sum(a.most or monster.mlevel * 6 for a in passive),
        "passive": bool(passive),
        "paralyzes": _AD_PARALYZE in damages,
        "ranged": bool(kinds & {_AT_SPIT, _AT_BREATH, _AT_GAZE, _AT_WEAPON, _AT_MAGIC}),
        "explodes": _AT_EXPLODE in kinds or _AT_BOOM in kinds,
        "engulfs": _AT_ENGULF in kinds,
        "sticks": bool(damages & {_AD_STICK, _AD_WRAP}),
        "steals": bool(damages & set(_AD_STEAL)),
        "stones": _AD_STONE in damages,
        "poisonous": bool(flags1 & _M1_POISONOUS),
        "unwise_to_eat": unwise,
        "nutrition": monster.cnutrit,
        "size": monster.msize,
        "flies": bool(flags1 & _M1_FLY),
        "mindless": bool(flags1 & _M1_MINDLESS),
        "human": bool(flags2 & _M2_HUMAN),
        "elf": bool(flags2 & _M2_ELF),
        "dwarf": bool(flags2 & _M2_DWARF),
        "gnome": bool(flags2 & _M2_GNOME),
        "orc": bool(flags2 & _M2_ORC),
        "undead": bool(flags2 & _M2_UNDEAD),
        "domestic": bool(flags2 & _M2_DOMESTIC),
    }


def _letter(index: int) -> str:
    return nethack.class_sym.from_mlet(nethack.permonst(index).mlet).sym


@cache
def monster_tables() -> MonsterTables:
    """NLE's tables; raises RuntimeError for another NLE than 1.3.0."""
    all_names = [nethack.permonst(i).mname for i in range(nethack.NUMMONS)]
    names = ("none", *dict.fromkeys(all_names))  # word 0: no such object, or its kind is unknown
    letters = ("none", *dict.fromkeys(_letter(i) for i in range(nethack.NUMMONS)))
    kind = next(k for k in _native_grounding.vocabulary() if k["kind"] == "monster")
    columns = [a["name"] for a in kind["attributes"] if a["table"]]
    rows = [_attributes(i, names, letters) for i in range(nethack.NUMMONS)]
    values = np.array([[row[column] for column in columns] for row in rows], np.float64)
    role = np.array([
        ROLES.index(word) if (word := _FEMININE.get(name, name)) in ROLES else len(ROLES) - 1
        for name in all_names
    ], np.uint8)  # fmt: skip
    speed = np.array([15.0 if name in _FAST_ROLES else 12.0 for name in ROLES])
    proof = np.array([_POISON_PROOF_FROM.get(name, np.inf) for name in ROLES])
    subject = np.full(TABLE_SIZE, _NO_SUBJECT, np.uint16)
    class_of_object = np.zeros(TABLE_SIZE, np.uint8)
    for glyph in range(nethack.MAX_GLYPH):
        if nethack.glyph_is_body(glyph):
            subject[glyph] = glyph - nethack.GLYPH_BODY_OFF
        elif nethack.glyph_is_monster(glyph) and not (
            nethack.glyph_is_invisible(glyph) or nethack.glyph_is_warning(glyph)
        ):
            subject[glyph] = nethack.glyph_to_mon(glyph)
        elif nethack.glyph_is_normal_object(glyph):
            kind_of = ord(nethack.objclass(nethack.glyph_to_obj(glyph)).oc_class)
            # NetHack numbers its classes from 2 (weapon) on; 0 and 1 are none.
            class_of_object[glyph] = kind_of - 1 if 2 <= kind_of <= 17 else 0
    return MonsterTables(subject, class_of_object, values, role, speed, proof, names, letters)
