"""Training from end to end beside NLE alone, in one run.

    python bench/throughput.py                      # the default configuration
    python bench/throughput.py --hypergraph FOLDER  # V3's network, from its two hypergraph files

Everything after ``--`` goes to ``tedg-train``. NLE alone is timed under random keys on one core
(``raw_nle.py``), and between the runs of training under the keys of rule play on all cores
(``replayed_nle.py``): a machine that others share is now fast and now slow. With
``--sample-factory`` its APPO is timed afterwards. Each run is a real ``tedg-train``: wall time
counts from when the games stand ready, logging and checkpoints included, and also from the launch.
A further, short run goes under PyTorch's profiler. Writes bench/results/throughput[_NAME].md and
.json. Run it on an idle machine.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import record
import torch
from raw_nle import raw_speed
from replayed_nle import recorded_games, replay_speed
from training import Run, train

PREDECESSOR = 31.7
"""Environment steps a second of V3's own trainer on two cores, one game at a time."""
PROFILED_ITERATIONS = 12


def product_rate(threads: int, size: int = 1024, repeats: int = 20) -> float:
    """Floating-point operations a second of the best of several float32 products."""
    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def useful_share(run: Run, profiled: dict) -> tuple[float, float]:
    """Shares of the wall time in which the trainer waited for its games, and in matrix products
    or the package's kernels.

    The second is what the profiled iterations spent inside of these ops, for as many steps as the
    run had. The profiler's own time lies between the ops; so of the profiled iterations
    themselves, which it makes longer, the share would be smaller.
    """
    useful = (profiled["products"] + profiled["kernels"]) / profiled["steps"]
    return run.waiting_for_games, useful * run.steps / run.seconds


def speed_rows(
    runs: list[Run], raw: float, replayed: list[float], cores: int, sample_factory: dict | None
) -> list[list[str]]:
    def row(name: str, speed: float, share: float) -> list[str]:
        return [name, f"{speed:,.0f}", f"{share:.0%}", f"{speed / PREDECESSOR:,.0f}"]

    # Of the machine as it was around each run.
    beside = [(before + after) / 2 for before, after in zip(replayed, replayed[1:])]
    rows = [
        row(f"NLE alone, keys of rule play replayed on {cores} cores", median(replayed), 1),
        row("NLE alone, random keys, one core", raw, raw / replayed[0]),
    ]
    for name in ("speed", "speed_with_startup"):
        speeds = [getattr(run, name) for run in runs]
        share = median(speed / nle for speed, nle in zip(speeds, beside))
        start = "start included" if name == "speed_with_startup" else "games ready"
        rows.append(row(f"training, {start}", median(speeds), share))
    if sample_factory is not None:
        speed = sample_factory["run"]["speed"]
        rows.append(row("Sample Factory's APPO", speed, speed / replayed[-1]))
    rows.append(row("V3's own trainer", PREDECESSOR, PREDECESSOR / median(replayed)))
    share = median(run.decisions / run.steps for run in runs)
    speed = median(run.decisions / run.seconds for run in runs)
    rows.append([f"decisions, {share:.1%} of the steps", f"{speed:,.0f}", "", ""])
    return rows


def part_rows(run: Run) -> list[list[str]]:
    parts = sorted(run.parts.items(), key=lambda item: -item[1])
    rows = [[part, f"{s:.1f}", f"{s / run.seconds:.1%}"] for part, s in parts if s > 0]
    rest = run.seconds - sum(run.parts.values())
    return [*rows, ["not attributed", f"{rest:.1f}", f"{rest / run.seconds:.1%}"]]


def op_rows(profiled: dict) -> list[list[str]]:
    thinking = profiled["seconds"] - profiled["games"]
    return [[f"`{op}`", f"{s:.3f}", f"{s / thinking:.1%}"] for op, s in profiled["ops"].items()]


def report(
    runs: list[Run], profiled: dict, raw: float, replayed: list[float], rates: list[float],
    sample_factory: dict | None,
) -> list[str]:  # fmt: skip
    cores, run = len(record.cores()), sorted(runs, key=lambda run: run.speed)[len(runs) // 2]
    waiting, products = useful_share(run, profiled)
    flops = profiled["flops"] / profiled["steps"]
    floor = max(rates) / flops
    return [
        "In turn NLE alone and training, steps/s: "
        + " ".join(f"{nle:,.0f}, **{run.speed:,.0f}**," for nle, run in zip(replayed, runs))
        + f" {replayed[-1]:,.0f}. Medians, and shares of NLE as it was around each run:",
        "",
        *record.table(
            ["", "steps/s", "of NLE in rule play", "times V3"],
            speed_rows(runs, raw, replayed, cores, sample_factory),
        ),
        "",
        f"Of the run of median speed, {run.steps:,} environment steps in {run.seconds:.1f} s, "
        f"after {run.startup_seconds:.1f} s from the launch until the games stood ready:",
        "",
        "Where the wall time went (games: waiting for them; policy: the rest of a rollout; "
        "advantages to optimizer: the update):",
        "",
        *record.table(["part", "s", "share"], part_rows(run)),
        "",
        f"- Game stepping and matrix products: {waiting:.0%} waiting for games + {products:.0%} in "
        f"products and kernels = **{waiting + products:.0%}** of the wall time.",
        f"- Cores busy on average: trainer {run.trainer_cpu:.2f}, workers {run.worker_cpu:.2f}; "
        "while games are played the trainer has nothing to do.",
        f"- Matrix products: {flops / 1e6:.2f} MFLOP a step at "
        f"{profiled['flops'] / profiled['products'] / 1e9:.0f} GFLOP/s; a large product reaches "
        f"{rates[0] / 1e9:.0f} on one core and {rates[-1] / 1e9:.0f} on all {cores}; at the "
        f"greater rate the products alone would allow {floor:,.0f} steps/s.",
        f"- Peak memory of trainer and workers: {run.peak.memory / 2**20:.0f} MiB; at most "
        f"{run.peak.descriptors} file descriptors in {run.peak.processes} processes.",
        "",
        "The profiled iterations' most expensive ops, time of their own, as a share of what was "
        "not waiting for games:",
        "",
        *record.table(["op", "s", "share"], op_rows(profiled)),
    ]


def run_sample_factory(python: str) -> dict:
    """What ``against_sample_factory.py`` measures, run by the ``python`` of its own environment."""
    script = Path(__file__).with_name("against_sample_factory.py")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.json"
        command = [python, str(script), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(out.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of training, NLE between them")
    parser.add_argument("--steps", type=int, default=100_000, help="of each run, at least")
    parser.add_argument("--raw-steps", type=int, default=100_000, help="of NLE, random keys")
    parser.add_argument("--hypergraph", help="for tedg-train")
    parser.add_argument("--name", default="", help="added to the results' names")
    parser.add_argument(
        "--sample-factory", metavar="PYTHON", help="of its environment: time it in the same run"
    )
    parser.add_argument("flags", nargs="*", help="for tedg-train, after --")
    arguments = parser.parse_args()
    flags, cores = arguments.flags, record.cores()
    if arguments.hypergraph is not None:
        flags = ["--hypergraph", arguments.hypergraph, *flags]

    header = record.header()
    games = recorded_games()
    raw = raw_speed(arguments.raw_steps, cores[-1])
    runs, replayed = [], [replay_speed(games, cores)]
    for _ in range(arguments.rounds):
        runs.append(train(flags, arguments.steps, cores=cores))
        replayed.append(replay_speed(games, cores))
    sample_factory = None
    if arguments.sample_factory is not None:
        sample_factory = run_sample_factory(arguments.sample_factory)
    profiled = train(flags, 1, cores=cores, profile=PROFILED_ITERATIONS).profile
    rates = [product_rate(threads) for threads in (1, len(cores))]

    name = "_".join(filter(None, ["throughput", arguments.name]))
    title = f"# Throughput of training{f': {arguments.name}' if arguments.name else ''}"
    lines = [title, "", *header, ""]
    lines += report(runs, profiled, raw, replayed, rates, sample_factory)
    data = {
        "runs": [run.summary() for run in runs], "profile": profiled, "raw": raw,
        "replayed": replayed, "product_rates": rates, "sample_factory": sample_factory,
    }  # fmt: skip
    record.write(name, lines, data)


if __name__ == "__main__":
    main()
