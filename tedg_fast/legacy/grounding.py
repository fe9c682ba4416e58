"""V3's observations for game workers: the call interface of ``tedg_fast.nethack.Grounder``."""

import numpy as np

from tedg_fast.legacy.hypergraph import V3Hypergraph
from tedg_fast.legacy.observer import NUM_FEATURES, Observer
from tedg_fast.nethack.facts.observation import (
    INSTANCE,
    OBJECT,
    Observation,
    ObservationSpec,
    RawObservation,
)


class V3ObservationSpec(ObservationSpec):
    """Rows of V3's observations; ``num_conditions`` counts all nodes of its hypergraph.

    ``active_bits``: packed active nodes; ``features``: the 115; ``action_mask``: all true, as V3's
    was; ``crop``: a single unused 0, and no instances and objects, since V3 had none.
    """

    def fields(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Name -> (shape of one row, dtype), in the order of Observation's fields."""
        return super().fields() | {
            "features": ((NUM_FEATURES,), np.dtype(np.float32)),
            "crop": ((1,), np.dtype(np.uint8)),
            "instances": ((0, INSTANCE.itemsize), np.dtype(np.uint8)),
            "objects": ((0, OBJECT.itemsize), np.dtype(np.uint8)),
        }


class V3Grounder:
    """Raw observations of a fixed group of games -> V3's Observation rows.

    Its only memory is the number of steps played in each game, one of V3's features: a game's
    first observation after ``reset`` is step 0, and each further one counts.
    """

    def __init__(self, hypergraph: V3Hypergraph, num_games: int):
        self.spec = V3ObservationSpec(hypergraph.num_nodes)
        self._observer = Observer(hypergraph)
        self._step = np.zeros(num_games, np.int64)

    left_out = (0, 0)
    """V3's nodes are counted, not listed: nothing is beyond a limit."""

    def reset(self, game: int) -> None:
        """The game's next observation is the first of a new game."""
        self._step[game] = 0

    def __call__(
        self,
        raw: RawObservation,
        last_action: np.ndarray,
        out: Observation,
        games: np.ndarray | None = None,
    ) -> None:
        """Write V3's view of one observation of each of ``games`` (all in order, if None).

        The rows of ``raw`` and ``out`` are those games'. ``last_action`` is not used: V3 did not
        see it.
        """
        rows = slice(None) if games is None else games
        observed = self._observer(raw.glyphs, raw.blstats, self._step[rows])
        self._step[rows] += 1
        out.features[...] = observed.features
        out.active_bits[...] = np.packbits(observed.active, axis=1)
        out.crop[...] = 0
        out.action_mask[...] = True
