"""What ``tedg-rules explain`` tells of one moment of a game that the rules play alone."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tedg_fast.hypergraph import Hypergraph, HypergraphError
from tedg_fast.nethack.facts.observation import instances_of
from tedg_fast.rules.game import GroundedGame
from tedg_fast.rules.situation import Situation
from tedg_fast.rules.telling import (
    MOST_MISSES,
    applied_lines,
    known_lines,
    left_out_lines,
    map_lines,
    miss_lines,
    played_lines,
    rule_lines,
)

_REVERSED = ("\x1b[7m", "\x1b[0m")
_MOST_GAMES = 20  # that are searched for a moment at which a rule decides


@dataclass(frozen=True)
class Moment:
    """After `step` steps of game `number` under `seed`, which is cut off after `max_steps`."""

    seed: int
    number: int
    step: int
    character: str
    prayer: bool
    max_steps: int


def explained(
    rules: Hypergraph,
    moment: Moment,
    rule: str | None = None,
    until: str | None = None,
    all_misses: bool = False,
) -> Iterator[str]:
    """The lines to print; only about one `rule` if it is named. With `until` the moment is the
    first one from there on at which that rule decides. Raises HypergraphError where the game ends
    before, or where no such moment is found."""
    names = [operator.name for operator in rules.operators]
    if until is not None:
        moment = _found(rules, moment, names.index(until))
    game = _game(rules, moment, moment.number)
    try:
        if not _play(game, moment.step):
            raise HypergraphError(
                f"the game ends at step {game.game.length} ({_ending(game)}); give --step"
                f" {game.game.length - 1} or less"
            )
        yield (
            f"Step {moment.step} of game {moment.number} of seed {moment.seed}"
            f" ({moment.character}), score {game.game.true_score}"
        )
        situation = Situation(rules, game.grounder, game.observation)
        number = None if rule is None else names.index(rule)
        yield from _told(game, situation, number, all_misses)
    finally:
        game.close()


def _game(rules: Hypergraph, moment: Moment, number: int) -> GroundedGame:
    return GroundedGame(
        rules, moment.seed, number, moment.max_steps, moment.character, prayer=moment.prayer
    )


def _told(
    game: GroundedGame, situation: Situation, rule: int | None, all_misses: bool
) -> Iterator[str]:
    choice = situation.choice(np.array([game.draw]))
    chars, _, cursor = game.screen()
    most = len(situation.rules.operators) if all_misses else MOST_MISSES
    parts: list[Iterable[str]] = [
        map_lines(chars, cursor, _REVERSED if sys.stdout.isatty() else ("", "")),
        known_lines(situation),
    ]
    if rule is not None:
        parts.append(rule_lines(situation, rule, choice))
    else:
        parts += [
            played_lines(situation, choice),
            [*applied_lines(situation, choice), *left_out_lines(*game.left_out)],
            miss_lines(situation, most),
        ]
    for lines in parts:
        yield ""
        yield from lines


def _play(game: GroundedGame, steps: int) -> bool:
    """Plays by the rules alone; False if the game ends before."""
    while game.game.length < steps:
        actions, _ = game.grounder.choose(game.observation, np.array([game.draw]))
        game.step(int(actions[0]))
        if game.over:
            return False
    return True


def _found(rules: Hypergraph, moment: Moment, rule: int) -> Moment:
    """The first moment from the given one on, in this game or a later one, at which `rule`
    decides."""
    step = moment.step
    for number in range(moment.number, moment.number + _MOST_GAMES):
        game = _game(rules, moment, number)
        try:
            _play(game, step)
            while not game.over:
                actions, winners = game.grounder.choose(game.observation, np.array([game.draw]))
                winner = int(winners[0])
                if winner >= 0 and instances_of(game.observation)["rule"][0, winner] == rule:
                    return replace(moment, number=number, step=game.game.length)
                game.step(int(actions[0]))
        finally:
            game.close()
        step = 0
    raise HypergraphError(
        f"rule '{rules.operators[rule].name}' decides at no step of {_MOST_GAMES} games of seed"
        f" {moment.seed}; look at a moment where it should, with --rule"
    )


def _ending(game: GroundedGame) -> str:
    killer = game.game.killer
    return f"{game.game.ending} by {killer}" if killer else game.game.ending
