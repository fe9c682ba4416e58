"""A grid of ablations as a record: does what ``tedg-ablate`` does, and keeps its tables.

    python bench/ablation.py unranked --after 'tedg-rules copy my.toml' -- \
        --arms full one-expert --seeds 1 2 3 -- --hypergraph my.toml

What follows the first ``--`` goes to ``tedg-ablate``; runs that are finished are not trained again.
``--after`` names a command that made a file which the runs read. Writes
bench/results/ablation_NAME.md, and the true score of every episode to the .json beside it.
"""

import argparse
import json
import sys
from pathlib import Path

import record

from tedg_fast import cli
from tedg_fast.arguments import parsed
from tedg_fast.evaluate import ablation
from tedg_fast.evaluate.grid import report


def compact(found: dict) -> dict:
    """True scores of the episodes by number, and the mean of the evaluation, of every run."""
    return {
        arm: {
            seed: {
                "episodes": " ".join(map(str, run["episodes"]["true_score"])),
                "evaluated": run["evaluation"] and run["evaluation"]["true_score"],
            }
            for seed, run in runs.items()
        }
        for arm, runs in found["runs"].items()
    }


def main() -> None:
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the record, after ablation_")
    record.add_after(parser)
    own, grid = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    lines = [f"# Ablation: {own.name}", "", *record.header(after=own.after), ""]
    sys.argv = [ablation.PROGRAM, *grid]
    cli.ablate()  # as the command: a stop ends its runs, too
    flags = grid[: grid.index("--")] if "--" in grid else grid
    results = Path(parsed(ablation.AblateConfig, flags, ablation.PROGRAM).results)
    found = json.loads((results / "ablation.json").read_text())
    title, *tables = report(found).splitlines()
    record.write(f"ablation_{own.name}", [*lines, *tables[1:]], compact(found))


if __name__ == "__main__":
    main()
