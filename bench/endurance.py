"""A long training run, watched for memory and file descriptors that grow.

    python bench/endurance.py                  # 1,000,000 steps
    python bench/endurance.py --steps 50000

Samples all processes of a real ``tedg-train`` every few seconds. The first fifth of the run, in
which caches and buffers reach their size, is where growth is counted from: the greatest use in the
second fifth is compared with that in the last one. Exit code 1 if memory grew by more than
``--limit`` MiB or file descriptors grew at all. Writes bench/results/endurance.md and .json.
"""

import argparse
import sys

import record
from processes import Usage
from training import train

FIFTHS = 5


def greatest(samples: list[tuple[float, Usage]]) -> Usage:
    return Usage(*map(max, zip(*(usage for _, usage in samples))))


def split(samples: list[tuple[float, Usage]]) -> list[list[tuple[float, Usage]]]:
    """The samples of each fifth of the time from the first to the last one."""
    first, last = samples[0][0], samples[-1][0]
    parts: list[list] = [[] for _ in range(FIFTHS)]
    for sample in samples:
        place = int(FIFTHS * (sample[0] - first) / (last - first))
        parts[min(place, FIFTHS - 1)].append(sample)
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="at least so many are trained")
    parser.add_argument("--limit", type=float, default=32.0, help="MiB that memory may grow by")
    parser.add_argument("flags", nargs="*", help="for tedg-train, after --")
    arguments = parser.parse_args()
    header = record.header()
    samples: list[tuple[float, Usage]] = []
    run = train(
        arguments.flags,
        arguments.steps,
        cores=record.cores(),
        watch=lambda usage, seconds: samples.append((seconds, usage)),
        interval=min(5.0, arguments.steps / 100_000),
    )
    # Until the games stand ready the run is still being set up; at its end it is taken down.
    end = run.startup_seconds + run.seconds
    parts = split([sample for sample in samples if run.startup_seconds < sample[0] < end])
    if not all(parts):
        sys.exit(f"endurance: {arguments.steps} steps are too few to see growth; ask for more")
    uses = [greatest(part) for part in parts]
    growth = (uses[-1].memory - uses[1].memory) / 2**20
    descriptors = uses[-1].descriptors - uses[1].descriptors
    passed = growth <= arguments.limit and descriptors <= 0

    rows = [
        [f"{part[0][0]:.0f}–{part[-1][0]:.0f}", f"{use.memory / 2**20:.1f}", use.descriptors,
         use.processes]
        for part, use in zip(parts, uses)
    ]  # fmt: skip
    lines = [
        "# Memory and file descriptors of a long run", "", *header, "",
        f"{run.steps:,} environment steps at {run.speed:,.0f} a second; greatest use of the "
        "trainer and its workers in each fifth of the time, shared memory counted once.",
        "",
        *record.table(["seconds", "memory, MiB", "file descriptors", "processes"], rows),
        "",
        f"From the second to the last fifth memory grew by {growth:.1f} MiB (limit "
        f"{arguments.limit:g}) and file descriptors by {descriptors}: "
        f"{'passed' if passed else 'FAILED'}.",
    ]  # fmt: skip
    data = {"run": run.summary(), "samples": [(t, *use) for t, use in samples], "passed": passed}
    record.write("endurance", lines, data)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
