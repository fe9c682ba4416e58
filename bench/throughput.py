"""Training from end to end beside NLE alone, in one run.

    python bench/throughput.py                      # the default configuration
    python bench/throughput.py --hypergraph FOLDER  # V3's network, from its two hypergraph files

Everything after ``--`` goes to ``tedg-train``. NLE alone is timed before and after, under random
keys on one core (``raw_nle.py``) and under the keys of rule play on all (``replayed_nle.py``); the
faster time counts. With ``--sample-factory`` its APPO is timed afterwards. The training run is a real ``tedg-train``: wall time
counts from when the games stand ready, logging and checkpoints included, and also from the launch.
A second, short run goes under PyTorch's profiler. Writes bench/results/throughput[_NAME].md and
.json. Run it on an idle machine.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path

import torch

import record
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
    run: Run, raw: float, replayed: float, cores: int, sample_factory: dict | None
) -> list[list[str]]:
    def row(name: str, speed: float) -> list[str]:
        return [name, f"{speed:,.0f}", f"{speed / replayed:.0%}", f"{speed / PREDECESSOR:,.0f}"]

    rows = [
        row(f"NLE alone, keys of rule play replayed on {cores} cores", replayed),
        row("NLE alone, random keys, one core", raw),
        row("training, games ready", run.speed),
        row("training, start included", run.speed_with_startup),
    ]
    if sample_factory is not None:
        rows.append(row("Sample Factory's APPO", sample_factory["run"]["speed"]))
    rows.append(row("V3's own trainer", PREDECESSOR))
    share = run.decisions / run.steps
    rows.append([f"decisions, {share:.1%} of the steps", f"{run.decisions / run.seconds:,.0f}", "", ""])
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
    run: Run, profiled: dict, raw: list[float], replayed: list[float], rates: list[float],
    sample_factory: dict | None,
) -> list[str]:  # fmt: skip
    cores = len(record.cores())
    waiting, products = useful_share(run, profiled)
    flops = profiled["flops"] / profiled["steps"]
    floor = max(rates) / flops
    return [
        f"{run.steps:,} environment steps in {run.seconds:.1f} s, after {run.startup_seconds:.1f} "
        f"s from the launch until the games stood ready. NLE alone under random keys, in each of "
        f"its runs: {', '.join(f'{speed:,.0f}' for speed in raw)}; under the keys of rule play: "
        f"{', '.join(f'{speed:,.0f}' for speed in replayed)}.",
        "",
        *record.table(
            ["", "steps/s", "of NLE in rule play", "times V3"],
            speed_rows(run, max(raw), max(replayed), cores, sample_factory),
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


def run_sample_factory(python: str) -> dict:
    """What ``against_sample_factory.py`` writes, run by the ``python`` of its own environment."""
    script = Path(__file__).with_name("against_sample_factory.py")
    subprocess.run([python, str(script)], check=True, stdout=subprocess.DEVNULL)
    return json.loads((record.RESULTS / "sample_factory.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="at least so many are trained")
    parser.add_argument("--raw-steps", type=int, default=100_000, help="of NLE alone, each time")
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
    raw, replayed = [raw_speed(arguments.raw_steps, cores[-1])], [replay_speed(games, cores)]
    run = train(flags, arguments.steps, cores=cores)
    raw.append(raw_speed(arguments.raw_steps, cores[-1]))
    replayed.append(replay_speed(games, cores))
    sample_factory = None
    if arguments.sample_factory is not None:
        sample_factory = run_sample_factory(arguments.sample_factory)
    profiled = train(flags, 1, cores=cores, profile=PROFILED_ITERATIONS).profile
    rates = [product_rate(threads) for threads in (1, len(cores))]

    name = "_".join(filter(None, ["throughput", arguments.name]))
    title = f"# Throughput of training{f': {arguments.name}' if arguments.name else ''}"
    lines = [title, "", *header, ""]
    lines += report(run, profiled, raw, replayed, rates, sample_factory)
    data = {
        "run": run.summary(), "profile": profiled, "raw": raw, "replayed": replayed,
        "product_rates": rates, "sample_factory": sample_factory,
    }  # fmt: skip
    record.write(name, lines, data)


if __name__ == "__main__":
    main()
