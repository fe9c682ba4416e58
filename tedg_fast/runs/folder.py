"""The folder of a run: where its files are, and when it may be written to."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tedg_fast.errors import BadInput
from tedg_fast.files import TEMPORARY, remove_leftovers, sync_folder, write_whole
from tedg_fast.runs import checkpoint


class RunFolderError(BadInput):
    """A run folder that may not be used; the message says why and what to do."""


class RunFolder:
    """``<results>/<exp-name>/`` and the files in it."""

    def __init__(self, results: str, exp_name: str):
        self.path = Path(results) / exp_name
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "training.log"
        self.json = self.path / "logs" / "training_log.json"
        self.episode_events = self.path / "tensorboard" / "episode"
        self.train_events = self.path / "tensorboard" / "train"
        self.best = self.checkpoints / "best_model.pth"
        self.latest = self.checkpoints / "model_latest.pth"
        self.final = self.checkpoints / "model_final.pth"

    def model(self, episode: int) -> Path:
        """The checkpoint numbered ``episode``."""
        return self.checkpoints / f"model_{episode:05d}.pth"

    def refuse_existing(self) -> None:
        """Raise ``RunFolderError`` if there is a run here, or anything else to overwrite.

        A run that died before its first checkpoint left folders, at most with a temporary file.
        """
        files = [path for path in self.path.rglob("*") if not path.is_dir()]
        if self.path.is_file() or any(not path.name.startswith(TEMPORARY) for path in files):
            raise RunFolderError(
                f"{self.path} already exists: go on with it by --resume {self.path}, or choose "
                "another --exp-name"
            )

    @classmethod
    def around(cls, path: Path) -> "RunFolder | None":
        """The run whose checkpoint ``path`` is, as far as its place tells."""
        folder = path.absolute().parent
        if folder.name != "checkpoints":
            return None
        run = folder.parent
        if run.is_relative_to(Path.cwd()):
            run = run.relative_to(Path.cwd())
        return cls(str(run.parent), run.name)

    def holds(self, path: Path) -> bool:
        """Whether ``path`` is one of this run's checkpoints."""
        return path.resolve().parent == self.checkpoints.resolve()

    def in_use(self) -> bool:
        """Whether a trainer is at work here, as far as the file system knows of locks."""
        try:
            lock = os.open(self.checkpoints, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass  # a file system without locks
        finally:
            os.close(lock)
        return False

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folders and keep other trainers out while in use.

        ``RunFolderError`` where the folder cannot be made or written to, or another is at work in
        it. What a run that died was just writing is deleted.
        """
        folders = (
            self.path, self.checkpoints, self.json.parent, self.episode_events, self.train_events,
        )  # fmt: skip
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
                    raise PermissionError(0, "it may not be written to")
            sync_folder(self.path)
            sync_folder(self.path.parent)
            lock = os.open(self.checkpoints, os.O_RDONLY)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be used: {error.strerror}; choose another --results"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a dead process holds no lock
        except BlockingIOError:
            os.close(lock)
            raise RunFolderError(
                f"another tedg-train is running in {self.path}: wait for its end, or choose "
                "another --exp-name"
            ) from None
        except OSError:
            pass  # a file system without locks
        try:
            for folder in folders:
                remove_leftovers(folder)
            yield
        finally:
            os.close(lock)

    def keep(self, files: dict[str, str]) -> list[str]:
        """Write texts by their names → one message for each that could not be written."""
        problems = []
        for name, text in files.items():
            try:
                write_whole(self.path / name, text.encode())
            except OSError as error:
                problems.append(f"{name} could not be written ({error.strerror or error})")
        return problems

    def prune(self, keep: int, newest: Path) -> None:
        """Delete numbered checkpoints older than the ``keep`` up to ``newest``, just saved."""
        numbered = {checkpoint.number(path): path for path in self.checkpoints.glob("model_*.pth")}
        older = sorted(n for n in numbered if 0 <= n <= checkpoint.number(newest))
        for n in older[:-keep]:
            numbered[n].unlink()
