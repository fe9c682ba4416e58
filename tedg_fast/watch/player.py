"""Showing one moment after the other: in a terminal with keys, or as lines of text."""

import contextlib
import os
import time
from collections import Counter
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tedg_fast.watch.keyboard import next_key, single_keys
from tedg_fast.watch.moments import Moment, WatchedGame
from tedg_fast.watch.recording import Recording, Shot
from tedg_fast.watch.view import SIZE, frame

KEYS = "space pause, n → on, b ← back, + - speed, q quit"
SPEEDS = (0.5, 1, 2, 4, 8, 16, 32)
"""Steps per second."""
_RESIZE_EVERY = 0.25
"""Seconds after which a changed size of the terminal is noticed at the latest."""


class Source(Protocol):
    """Something to watch: a game or a recording."""

    def shot(self, size: tuple[int, int], heading: str) -> Shot:
        """The moment at hand, in at most ``size`` (columns, rows)."""

    def advance(self) -> bool:
        """Go on to the next moment; False, and nothing happens, at the end."""

    def back(self) -> None:
        """Return to the moment before; at the beginning nothing happens."""

    def recorded(self, heading: str) -> list[Shot]:
        """All moments until now, in ``SIZE``."""

    def decided(self) -> Counter[str]:
        """How often each rule proposed what was then played; "no rule" where none did."""


class GameSource:
    """A game that is being played, for at most ``steps``; its moments are kept."""

    def __init__(self, game: WatchedGame, steps: int):
        self.game, self.steps = game, steps
        self.moments, self.place = [game.moment], 0

    def shot(self, size: tuple[int, int], heading: str) -> Shot:
        return self._shot(self.moments[self.place], size, heading)

    def _shot(self, moment: Moment, size: tuple[int, int], heading: str) -> Shot:
        hypergraph = self.game.hypergraph
        return Shot(frame(moment, hypergraph, heading, size), moment.line(hypergraph))

    def advance(self) -> bool:
        if self.place + 1 == len(self.moments):
            if self.game.moment.step >= self.steps or not self.game.advance():
                return False
            self.moments.append(self.game.moment)
        self.place += 1
        return True

    def back(self) -> None:
        self.place = max(self.place - 1, 0)

    def recorded(self, heading: str) -> list[Shot]:
        return [self._shot(moment, SIZE, heading) for moment in self.moments]

    def decided(self) -> Counter[str]:
        operators = self.game.hypergraph.operators
        winners = [moment.winner for moment in self.moments[:-1]]
        return Counter(operators[won[0].number].name if won else "no rule" for won in winners)


class RecordedSource:
    """A recording; its frames have the size and heading in which they were recorded."""

    def __init__(self, recording: Recording):
        self.recording, self.place, self.seen = recording, 0, 1

    def shot(self, size: tuple[int, int], heading: str) -> Shot:
        return self.recording.shots[self.place]

    def advance(self) -> bool:
        if self.place + 1 == len(self.recording.shots):
            return False
        self.place += 1
        self.seen = max(self.seen, self.place + 1)
        return True

    def back(self) -> None:
        self.place = max(self.place - 1, 0)

    def recorded(self, heading: str) -> list[Shot]:
        return list(self.recording.shots[: self.seen])

    def decided(self) -> Counter[str]:
        return Counter()  # it has pictures and lines only


def play_with_keys(source: Source, heading: str, speed: float) -> None:
    """Show ``source`` in the terminal until q or Ctrl-C; ``speed`` in steps per second."""
    live = Live(console=Console(), screen=True, auto_refresh=False)
    with contextlib.suppress(KeyboardInterrupt), single_keys(), live:
        _show(source, heading, speed, live)


def _show(source: Source, heading: str, speed: float, live: Live) -> None:
    playing, at_end, due = True, False, time.monotonic() + 1 / speed
    while True:
        state = "the end" if at_end else "playing" if playing else "paused"
        words = f"{state}, {speed:g} steps/s · {KEYS} · {heading}"
        size = os.get_terminal_size()
        shown = source.shot((size.columns, size.lines), words)
        text = Text.from_ansi(shown.frame, no_wrap=True, overflow="crop")
        live.console.size = size
        live.update(text, refresh=True)
        key = ""
        while not key and os.get_terminal_size() == size:
            left = due - time.monotonic() if playing and not at_end else _RESIZE_EVERY
            key = next_key(max(0.0, min(left, _RESIZE_EVERY)))
            if playing and not at_end and time.monotonic() >= due:
                break
        if key == "q":
            return
        if key == " ":
            playing = not playing
        elif key in ("+", "="):
            speed = min((s for s in SPEEDS if s > speed), default=SPEEDS[-1])
        elif key == "-":
            speed = max((s for s in SPEEDS if s < speed), default=SPEEDS[0])
        step = key in ("n", "right") or (playing and time.monotonic() >= due)
        if key in ("b", "left"):
            playing = at_end = False
            source.back()
        if step and not at_end:
            at_end = not source.advance()
        if step or key:
            due = time.monotonic() + 1 / speed


def print_lines(source: Source) -> None:
    """Print one line for each moment to the end."""
    print(source.shot(SIZE, "").line, flush=True)
    while source.advance():
        print(source.shot(SIZE, "").line, flush=True)


def print_decided(decided: Counter[str]) -> None:
    """Print how often each rule decided, the most frequent first; nothing where no rule is
    known."""
    steps = decided.total()
    if steps:
        print(f"what decided in {steps} steps:")
    for name, count in decided.most_common():
        print(f"{count:6} {count / steps:4.0%}  {name}")
