"""Grounding in C++ (csrc/nethack/): the same rows as Grounder's, bit for bit, many times faster.

`Grounder` remains the definition, and what tests hold this one against. All tables are computed
here in Python and handed over, so that there is one of each.
"""

import numpy as np
from nle import nethack

from tedg_fast.hypergraph.schema import Hypergraph
from tedg_fast.nethack.actions import KEYS
from tedg_fast.nethack.facts.features import LOG_TABLE, LOGS, SCALED
from tedg_fast.nethack.facts.glyphs import CLASS_OF_GLYPH, CLASS_OF_TERRAIN, PROPERTIES_OF_GLYPH
from tedg_fast.nethack.grounding import RawObservation, check_conditions
from tedg_fast.nethack.facts.observation import Observation, ObservationSpec

try:
    from tedg_fast.nethack._native_grounding import Grounder as _Native
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled grounding is not built (_native_grounding is missing in tedg_fast.nethack): "
        "run 'pip install -e .' in the repository"
    ) from error


class NativeGrounder:
    """What `Grounder` is, compiled: observations of a fixed group of games -> Observation rows.

    A call holds no lock of the interpreter while it works, and allocates nothing for the games.
    One instance must not be called by two threads at once.
    """

    def __init__(self, hypergraph: Hypergraph, num_games: int):
        """Raises GroundingError if the hypergraph has conditions without a detector."""
        check_conditions(hypergraph)
        self.spec = ObservationSpec(hypergraph.num_conditions)
        self._native = _Native(
            num_games=num_games,
            properties=PROPERTIES_OF_GLYPH,
            classes=CLASS_OF_GLYPH,
            class_of_terrain=CLASS_OF_TERRAIN.tobytes(),
            stone=nethack.GLYPH_CMAP_OFF,
            keys=KEYS,
            scaled=SCALED,
            log_columns=LOGS,
            logs=LOG_TABLE,
            conditions=[condition.name for condition in hypergraph.conditions],
        )

    def reset(self, game: int) -> None:
        """Forgets a game: its next observation is the first of a new one.

        Raises IndexError where there is no such game.
        """
        self._native.reset(game)

    def __call__(
        self,
        raw: RawObservation,
        last_action: np.ndarray,
        out: Observation,
        games: np.ndarray | None = None,
    ) -> None:
        """Takes in one observation of each game and writes the policy's view of it to `out`.

        raw: NLE's arrays, one row per game; last_action: int64 [G], the action that led here, -1
        at the start; games: int64, which games the rows belong to, all in order if None. Arrays
        may be views of every other row or the like, but rows must be dense. Raises ValueError for
        arrays of other shapes or dtypes, IndexError for games that there are not.
        """
        self._native.ground(
            raw.glyphs, raw.blstats, raw.message, raw.misc, last_action,
            out.active_bits, out.features, out.crop, out.action_mask, games,
        )  # fmt: skip
