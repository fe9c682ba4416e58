"""Games played by the rules alone: scores at several lengths, causes of death, each rule's share.

    python bench/rules_alone.py --games 2000 --seeds 101 102 103
    python bench/rules_alone.py --rules my.toml --games 200 --steps 2000

Every game is played once, to the largest of --steps; what it had reached at the shorter lengths is
noted on the way. Games of the same seed are the same for every rule file. `--json FILE` keeps every
game; `--out FILE` writes the Markdown table.
"""

import argparse
import collections
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np

from tedg_fast.hypergraph import HypergraphError, load_hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS, RawObservation, instances_of
from tedg_fast.nethack.games.episode import episode_seeds


class RuleGames:
    """Plays games by one rule file, in one process."""

    def __init__(self, path: str | None, steps: tuple[int, ...], character: str):
        from nle import nethack

        from tedg_fast.nethack.games.game import Game

        self.rules = load_hypergraph(path)
        self.steps = sorted(steps)
        self.grounder = Grounder(self.rules, 1)
        arrays = {}
        for key in OBSERVATION_KEYS:
            shape, dtype = nethack.OBSERVATION_DESC[key].values()
            arrays[key] = np.zeros((1, *shape), dtype)
        self.raw = RawObservation(**arrays)
        self.blstats = self.raw.blstats[0]
        self.game = Game(self.raw[0], max_steps=self.steps[-1], character=character)
        self.observation = self.grounder.spec.empty(1)

    def play(self, seed: int, number: int) -> dict:
        """One game: what it had reached after each number of steps, and how it ended."""
        from nle import nethack

        game, grounder = self.game, self.grounder
        game.start(*episode_seeds(seed, number))
        grounder.reset(0)
        draws = np.random.default_rng([seed, number, 1])
        last = np.full(1, -1, np.int64)
        rule = instances_of(self.observation)["rule"][0]
        shares = np.zeros(self.rules.num_operators + 1, np.int64)
        marks = []
        place = (1, 0)
        while True:
            grounder(self.raw, last, self.observation)
            actions, winners = grounder.choose(self.observation, draws.random(1))
            winner = winners[0]
            shares[rule[winner] if winner >= 0 else -1] += 1
            last[:] = actions
            place = (int(self.blstats[nethack.NLE_BL_DEPTH]), int(self.blstats[nethack.NLE_BL_DNUM]))
            game.step(int(actions[0]))
            done = game.terminated or game.truncated
            while len(marks) < len(self.steps) and (
                done or game.length >= self.steps[len(marks)]
            ):
                alive = game.length >= self.steps[len(marks)] and not game.terminated
                marks.append((game.true_score, bool(alive), game.depth))
            if done:
                return {
                    "seed": seed, "number": number, "marks": marks, "length": game.length,
                    "killer": game.killer, "ending": game.ending, "place": place,
                    "shares": shares.tolist(),
                }  # fmt: skip


_games: RuleGames


def _begin(*arguments) -> None:
    global _games
    _games = RuleGames(*arguments)


def _play(job: tuple[int, int]) -> dict:
    return _games.play(*job)


def play_all(
    path: str | None,
    seeds: list[int],
    games: int,
    steps: tuple[int, ...],
    character: str,
    workers: int,
) -> list[dict]:
    """All games, in the order of their seeds and numbers."""
    jobs = [(seed, number) for seed in seeds for number in range(games)]
    with multiprocessing.get_context("spawn").Pool(
        workers, _begin, (path, steps, character)
    ) as pool:
        return list(pool.imap(_play, jobs, chunksize=4))


def mean_of(values: np.ndarray) -> str:
    """Mean and half of its 95 % interval over games."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.0f} ± {half:.0f}"


def report(path: str | None, played: list[dict], steps: tuple[int, ...]) -> str:
    """The Markdown table of what was played."""
    rules = load_hypergraph(path)
    lines = ["| steps | mean true score | median | alive | deepest level |", "|---|---|---|---|---|"]
    for place, length in enumerate(sorted(steps)):
        score = np.array([game["marks"][place][0] for game in played])
        alive = np.mean([game["marks"][place][1] for game in played])
        depth = np.mean([game["marks"][place][2] for game in played])
        lines.append(
            f"| {length} | {mean_of(score)} | {np.median(score):.0f} | {alive:.1%} | {depth:.2f} |"
        )
    killers = collections.Counter(g["killer"] or g["ending"] for g in played)
    lines += ["", "Ends: " + ", ".join(f"{k} {n / len(played):.1%}" for k, n in killers.most_common(25))]
    branches = collections.Counter(g["place"][1] for g in played if g["ending"] == "death")
    lines += ["", "Deaths by branch: " + ", ".join(f"{b}: {n}" for b, n in branches.most_common())]
    shares = np.sum([game["shares"] for game in played], axis=0)
    games_with = np.sum([np.array(game["shares"]) > 0 for game in played], axis=0)
    names = [operator.name for operator in rules.operators] + ["(no rule)"]
    lines += ["", "| rule | share of decisions | games |", "|---|---|---|"]
    for i in np.argsort(-shares):
        lines.append(f"| {names[i]} | {shares[i] / shares.sum():.3%} | {games_with[i]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", help="rule file; the packaged one if not given")
    parser.add_argument("--games", type=int, default=200, help="games of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, nargs="+", default=[2000])
    parser.add_argument("--character", default="mon-hum-neu-mal")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    try:
        load_hypergraph(options.rules)
    except HypergraphError as error:
        sys.exit(f"rules_alone: {error}")
    begun = time.perf_counter()
    played = play_all(
        options.rules, options.seeds, options.games, tuple(options.steps), options.character,
        options.workers,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    total = sum(game["length"] for game in played)
    text = report(options.rules, played, tuple(options.steps))
    print(text)
    print(f"\n{len(played)} games, {total} steps, {total / seconds:.0f} steps/s")
    if options.json:
        options.json.write_text("\n".join(map(json.dumps, played)) + "\n")
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
