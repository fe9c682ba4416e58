"""Instances of rules as observations carry them, made by hand or at random."""

from collections.abc import Sequence

import numpy as np

from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.nethack.facts.observation import INSTANCE, INSTANCES, NO_RULE, NOTHING

NO_OBJECTS = NOTHING
"""What every byte of an observation's objects may be where there are none."""


def instances(states: Sequence[Sequence[tuple[int, Sequence[int]]]]) -> np.ndarray:
    """For each state its instances as (rule, actions) -> uint8 [B, INSTANCES, 8]."""
    table = np.zeros((len(states), INSTANCES), INSTANCE)
    table["rule"], table["objects"], table["actions"] = NO_RULE, NOTHING, NOTHING
    for row, state in zip(table, states, strict=True):
        for place, (rule, actions) in zip(row, state):
            place["rule"], place["actions"][: len(actions)] = rule, actions
    return table.view(np.uint8).reshape(len(states), INSTANCES, INSTANCE.itemsize)


def random_state(rng: np.random.Generator, rules: Sequence[int]) -> list[tuple[int, list[int]]]:
    """One to three instances of each of these rules, each with one to four actions; in the order of
    the rules, and no more than fit."""
    return [
        (int(rule), rng.choice(len(ACTIONS), rng.integers(1, 5), replace=False).tolist())
        for rule in rules for _ in range(rng.integers(1, 4))
    ][:INSTANCES]  # fmt: skip


def random_active(
    rng: np.random.Generator, hypergraph: Hypergraph, batch: int, fair: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Packed conditions [B, ceil(C / 8)] and instances [B, I, 8] of so many states, from nothing
    that holds to all. Of the rules all of whose conditions hold (of all rules, where not `fair`) a
    part applies."""
    holds = rng.random((batch, hypergraph.num_conditions)) < rng.random((batch, 1))
    needed = hypergraph.operator_conditions
    met = (needed[None] <= holds[:, None]).all(2) if fair else np.ones((batch, len(needed)), bool)
    applies = met & (rng.random(met.shape) < rng.random((batch, 1)))
    states = [random_state(rng, np.flatnonzero(row)) for row in applies]
    return np.packbits(holds, axis=1), instances(states)
