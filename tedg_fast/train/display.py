"""What the terminal shows of a run: a steady display, or plain lines where there is no terminal."""

import math
import signal
import time
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from tedg_fast.errors import Stopped
from tedg_fast.hypergraph import expert_name
from tedg_fast.runs.bands import (
    ATTENTION_VARIANCE,
    EXPERT_USAGE,
    GRAD_NORM,
    Band,
    alpha_entropy_band,
)
from tedg_fast.train.health import Reading
from tedg_fast.train.stopwatch import Stopwatch

PLAIN_EVERY = 10.0
"""Seconds between two lines where no terminal shows the live display."""
MOST_EXPERTS = 8
"""Experts whose usage is shown one by one; of a larger number only the least used and the most used
are shown."""
COLOURS = {"healthy": "green", "bearable": "yellow", "warns": "bold red"}


@dataclass(frozen=True)
class Status:
    """Where a run stands; scores are means over the last episodes by number, ``reading`` is of the
    last update. ``waiting`` episodes have ended before one with a lower number; ``ended`` of the
    run's episodes have, whether they wait or not."""

    completed: int
    waiting: int
    ended: int
    phase: str
    progress: float
    """Share of the phase that is done; the last phase has no end and stays at 0."""
    env_steps: int
    steps_per_second: float
    decisions: int
    decision_share: float
    """Decisions in a game step of the last rollout."""
    true_score: float
    best_score: float
    last_observation_score: float
    rollbacks: int
    reading: Reading | None
    pace: str
    """Speed and waiting of each rank, in words; empty for a run in one process."""


class Output(Console):
    """The terminal or pipe; if its reader is gone, the run ends as if it had been told to stop."""

    def on_broken_pipe(self) -> None:
        raise Stopped(signal.SIGPIPE)


class Display:
    """Progress, scores, speed, the share of wall time of each part of the loop, and health.

    With ``quiet``, or where the output is no terminal, a plain line every ``PLAIN_EVERY`` seconds.
    """

    def __init__(self, episodes: int, *, quiet: bool = False):
        self.console = Output()
        self.is_live = self.console.is_terminal and not quiet
        self.watch = Stopwatch()
        self.warning = ""
        self.printed = 0.0
        self.bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[words]}"),
            console=self.console,
            expand=True,
        )
        self.total = episodes
        self.episodes = self.bars.add_task("run", total=episodes, words="")
        self.began, self.first, self.games = time.monotonic(), 0, 1
        self.phase: TaskID | None = None
        self.live = Live(self.bars, console=self.console, refresh_per_second=1)

    def __enter__(self) -> "Display":
        if self.is_live:
            self.live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_live:
            self.live.stop()

    def begin(self, completed: int, ended: int, games: int) -> None:
        """Measure the pace from now on, where of the run's episodes so many are ``completed``, so
        many have ``ended``, and so many ``games`` are played at once."""
        self.began, self.first, self.games = time.monotonic(), ended, games
        self.bars.update(self.episodes, completed=completed, words=self._counts(completed))

    def stage(self, words: str) -> None:
        """Say what is being done before the first ``refresh``."""
        if self.is_live:
            self.live.update(Group(self.bars, Text(words)))

    def warn(self, message: str) -> None:
        self.warning = message
        if not self.is_live:
            self.console.print(f"warning: {message}", soft_wrap=True, highlight=False)

    def shares(self) -> str:
        """Share of wall time of each part, largest first."""
        ordered = sorted(self.watch.shares().items(), key=lambda item: -item[1])
        return ", ".join(f"{part} {share:.0%}" for part, share in ordered if share >= 0.005)

    def refresh(self, status: Status) -> None:
        """Show where the run stands."""
        with self.watch.timed("display"):
            if self.is_live:
                self._move_bars(status)
                self.live.update(self._panel(status))
            elif time.monotonic() - self.printed > PLAIN_EVERY:
                self.printed = time.monotonic()
                self.console.print(self._line(status), soft_wrap=True, highlight=False)

    def _line(self, status: Status) -> str:
        wait = f" ({_wait(status)})" if status.waiting else ""
        words = (
            f"{status.phase}: {self._counts(status.completed)}{wait}{self._left(status)}; "
            f"{_scores(status)}; {status.env_steps:,} steps, {_speed(status)}: {self.shares()}"
        )
        if status.pace:
            words += f"; {status.pace}"
        if status.reading is not None:
            signals = (f"{name} {value}" for name, value, _ in _health(status.reading))
            words += f"; {', '.join(signals)}"
        return words

    def _counts(self, completed: int) -> str:
        return f"{completed} of {self.total} episodes"

    def _left(self, status: Status) -> str:
        """In words, how long the rest of the run takes at its pace since this start.

        The pace is that of games that end: while an early one is long, the count stands still. It
        is told after a quarter of the run, or when as many games have ended as are played at once:
        all begin together, so at first hardly any end.
        """
        done, left = status.ended - self.first, self.total - status.ended
        if done < min(self.games, (self.total - self.first) / 4) or done <= 0 or left <= 0:
            return ""
        seconds = (time.monotonic() - self.began) / done * left
        return f", {timedelta(seconds=round(seconds))} left"

    def _move_bars(self, status: Status) -> None:
        words = f"{self._counts(status.completed)}{self._left(status)}"
        self.bars.update(self.episodes, completed=status.completed, words=words)
        if self.phase is None:
            self.phase = self.bars.add_task("", total=1.0, words="")
        endless = status.phase == "fine-tune"
        self.bars.update(
            self.phase,
            description=status.phase,
            total=None if endless else 1.0,
            completed=status.progress,
            words="to the end" if endless else f"{status.progress:.0%}",
        )

    def _panel(self, status: Status) -> Panel:
        rows = Table.grid(padding=(0, 2), expand=True)
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(ratio=1)
        if status.waiting:
            rows.add_row("games", _wait(status))
        best = "" if math.isinf(status.best_score) else f", best {status.best_score:.1f}"
        rows.add_row("score", f"{_scores(status)}{best}")
        speed = f"{_speed(status)}, {status.env_steps:,} and {status.decisions:,} in all"
        rows.add_row("speed", f"{speed}: {self.shares()}")
        if status.pace:
            rows.add_row("ranks", status.pace)
        if status.reading is not None:
            rows.add_row("health", _coloured(status.reading, status.rollbacks))
        if self.warning:
            rows.add_row("warning", Text(self.warning, style="yellow"))
        return Panel(Group(self.bars, rows), padding=(0, 1))


def _wait(status: Status) -> str:
    """A game counts when all of lower numbers have ended: else short games would be seen first."""
    wait = "ended game waits" if status.waiting == 1 else "ended games wait"
    return f"{status.waiting} {wait} for an earlier one"


def _speed(status: Status) -> str:
    """In game steps and in decisions."""
    decisions = status.steps_per_second * status.decision_share
    return (
        f"{status.steps_per_second:,.0f} steps/s, {decisions:,.0f} decisions/s "
        f"({status.decision_share:.0%} of the steps)"
    )


def _scores(status: Status) -> str:
    if math.isnan(status.true_score):
        return "no scores yet"
    return (
        f"true score {status.true_score:.1f}, last-observation score "
        f"{status.last_observation_score:.1f} (means of the last 100 games by number)"
    )


def _health(reading: Reading) -> list[tuple[str, str, str]]:
    """The watched signals: name, value as text, level (empty for one without a threshold)."""
    entropy = alpha_entropy_band(reading.phase, len(reading.usage))
    signals: list[tuple[str, str, float, Band | None]] = [
        ("gradient norm", ".2f", reading.grad_norm, GRAD_NORM),
        ("attention variance", ".3f", reading.attention_variance, ATTENTION_VARIANCE),
    ]
    if len(reading.usage) > 1:
        signals.append(("α entropy", ".3f", reading.alpha_entropy, entropy))
        usage = [(share, expert_name(k)) for k, share in enumerate(reading.usage)]
        if len(usage) > MOST_EXPERTS:
            usage = [min(usage), max(usage)]
        signals += [(name, ".0%", share, EXPERT_USAGE) for share, name in usage]
    signals.append(("alignment loss", ".4f", reading.alignment_loss, None))
    return [
        (name, format(value, how), "" if band is None else band.level(value))
        for name, how, value, band in signals
    ]


def _coloured(reading: Reading, rollbacks: int) -> Text:
    text = Text()
    for name, value, level in _health(reading):
        text.append(f"{name} ", style="dim")
        text.append(value, style=COLOURS.get(level, ""))
        text.append("  ")
    text.append("undone updates ", style="dim")
    text.append(str(rollbacks), style=COLOURS["warns" if rollbacks else "healthy"])
    return text
