"""The table of bench/run.py on a CUDA device.

    python bench/run_cuda.py [--seconds 600] [--device cpu --small]

Every implementation runs the problems of cuda_problems.py in CUDA graphs where it can be captured,
else eagerly: the median of repeats, timed with CUDA events, with the second-level cache flushed
before each and the inputs taken in turn from several sets. Shares are of the copy bandwidth
measured in the same run. Ours must first agree with the float64 reference. Each row is written to
bench/results/kernels_<device>.md as it comes; after --seconds no new problem begins.
On the CPU this only shows that the bench runs.
"""

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from cuda_problems import Problem, problems
from record import PACKAGES, RESULTS, command, commit, installed
from run import OURS, megabytes
from test_routing import LOWEST

SETS = 3
REPEATS = 30
FLUSH_BYTES = 512 << 20  # several times any second-level cache
# Of the largest entry; sums keep the error of their terms.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


class Timer:
    """Times calls on a device."""

    def __init__(self, device: str) -> None:
        self.on_cuda = device == "cuda"
        size = FLUSH_BYTES if self.on_cuda else 1
        self.flush = torch.empty(size, dtype=torch.int8, device=device)

    def median(self, calls: list[Callable]) -> float:
        """Seconds of one call, taken from ``calls`` in turn."""
        times = []
        for repeat in range(REPEATS + SETS):
            self.flush.zero_()
            times.append(self._once(calls[repeat % len(calls)]))
        return statistics.median(times[SETS:])

    def _once(self, call: Callable) -> float:
        if not self.on_cuda:
            before = time.perf_counter()
            call()
            return time.perf_counter() - before
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def call_of(function: Callable, inputs: list[torch.Tensor], backward: bool) -> Callable:
    """function(*inputs), with the gradients of all its outputs if ``backward``."""
    if not backward:

        def run():
            with torch.no_grad():
                return function(*inputs)

        return run
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    wanted = [x for x in leaves if x.requires_grad]
    with torch.no_grad():
        outputs = function(*inputs)
    weights = [torch.randn_like(o) for o in _listed(outputs)]
    return lambda: torch.autograd.grad(_listed(function(*leaves)), wanted, weights)


def _listed(outputs) -> list[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def captured(call: Callable) -> tuple[Callable, str]:
    """The call as a CUDA graph if it can be one."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            call()
    except RuntimeError:
        torch.cuda.synchronize()
        return call, "eager"
    return graph.replay, "graph"


def launches(call: Callable) -> int:
    """Kernels and copies that one call puts on the device."""
    activity = torch.profiler.ProfilerActivity.CUDA
    with torch.profiler.profile(activities=[activity]) as profile:
        call()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def peak_bytes(call: Callable) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def check(problem: Problem, function: Callable, inputs: list[torch.Tensor]) -> float:
    """The largest error of outputs and gradients, as a share of what TOLERANCE allows."""
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    weights = None
    results = []
    for f, values in ((function, inputs), (problem.truth, wide)):
        leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in values]
        outputs = _listed(f(*leaves))
        if weights is None:
            weights = [torch.randn_like(o) for o in outputs]
        wanted = [x for x in leaves if x.requires_grad]
        grads = torch.autograd.grad(
            outputs, wanted, [w.to(o.dtype) for w, o in zip(weights, outputs, strict=True)]
        )
        results.append([t.detach().double() for t in [*outputs, *grads]])
    worst = 0.0
    for actual, expected in zip(*results, strict=True):
        allowed = expected > LOWEST / 2  # masked logits are the lowest number in both
        actual, expected = actual[allowed], expected[allowed]
        scale = max(1.0, expected.abs().max().item())
        worst = max(worst, (actual - expected).abs().max().item() / scale)
    return worst / TOLERANCE[inputs[0].dtype]


def measure(timer: Timer, call: Callable, calls: list[Callable]) -> dict:
    call()
    if not timer.on_cuda:
        return {"peak": 0, "launches": 0, "time": timer.median(calls), "way": "eager"}
    entry = {"peak": peak_bytes(call), "launches": launches(call)}
    ready = [captured(one) for one in calls]
    return {**entry, "time": timer.median([one for one, _ in ready]), "way": ready[0][1]}


def rows(problem: Problem, timer: Timer, device: str, copy_rate: float):
    """A line of the table for each implementation and direction."""
    sets = [
        [x.to(device) if x.dtype == torch.bool else x.to(device) + 0.01 * i for x in problem.inputs]
        for i in range(SETS)
    ]
    for backward in (False, True):
        direction, ours = "forward+backward" if backward else "forward", None
        for name, make in problem.functions.items():
            try:
                with torch.device(device):
                    function = make()
                    error = check(problem, function, sets[0]) if name == OURS else 0.0
                    if not error <= 1:  # NaN, too
                        raise RuntimeError(f"{problem.op}: {error:.1f} of the error allowed")
                    calls = [call_of(function, one, backward) for one in sets]
                    entry = measure(timer, calls[0], calls)
            except (Exception, pytest.skip.Exception) as error:  # missing, or out of memory
                why = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
                yield f"| {problem.op} | {problem.shape} | {direction} | {name} | {why} | | | | |"
                continue
            ours = ours or entry["time"]
            rate = 100 * problem.moved[backward] / entry["time"] / copy_rate
            yield (
                f"| {problem.op} | {problem.shape} | {direction} | {name} ({entry['way']}) | "
                f"{1e6 * entry['time']:.1f} | {entry['time'] / ours:.1f} | "
                f"{megabytes(entry['peak'])} | {entry['launches']} | {rate:.0f} |"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--small", action="store_true", help="one small problem a kind")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("bench/run_cuda.py needs a CUDA device and a torch built for it", file=sys.stderr)
        return 1
    begun = time.monotonic()
    timer = Timer(options.device)
    source = torch.randn((1 if options.small else 256) << 20, device=options.device)
    target = torch.empty_like(source)
    copy_rate = 2 * source.numel() * 4 / timer.median([partial(target.copy_, source)])
    del source, target
    path = options.out or RESULTS / f"kernels_{options.device}.md"
    on_cuda = options.device == "cuda"
    lines = [
        f"# Kernels beside their competitors, on {options.device}", "",
        f"- device: {torch.cuda.get_device_name() if on_cuda else 'cpu, a dry run'}, "
        f"CUDA {torch.version.cuda}",
        f"- versions: {', '.join(map(installed, PACKAGES))}",
        f"- commit: {commit()}",
        f"- date: {datetime.date.today()}",
        f"- command: `{command()}`",
        f"- copy bandwidth (bytes read and written): {copy_rate / 1e9:.0f} GB/s", "",
        "| op | shape | direction | implementation | us | its time / ours | peak MiB | launches | "
        "bytes moved, % of copy |", "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    failed = False
    with path.open("w") as file:
        for line in lines:
            print(line, file=file)
        for problem in problems(options.device, options.small):
            if time.monotonic() - begun > options.seconds:
                print(f"\nNo time was left for {problem.op} {problem.shape} and what follows.",
                      file=file)  # fmt: skip
                break
            for line in rows(problem, timer, options.device, copy_rate):
                print(line, flush=True)
                print(line, file=file, flush=True)
                failed |= f"| {OURS} | " in line  # the others may be missing
    print(f"written to {path}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
