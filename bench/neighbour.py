"""How fast training is beside others: ``python bench/neighbour.py [--repeats N] [--steps N]``.

Alone; beside one and two processes that keep a core busy each; two runs at once; and in a control
group with a quota of one processor, as in a container, where this user may make one. The default
number of the update's threads, two, beside one and four. Medians over ``--repeats`` rounds, in each
of which every case is measured once, so that a machine that drifts drifts for all.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import record
from training import train

from tedg_fast.machine import groups

WAYS = {
    "default": [],
    "one thread": ["--threads", "1"],
    "four threads": ["--threads", "4"],
}
"""Name → flags of ``tedg-train``."""
QUOTA = "quota of one processor"
CASES = {"alone": 0, "beside one": 1, "beside two": 2, "two runs at once": 0, QUOTA: 0}
"""Name → processes that keep a core busy meanwhile."""
PERIOD = 100_000
"""Microseconds over which a quota is counted."""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that each keep a core busy."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def quota() -> Iterator[None]:
    """This process, and all that it starts, in a control group that may keep one processor busy.

    Raises ``OSError`` where no such group may be made.
    """
    outer = groups("cpu")[0]
    inner = outer / f"tedg-bench-{os.getpid()}"
    inner.mkdir()
    try:
        if (inner / "cpu.cfs_quota_us").exists():  # version 1 of control groups
            (inner / "cpu.cfs_period_us").write_text(str(PERIOD))
            (inner / "cpu.cfs_quota_us").write_text(str(PERIOD))
        else:
            (inner / "cpu.max").write_text(f"{PERIOD} {PERIOD}")
        (inner / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (outer / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        inner.rmdir()


def why_no_quota() -> str:
    """Why no quota can be set here; empty if one can."""
    try:
        with quota():
            return ""
    except (OSError, IndexError) as error:
        return str(error)


def speed(case: str, way: str, steps: int, cores: list[int]) -> float:
    """Steps a second of one run in a case; of two runs the slower one's."""
    count = 2 if case == "two runs at once" else 1
    with quota() if case == QUOTA else contextlib.nullcontext(), busy(CASES[case]):
        with ThreadPoolExecutor(count) as pool:
            runs = list(pool.map(lambda _: train(WAYS[way], steps, cores=cores), range(count)))
    return min(run.speed for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50_000, help="at least so many are trained")
    arguments = parser.parse_args()
    header, cores = record.header(), record.cores()
    problem = why_no_quota()
    cases = [case for case in CASES if case != QUOTA or not problem]
    speeds: dict[str, dict[str, list[float]]] = {c: {w: [] for w in WAYS} for c in cases}
    for _ in range(arguments.repeats):
        for case in cases:
            for way in WAYS:
                speeds[case][way].append(speed(case, way, arguments.steps, cores))
    best = max(median(values) for values in speeds["alone"].values())
    rows = [
        [case, *(f"{median(speeds[case][way]):,.0f} ({median(speeds[case][way]) / best:.0%})"
                 for way in WAYS)]
        for case in cases
    ]  # fmt: skip
    lines = [
        "# Speed beside others", "", *header, "",
        f"Environment steps a second, median of {arguments.repeats}, and as a share of the fastest "
        "way alone. Of two runs at once the slower one's. The default is to reach 90 % alone, and "
        "60 % beside one and with two runs at once.",
        *([f"No quota could be set here: {problem}."] if problem else []),
        "", *record.table(["case", *WAYS], rows),
    ]  # fmt: skip
    record.write("neighbour", lines, speeds)


if __name__ == "__main__":
    main()
