"""Where wall time goes, part by part."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = (
    "games", "policy", "advantages", "inputs", "network", "losses", "backward", "optimizer",
    "waiting", "checkpoint", "logging", "display",
)  # fmt: skip
"""``games`` is waiting for them, ``policy`` all else in a rollout. The update follows, in the order in
which a gradient step goes through it, then waiting for other ranks, then what is done between two
iterations."""


class Stopwatch:
    """Adds up wall time under the names in ``PARTS``.

    A GPU works on its own: a part that only hands it work takes little time here, and the part that
    waits for the result is charged with all of it.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._since = time.perf_counter()

    def add(self, part: str, seconds: float) -> None:
        """Count time that was measured elsewhere."""
        self.seconds[part] += seconds

    def start(self) -> None:
        """The next ``lap`` begins here."""
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """Count the time since ``start`` or the last ``lap``."""
        now = time.perf_counter()
        self.seconds[part] += now - self._since
        self._since = now

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the time that the block takes."""
        began = time.perf_counter()
        yield
        self.add(part, time.perf_counter() - began)

    def shares(self) -> dict[str, float]:
        """Each part's share of all time counted so far."""
        total = sum(self.seconds.values()) or 1.0
        return {part: seconds / total for part, seconds in self.seconds.items()}
