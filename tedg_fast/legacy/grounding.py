"""V3's observations for game workers: the call interface of ``tedg_fast.nethack.Grounder``."""

import numpy as np

from tedg_fast.legacy.errors import LegacyError
from tedg_fast.legacy.hypergraph import V3Hypergraph
from tedg_fast.legacy.observer import NUM_FEATURES, Observer
from tedg_fast.nethack.actions import PRAY
from tedg_fast.nethack.facts.grounder import MARGIN, NO_LIMIT, Decide
from tedg_fast.nethack.facts.observation import (
    CONTESTED,
    INSTANCE,
    OBJECT,
    Observation,
    ObservationSpec,
    RawObservation,
)


class V3ObservationSpec(ObservationSpec):
    """Rows of V3's observations; ``num_conditions`` counts all nodes of its hypergraph.

    ``active_bits``: packed active nodes; ``features``: the 115; ``action_mask``: all true, as V3's
    was, but for prayer; ``rule_action``: CONTESTED, as V3's rules carry out nothing; ``crop``: a
    single unused 0, and no instances and objects, since V3 had none.
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

    Its rules propose no actions, so a decision is asked for always: raises LegacyError for another
    ``decide``, and for ``prayer``, which V3's networks do not know. It has neither margin nor mask,
    and does not heed when games are cut off, whatever is given.

    Its only memory is the number of steps played in each game, one of V3's features: a game's
    first observation after ``reset`` is step 0, and each further one counts.
    """

    def __init__(
        self,
        hypergraph: V3Hypergraph,
        num_games: int,
        *,
        decide: Decide = "always",
        margin: float = MARGIN,
        use_mask: bool = True,
        prayer: bool = False,
        max_steps: int = NO_LIMIT,
    ):
        if prayer:
            raise LegacyError("V3's networks know no action to pray with: leave prayer out")
        if decide != "always":
            raise LegacyError(
                f"decide is {decide!r}; V3's rules carry out no actions: set it to 'always'"
            )
        self.spec = V3ObservationSpec(hypergraph.num_nodes)
        self._observer = Observer(hypergraph)
        self._step = np.zeros(num_games, np.int64)

    left_out = (0, 0)
    """V3's nodes are counted, not listed: nothing is beyond a limit."""
    rules = ()
    """None of V3's rules proposes an action."""

    def reset(self, game: int) -> None:
        """The game's next observation is the first of a new game."""
        self._step[game] = 0

    def end(self, game: int, last_action: int) -> None:
        """As ``Grounder.end``."""
        self._step[game] += 1

    def decided(self, game: int) -> np.ndarray:
        """As ``Grounder.decided``: every step was asked for, and decided by no rule."""
        return np.array([[0], [self._step[game] - 1]])

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
        out.action_mask[..., PRAY] = False
        out.rule_action[...] = CONTESTED

    def bind(
        self, raw: RawObservation, observation: Observation, last: Observation, shown: np.ndarray
    ) -> "V3Bound":
        """As ``Grounder.bind``."""
        return V3Bound(self, raw, observation, last, shown)


class V3Bound:
    """As ``tedg_fast.nethack.facts.grounder.Bound``."""

    def __init__(
        self,
        grounder: V3Grounder,
        raw: RawObservation,
        observation: Observation,
        last: Observation,
        shown: np.ndarray,
    ):
        self._grounder, self._raw = grounder, raw
        self._observation, self._last, self._shown = observation, last, shown
        self._seen = grounder.spec.empty(1)
        self._game = 0

    def take_in(self, game: int, last_action: int) -> int:
        one = slice(game, game + 1)
        self._grounder(self._raw[one], np.array([last_action]), self._seen, np.array([game]))
        self._game = game
        return CONTESTED

    def write(self) -> None:
        self._observation[self._game] = self._seen[0]

    def write_last(self) -> None:
        self._last[self._game] = self._seen[0]

    def write_shown(self) -> None:
        self._shown[self._game] = self._seen.active_bits[0]
