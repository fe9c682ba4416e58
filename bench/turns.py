"""Timing what is compared in turn, A B C A B C, so that a machine that drifts drifts for all."""

from math import ceil
from typing import Any

import pytest


def rivals(item: pytest.Item) -> tuple:
    """What a benchmark has in common with those it is compared to: all but the parameter `name`."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return (item.nodeid,)
    rest = sorted((key, str(value)) for key, value in callspec.params.items() if key != "name")
    return (item.nodeid.partition("[")[0], *rest)


def side_by_side(items: list[pytest.Item]) -> None:
    """Sort items so that rivals follow one another."""
    place: dict[tuple, int] = {}
    items.sort(key=lambda item: place.setdefault(rivals(item), len(place)))


class Turns:
    """Calls with the pytest-benchmark fixtures whose records their times fill."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Any]] = []

    def add(self, benchmark, call) -> None:
        """Have call() timed with its rivals, or called once where benchmarks are disabled."""
        if benchmark.disabled:
            benchmark(call)
            return
        benchmark._mode = "in turn"  # or the plugin warns that the fixture was not used
        self.waiting.append((benchmark, call))

    def run(self) -> None:
        """Time what waits: the same number of rounds of each, as many as the slowest would get.

        Lengths of rounds, their number and warmup are those of pytest-benchmark's options.
        """
        waiting, self.waiting = self.waiting, []
        rounds, timed = [], []
        for benchmark, call in waiting:
            runner = benchmark._make_runner(call, (), {})
            duration, iterations, loops = benchmark._calibrate_timer(runner)
            rounds.append(max(ceil(benchmark._max_time / duration), benchmark._min_rounds))
            timed.append((benchmark._make_stats(iterations), runner, loops))
            for _ in range(ceil(benchmark._warmup / iterations)):
                runner(loops)
        for _ in range(min(rounds, default=0)):
            for stats, runner, loops in timed:
                stats.update(runner(loops))
