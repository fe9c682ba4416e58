"""Rare situations, staged by editing a real first observation with real glyph numbers."""

import numpy as np
from beside_oracle import Both
from grounded_games import GroundedGames
from nle import nethack
from oracle import Look

from tedg_fast.hypergraph import ACTIONS, Hypergraph, load_hypergraph
from tedg_fast.nethack.actions import COMPASS, STEPS
from tedg_fast.nethack.facts.glyphs import PROPERTIES_OF_GLYPH, Flag

_MONSTERS = [nethack.permonst(i).mname for i in range(nethack.NUMMONS)]
_OBJECTS = [nethack.OBJ_NAME(nethack.objclass(i)) for i in range(nethack.NUM_OBJECTS)]
_SYMBOLS = [nethack.symdef.from_idx(i).explanation for i in range(nethack.MAXPCHARS)]


def monster(name: str) -> int:
    """The glyph of a monster that is no pet."""
    return nethack.GLYPH_MON_OFF + _MONSTERS.index(name)


def pet(name: str) -> int:
    """The glyph of a tame monster."""
    return nethack.GLYPH_PET_OFF + _MONSTERS.index(name)


def corpse(name: str) -> int:
    """The glyph of a monster's corpse."""
    return nethack.GLYPH_BODY_OFF + _MONSTERS.index(name)


def symbol(name: str) -> int:
    """The glyph of a map symbol, by NLE's explanation of it."""
    return nethack.GLYPH_CMAP_OFF + _SYMBOLS.index(name)


def thing(name: str) -> int:
    """The glyph of an object."""
    return nethack.GLYPH_OBJ_OFF + _OBJECTS.index(name)


class Stage:
    """One game's observation, to be edited and shown to a Grounder of its own, and to the oracle
    beside it."""

    def __init__(self, rules: Hypergraph | None = None, prayer: bool = False):
        games = GroundedGames(1, seed=5)
        self.raw = games.raw.copy()
        games.close()
        self.both = Both(rules or load_hypergraph(), 1, prayer)
        self.show(-1)

    def show(self, last_action: int | str = "wait") -> Look:
        """What the observation is, as it is now; the compiled facts agree."""
        action = ACTIONS.index(last_action) if isinstance(last_action, str) else last_action
        return self.both(self.raw, [action])[0]

    def facts(self, last_action: int | str = "wait") -> dict[str, list[dict[str, float]]]:
        """The compiled facts of the observation as it is now."""
        self.show(last_action)
        return self.both.native.facts

    def begin(self) -> None:
        """What is shown next is the first observation of a new game."""
        self.both.reset(0)

    def position(self) -> tuple[int, int]:
        """The player's column and row."""
        return tuple(self.raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_Y]].tolist())

    def put(self, way: str, glyph: int, squares: int = 1) -> None:
        """Places a glyph so many squares from the player."""
        row, column = STEPS[COMPASS.index(way)] * squares
        x, y = self.position()
        self.raw.glyphs[0, y + row, x + column] = glyph

    def send_hostiles_away(self) -> None:
        """Leaves floor where hostile monsters were shown."""
        x, y = self.position()
        player = self.raw.glyphs[0, y, x]
        shown = PROPERTIES_OF_GLYPH[self.raw.glyphs.view(np.uint16)]
        self.raw.glyphs[shown & Flag.HOSTILE != 0] = symbol("floor of a room")
        self.raw.glyphs[0, y, x] = player

    def walk(self, way: str) -> None:
        """Moves the player one step, one turn later."""
        row, column = STEPS[COMPASS.index(way)]
        self.raw.blstats[0, nethack.NLE_BL_X] += column
        self.raw.blstats[0, nethack.NLE_BL_Y] += row
        self.pass_turns(1)

    def pass_turns(self, turns: int) -> None:
        self.raw.blstats[0, nethack.NLE_BL_TIME] += turns

    def stat(self, index: int, value: int) -> None:
        self.raw.blstats[0, index] = value

    def say(self, text: str, prompt: bool = False) -> None:
        """Shows a message, at a one-key prompt if asked."""
        self.raw.message[0] = 0
        self.raw.message[0, : len(text)] = np.frombuffer(text.encode(), dtype=np.uint8)
        self.raw.misc[0, 0] = prompt

    def room(self, rows: list[str]) -> None:
        """A new game on a level of nothing but these rows, the player on "@"."""
        glyphs = {
            " ": symbol("dark part of a room"), ".": symbol("floor of a room"),
            "#": symbol("corridor"), "-": symbol("wall"), "|": symbol("wall"),
            "+": symbol("open door"), "%": thing("food ration"), "$": thing("gold piece"),
            "@": symbol("floor of a room"), ">": symbol("staircase down"),
        }  # fmt: skip
        self.raw.glyphs[:] = symbol("dark part of a room")
        for y, row in enumerate(rows):
            for x, letter in enumerate(row):
                self.raw.glyphs[0, 5 + y, 10 + x] = glyphs[letter]
                if letter == "@":
                    self.stat(nethack.NLE_BL_X, 10 + x)
                    self.stat(nethack.NLE_BL_Y, 5 + y)
        self.begin()
