"""When and where the state of a run is saved."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import TrainConfig
from tedg_fast.runs.folder import RunFolder
from tedg_fast.train.counting import up_to


class Saver:
    """Saves ``boundary``, the state after the last update, as ``config`` asks for.

    A failure ends nothing: ``tell`` is called with what went wrong, and ``unsaved`` says it until
    a later state could be saved.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig, tell: Callable[[str], None]):
        self.folder, self.config, self.tell = folder, config, tell
        self.boundary: checkpoint.State = {}
        self.saved_at = 0.0
        self.unsaved = ""

    def save(self, path: Path) -> bool:
        """Save to ``path`` → whether that was possible.

        A file with a number holds so many episodes, and none more than the run was asked for.
        """
        self.saved_at = time.monotonic()
        number = checkpoint.number(path)
        episodes = number if number >= 0 else self.config.episodes
        try:
            checkpoint.save(path, up_to(self.boundary, episodes))
        except OSError as error:
            self.unsaved = f"{path} could not be saved ({error.strerror or error})"
            self.tell(f"{self.unsaved}; older checkpoints are as they were")
            return False
        self.unsaved = ""
        return True

    def due(self, before: int, completed: int, *, best: bool) -> list[Path]:
        """Where to save now that, after ``before``, ``completed`` episodes are done: as the best
        model, with a number, or as the latest state."""
        paths = [self.folder.best] if best else []
        every = self.config.save_every
        milestone = min(completed, self.config.episodes) // every * every
        rested = time.monotonic() - self.saved_at >= 60 * self.config.checkpoint_minutes
        if milestone > before:
            paths.append(self.folder.model(milestone))
        elif rested and not best:
            paths.append(self.folder.latest)
        return paths

    def save_due(self, paths: list[Path]) -> None:
        """Save to what ``due`` gave; older numbered checkpoints go where there are too many."""
        for path in paths:
            numbered = path not in (self.folder.best, self.folder.latest)
            if self.save(path) and numbered:
                self._prune(path)

    def save_end(self) -> None:
        """Save as the final or, if the run has not reached its end, as the latest state."""
        done = self.boundary["completed"] >= self.config.episodes
        if self.save(self.folder.final if done else self.folder.latest) and done:
            with contextlib.suppress(OSError):
                self.folder.latest.unlink(missing_ok=True)

    def _prune(self, newest: Path) -> None:
        keep = self.config.keep_checkpoints
        if keep is None:
            return
        try:
            self.folder.prune(keep, newest)
        except OSError as error:
            self.tell(f"older checkpoints could not be deleted ({error.strerror})")
