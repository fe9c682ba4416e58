"""One game's observations, one after the other -> all that the compiled grounding tells of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nle import nethack

from oracle.action_mask import allowed_actions
from oracle.facts import Facts, facts_of
from oracle.memory import MARKS, Memory
from oracle.paths import Paths, Ways
from oracle.scene import Scene
from oracle.squares import COLUMNS, ROWS, WIDTH, wrap
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.features import LOG_TABLE, LOGS, SCALED
from tedg_fast.nethack.facts.glyphs import CLASS_OF_GLYPH, CLASS_OF_TERRAIN, GlyphClass
from tedg_fast.nethack.facts.observation import (
    CROP,
    NO_SUBJECT,
    NOTHING,
    OBJECT,
    OBJECTS,
    RawObservation,
)
from tedg_fast.nethack.facts.vocabulary import vocabulary

_BLANK_CLASS, _EDGE_CLASS = int(GlyphClass.BLANK), int(GlyphClass.EDGE)


@dataclass
class Look:
    """What one observation shows, and what it is made of."""

    scene: Scene
    memory: Memory
    ways: Ways
    facts: Facts
    last_action: int

    def objects(self, bound: Sequence[tuple[str, int]]) -> tuple[np.ndarray, int]:
        """What a policy sees of the objects, uint8 [OBJECTS, OBJECT.itemsize]: those that instances
        bind, kind and place of each in the instances' order, then the monsters; and how many
        objects are left out, these and those beyond their kinds' limits."""
        rows = np.zeros(OBJECTS, OBJECT)
        rows["kind"], rows["subject"] = NOTHING, NO_SUBJECT
        monsters = [("monster", i) for i in range(len(self.facts.objects["monster"]))]
        listed = list(dict.fromkeys([*bound, *monsters]))
        for row, (name, place) in zip(rows, listed):
            kind, thing = vocabulary().kind[name], self.facts.objects[name][place]
            own = [thing[a.name] for a in kind.attributes if not a.table]
            row["kind"], row["place"] = kind.number, place
            row["facts"][: len(own)] = own
            if name in self.facts.subjects:
                row["subject"] = self.facts.subjects[name][place]
        left_out = sum(self.facts.left_out.values()) + max(len(listed) - OBJECTS, 0)
        return rows.view(np.uint8).reshape(OBJECTS, -1), left_out

    def features(self) -> np.ndarray:
        """float32 [NUM_FEATURES]: computed in double precision, rounded at the end."""
        scene, stat = self.scene, self.scene.blstats
        # Python divides whole numbers exactly; float64 rounds them first.
        values = [
            min(max(float(wrap(stat[column] - offset)) / scale, -1.0), 1.0)
            for column, offset, scale in SCALED
        ]
        values += [LOG_TABLE[min(max(stat[column], 0), len(LOG_TABLE) - 1)] for column in LOGS]
        values += [scene.conditions >> bit & 1 for bit in range(nethack.BL_MASK_BITS)]
        values += [flag != 0 for flag in scene.misc]
        values += [
            min(max(float(scene.hp) / float(scene.most_hp), 0.0), 1.0),
            min(self.memory.still / 15, 1.0),
            min(self.memory.frozen / 5, 1.0),
        ]
        for way in self.ways.to.values():
            values.append(1 / (1.0 + way.steps) if way.reachable else 0)
        values += [self.last_action == action for action in range(NUM_ACTIONS)]
        return np.array(values, np.float64).astype(np.float32)

    def crop(self) -> np.ndarray:
        """uint8 [CROP * CROP]: glyph classes around the player; remembered terrain where blank."""
        shown = CLASS_OF_GLYPH[self.scene.glyphs]
        ground = CLASS_OF_TERRAIN[self.memory.here.terrain]
        seen = np.where(shown == _BLANK_CLASS, ground, shown)
        seen[self.scene.position] = ground[self.scene.position]
        reach = CROP // 2
        wide = np.full((ROWS + 2 * reach, COLUMNS + 2 * reach), _EDGE_CLASS, np.uint8)
        wide[reach:-reach, reach:-reach] = seen.reshape(ROWS + 2, WIDTH)[1:-1, 1:-1]
        row, column = divmod(self.scene.position, WIDTH)
        return wide[row - 1 :, column - 1 :][:CROP, :CROP].reshape(-1)

    def action_mask(self) -> np.ndarray:
        """bool [24]."""
        allowed = allowed_actions(self.scene, self.memory)
        return np.array([action in allowed for action in range(NUM_ACTIONS)])


class Oracle:
    """One game after the other. Observations must come in order."""

    def __init__(self, prayer: bool = False, max_steps: int = 1_000_000_000) -> None:
        self.memory = Memory(prayer, max_steps)
        self.paths = Paths()
        self.rounds = 0  # of searching, on this level

    def reset(self) -> None:
        """Forgets the game: the next observation is the first of a new one."""
        self.memory.fresh = True

    def look(self, raw: RawObservation, last_action: int) -> Look:
        """Takes in one observation (without leading dimension) and the action that led to it."""
        scene = Scene(raw)
        self.memory.update(scene, last_action)
        ways = self.paths.update(scene, self.memory)
        if ways.rounds > self.rounds:
            # What could not be moved may be free by now: boulders with a monster behind them.
            self.memory.here.marks &= ~np.uint8(MARKS["BLOCKED"] | MARKS["TRIED"])
        self.rounds = ways.rounds
        facts = facts_of(scene, self.memory, ways)
        return Look(scene, self.memory, ways, facts, last_action)
