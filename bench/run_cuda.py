"""The table of bench/run.py on a CUDA device.

    python bench/run_cuda.py

Every implementation runs the problems of test_attention.py and test_routing.py in CUDA graphs
where it can be captured, else eagerly: the median of repeats, timed with CUDA events, with the
second-level cache flushed before each and the inputs taken in turn from several sets. Shares are
of the copy bandwidth measured in the same run. Writes bench/results/<date>-<commit>-cuda.md.
"""

import datetime
import statistics
import sys
from collections.abc import Callable

import pytest
import test_attention
import test_routing
import torch
from record import PACKAGES, commit, installed
from run import HERE, OURS, megabytes

from tedg_fast.ops import routing_losses

SETS = 3
REPEATS = 30
FLUSH_BYTES = 512 << 20  # several times any second-level cache


class Timer:
    """Times calls on the current device."""

    def __init__(self) -> None:
        self.flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda")

    def median(self, calls: list[Callable]) -> float:
        """Seconds of one call, taken from ``calls`` in turn."""
        times = []
        for repeat in range(REPEATS + SETS):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self.flush.zero_()
            start.record()
            calls[repeat % len(calls)]()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        return statistics.median(times[SETS:])


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


def problems():
    """(op, shape, [inputs on the CPU], {name: function}, bytes moved forward, and with backward)"""
    for shape, (_, nodes, _, _, _) in test_attention.SHAPES.items():
        edge_index, inputs = test_attention.problem(test_attention.SHAPES[shape])
        edges = edge_index.cuda()
        makers = test_attention.IMPLEMENTATIONS.items()
        functions = {name: (lambda make=make: make(edges, nodes)) for name, make in makers}
        read = sum(x.numel() * 4 for x in inputs)
        out = inputs[0].numel() * 4
        yield "gat_attention", shape, inputs, functions, (read + out, 3 * read + 2 * out)
    for shape, (batch, experts, actions) in test_routing.SHAPES.items():
        inputs = test_routing.problem(shape)
        functions = {OURS: lambda: test_routing.fused_route,
                     "entmax + einsum + mask": lambda: test_routing.eager_route}
        read = sum(x.numel() * x.element_size() for x in inputs)
        moved = [test_routing.bytes_of(d, read, 4 * batch * (experts + actions))
                 for d in ("forward", "both")]
        yield "route sparsemax", shape, inputs, functions, moved
        inputs = [torch.softmax(inputs[0], -1), inputs[1]]
        functions = {
            OURS: lambda: routing_losses,
            "eager": lambda: test_routing.eager_losses,
            "torch.compile": lambda: test_routing.compiled(test_routing.eager_losses),
        }
        read = sum(x.numel() * 4 for x in inputs)
        yield "routing_losses", shape, inputs, functions, (read, 3 * read)


def measure(timer: Timer, make: Callable, inputs: list[torch.Tensor], backward: bool) -> dict:
    sets = [[x.cuda() if x.dtype == torch.bool else x.cuda() + 0.01 * i for x in inputs]
            for i in range(SETS)]
    function = make()
    calls = [call_of(function, one, backward) for one in sets]
    calls[0]()
    entry = {"peak": peak_bytes(calls[0]), "launches": launches(calls[0])}
    ready = [captured(call) for call in calls]
    return {**entry, "time": timer.median([call for call, _ in ready]), "way": ready[0][1]}


def main() -> int:
    if not torch.cuda.is_available():
        print("bench/run_cuda.py needs a CUDA device and a torch built for it", file=sys.stderr)
        return 1
    timer = Timer()
    source = torch.randn(256 << 20, device="cuda")
    target = torch.empty_like(source)
    copy_rate = 2 * source.numel() * 4 / timer.median([lambda: target.copy_(source)])
    del source, target
    lines = [
        "# Kernels beside their competitors, on CUDA", "",
        f"- device: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}",
        f"- commit {commit()}, {', '.join(map(installed, PACKAGES))}",
        f"- copy bandwidth (bytes read and written): {copy_rate / 1e9:.0f} GB/s", "",
        "| op | shape | direction | implementation | us | its time / ours | peak MiB | launches | "
        "bytes moved, % of copy |", "|---|---|---|---|---|---|---|---|---|",
    ]
    for op, shape, inputs, functions, moved in problems():
        for backward in (False, True):
            ours = None
            for name, make in functions.items():
                try:
                    with torch.device("cuda"):
                        entry = measure(timer, make, inputs, backward)
                except (Exception, pytest.skip.Exception) as error:  # missing, or out of memory
                    if name == OURS:
                        raise
                    lines.append(f"| {op} | {shape} | | {name} | {type(error).__name__} |||||")
                    continue
                ours = ours or entry["time"]
                rate = 100 * moved[backward] / entry["time"] / copy_rate
                lines.append(
                    f"| {op} | {shape} | {'forward+backward' if backward else 'forward'} | "
                    f"{name} ({entry['way']}) | {1e6 * entry['time']:.1f} | "
                    f"{entry['time'] / ours:.1f} | {megabytes(entry['peak'])} | "
                    f"{entry['launches']} | {rate:.0f} |"
                )
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    path = HERE / "results" / f"{datetime.date.today()}-{commit()}-cuda.md"
    path.write_text(text)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
