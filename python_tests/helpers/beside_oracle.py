"""The compiled grounding and the oracle on the same observations: equal in every bit."""

from collections.abc import Sequence

import numpy as np
import pytest
from oracle import Look, Oracle

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import (
    NO_RULE,
    Observation,
    RawObservation,
    instances_of,
)

_COMPARED = ("features", "crop", "action_mask")


class Compared:
    """The compiled grounding of games, held against the oracle."""

    def __init__(self, graph: Hypergraph, games: int, prayer: bool = False):
        self.graph, self.native = graph, Grounder(graph, games, prayer=prayer)
        self.left_out = 0  # objects, as the oracle counts them
        self.out = self.native.spec.empty(1)

    def reset(self, game: int) -> None:
        self.native.reset(game)

    def check(self, raw: RawObservation, action: int, look: Look, game: int) -> None:
        """Grounds `raw` (one row) of a game; `look` is what the oracle said of it."""
        out = self.out
        for name in ("features", "crop", "objects"):
            getattr(out, name).view(np.uint8)[...] = 255  # whatever is there must be overwritten
        self.native(raw, np.array([action]), out, np.array([game]))
        facts = self.native.facts
        if facts != look.facts.objects:
            pytest.fail(f"game {game}: {_difference(facts, look.facts.objects)}")
        expected = {name: getattr(look, name)() for name in _COMPARED}
        expected["objects"], left_out = look.objects(self._bound())
        self.left_out += left_out
        for name, theirs in expected.items():
            ours = getattr(out, name)[0]
            if ours.dtype != theirs.dtype or ours.tobytes() != theirs.tobytes():
                place = tuple(np.argwhere(ours != theirs)[0])
                pytest.fail(f"game {game}: {name}{place} is {ours[place]}, "
                            f"the oracle says {theirs[place]}")  # fmt: skip
        assert self.native.left_out[0] == self.left_out

    def _bound(self) -> list[tuple[str, int]]:
        """Kind and place of what the instances are about, in their order."""
        rows = instances_of(self.out)[0]
        return [
            (kind, int(place))
            for row in rows[rows["rule"] != NO_RULE]
            for kind, place in zip(self.graph.operators[row["rule"]].variables, row["objects"])
        ]


def _difference(ours: dict, theirs: dict) -> str:
    """The first fact that differs, in words."""
    assert list(ours) == list(theirs)
    for kind, objects in ours.items():
        others = theirs[kind]
        if len(objects) != len(others):
            return f"there are {len(objects)} {kind}, the oracle says {len(others)}"
        for i, (one, other) in enumerate(zip(objects, others)):
            assert set(one) == set(other), f"{kind}: {set(one) ^ set(other)}"
            for name, value in one.items():
                if value != other[name]:
                    return f"{kind}[{i}].{name} is {value}, the oracle says {other[name]}"
    return "no difference"


class Both:
    """Grounds the same observations both ways and compares."""

    def __init__(self, graph: Hypergraph, games: int, prayer: bool = False):
        self.compared = Compared(graph, games, prayer)
        self.oracles = [Oracle(prayer) for _ in range(games)]

    @property
    def native(self) -> Grounder:
        return self.compared.native

    @property
    def out(self) -> Observation:
        """What the compiled grounding wrote of the game looked at last."""
        return self.compared.out

    def reset(self, game: int) -> None:
        self.compared.reset(game)
        self.oracles[game].reset()

    def __call__(
        self, raw: RawObservation, last_action: Sequence[int], games: Sequence[int] | None = None
    ) -> list[Look]:
        looks = []
        for row, game in enumerate(range(len(last_action)) if games is None else games):
            look = self.oracles[game].look(raw[row], int(last_action[row]))
            self.compared.check(raw[row : row + 1], int(last_action[row]), look, int(game))
            looks.append(look)
        return looks
