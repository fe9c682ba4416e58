"""What the terminal shows of a run: a steady display, or plain lines where there is no terminal."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

PLAIN_EVERY = 10.0
"""Seconds between two lines where no terminal shows the live display."""


@dataclass(frozen=True)
class Status:
    """Where a run stands; scores are moving means."""

    completed: int
    episodes: int
    phase: str
    env_steps: int
    steps_per_second: float
    true_score: float
    last_observation_score: float


class Display:
    """Progress, scores, speed and the share of wall time of each part of the loop."""

    def __init__(self, episodes: int, completed: int = 0):
        self.console = Console()
        self.seconds: dict[str, float] = {}
        self.warning = ""
        self.printed = 0.0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("episodes, remaining"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task("warmup", total=episodes, completed=completed)
        self.live = Live(self.bar, console=self.console, refresh_per_second=4)

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def add(self, part: str, seconds: float) -> None:
        """Count wall time of a part of the loop."""
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.add(part, time.perf_counter() - began)

    def warn(self, message: str) -> None:
        self.warning = message
        if not self.console.is_terminal:
            self.console.print(f"warning: {message}", soft_wrap=True, highlight=False)

    def shares(self) -> str:
        """Share of wall time of each part, largest first."""
        total = sum(self.seconds.values()) or 1.0
        ordered = sorted(self.seconds.items(), key=lambda item: -item[1])
        return ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in ordered)

    def refresh(self, status: Status) -> None:
        """Show where the run stands."""
        scores = (
            f"true score {status.true_score:.1f}, last-observation score "
            f"{status.last_observation_score:.1f} (means of the last 100 at most)"
        )
        if math.isnan(status.true_score):
            scores = "no episode has ended yet"
        line = (
            f"{scores}; {status.env_steps:,} steps, {status.steps_per_second:,.0f} steps/s: "
            f"{self.shares()}"
        )
        if self.console.is_terminal:
            self.bar.update(self.task, completed=status.completed, description=status.phase)
            parts = [self.bar, Text(line)]
            if self.warning:
                parts.append(Text(f"last warning: {self.warning}", style="yellow"))
            self.live.update(Group(*parts))
        elif time.monotonic() - self.printed > PLAIN_EVERY:
            self.printed = time.monotonic()
            progress = f"{status.phase}: {status.completed}/{status.episodes} episodes"
            self.console.print(f"{progress}; {line}", soft_wrap=True, highlight=False)
