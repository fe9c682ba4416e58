"""From NLE's raw observations of a fixed group of games to the policy's Observation rows."""

import difflib
from itertools import chain

import numpy as np

from tedg_fast.hypergraph.schema import Hypergraph
from tedg_fast.nethack.action_mask import allowed_actions
from tedg_fast.nethack.detectors import DETECTORS, View
from tedg_fast.nethack.detectors.registry import Function
from tedg_fast.nethack.facts.features import write_features
from tedg_fast.nethack.facts.glyphs import CLASS_OF_GLYPH, CLASS_OF_TERRAIN, GlyphClass
from tedg_fast.nethack.memory import Memory
from tedg_fast.nethack.messages import MessageReader
from tedg_fast.nethack.facts.observation import CROP, Observation, ObservationSpec
from tedg_fast.nethack.paths import Paths
from tedg_fast.nethack.scene import OBSERVATION_KEYS, ROWS, WIDTH, RawObservation, Scene

__all__ = ["OBSERVATION_KEYS", "Grounder", "GroundingError", "RawObservation"]

_REACH = np.arange(CROP) - CROP // 2
_CENTRE = CROP * CROP // 2


class GroundingError(ValueError):
    """A hypergraph names conditions that no detector decides."""


class Grounder:
    """Turns observations of a fixed group of games into Observation rows.

    It keeps a small memory per game (see memory.py), so observations must come in order, and
    `reset` must be called when a game begins. Everything is vectorised over the games, and
    deterministic: a game's rows depend on its own observations and actions only. `NativeGrounder`
    is its compiled twin, which games are played with.
    """

    def __init__(self, hypergraph: Hypergraph, num_games: int):
        """Raises GroundingError if the hypergraph has conditions without a detector."""
        self.spec = ObservationSpec(hypergraph.num_conditions)
        check_conditions(hypergraph)
        self._functions, self._columns = _plan(hypergraph)
        self._memory = Memory.empty(num_games)
        self._paths = Paths.empty(num_games)
        self._reader = MessageReader()

    def reset(self, game: int) -> None:
        """Forgets a game: its next observation is the first of a new one."""
        self._memory.fresh[game] = True

    def __call__(
        self,
        raw: RawObservation,
        last_action: np.ndarray,
        out: Observation,
        games: np.ndarray | None = None,
    ) -> None:
        """Takes in one observation of each game and writes the policy's view of it to `out`.

        raw: NLE's arrays, one row per game; last_action: int64 [G], the action that led here, -1
        at the start; games: which games the rows belong to (distinct), all in order if None.
        """
        self.describe(self.look(raw, last_action, games), out)

    def describe(self, view: View, out: Observation) -> None:
        """Writes what the policy sees of a view to `out`."""
        rows = len(view.last_action)
        found = [function(view).reshape(rows, -1) for function in self._functions]
        active = np.concatenate(found, axis=1)[:, self._columns]
        out.active_bits[...] = np.packbits(active, axis=1)
        write_features(view.scene, view.memory, view.ways, view.last_action, out.features)
        out.crop[...] = _crop(view)
        out.action_mask[...] = allowed_actions(view)

    def look(
        self, raw: RawObservation, last_action: np.ndarray, games: np.ndarray | None = None
    ) -> View:
        """Takes in one observation of each game; returns what detectors and masks look at."""
        rows = slice(None) if games is None else games
        scene = Scene(raw, self._reader)
        memory, paths = self._memory[rows], self._paths[rows]
        memory.update(scene, last_action)
        ways = paths.update(scene, memory)
        if games is not None:  # index arrays gave copies
            self._memory[rows] = memory
            self._paths[rows] = paths
        return View(scene, memory, ways, last_action)


def check_conditions(hypergraph: Hypergraph) -> None:
    """Raises GroundingError if the hypergraph has conditions without a detector."""
    known = list(chain(*(d.descriptions for d in DETECTORS)))
    names = [condition.name for condition in hypergraph.conditions]
    missing = [name for name in names if name not in known]
    if missing:
        close = difflib.get_close_matches(missing[0], known, 1)
        raise GroundingError(
            f"hypergraph '{hypergraph.name}': no detector for {', '.join(missing)}"
            + (f" (did you mean {close[0]}?)" if close else "")
            + "; rename the condition or add a detector in tedg_fast/nethack/detectors"
        )


def _plan(hypergraph: Hypergraph) -> tuple[list[Function], np.ndarray]:
    """The detectors' functions that are needed, and each condition's column in their results."""
    names = [condition.name for condition in hypergraph.conditions]
    needed = [d for d in DETECTORS if any(name in d.descriptions for name in names)]
    columns = {name: i for i, name in enumerate(chain(*(d.descriptions for d in needed)))}
    return [d.function for d in needed], np.array([columns[name] for name in names])


def _crop(view: View) -> np.ndarray:
    """uint8 [G, CROP * CROP]: glyph classes around the player; remembered terrain where blank."""
    row, column = np.divmod(view.scene.position, WIDTH)
    rows = np.minimum(np.maximum(row[:, None] + _REACH, 0), ROWS + 1)
    columns = np.minimum(np.maximum(column[:, None] + _REACH, 0), WIDTH - 1)
    squares = (rows[:, :, None] * WIDTH + columns[:, None, :]).reshape(len(row), -1)
    shown = CLASS_OF_GLYPH[view.scene.glyphs[view.scene.rows_column, squares]]
    remembered = CLASS_OF_TERRAIN[view.memory.terrain[view.scene.rows_column, squares]]
    crop = np.where(shown == GlyphClass.BLANK, remembered, shown)
    crop[:, _CENTRE] = remembered[:, _CENTRE]
    return crop
