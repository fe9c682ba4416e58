"""Training speed and memory by the number of cores and of games.

    python bench/scaling.py [--steps 20000]

Each cell is a ``tedg-train`` of its own, bound to as many cores, with as many workers (at most one
a game), its other settings the defaults. Writes bench/results/scaling.md and .json. Run it on an
idle machine.
"""

import argparse

import record
from training import Run, train

GAMES = (1, 4, 8, 16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000, help="of each run, at least")
    parser.add_argument("--games", type=int, nargs="+", default=GAMES, help="numbers of games")
    parser.add_argument("flags", nargs="*", help="for tedg-train, after --")
    arguments = parser.parse_args()
    header, cores = record.header(), record.cores()
    counts = [2**power for power in range(len(cores).bit_length())]
    runs: dict[int, dict[int, Run]] = {}
    for games in arguments.games:
        runs[games] = {}
        for count in counts:
            flags = ["--num-envs", str(games), "--num-workers", str(min(count, games))]
            used = cores[-count:]
            runs[games][count] = train([*flags, *arguments.flags], arguments.steps, cores=used)
    names = ["games"]
    names += [f"steps/s on {count} core{'s' if count > 1 else ''}" for count in counts]
    names += ["peak memory, MiB", "file descriptors"]
    rows = [
        [
            games,
            *(f"{run.speed:,.0f}" for run in by_cores.values()),
            f"{by_cores[counts[-1]].peak.memory / 2**20:.0f}",
            by_cores[counts[-1]].peak.descriptors,
        ]
        for games, by_cores in runs.items()
    ]
    lines = ["# Speed by cores and games", "", *header, ""]
    lines += [
        f"At least {arguments.steps:,} environment steps each, from when the games stand ready. "
        f"Memory and file descriptors are of trainer and workers together, on {counts[-1]} cores, "
        "shared memory counted once.",
        "",
        *record.table(names, rows),
    ]
    data = {games: {n: run.summary() for n, run in row.items()} for games, row in runs.items()}
    record.write("scaling", lines, data)


if __name__ == "__main__":
    main()
