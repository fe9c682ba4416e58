"""Training from end to end beside NLE alone, in one run.

    python bench/throughput.py                      # the default configuration
    python bench/throughput.py --hypergraph FOLDER  # V3's network, from its two hypergraph files

Everything after ``--`` goes to ``tedg-train``. NLE alone (``raw_nle.py``) is timed on one core
before and after; the faster time counts. The training run is a real ``tedg-train``: wall time
counts from when the games stand ready, logging and checkpoints included, and also from the launch.
A second, short run goes under PyTorch's profiler. Writes bench/results/throughput[_NAME].md and
.json. Run it on an idle machine.
"""

import argparse
import time

import torch

import record
from raw_nle import raw_speed
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


def speed_rows(run: Run, raw: float, cores: int) -> list[list[str]]:
    return [
        ["NLE alone, one core", f"{raw:,.0f}", ""],
        ["training, games ready", f"{run.speed:,.0f}", f"{run.speed / (cores * raw):.1%}"],
        [
            "training, start included",
            f"{run.speed_with_startup:,.0f}",
            f"{run.speed_with_startup / (cores * raw):.1%}",
        ],
        [
            f"decisions, {run.decisions / run.steps:.1%} of the steps",
            f"{run.decisions / run.seconds:,.0f}",
            "",
        ],
        ["V3's own trainer", f"{PREDECESSOR}", f"we: {run.speed / PREDECESSOR:.0f} times"],
    ]


def part_rows(run: Run) -> list[list[str]]:
    parts = sorted(run.parts.items(), key=lambda item: -item[1])
    rows = [[part, f"{s:.1f}", f"{s / run.seconds:.1%}"] for part, s in parts if s > 0]
    rest = run.seconds - sum(run.parts.values())
    return [*rows, ["not attributed", f"{rest:.1f}", f"{rest / run.seconds:.1%}"]]


def op_rows(profiled: dict) -> list[list[str]]:
    thinking = profiled["seconds"] - profiled["games"]
    return [[f"`{op}`", f"{s:.3f}", f"{s / thinking:.1%}"] for op, s in profiled["ops"].items()]


def report(run: Run, profiled: dict, raw: list[float], rates: list[float]) -> list[str]:
    cores = len(record.cores())
    waiting, products = useful_share(run, profiled)
    flops = profiled["flops"] / profiled["steps"]
    floor = max(rates) / flops
    return [
        f"{run.steps:,} environment steps in {run.seconds:.1f} s, after {run.startup_seconds:.1f} "
        f"s from the launch until the games stood ready. NLE alone, in each of its runs: "
        + ", ".join(f"{speed:,.0f}" for speed in raw) + ".",
        "",
        *record.table(
            ["", "steps/s", f"of {cores} cores' NLE"], speed_rows(run, max(raw), cores)
        ),
        "",
        "Where the wall time went (games: waiting for them; policy: the rest of a rollout; "
        "advantages to optimizer: the update):",
        "",
        *record.table(["part", "s", "share"], part_rows(run)),
        "",
        f"- Game stepping and matrix products: {waiting:.0%} waiting for games + {products:.0%} in "
        f"products and kernels = **{waiting + products:.0%}** of the wall time.",
        f"- Cores busy on average: trainer {run.trainer_cpu:.2f}, workers {run.worker_cpu:.2f}; "
        "games are played also while the policy thinks about others.",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="at least so many are trained")
    parser.add_argument("--raw-steps", type=int, default=100_000, help="of NLE alone, each time")
    parser.add_argument("--hypergraph", help="for tedg-train")
    parser.add_argument("--name", default="", help="added to the results' names")
    parser.add_argument("flags", nargs="*", help="for tedg-train, after --")
    arguments = parser.parse_args()
    flags, cores = arguments.flags, record.cores()
    if arguments.hypergraph is not None:
        flags = ["--hypergraph", arguments.hypergraph, *flags]

    header = record.header()
    raw = [raw_speed(arguments.raw_steps, cores[-1]) for _ in range(2)]
    run = train(flags, arguments.steps, cores=cores)
    raw.append(raw_speed(arguments.raw_steps, cores[-1]))
    profiled = train(flags, 1, cores=cores, profile=PROFILED_ITERATIONS).profile
    rates = [product_rate(threads) for threads in (1, len(cores))]

    name = "_".join(filter(None, ["throughput", arguments.name]))
    title = f"# Throughput of training{f': {arguments.name}' if arguments.name else ''}"
    lines = [title, "", *header, "", *report(run, profiled, raw, rates)]
    data = {"run": run.summary(), "profile": profiled, "raw": raw, "product_rates": rates}
    record.write(name, lines, data)


if __name__ == "__main__":
    main()
