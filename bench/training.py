"""Runs of ``tedg-train`` in processes of their own, timed from inside and watched from outside."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processes import Usage, usage

ENDLESS = 1_000_000_000
"""Episodes that no benchmark reaches."""


@dataclass(frozen=True)
class Run:
    """What a run of so many game ``steps`` took, with ``decisions`` in them.

    ``seconds`` are wall time since the games stood ready; ``parts`` says where they were spent.
    ``trainer_cpu`` and ``worker_cpu``: cores that were busy on average after the first iteration.
    ``profile`` is None or of some iterations; such a run's times mean nothing.
    """

    steps: int
    decisions: int
    seconds: float
    startup_seconds: float
    parts: dict[str, float]
    trainer_cpu: float
    worker_cpu: float
    peak: Usage
    profile: dict | None

    @property
    def speed(self) -> float:
        """Environment steps a second, everything counted once the games had started."""
        return self.steps / self.seconds

    @property
    def speed_with_startup(self) -> float:
        """The same since the process was launched."""
        return self.steps / (self.seconds + self.startup_seconds)

    @property
    def waiting_for_games(self) -> float:
        """Share of the wall time in which the trainer waited for its games."""
        return self.parts["games"] / self.seconds

    def summary(self) -> dict:
        return {**vars(self), "peak": self.peak._asdict(), "speed": self.speed}


def train(
    flags: list[str],
    steps: int,
    *,
    cores: list[int],
    profile: int | None = None,
    watch: Callable[[Usage, float], None] | None = None,
    interval: float = 0.5,
) -> Run:
    """Train with ``tedg-train``'s ``flags`` on the ``cores`` until ``steps`` are played.

    ``profile`` is how many iterations after the first to profile. Every ``interval`` seconds the
    usage of all its processes is looked at, and told to ``watch`` with the seconds since the
    launch. Raises RuntimeError, with the run's output, if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.json"
        launched = time.perf_counter()
        specification = {
            "out": str(out), "steps": steps, "launched": launched, "profile": profile
        }  # fmt: skip
        command = [sys.executable, str(Path(__file__).parent / "timed_run.py")]
        command += [json.dumps(specification), "--quiet", "--episodes", str(ENDLESS)]
        with open(Path(folder) / "output.txt", "w+") as output:
            process = subprocess.Popen(
                [*command, "--results", folder, *flags],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
            try:
                peak = Usage(0, 0, 0)
                while process.poll() is None:
                    now = usage(process.pid)
                    peak = Usage(*map(max, peak, now))
                    if watch is not None:
                        watch(now, time.perf_counter() - launched)
                    time.sleep(interval)
            finally:
                process.terminate()
                process.wait()
            stopped = 128 + signal.SIGTERM  # as it stops itself
            if process.returncode != stopped or not out.exists():
                output.seek(0)
                raise RuntimeError(f"tedg-train {' '.join(flags)} failed:\n{output.read()}")
        return _run(json.loads(out.read_text()), peak)


def _run(measured: dict, peak: Usage) -> Run:
    first, last = measured["marks"][0], measured["marks"][-1]

    def busy(processes: str) -> float:
        span = last["seconds"] - first["seconds"]
        return (last[processes] - first[processes]) / span if span else float("nan")

    return Run(
        steps=last["steps"],
        decisions=last["decisions"],
        seconds=last["seconds"],
        startup_seconds=measured["startup_seconds"],
        parts=last["parts"],
        trainer_cpu=busy("trainer_cpu"),
        worker_cpu=busy("worker_cpu"),
        peak=peak,
        profile=measured["profile"],
    )
