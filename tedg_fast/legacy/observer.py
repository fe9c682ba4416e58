"""V3's view of an observation: its 115 features and the active nodes of its hypergraph."""

from itertools import chain
from typing import NamedTuple

import numpy as np
from nle import nethack

from tedg_fast.legacy.atoms import (
    COLUMNS,
    DOORS,
    ITEMS,
    MONSTERS,
    PRE_ATOMS,
    ROWS,
    SCENE_ATOMS,
    WALLS,
    Atoms,
    count_glyphs,
    find_atoms,
)
from tedg_fast.legacy.errors import LegacyError
from tedg_fast.legacy.hypergraph import V3Hypergraph

NUM_FEATURES = 115
# Where each block of features begins; what no block writes is always 0.
_BELIEF, _PRE, _SCENE, _CONFIDENCE, _GOAL = 0, 50, 65, 98, 99

_PLACES = 10  # atoms are hashed to so many places
_BEST_RULES = 8
_ROW_SHAPES = {"glyphs": (ROWS, COLUMNS), "blstats": nethack.BLSTATS_SHAPE, "step": ()}


class Observed(NamedTuple):
    """``features`` float32 [B, 115], ``active`` bool [B, N]: the active nodes."""

    features: np.ndarray
    active: np.ndarray


class Observer:
    """Turns observations into V3's network inputs; holds the tables of one hypergraph."""

    def __init__(self, hypergraph: V3Hypergraph):
        self.num_nodes = hypergraph.num_nodes
        self._pre = _AtomBlock(
            PRE_ATOMS, hypergraph.pre_nodes, full=30,
            topics=(("hp",), ("hunger",), ("power",)), counts_distinct=True,
        )  # fmt: skip
        self._scene = _AtomBlock(
            SCENE_ATOMS, hypergraph.scene_atoms, full=40,
            topics=(("dlvl",), ("shop", "altar"), ("monster",), ("ac_poor",)),
            counts_distinct=False,
        )  # fmt: skip
        node = {
            label: number
            for number, (label, kind) in enumerate(zip(hypergraph.labels, hypergraph.node_type))
            if kind == 0
        }
        atoms = PRE_ATOMS + SCENE_ATOMS
        self._with_node = np.array([i for i, name in enumerate(atoms) if name in node], np.int64)
        self._node = np.array([node[atoms[i]] for i in self._with_node], np.int64)

    def __call__(self, glyphs: np.ndarray, blstats: np.ndarray, step: np.ndarray) -> Observed:
        """V3's inputs for B observations; any numbers in the arrays are accepted.

        ``glyphs`` [B, 21, 79], ``blstats`` [B, 27] and ``step`` [B] (steps played in the episode
        before this observation), all integers. Raises LegacyError for other shapes or dtypes.
        """
        _check(glyphs=glyphs, blstats=blstats, step=step)
        counts = count_glyphs(glyphs, blstats)
        atoms = find_atoms(blstats, counts)
        features = np.zeros((len(blstats), NUM_FEATURES), np.float32)
        _write_belief(features[:, _BELIEF:_PRE], blstats, counts, step)
        self._pre.write(features[:, _PRE:_SCENE], atoms.pre)
        self._scene.write(features[:, _SCENE:], atoms.scene)
        scores = 0.35 * self._pre.found(atoms.pre) + 0.35 * self._scene.found(atoms.scene)
        best = min(_BEST_RULES, scores.shape[1])
        features[:, _CONFIDENCE] = np.partition(scores, -best, axis=1)[:, -best:].mean(1)
        features[:, _GOAL] = 1
        active = np.zeros((len(blstats), self.num_nodes), bool)
        active[:, self._node] = np.concatenate(atoms, 1)[:, self._with_node]
        return Observed(features, active)

    def atoms(self, glyphs: np.ndarray, blstats: np.ndarray) -> Atoms:
        """Which of V3's atoms hold; arguments and errors as in a call."""
        _check(glyphs=glyphs, blstats=blstats)
        return find_atoms(blstats, count_glyphs(glyphs, blstats))


class _AtomBlock:
    """The features made from one list of atoms.

    First ten places, to which the i-th atom of an observation (from 0) adds 1 / (i + 1) at its
    index in the vocabulary (the rules' labels in order of first appearance) modulo 10, scaled to
    length 1; then the number of atoms over ``full``,
    distinct atoms over atoms (1, as V3 never lists one twice) where ``counts_distinct``, and for
    each topic the share of atoms whose name contains one of its words. All 0 without atoms.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        rules: tuple[tuple[str, ...], ...],
        *,
        full: int,
        topics: tuple[tuple[str, ...], ...],
        counts_distinct: bool,
    ):
        vocabulary = {label: i for i, label in enumerate(dict.fromkeys(chain(*rules)))}
        self._place = np.zeros((len(names), _PLACES))
        for i, name in enumerate(names):
            if name in vocabulary:
                self._place[i, vocabulary[name] % _PLACES] = 1
        self._topic = np.array(
            [[any(word in name for word in words) for words in topics] for name in names], float
        )
        self._in_rule = np.array([[name in rule for rule in map(set, rules)] for name in names])
        self._in_rule = self._in_rule.astype(float)
        self._full, self._counts_distinct = full, counts_distinct

    def write(self, out: np.ndarray, active: np.ndarray) -> None:
        """Fill the first columns of ``out`` for the atoms ``active`` bool [B, A]."""
        # At most 6 scene and 5 pre atoms hold at once, so that V3's limit of ten never acts.
        rank = np.cumsum(active, 1)
        places = (active / np.maximum(rank, 1)) @ self._place
        length = np.sqrt(np.square(places).sum(1, keepdims=True))
        out[:, :_PLACES] = places / np.where(length > 0, length, 1)
        count = active.sum(1)
        out[:, _PLACES] = count / self._full
        column = _PLACES + 1
        if self._counts_distinct:
            out[:, column] = count > 0
            column += 1
        shares = active @ self._topic / np.maximum(count, 1)[:, None]
        out[:, column : column + shares.shape[1]] = shares

    def found(self, active: np.ndarray) -> np.ndarray:
        """Share of an observation's atoms that each rule lists, float64 [B, rules]."""
        return active @ self._in_rule / np.maximum(active.sum(1, keepdims=True), 1)


def _write_belief(
    out: np.ndarray, blstats: np.ndarray, counts: np.ndarray, step: np.ndarray
) -> None:
    hp, hpmax = blstats[:, nethack.NLE_BL_HP], blstats[:, nethack.NLE_BL_HPMAX]
    hunger, gold = blstats[:, nethack.NLE_BL_HUNGER], blstats[:, nethack.NLE_BL_GOLD]
    out[:, 0] = out[:, 2] = 1
    out[:, 1] = hp > 0
    out[:, 3] = hp / np.maximum(hpmax, 1)
    out[:, 4] = hunger == 0
    out[:, 5] = gold == 0
    out[:, 6] = np.minimum(blstats[:, nethack.NLE_BL_DEPTH] / 10, 1)
    out[:, 7] = np.minimum(gold / 1000, 1)
    out[:, 8] = np.minimum(hunger / 1500, 1)
    out[:, 9] = np.minimum(step / 1000, 1)
    out[:, 10:15] = counts / 9
    out[:, 15:18] = counts[:, [MONSTERS, ITEMS, DOORS]] > 0
    out[:, 18] = counts[:, WALLS] >= 6
    out[:, 19] = counts[:, WALLS] <= 2


def _check(**arrays: np.ndarray) -> None:
    """LegacyError unless all are arrays of integers with the rows of the first of them."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
            kind = getattr(array, "dtype", type(array).__name__)
            raise LegacyError(f"{name} is of type {kind}; expected an array of integers")
    batch = next(iter(arrays.values())).shape[:1]
    for name, array in arrays.items():
        if array.shape != batch + _ROW_SHAPES[name]:
            expected = batch + _ROW_SHAPES[name]
            raise LegacyError(f"{name} has shape {array.shape}; expected {expected}")
