"""Games played by the rules alone: scores at several lengths, causes of death, each rule's share.

    python bench/rules_alone.py                              # 2,000 games x 3 seeds, then all roles
    python bench/rules_alone.py --rules my.toml --games 200 --steps 2000 --roles none

Every game is played once, to the largest of --steps; what it had reached at the shorter lengths is
noted on the way. With --prayer, and by a rule file that asks for the steps left, it is played once
to each of --steps. Games of the same seed are the same for every rule file. With --record the table
is written to bench/results/rules_alone.md (rules_alone_prayer.md with --prayer) and every game to
rules_alone/<name>.csv.gz beside it, which later tables show again as rows of their own.
"""

import argparse
import collections
import csv
import gzip
import io
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
from record import RESULTS, add_after, cores, header, interval, table, write

from tedg_fast.hypergraph import HypergraphError, load_hypergraph
from tedg_fast.nethack.facts.grounder import BY_NO_RULE, Grounder
from tedg_fast.nethack.games.episode import episode_seeds

GAMES = RESULTS / "rules_alone"
MONK = "mon-hum-neu-mal"
ROLES = (
    "arc-hum-neu-mal", "bar-hum-neu-mal", "cav-hum-neu-mal", "hea-hum-neu-mal", "kni-hum-law-mal",
    MONK, "pri-hum-neu-mal", "rog-hum-cha-mal", "ran-hum-neu-mal", "sam-hum-law-mal",
    "tou-hum-neu-mal", "val-hum-neu-fem", "wiz-hum-neu-mal",
)  # fmt: skip
ROLE_SEED, ROLE_STEPS = 201, (2000,)


class RuleGames:
    """Plays games by one rule file, in one process."""

    def __init__(self, path: str | None, steps: tuple[int, ...], character: str, prayer: bool):
        from tedg_fast.nethack.games.game import Game, empty_observations

        rules = load_hypergraph(path)
        self.raw = empty_observations(1)
        self.passes = []
        own = path is not None and any("steps_left" in each.text for each in rules.conditions)
        for marked in each_pass(steps, prayer or own):
            grounder = Grounder(rules, 1, prayer=prayer, max_steps=marked[-1])
            game = Game(self.raw[0], max_steps=marked[-1], character=character)
            self.passes.append((game, grounder, marked))
        self.observation = grounder.spec.empty(1)

    def play(self, seed: int, number: int) -> dict:
        """One game: what it had reached after each number of steps; its longest pass's end."""
        marks = [mark for each in self.passes for mark in self._pass(seed, number, *each)]
        game, grounder, _ = self.passes[-1]
        return {
            "seed": seed, "number": number, "marks": marks, "length": game.length,
            "end": game.killer or game.ending, "decided": grounder.decided(0).sum(0),
            "steps": sum(game.length for game, *_ in self.passes),
        }  # fmt: skip

    def _pass(self, seed: int, number: int, game, grounder, steps: tuple[int, ...]) -> list[tuple]:
        game.start(*episode_seeds(seed, number))
        grounder.reset(0)
        draws = np.random.default_rng([seed, number, 1])
        last = np.full(1, -1, np.int64)
        marks = []
        while True:
            grounder(self.raw, last, self.observation)
            last[:], _ = grounder.choose(self.observation, draws.random(1))
            game.step(int(last[0]))
            done = game.terminated or game.truncated
            while len(marks) < len(steps) and (done or game.length >= steps[len(marks)]):
                alive = game.length >= steps[len(marks)] and not game.terminated
                marks.append((game.true_score, bool(alive), game.depth))
            if done:
                grounder.end(0, int(last[0]))
                return marks


def each_pass(steps: tuple[int, ...], heeded: bool) -> list[tuple[int, ...]]:
    """The lengths that one pass through a game notes: each by itself where the rules heed how many
    steps are left. The packaged ones do only with prayer."""
    return [(length,) for length in steps] if heeded else [steps]


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
    prayer: bool,
    workers: int,
) -> list[dict]:
    """All games, in the order of their seeds and numbers."""
    jobs = [(seed, number) for seed in seeds for number in range(games)]
    with multiprocessing.get_context("spawn").Pool(
        workers, _begin, (path, steps, character, prayer)
    ) as pool:
        return list(pool.imap(_play, jobs, chunksize=4))


def scores(played: list[dict], place: int) -> np.ndarray:
    """True scores at one of the lengths."""
    return np.array([game["marks"][place][0] for game in played], float)


def lengths_table(rows: dict[str, list[dict]], steps: tuple[int, ...]) -> list[str]:
    """What the games had reached at each length, a line for each rule file."""
    lines = []
    for name, played in rows.items():
        for place, length in enumerate(steps):
            alive = np.mean([game["marks"][place][1] for game in played])
            depth = np.mean([game["marks"][place][2] for game in played])
            score = scores(played, place)
            lines.append(
                (name, f"{length:,}", len(played), interval(score, 0), f"{np.median(score):.0f}",
                 f"{np.percentile(score, 90):.0f}", f"{alive:.1%}", f"{depth:.2f}")
            )  # fmt: skip
    titles = ("rules", "steps", "games", "mean true score", "median", "90th percentile", "alive",
              "deepest level")  # fmt: skip
    return table(titles, lines)


def ends(played: list[dict], most: int = 25) -> str:
    """The commonest ends of games, in the game's words."""
    counts = collections.Counter(game["end"] for game in played).most_common(most)
    return "Ends: " + ", ".join(f"{end} {count / len(played):.1%}" for end, count in counts) + "."


def shares_table(path: str | None, played: list[dict]) -> list[str]:
    """Each rule's share of all steps, and in how many games it decided one."""
    names = [operator.name for operator in load_hypergraph(path).operators] + [BY_NO_RULE]
    steps = np.sum([game["decided"] for game in played], axis=0)
    games = np.sum([game["decided"] > 0 for game in played], axis=0)
    return table(
        ("rule", "share of steps", "games"),
        [(names[i], f"{steps[i] / steps.sum():.3%}", f"{games[i] / len(played):.1%}")
         for i in np.argsort(-steps, kind="stable")],
    )  # fmt: skip


def save(name: str, played: list[dict], steps: tuple[int, ...]) -> None:
    """Every game as a line of a compressed CSV file."""
    text = io.StringIO()
    writer = csv.writer(text)
    marks = [f"{what}_{length}" for length in steps for what in ("score", "alive", "deepest")]
    writer.writerow(["seed", "number", "length", "end", *marks])
    for game in played:
        values = [int(value) for mark in game["marks"] for value in mark]
        writer.writerow([game["seed"], game["number"], game["length"], game["end"], *values])
    GAMES.mkdir(parents=True, exist_ok=True)
    (GAMES / f"{name}.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def recorded(name: str, steps: tuple[int, ...]) -> list[dict]:
    """The games of an earlier record, at these lengths."""
    with gzip.open(GAMES / f"{name}.csv.gz", "rt") as file:
        return [
            {
                "seed": int(row["seed"]), "number": int(row["number"]),
                "length": int(row["length"]), "end": row["end"],
                "marks": [
                    (int(row[f"score_{n}"]), row[f"alive_{n}"] == "1", int(row[f"deepest_{n}"]))
                    for n in steps
                ],
            }
            for row in csv.DictReader(file)
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", help="rule file; the packaged one if not given")
    parser.add_argument("--games", type=int, default=2000, help="games of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--steps", type=int, nargs="+", default=[2000, 5000, 20_000])
    parser.add_argument("--character", default=MONK)
    parser.add_argument("--prayer", action="store_true", help="with an action to pray with")
    parser.add_argument("--roles", choices=("all", "none"), default="all")
    parser.add_argument("--role-games", type=int, default=500)
    parser.add_argument("--workers", type=int, default=len(cores()))
    parser.add_argument("--record", metavar="NAME", help="keep the games under this name")
    parser.add_argument("--beside", nargs="*", default=[], help="names of records to show, too")
    add_after(parser)
    options = parser.parse_args()
    try:
        load_hypergraph(options.rules)
    except HypergraphError as error:
        sys.exit(f"rules_alone: {error}")
    steps = tuple(sorted(options.steps))
    begins = header(("numpy", "nle"), after=options.after)
    begun = time.perf_counter()
    played = play_all(
        options.rules,
        options.seeds,
        options.games,
        steps,
        options.character,
        options.prayer,
        options.workers,
    )
    seconds = time.perf_counter() - begun
    total = sum(game["steps"] for game in played)
    rows = {name: recorded(name, steps) for name in options.beside}
    rows[options.record or Path(options.rules or "packaged").stem] = played
    lines = [
        "# Rules alone", "", *begins,
        f"- seeds {', '.join(map(str, options.seeds))}, {options.games} games each, "
        f"{options.character}{', with prayer' * options.prayer}; "
        f"{total / seconds:,.0f} steps/s with {options.workers} workers",
        "", *lengths_table(rows, steps), "", ends(played), "",
    ]  # fmt: skip
    if options.roles == "all":
        lines += ["## All roles", ""]
        role_lines = []
        for character in ROLES:
            role = play_all(options.rules, [ROLE_SEED], options.role_games, ROLE_STEPS, character,
                            options.prayer, options.workers)  # fmt: skip
            alive = np.mean([game["marks"][0][1] for game in role])
            depth = np.mean([game["marks"][0][2] for game in role])
            role_lines.append((character, len(role), interval(scores(role, 0), 0), f"{alive:.1%}",
                               f"{depth:.2f}"))  # fmt: skip
        titles = ("character", "games", f"mean true score at {ROLE_STEPS[0]:,} steps", "alive",
                  "deepest level")  # fmt: skip
        lines += [*table(titles, role_lines), ""]
    lines += ["## What each rule decides", "", *shares_table(options.rules, played)]
    if not options.record:
        print("\n".join(lines))
        return
    save(options.record, played, steps)
    write("rules_alone_prayer" if options.prayer else "rules_alone", lines)


if __name__ == "__main__":
    main()
