"""The same states with the map turned or mirrored, and everything listed in another order."""

import numpy as np
import torch
from real_states import HYPERGRAPH
from torch import Tensor

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.facts.observation import (
    NO_RULE,
    NOTHING,
    Observation,
    instances_of,
    objects_of,
)
from tedg_fast.nethack.facts.vocabulary import vocabulary

# East and south of the eight directions in their order.
_STEPS = np.array([(0, -1), (1, 0), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1)])
_TURNS = [
    np.array(turn) @ np.array(mirror)
    for turn in ([[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]])
    for mirror in ([[1, 0], [0, 1]], [[-1, 0], [0, 1]])
]


def turned(observation: Observation, number: int) -> tuple[Observation, Tensor, Tensor]:
    """By turn ``number`` of the eight, shuffled: the new states; for each instance that there is in
    them, all states' together, its place in the old ones; the action [A] that each becomes."""
    rng, turn = np.random.default_rng(number), _TURNS[number]
    other = observation.copy()
    way = [int(np.flatnonzero((_STEPS == turn @ step).all(1))[0]) for step in _STEPS]
    action = np.arange(len(ACTIONS))
    action[1:9], action[9:17] = 1 + np.array(way), 9 + np.array(way)
    direction = vocabulary().kind["direction"]

    objects = objects_of(other)
    for row in objects.reshape(-1):
        if row["kind"] == NOTHING:
            continue
        kind = vocabulary().kinds[row["kind"]]
        if kind is direction:
            row["place"] = row["facts"][kind.attribute["name"].number] = way[row["place"]]
        elif "east" in kind.attribute:
            where = [kind.attribute[name].number for name in ("east", "south")]
            row["facts"][where] = turn @ row["facts"][where]
    for row in objects:
        count = int((row["kind"] != NOTHING).sum())
        row[:count] = row[rng.permutation(count)]

    order, before = [], 0
    for row in instances_of(other):
        count = int((row["rule"] != NO_RULE).sum())
        for instance in row[:count]:
            kinds = HYPERGRAPH.operators[instance["rule"]].variables
            for variable, kind in enumerate(kinds):
                if kind == "direction":
                    instance["objects"][variable] = way[instance["objects"][variable]]
            known = instance["actions"] != NOTHING
            instance["actions"][known] = action[instance["actions"][known]]
        shuffled = rng.permutation(count)
        row[:count] = row[shuffled]
        order += (before + shuffled).tolist()
        before += count

    other.features[:, :2] = rng.random((len(other.crop), 2))  # coordinates
    other.features[:, -len(ACTIONS) :] = np.eye(len(ACTIONS))[
        rng.integers(0, len(ACTIONS), len(other.crop))
    ]
    other.action_mask[:, action] = observation.action_mask
    return other, torch.tensor(order), torch.from_numpy(action)
