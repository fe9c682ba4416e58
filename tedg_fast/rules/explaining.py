"""What ``tedg-rules explain`` tells of one moment of a game that the rules play alone."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tedg_fast.hypergraph import Hypergraph, HypergraphError
from tedg_fast.rules.game import GroundedGame
from tedg_fast.rules.situation import Situation
from tedg_fast.rules.telling import (
    MOST_MISSES,
    applied_lines,
    known_lines,
    map_lines,
    miss_lines,
    played_lines,
    rule_lines,
)

_REVERSED = ("\x1b[7m", "\x1b[0m")


@dataclass(frozen=True)
class Moment:
    """After `step` steps of game `number` under `seed`."""

    seed: int
    number: int
    step: int
    character: str


def explained(
    rules: Hypergraph, moment: Moment, rule: str | None = None, all_misses: bool = False
) -> Iterator[str]:
    """The lines to print; only about one `rule` if it is named. Raises HypergraphError where the
    game ends before."""
    game = GroundedGame(rules, moment.seed, moment.number, moment.step + 1, moment.character)
    try:
        _play(game, moment.step)
        situation = Situation(rules, game.grounder, game.observation)
        choice = situation.choice(np.array([game.draw]))
        chars, _, cursor = game.screen()
        yield (
            f"Step {moment.step} of game {moment.number} of seed {moment.seed}"
            f" ({moment.character}), score {game.game.true_score}"
        )
        yield ""
        yield from map_lines(chars, cursor, _REVERSED if sys.stdout.isatty() else ("", ""))
        yield ""
        yield from known_lines(situation)
        yield ""
        if rule is not None:
            number = [operator.name for operator in rules.operators].index(rule)
            yield from rule_lines(situation, number, choice)
            return
        yield from played_lines(situation, choice)
        yield ""
        yield from applied_lines(situation, choice)
        yield ""
        yield from miss_lines(situation, len(rules.operators) if all_misses else MOST_MISSES)
    finally:
        game.close()


def _play(game: GroundedGame, steps: int) -> None:
    """Plays by the rules alone."""
    for step in range(steps):
        actions, _ = game.grounder.choose(game.observation, np.array([game.draw]))
        game.step(int(actions[0]))
        if game.over:
            killer = f" by {game.game.killer}" if game.game.killer else ""
            raise HypergraphError(
                f"the game ends at step {step + 1} ({game.game.ending}{killer}); give --step"
                f" {step} or less"
            )
