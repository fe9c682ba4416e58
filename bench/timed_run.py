"""``tedg-train`` that times itself: ``python timed_run.py SPECIFICATION <its arguments>``.

SPECIFICATION is JSON: ``out``, the file for what was measured; ``steps``, after which the run is
stopped by SIGTERM, for a shell has what it puts into the background ignore Ctrl-C; ``launched``,
when the process was started, on ``time.perf_counter``'s clock; ``profile``, how many iterations
after the first to run under PyTorch's profiler, or null.
"""

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from processes import cpu_seconds, descendants
from torch.profiler import ProfilerActivity, profile

from tedg_fast import cli
from tedg_fast.train import command
from tedg_fast.train.display import Display, Status
from tedg_fast.train.stopwatch import Stopwatch

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


class FirstIteration(Stopwatch):
    """The trainer's stopwatch, which also keeps when the first rollout began."""

    began: float | None = None

    def start(self) -> None:
        super().start()
        if self.began is None:
            self.began = time.perf_counter()


class TimedDisplay(Display):
    """The trainer's display, which also writes down when every iteration ended.

    Times are in seconds since the games had started.
    """

    def __init__(self, *args, specification: dict, **kwargs):
        super().__init__(*args, **kwargs)
        self.specification = specification
        self.watch = FirstIteration()
        self.marks: list[dict] = []
        self.profiled: dict | None = None
        self.profiler: profile | None = None

    def refresh(self, status: Status) -> None:
        super().refresh(status)
        now = time.perf_counter()
        self.started = self.watch.began  # the games stand ready when the first rollout begins
        # A process's own processor time is known exactly, but its workers' only to the tick.
        workers = descendants(os.getpid())[1:]
        self.marks.append(
            {
                "steps": status.env_steps,
                "decisions": status.decisions,
                "seconds": now - self.started,
                "parts": dict(self.watch.seconds),
                "trainer_cpu": time.process_time(),
                "worker_cpu": cpu_seconds(workers),
            }
        )
        to_profile = self.specification["profile"]
        if to_profile is not None and len(self.marks) == 1:
            self.profiler = profile(activities=[ProfilerActivity.CPU], with_flops=True)
            self.profiler.start()
        elif self.profiler is not None and len(self.marks) == 1 + to_profile:
            self.profiler.stop()
            self.profiled = self._profile()
            self.profiler = None
        profiled = to_profile is None or self.profiled is not None
        if profiled and status.env_steps >= self.specification["steps"]:
            self.finish()

    def finish(self) -> None:
        """Write what was measured and stop the run as a user would."""
        measured = {
            "startup_seconds": self.started - self.specification["launched"],
            "marks": self.marks,
            "profile": self.profiled,
        }
        Path(self.specification["out"]).write_text(json.dumps(measured))
        os.kill(os.getpid(), signal.SIGTERM)

    def _profile(self) -> dict:
        """Where the iterations between the first mark and the last spent their time, by op."""
        before, after = self.marks[0], self.marks[-1]
        ops = self.profiler.key_averages()
        seconds = {op.key: op.self_cpu_time_total / 1e6 for op in ops}
        products = [op for op in ops if op.key in PRODUCTS]
        return {
            "seconds": after["seconds"] - before["seconds"],
            "games": after["parts"]["games"] - before["parts"]["games"],
            "products": sum(seconds.get(name, 0.0) for name in PRODUCTS),
            "kernels": sum(time for name, time in seconds.items() if name.startswith("tedg::")),
            "flops": sum(op.flops for op in products),
            "steps": after["steps"] - before["steps"],
            "ops": dict(sorted(seconds.items(), key=lambda item: -item[1])[:15]),
        }


def main(specification: dict, arguments: list[str]) -> None:
    command.Display = partial(TimedDisplay, specification=specification)
    sys.argv = ["tedg-train", *arguments]
    cli.train()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
