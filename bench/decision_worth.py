"""What a decision is worth: the rules' choice and another, each played on from the same state.

    python bench/decision_worth.py                  # 400 games, 3 decisions each, 6 futures each
    python bench/decision_worth.py --games 50 --margin 3 --record decision_worth_3

Games are played by the rules alone. Of each game some contested decisions are drawn evenly, and
for each one alternative: another candidate rule's action. The game is replayed to the decision,
NetHack's generators are seeded anew, one of the two actions is taken, and the rules play on to the
game's end. Both choices meet the same new seeds. The difference of the true scores, alternative
less rules, has a noise whose size its own repetitions tell; it is taken off the mean square.

With --record the tables are written to bench/results.
"""

import argparse
import collections
import multiprocessing
import time

import numpy as np
from record import cores, header, interval, table, write

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.grounder import MARGIN, Grounder
from tedg_fast.nethack.facts.observation import CONTESTED, NO_RULE, instances_of
from tedg_fast.nethack.games.episode import draws_of, episode_seeds
from tedg_fast.nethack.games.game import Game, empty_observations

HORIZONS = (100, 300)
"""Game steps after the decision at which the score is noted beside the final one."""


class Branches:
    """Plays games by a rule file, and decisions of them again, in one process."""

    def __init__(self, path: str | None, margin: float, steps: int, character: str):
        self.rules, self.margin, self.steps = load_hypergraph(path), margin, steps
        grounder = Grounder(self.rules, 1, margin=margin, max_steps=steps)
        raw = empty_observations(1)
        self.observation, last = grounder.spec.empty(1), grounder.spec.empty(1)
        self.bound = grounder.bind(raw, self.observation, last, np.zeros_like(last.active_bits))
        self.grounder = grounder
        self.game = Game(raw[0], max_steps=steps, character=character)

    def begin(self, seed: int, number: int, actions: list[int]) -> int:
        """Replay a game's first actions → what ``take_in`` says of the state they lead to."""
        self.game.start(*episode_seeds(seed, number))
        self.grounder.reset(0)
        told = self.bound.take_in(0, -1)
        for action in actions:
            self.game.step(action)
            told = self.bound.take_in(0, action)
        return told

    def by_the_rules(self, told: int, draw: float) -> int:
        """The action of the rules alone in the state that was taken in last."""
        if told != CONTESTED:
            return told
        self.bound.write()
        return int(self.grounder.choose(self.observation, np.array([draw]))[0][0])

    def options(self, draw: float) -> tuple[tuple[int, int], list[tuple[int, int]]]:
        """The rules' own (rule, action) in the state written last, and those of the other candidate
        rules: of each its first instance that would do something else."""
        chosen = self.grounder.choose(self.observation, np.array([draw]))
        action, winner = (int(part[0]) for part in chosen)
        allowed = self.observation.action_mask[0]
        best, own, others = None, (-1, action), {}
        for place, (rule, _, actions) in enumerate(instances_of(self.observation)[0].tolist()):
            if rule == NO_RULE:
                break
            priority = self.rules.operator_priority[rule]
            possible = [a for a in actions if a < len(allowed) and allowed[a]]
            if not possible:
                continue
            best = priority if best is None else best
            if priority < best - self.margin:
                break
            if place == winner:
                own = rule, action
            elif possible[0] != action:
                others.setdefault(rule, possible[0])
        return own, list(others.items())

    def decisions(self, seed: int, number: int) -> tuple[list[int], list[tuple]]:
        """A game by the rules: its actions, and of every decision with an alternative (step, the
        rules' option, the others)."""
        draws = draws_of(seed, number, self.steps)
        told, actions, found = self.begin(seed, number, []), [], []
        while not (self.game.terminated or self.game.truncated):
            step = len(actions)
            action = self.by_the_rules(told, draws[step])
            if told == CONTESTED:
                own, others = self.options(draws[step])
                if others:
                    found.append((step, own, others))
            self.game.step(action)
            actions.append(action)
            told = self.bound.take_in(0, action)
        return actions, found

    def future(
        self, seed: int, number: int, before: list[int], action: int, core: int
    ) -> list[int]:
        """True scores after ``HORIZONS`` steps and at the end of the game, where ``action`` is
        taken after the actions ``before``, and chance begins anew from ``core``."""
        self.begin(seed, number, before)
        self.game._nethack.set_current_seeds(core, core + 1, False)
        game, draws = self.game, draws_of(core, 0, self.steps)
        marks = [len(before) + horizon for horizon in HORIZONS]
        scores = []
        while True:
            game.step(action)
            while len(scores) < len(marks) and game.length >= marks[len(scores)]:
                scores.append(game.true_score)
            if game.terminated or game.truncated:
                return scores + [game.true_score] * (len(marks) + 1 - len(scores))
            action = self.by_the_rules(self.bound.take_in(0, action), draws[game.length])

    def play(self, seed: int, number: int, decisions: int, futures: int) -> list[dict]:
        """Some decisions of one game, with the futures of both choices."""
        random = np.random.default_rng([seed, number, 2])
        actions, found = self.decisions(seed, number)
        chosen = random.permutation(len(found))[:decisions]
        results = []
        for step, own, others in (found[place] for place in sorted(chosen)):
            other = others[random.integers(len(others))]
            cores = [int(core) for core in random.integers(2**62, size=futures)]
            scores = [
                [self.future(seed, number, actions[:step], action, core) for core in cores]
                for _, action in (own, other)
            ]
            results.append(
                {"game": number, "step": step, "rules": own[0], "other": other[0],
                 "of": len(found), "scores": scores}
            )  # fmt: skip
        return results


_branches: Branches


def _begin(*arguments) -> None:
    global _branches
    _branches = Branches(*arguments)


def _play(job: tuple) -> list[dict]:
    return _branches.play(*job)


def spread(differences: np.ndarray) -> tuple[float, float]:
    """Of differences [S, R], R futures of each of S decisions: the mean square of what a decision
    is truly worth (without the futures' noise; it may come out below 0), and its standard error."""
    noise = differences.var(1, ddof=1) / differences.shape[1]
    square = differences.mean(1) ** 2 - noise
    return square.mean(), square.std(ddof=1) / len(square) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", help="rule file; the packaged one if not given")
    parser.add_argument("--games", type=int, default=400)
    parser.add_argument("--decisions", type=int, default=3, help="of each game")
    parser.add_argument("--futures", type=int, default=6, help="of each choice")
    parser.add_argument("--margin", type=float, default=MARGIN)
    parser.add_argument("--seed", type=int, default=301)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--character", default="mon-hum-neu-mal")
    parser.add_argument("--workers", type=int, default=len(cores()))
    parser.add_argument("--record", metavar="NAME", help="write bench/results/NAME.md and .json")
    options = parser.parse_args()
    setup = options.rules, options.margin, options.steps, options.character
    jobs = [
        (options.seed, number, options.decisions, options.futures)
        for number in range(options.games)
    ]
    begun = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.workers, _begin, setup) as pool:
        played = [one for game in pool.imap(_play, jobs, chunksize=1) for one in game]
    seconds = time.perf_counter() - begun
    scores = np.array([one["scores"] for one in played], float)  # [S, 2, R, horizons + 1]
    differences = scores[:, 1] - scores[:, 0]
    what = (
        f"- seed {options.seed}, {options.games} games of {options.character}, margin "
        f"{options.margin:g}; {len(played)} decisions, {options.futures} futures of each choice, "
        f"{seconds / 60:.0f} minutes with {options.workers} workers"
    )
    lines = ["# What a decision is worth", "", *header(("numpy", "nle")), what, ""]
    rows = []
    for place, horizon in enumerate((*HORIZONS, "the game's end")):
        at = differences[..., place]
        square, error = spread(at)
        rows.append(
            (horizon, interval(at.mean(1)), f"{max(square, 0) ** 0.5:.0f}",
             f"{square:,.0f} ± {1.96 * error:,.0f}", f"{at.std(1, ddof=1).mean():.0f}")
        )  # fmt: skip
    titles = ("score after", "alternative less rules, mean", "root mean square worth",
              "mean square", "deviation of one difference")  # fmt: skip
    lines += [*table(titles, rows), "", "## By the two rules", ""]
    names = [operator.name for operator in load_hypergraph(options.rules).operators] + ["–"]
    kinds = collections.defaultdict(list)
    for one, difference in zip(played, differences):
        kinds[names[one["rules"]], names[one["other"]]].append(difference.mean(0))
    rows = [
        (*kind, len(values), *(interval(column, 0) for column in np.array(values).T))
        for kind, values in sorted(kinds.items(), key=lambda item: -len(item[1]))
        if len(values) >= 10
    ]
    titles = ("rules' choice", "alternative", "decisions",
              *(f"after {h}" for h in HORIZONS), "at the end")  # fmt: skip
    lines += table(titles, rows)
    if options.record:
        write(options.record, lines, {"options": vars(options), "decisions": played})
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
