"""How fast training is beside others: ``python bench/neighbour.py [--repeats N] [--steps N]``.

Alone; beside one and two processes that keep a core busy each; two runs at once; and on one core,
as under a quota of one processor. The default (one thread, OpenMP's threads wait asleep) beside
two threads that wait asleep, and two that spin. Medians over ``--repeats`` rounds, in each of which
every case is measured once, so that a machine that drifts drifts for all.
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

WAYS = {
    "default": ([], "passive"),
    "two threads, asleep": (["--threads", "2"], "passive"),
    "two threads, spinning": (["--threads", "2"], "active"),
}
"""Name → flags of ``tedg-train``, OMP_WAIT_POLICY."""
CASES = ("alone", "beside one", "beside two", "two runs at once", "one core")


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


def speed(case: str, way: str, steps: int, cores: list[int]) -> float:
    """Steps a second of one run in a case."""
    flags, policy = WAYS[way]
    os.environ["OMP_WAIT_POLICY"] = policy
    if case == "one core":
        return train([*flags, "--num-workers", "1"], steps, cores=cores[:1]).speed
    if case == "two runs at once":
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda _: train(flags, steps, cores=cores), range(2)))
        return min(run.speed for run in runs)
    with busy(("alone", "beside one", "beside two").index(case)):
        return train(flags, steps, cores=cores).speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50_000, help="at least so many are trained")
    arguments = parser.parse_args()
    header, cores = record.header(), record.cores()
    speeds: dict[str, dict[str, list[float]]] = {c: {w: [] for w in WAYS} for c in CASES}
    for _ in range(arguments.repeats):
        for case in CASES:
            for way in WAYS:
                speeds[case][way].append(speed(case, way, arguments.steps, cores))
    best = max(median(values) for values in speeds["alone"].values())
    rows = [
        [case, *(f"{median(speeds[case][way]):,.0f} ({median(speeds[case][way]) / best:.0%})"
                 for way in WAYS)]
        for case in CASES
    ]  # fmt: skip
    lines = [
        "# Speed beside others", "", *header, "",
        f"Environment steps a second, median of {arguments.repeats}, and as a share of the fastest "
        "way alone. Of two runs at once the slower one's.",
        "", *record.table(["case", *WAYS], rows),
    ]  # fmt: skip
    record.write("neighbour", lines, speeds)


if __name__ == "__main__":
    main()
