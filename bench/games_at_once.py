"""Runs with more or fewer games side by side: the same first episodes, and the same mean?

    python bench/games_at_once.py [--games 32 128 512] [--episodes 100] [-- flags for tedg-train]

A run ends when its first episodes by number have ended. Were those counted that end first, many
games side by side would give the mean of the shortest. What is learned on the way differs, for an
update comes after so many decisions in every game; so means are compared, by the interval of the
differences of equally numbered games. Writes bench/results/games_at_once.md and .json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import record

from tedg_fast.report.statistics import difference_interval


def train(games: int, episodes: int, flags: list[str]) -> dict:
    """The log of a run with so many games side by side.

    Raises RuntimeError, with the run's output, if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from tedg_fast import cli; cli.train()", "--quiet"]
        command += ["--results", folder, "--exp-name", "run", "--episodes", str(episodes)]
        command += ["--num-envs", str(games), *flags]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[3:])} failed:\n{done.stdout}{done.stderr}")
        return json.loads((Path(folder) / "run" / "logs" / "training_log.json").read_text())


def row(games: int, log: dict, first: dict) -> tuple[str, ...]:
    """A run's line of the table; ``first`` is the log of the run that the others are held against.

    Raises ValueError where the episodes are not the first by number.
    """
    episodes, updates = log["episodes"], log["updates"]
    count = len(episodes["number"])
    if episodes["number"] != list(range(count)):
        raise ValueError(f"{games} games: the episodes are not the first {count} by number")
    scores, others = episodes["true_score"], first["episodes"]["true_score"]
    mean, half = difference_interval(scores, others, paired=True)
    deaths = episodes["ending"].count("death") / count
    return (
        str(games), f"0 … {count - 1}", record.interval(scores),
        "–" if log is first else f"{mean:+.1f} ± {half:.1f}",
        record.interval(episodes["length"], 0), f"{deaths:.0%}", str(len(updates["completed"])),
        f"{updates['env_steps'][-1]:,}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("flags", nargs="*", help="for tedg-train, after --")
    options = parser.parse_args()
    header = record.header(("torch", "numpy", "nle"))
    logs = {games: train(games, options.episodes, options.flags) for games in options.games}
    first = logs[options.games[0]]
    titles = (
        "games side by side", "episodes that count", "mean true score",
        f"difference from {options.games[0]} games", "length", "died", "updates", "steps played",
    )  # fmt: skip
    lines = [
        "# The same episodes, however many games are played side by side", "", *header, "",
        "Means with 95 % intervals over the episodes; differences over equally numbered games.", "",
        *record.table(titles, [row(games, log, first) for games, log in logs.items()]),
    ]  # fmt: skip
    kept = ("number", "true_score", "length", "ending")
    record.write("games_at_once", lines, {
        games: {name: log["episodes"][name] for name in kept} for games, log in logs.items()
    })  # fmt: skip


if __name__ == "__main__":
    main()
