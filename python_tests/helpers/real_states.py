"""Observations of real games that the rules play, busy ones first."""

from dataclasses import fields
from functools import cache

import numpy as np

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.observation import (
    NO_RULE,
    NOTHING,
    Observation,
    instances_of,
    objects_of,
)
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.rules.game import GroundedGame

HYPERGRAPH = load_hypergraph()


@cache
def _recorded() -> Observation:
    rows, rng = [], np.random.default_rng(0)
    for number in range(4):
        game = GroundedGame(HYPERGRAPH, 5, number, 500, "mon-hum-neu-mal", use_mask=True)
        while not game.over:
            rows.append(game.observation.copy())
            game.step(int(game.grounder.choose(game.observation, rng.random(1))[0][0]))
        game.close()
    together = Observation(
        *(np.concatenate([getattr(row, f.name) for row in rows]) for f in fields(rows[0]))
    )
    busy = (instances_of(together)["rule"] != NO_RULE).sum(1)
    busy += (objects_of(together)["kind"] != NOTHING).sum(1)
    return together[np.argsort(-busy, kind="stable")]


def real_states(count: int) -> Observation:
    """A copy of so many, the first half the busiest, the others spread over the rest."""
    every = _recorded()
    spread = np.linspace(count // 2, len(every.crop) - 1, count - count // 2).astype(int)
    return every[np.concatenate([np.arange(count // 2), spread])].copy()


def attack_state() -> tuple[Observation, int, int]:
    """One in which a single monster is next to the player, alone in sight, and a rule is about it;
    the places of an instance and of the monster."""
    every, kinds = _recorded(), vocabulary().kind
    monster = kinds["monster"]
    for row in range(len(every.crop)):
        observation = every[row : row + 1]
        objects = objects_of(observation)[0]
        places = np.flatnonzero(objects["kind"] == monster.number)
        if len(places) != 1:
            continue
        if objects["facts"][places[0], monster.attribute["adjacent"].number] == 0:
            continue
        for place, instance in enumerate(instances_of(observation)[0]):
            if instance["rule"] == NO_RULE:
                break
            if HYPERGRAPH.operators[instance["rule"]].variables[:1] == ("monster",):
                return observation.copy(), place, int(places[0])
    raise AssertionError("no monster was fought in the recorded games")
