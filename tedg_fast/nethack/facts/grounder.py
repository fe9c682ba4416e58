"""Grounding: NLE's observations → facts → rules that apply, and the policy's other inputs.

It also tells where a decision is asked for. Candidates are the rule instances that propose an
allowed action and whose priority is at most `margin` below the highest of such. A state is
*contested* where the candidates' allowed actions are more than one, where their rules belong to
more than one expert, where a candidate's rule says `decide = true`, and where no candidate is. A
decision is also asked for as a game begins, and at the latest 512 states after the last. Elsewhere
the candidates' one action can be carried out without asking anyone.

The work is done in C++ (csrc/nethack/). All tables that come from NLE are computed here in Python
and handed over, so that there is one of each.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from nle import nethack

from tedg_fast.hypergraph.schema import EXPERTS, Hypergraph
from tedg_fast.nethack.actions import KEYS, PRAY
from tedg_fast.nethack.facts.features import LOG_TABLE, LOGS, SCALED
from tedg_fast.nethack.facts.glyphs import CLASS_OF_GLYPH, CLASS_OF_TERRAIN, PROPERTIES_OF_GLYPH
from tedg_fast.nethack.facts.observation import Observation, ObservationSpec, RawObservation
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary

try:
    from tedg_fast.nethack._native_grounding import Bound as _NativeBound
    from tedg_fast.nethack._native_grounding import Grounder as _Native
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled grounding is not built (_native_grounding is missing in tedg_fast.nethack): "
        "run 'pip install -e .' in the repository"
    ) from error


Decide = Literal["contested", "always"]
MARGIN = 1.5
NO_LIMIT = 1_000_000_000
BY_NO_RULE = "no rule"
"""What decided where no rule proposed what was played."""


class Bound(Protocol):
    """A grounder bound to arrays whose rows are its games, for playing one game at a time."""

    def take_in(self, game: int, last_action: int) -> int:
        """Takes in the observation in the game's raw row, which `last_action` led to (-1: none, the
        game begins). Returns the action that the rules carry out by themselves, or CONTESTED where
        a decision is asked for."""

    def write(self) -> None:
        """Writes the policy's view of what was taken in last to the game's row of `observation`."""

    def write_last(self) -> None:
        """Writes it to the game's row of `last` instead."""

    def write_shown(self) -> None:
        """Writes its `active_bits` alone to the game's row of `shown`."""


class Grounder:
    """Observations of a fixed group of games -> Observation rows.

    What has been seen of each game is remembered (csrc/nethack/memory.h), so observations must
    come in order, and `reset` must be called when a game begins. A game's rows depend on its own
    observations and actions only. A call holds no lock of the interpreter while it works, and
    allocates nothing but for levels that are new. One instance must not be called by two threads
    at once.

    `decide` says where a decision is asked for: where it is "contested" (above), with a `margin`
    in nats of priority, at least 0, or "always". Without `use_mask` every action of the task is
    allowed; with `prayer` these include the last one, to pray. Games are cut off after `max_steps`,
    about which rules may ask. Raises ValueError for other settings. `rules` are the rules' names,
    in the order of their numbers.
    """

    def __init__(
        self,
        hypergraph: Hypergraph,
        num_games: int,
        *,
        decide: Decide = "contested",
        margin: float = MARGIN,
        use_mask: bool = True,
        prayer: bool = False,
        max_steps: int = NO_LIMIT,
    ):
        if decide not in get_args(Decide):
            known = " or ".join(map(repr, get_args(Decide)))
            raise ValueError(f"decide must be {known}, not {decide!r}")
        if not margin >= 0:
            raise ValueError(f"margin must be a number of at least 0, not {margin}")
        self.spec = ObservationSpec(hypergraph.num_conditions)
        self.rules = tuple(operator.name for operator in hypergraph.operators)
        tables = monster_tables()
        conditions, rules = _compiled(hypergraph)
        self._native = _Native(
            num_games=num_games,
            properties=PROPERTIES_OF_GLYPH,
            classes=CLASS_OF_GLYPH,
            class_of_terrain=CLASS_OF_TERRAIN.tobytes(),
            stone=nethack.GLYPH_CMAP_OFF,
            keys=KEYS if prayer else KEYS[:PRAY] + b"\0",
            max_steps=max_steps,
            scaled=SCALED,
            log_columns=LOGS,
            logs=LOG_TABLE,
            subject=tables.subject,
            class_of_object=tables.class_of_object,
            monsters=tables.values,
            role_of_monster=tables.role,
            speed_of_role=tables.speed_of_role,
            poison_proof_from=tables.poison_proof_from,
            constants=hypergraph.constants,
            conditions=conditions,
            rules=rules,
            always=decide == "always",
            margin=margin,
            masks=use_mask,
        )

    def reset(self, game: int) -> None:
        """Forgets a game: its next observation is the first of a new one.

        Raises IndexError where there is no such game.
        """
        self._native.reset(game)

    def end(self, game: int, last_action: int) -> None:
        """Counts an action that ended a game, after which there is no observation to take in.

        Raises IndexError where there is no such game.
        """
        self._native.end(game, last_action)

    def decided(self, game: int) -> np.ndarray:
        """How many steps of a game each rule has decided since it began: int64 [2, rules + 1].

        A step counts for the strongest rule of which an instance proposed the action that was
        played, the first of equals, in the last column where none did. The first row has the steps
        that the rules carried out by themselves, the second those that were decided by whoever was
        asked. An action counts with the observation that it led to, or by `end`. Raises IndexError
        where there is no such game.
        """
        return self._native.decided(game)

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
        self._native.ground(raw, last_action, out, games)

    def bind(
        self, raw: RawObservation, observation: Observation, last: Observation, shown: np.ndarray
    ) -> Bound:
        """For playing one game at a time: it is read from `raw` and written to the others, of which
        each has a row for every game; `shown` is uint8 [G, ceil(C / 8)].

        Raises ValueError for arrays of other shapes or dtypes.
        """
        return _NativeBound(self._native, raw, observation, last, shown)

    def choose(self, observation: Observation, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the rules alone would do, for observations with one leading dimension [B].

        The highest priority of what applies decides; `draws` float64 [B] in [0, 1) decide among
        equals. Returns actions and, for each, the place of its instance (-1: no rule says
        anything allowed, and the draw chooses among all allowed actions), int64 [B] each.
        """
        return self._native.choose(observation.instances, observation.action_mask, draws)

    @property
    def facts(self) -> dict[str, list[dict[str, float]]]:
        """The facts of the observation that was grounded last: kind -> its objects, nearest first.

        A truth is 0 or 1, a word its place among the attribute's words.
        """
        return self._native.facts()

    def holds(self, condition: int, objects: tuple[int, ...]) -> bool:
        """Whether a condition held of the objects with these places among those of their kinds, in
        the observation that was grounded last. Raises IndexError where there is no such thing."""
        return self._native.holds(condition, (*objects, 0, 0)[:2])

    def value(
        self,
        code: np.ndarray,
        constants: np.ndarray,
        kinds: tuple[str, ...],
        objects: tuple[int, ...],
    ) -> float:
        """What an expression's program (int32 [n, 4], float64 constants) gives for the objects of
        these kinds with these places, in the observation that was grounded last.

        Raises ValueError for a program that does not fit the kinds.
        """
        numbers = tuple(vocabulary().kind[kind].number for kind in kinds)
        return self._native.value(code, constants, _pair(numbers), _pair(objects))

    @property
    def left_out(self) -> tuple[int, int]:
        """Objects beyond their kind's limit and rule instances beyond an observation's, summed over
        all observations so far."""
        return self._native.left_out


def by_rule(rules: Sequence[str], decided: np.ndarray) -> dict[str, tuple[int, int]]:
    """`Grounder.decided` by the names of the rules that decided a step at all: the steps that each
    carried out by itself, and the decisions that went to it."""
    named = zip((*rules, BY_NO_RULE), decided.T.tolist(), strict=True)
    return {name: (alone, asked) for name, (alone, asked) in named if alone or asked}


def _compiled(hypergraph: Hypergraph) -> tuple[list, list]:
    """Conditions and rules as csrc/nethack/module.cpp takes them."""
    number = {name: kind.number for name, kind in vocabulary().kind.items()}

    conditions = [
        (condition.code, _pair(tuple(number[kind] for kind in condition.kinds)))
        for condition in hypergraph.conditions
    ]
    rules = [
        (
            operator.priority or 0.0,
            _pair(tuple(number[kind] for kind in operator.variables)),
            [(use.condition, _pair(use.variables)) for use in operator.conditions],
            [(int(do.kind), do.variable, do.action) for do in operator.actions],
            EXPERTS.index(operator.expert),
            operator.decide,
        )
        for operator in hypergraph.operators
    ]
    return conditions, rules


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    first, second, *_ = (*values, -1, -1)
    return first, second
