"""What several grids of ablations say together of the arms that more than one of them has.

    python bench/grids_together.py unranked_phases unranked_manager unranked_manager_again

Reads bench/results/ablation_NAME.json of each. Runs of equal seeds are paired within their grid, as
there; here all pairs are counted alike. Once with all grids, and once without the first: where arms
were chosen for what that one had shown, only the others put them to the test. Writes
bench/results/grids_together.md.
"""

import argparse
import json

import record

from tedg_fast.evaluate.summary import paired
from tedg_fast.evaluate.table import interval, p_value

FULL, LAST = "full", 100

Grid = dict[str, dict[str, dict]]
"""Arm → seed → its episodes and evaluation, as ``bench/ablation.py`` writes them."""


def final(run: dict) -> float:
    """Mean of the final policy's games."""
    return run["evaluated"]


def training(run: dict) -> float:
    """Mean of the last hundred episodes of training."""
    scores = [int(score) for score in run["episodes"].split()][-LAST:]
    return sum(scores) / len(scores)


def row(arm: str, grids: list[Grid], score) -> list[str]:
    """The full system and the arm over the seeds of all grids that have it."""
    whole, less = (
        [score(grid[name][seed]) for grid in grids if arm in grid for seed in sorted(grid[arm])]
        for name in (FULL, arm)
    )
    difference = paired(less, whole)
    worse = sum(a < b for a, b in zip(less, whole, strict=True))
    return [
        arm, f"{len(whole)}", record.interval(whole), record.interval(less), interval(difference),
        p_value(difference["p"]), f"{worse} of {len(whole)}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="of the grids' records, after ablation_")
    names = parser.parse_args().names
    lines = ["# Grids of ablations together", "", *record.header(), ""]
    grids: list[Grid] = [
        json.loads((record.RESULTS / f"ablation_{name}.json").read_text()) for name in names
    ]
    arms = [arm for arm in grids[0] if arm != FULL and any(arm in grid for grid in grids[1:])]
    lines += [
        "Mean over seeds ± half of its 95 % interval (Student's t). Differences pair runs of equal "
        "seeds of one grid; p is Student's paired test, not corrected for the number of arms.", "",
        "- grids: " + ", ".join(f"[{name}](ablation_{name}.md)" for name in names), "",
    ]  # fmt: skip
    titles = ["arm", "seeds", "full", "true score", "less full", "p", "worse on"]
    for title, score in (
        ("Final policies in games that are the same for all runs of a grid", final),
        (f"The last {LAST} episodes of training", training),
    ):
        lines += [f"## {title}", "", *record.table(titles, [row(a, grids, score) for a in arms])]
        lines += [
            "", "Without the first grid, after which these arms were chosen:", "",
            *record.table(titles, [row(a, grids[1:], score) for a in arms]), "",
        ]  # fmt: skip
    record.write("grids_together", lines[:-1])


if __name__ == "__main__":
    main()
