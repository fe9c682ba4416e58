"""Raw observations that no game would show: any bytes, and worlds that change at random."""

from dataclasses import fields

import numpy as np
from nle import nethack
from staged_scenes import monster, symbol

from tedg_fast.nethack.actions import NUM_ACTIONS, STEPS
from tedg_fast.nethack.facts.observation import RawObservation
from tedg_fast.nethack.games.game import empty_observations

_EXTREMES = np.array([np.iinfo(np.int64).min, -1, 0, 1, 2, np.iinfo(np.int64).max])

_COMMON = [symbol("dark part of a room"), symbol("floor of a room"), symbol("corridor"),
           symbol("wall"), nethack.GLYPH_CMAP_OFF]  # fmt: skip
_RARE = [
    *map(symbol, ("open door", "closed door", "doorway", "staircase down", "staircase up",
                  "trap door", "pit", "bear trap", "water", "fountain", "tree")),
    *map(monster, ("newt", "jackal", "floating eye", "shopkeeper", "lichen", "gas spore", "troll",
                   "cockatrice", "water nymph")),
    nethack.GLYPH_PET_OFF, nethack.GLYPH_INVISIBLE, nethack.GLYPH_SWALLOW_OFF,
    nethack.GLYPH_BODY_OFF, *range(nethack.GLYPH_OBJ_OFF, nethack.GLYPH_OBJ_OFF + 450, 15),
]  # fmt: skip

_SAYINGS = (
    b"", b"", b"", b"", b"You see no objects here.", b"This door is locked.",
    b"You can't move diagonally out of an intact doorway.", b"You fall into a pit!",
    b"You try to move the boulder, but in vain.", b"There is a staircase down here.",
    b"There is a ladder up here. You see here a newt corpse.", b"The jackal bites!",
    b"You stop. Your kitten is in the way.", b"The newt misses you.", b"You miss the newt.",
    b"You kill the newt!", b"You destroy the zombie!",
    b"Really attack the gnome? [yn] (n)", b"In what direction?", b"eat it? [ynq] (n)",
    b"There is a cockatrice corpse here; eat it? [ynq] (n)",
    b"What do you want to eat? [bj-lK or ?*]", b"What do you want to eat? [",
    b"What do you want to eat? [a-Z]", b"Are you sure you want to pray? [yn] (n)",
)  # fmt: skip


def noise(games: int, rng: np.random.Generator) -> RawObservation:
    """Any bytes everywhere; some blstats at the ends of their range."""
    raw = empty_observations(games)
    for field in fields(raw):
        array = getattr(raw, field.name).view(np.uint8)
        array[...] = rng.integers(0, 256, array.shape)
    extreme = rng.random(raw.blstats.shape) < 0.3
    raw.blstats[extreme] = rng.choice(_EXTREMES, np.count_nonzero(extreme))
    return raw


class RandomWorlds:
    """Games whose maps, messages and players change at random, a little at every step."""

    def __init__(self, games: int, rng: np.random.Generator):
        self.raw = empty_observations(games)
        self.actions = np.full(games, -1)  # the last ones
        self._rng = rng
        self._weights = rng.dirichlet(np.full(len(_COMMON), 0.5), games)
        for game in range(games):
            self._new_level(game)
            self.raw.blstats[game, : nethack.NLE_BL_CONDITION] = rng.integers(0, 21)

    def _new_level(self, game: int) -> None:
        shape = self.raw.glyphs[game].shape
        self.raw.glyphs[game] = self._rng.choice(_COMMON, shape, p=self._weights[game])
        rare = self._rng.random(shape) < self._rng.choice([0.002, 0.02, 0.1])
        self.raw.glyphs[game][rare] = self._rng.choice(_RARE, np.count_nonzero(rare))

    def step(self) -> np.ndarray:
        """Moves the players and changes a few things; returns the actions, int64 [games].

        Players often do as their actions say, and often try in vain, again and again.
        """
        rng, games = self._rng, len(self.actions)
        anew = rng.random(games) < 0.6
        self.actions = np.where(anew, rng.integers(-1, NUM_ACTIONS, games), self.actions)
        for game, action in enumerate(self.actions):
            self._step(self.raw[game], game, int(action))
        return self.actions

    def _step(self, raw: RawObservation, game: int, action: int) -> None:
        rng, blstats = self._rng, raw.blstats
        if rng.random() < 0.01:
            self._new_level(game)
            blstats[nethack.NLE_BL_DLEVEL] += rng.integers(-1, 2)
            blstats[nethack.NLE_BL_DEPTH] += rng.integers(-1, 2)
        for _ in range(rng.integers(4)):
            square = rng.integers(raw.glyphs.shape[0]), rng.integers(raw.glyphs.shape[1])
            raw.glyphs[square] = rng.choice(_COMMON if rng.random() < 0.6 else _RARE)
        if rng.random() < 0.05:
            position = blstats[nethack.NLE_BL_Y], blstats[nethack.NLE_BL_X]
            raw.glyphs[position] = rng.choice(_RARE)
        idle = rng.random() < 0.4
        if 1 <= action < 17 and not idle:
            length = 1 if action < 9 else rng.integers(1, 20)
            row, column = STEPS[(action - 1) % 8] * length
            blstats[nethack.NLE_BL_Y] = np.clip(blstats[nethack.NLE_BL_Y] + row, 0, 20)
            blstats[nethack.NLE_BL_X] = np.clip(blstats[nethack.NLE_BL_X] + column, 0, 78)
        blstats[nethack.NLE_BL_TIME] += 0 if idle else rng.choice([1, 1, 9])
        for index in (nethack.NLE_BL_HP, nethack.NLE_BL_GOLD, nethack.NLE_BL_EXP):
            blstats[index] += rng.choice([0, 0, 0, -3, 3])
        if rng.random() < 0.1:
            blstats[rng.integers(9, 26)] = rng.integers(0, 5)
        if rng.random() < 0.05:
            blstats[nethack.NLE_BL_CONDITION] = rng.integers(0, 1 << 13) & rng.integers(0, 1 << 13)
        if rng.random() < 0.3:
            return
        saying = _SAYINGS[rng.integers(len(_SAYINGS))]
        raw.message[:] = 0
        raw.message[: len(saying)] = np.frombuffer(saying, np.uint8)
        raw.misc[:] = rng.random(3) < (0.3 if saying.endswith((b")", b"]", b"?")) else 0.03)
