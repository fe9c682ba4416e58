"""Ending a run when it is asked to, without losing or repeating anything."""

import contextlib
from collections.abc import Iterator

from tedg_fast.train.distributed import World


class Dropped(Exception):
    """A stop was requested while nothing was lost by stopping at once."""


class Stop:
    """Whether a run is to end. Of several ranks any one may be asked; they agree after an
    update."""

    def __init__(self, world: World):
        self.world = world
        self.requested = self.agreed = False
        self._droppable = False

    def request(self) -> None:
        """End the run within seconds, also from a signal handler.

        A rollout or update that is under way is dropped: resumed from the boundary before it, the
        run comes to the same. Of several ranks, all end after the update.
        """
        self.requested = True
        if self._droppable:
            self._droppable = False
            raise Dropped

    @contextlib.contextmanager
    def droppable(self) -> Iterator[None]:
        """Where a request may drop everything since the last update boundary."""
        self._droppable = self.world.size == 1
        try:
            if self.requested and self._droppable:
                raise Dropped
            yield
        finally:
            self._droppable = False
