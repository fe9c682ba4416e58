"""Threads that compute the parts of a minibatch side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """``count`` threads, the caller's among them, that each do the same to a part of their own.

    PyTorch and the package's ops run side by side in them, since they hold no lock meanwhile. A
    thread that is done waits asleep, so that it takes nothing from other programs.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"count is {count}; there must be at least 1 thread")
        self.count = count
        self._others = ThreadPoolExecutor(count - 1, "update") if count > 1 else None

    def each(self, call: Callable[..., T], *columns: Sequence) -> list[T]:
        """``call`` of the first entry of every column, of the second, …: at most ``count``."""
        first, *rest = zip(*columns, strict=True)
        if self._others is None or not rest:
            return [call(*entries) for entries in (first, *rest)]
        later = [self._others.submit(call, *entries) for entries in rest]
        return [call(*first), *(result.result() for result in later)]
