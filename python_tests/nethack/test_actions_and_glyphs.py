"""Our names and tables against NLE's own."""

import numpy as np
import pytest
from nle import nethack
from nle.env.tasks import TASK_ACTIONS

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack import actions
from tedg_fast.nethack.facts.glyphs import (
    CLASS_OF_GLYPH,
    EDGE_GLYPH,
    NUM_GLYPH_CLASSES,
    PROPERTIES_OF_GLYPH,
    TABLE_SIZE,
    TERRAIN_SHIFT,
    Flag,
    GlyphClass,
    Terrain,
)

GLYPHS = range(nethack.MAX_GLYPH)
TERRAIN_OF_GLYPH = PROPERTIES_OF_GLYPH >> TERRAIN_SHIFT
FLAGS_OF_GLYPH = PROPERTIES_OF_GLYPH & ((1 << TERRAIN_SHIFT) - 1)


def monster(name: str) -> int:
    names = [nethack.permonst(i).mname for i in range(nethack.NUMMONS)]
    return nethack.GLYPH_MON_OFF + names.index(name)


def test_actions_are_nethackscores_in_its_order():
    assert ACTIONS[-1] == "pray" and len(ACTIONS) - 1 == len(TASK_ACTIONS) == 23
    short = {"N": "north", "E": "east", "S": "south", "W": "west"}
    for ours, theirs in zip(ACTIONS[:-1], TASK_ACTIONS, strict=True):
        if isinstance(theirs, nethack.CompassDirection | nethack.CompassDirectionLonger):
            name = "".join(short[letter] for letter in theirs.name)
            prefix = "far_" if isinstance(theirs, nethack.CompassDirectionLonger) else ""
            assert ours == prefix + name
        else:
            assert ours.upper() == theirs.name


def test_keys_are_what_the_actions_send():
    assert actions.KEYS == bytes(map(int, (*TASK_ACTIONS, nethack.Command.PRAY)))


def test_steps_point_where_the_names_say():
    for name, (row, column) in zip(actions.COMPASS, actions.STEPS, strict=True):
        assert row == ("south" in name) - ("north" in name)
        assert column == ("east" in name) - ("west" in name)


def test_tables_cover_every_16_bit_number():
    for table in (TERRAIN_OF_GLYPH, FLAGS_OF_GLYPH, CLASS_OF_GLYPH):
        assert table.shape == (TABLE_SIZE,)
    assert CLASS_OF_GLYPH.max() < NUM_GLYPH_CLASSES <= 32
    assert TERRAIN_OF_GLYPH.max() < Terrain.COUNT
    beyond = slice(nethack.MAX_GLYPH, EDGE_GLYPH)
    assert not TERRAIN_OF_GLYPH[beyond].any() and not FLAGS_OF_GLYPH[beyond].any()


def test_monsters_and_pets_are_flagged_as_such():
    normal = np.array([nethack.glyph_is_normal_monster(g) for g in GLYPHS])
    pets = np.array([nethack.glyph_is_pet(g) for g in GLYPHS])
    flags = FLAGS_OF_GLYPH[: nethack.MAX_GLYPH]
    ridden = np.array([nethack.glyph_is_ridden_monster(g) for g in GLYPHS])
    assert np.array_equal(flags & (Flag.HOSTILE | Flag.KEEPER) != 0, normal | ridden)
    assert np.array_equal(flags & Flag.PET != 0, pets)


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("floating eye", Flag.UNTOUCHABLE), ("cockatrice", Flag.COCKATRICE),
        ("acid blob", Flag.PASSIVE), ("gas spore", Flag.EXPLODER), ("water nymph", Flag.THIEF),
        ("leprechaun", Flag.THIEF), ("shopkeeper", Flag.KEEPER), ("soldier ant", Flag.FAST),
        ("newt", Flag.WEAK), ("kobold zombie", Flag.SLOW), ("troll", Flag.STRONG),
        ("lichen", Flag.STICKY),
    ],
)  # fmt: skip
def test_well_known_monsters(name, flag):
    assert FLAGS_OF_GLYPH[monster(name)] & flag


def test_every_map_symbol_of_a_level_has_a_terrain():
    described = {
        nethack.symdef.from_idx(i).explanation: TERRAIN_OF_GLYPH[nethack.GLYPH_CMAP_OFF + i]
        for i in range(1, nethack.MAXPCHARS)
        if nethack.symdef.from_idx(i).explanation
    }
    assert described["wall"] == Terrain.WALL
    assert described["staircase down"] == described["ladder down"] == Terrain.STAIRS_DOWN
    assert described["staircase up"] == Terrain.STAIRS_UP
    assert described["open door"] == Terrain.OPEN_DOOR
    assert described["closed door"] == Terrain.CLOSED_DOOR
    assert described["doorway"] == Terrain.DOORWAY
    assert described["trap door"] == described["hole"] == Terrain.HOLE
    assert described["spiked pit"] == Terrain.PIT
    assert described["bear trap"] == Terrain.TRAP
    assert described["molten lava"] == described["water"] == Terrain.LIQUID
    assert described["corridor"] == described["lit corridor"] == Terrain.CORRIDOR
    del described["valid position"]  # a cursor of the interface
    assert all(terrain > Terrain.COVERED for terrain in described.values())


def test_gold_and_boulders_are_told_from_other_objects():
    objects = [g for g in GLYPHS if nethack.glyph_is_normal_object(g)]
    gold = [g for g in objects if FLAGS_OF_GLYPH[g] & Flag.GOLD]
    boulders = [g for g in objects if FLAGS_OF_GLYPH[g] & Flag.BOULDER]
    names = [nethack.OBJ_NAME(nethack.objclass(nethack.glyph_to_obj(g))) for g in gold + boulders]
    assert names == ["gold piece", "boulder"]
    assert CLASS_OF_GLYPH[gold[0]] == GlyphClass.GOLD
