"""Speed of the ranks of data-parallel runs, as a table."""

import re
from collections.abc import Sequence

import numpy as np

from tedg_fast.report.tables import Table, number
from tedg_fast.runs.log import Run

_SPEED = re.compile(r"rank(\d+)_steps_per_second")


def ranks_tables(runs: Sequence[Run]) -> list[Table]:
    """One table with a row for each rank and run; none where all ran in one process."""
    rows = [row for run in runs if "ranks" in run.updates for row in _rows(run)]
    if not rows:
        return []
    return [
        Table(
            "Ranks",
            "Means over the updates that ran on several ranks. A rank's own speed leaves out its "
            "waiting in collectives; the rank that is slowest most often is the one to look at.",
            ("run", "env steps/s", "waiting in collectives", "updates as the slowest"),
            tuple(rows),
        )
    ]


def _rows(run: Run) -> list[tuple[str, ...]]:
    """The run's total, then each rank that was logged."""
    updates = run.updates
    inside = updates["ranks"] > 1
    most = int(updates["ranks"][inside].max())
    total = np.nanmean(updates["steps_per_second"][inside])
    waiting = np.nanmean(updates["waiting_share"][inside])
    rows: list[tuple[str, ...]] = [
        (f"{run.name}, {most} ranks", number(total, 0), f"{waiting:.0%}", "")
    ]
    speeds = {int(m[1]): values for n, values in updates.items() if (m := _SPEED.fullmatch(n))}
    for rank, values in sorted(speeds.items()):
        slowest = np.mean(updates["slowest_rank"][inside] == rank)
        speed = number(np.nanmean(values), 0)
        rows.append((f"{run.name}, rank {rank}", speed, "", f"{slowest:.0%}"))
    return rows
