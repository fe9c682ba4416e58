"""The folder of a run: where its files are, and when it may be written to."""

from pathlib import Path


class RunFolderError(ValueError):
    """A run folder that may not be used; the message says why and what to do."""


class RunFolder:
    """``<results>/<exp-name>/`` and the files in it."""

    def __init__(self, results: str, exp_name: str):
        self.path = Path(results) / exp_name
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "training.log"
        self.json = self.path / "logs" / "training_log.json"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.checkpoints / "best_model.pth"
        self.final = self.checkpoints / "model_final.pth"

    def model(self, episode: int) -> Path:
        """The checkpoint numbered ``episode``."""
        return self.checkpoints / f"model_{episode:05d}.pth"

    def refuse_existing(self) -> None:
        """Raise ``RunFolderError`` if there is a run here already."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunFolderError(
                f"{self.path} already exists: go on with it by --resume {self.path}, or choose "
                "another --exp-name"
            )

    def create(self) -> None:
        """Make the folders; ``RunFolderError`` where that is not possible."""
        try:
            for folder in (self.checkpoints, self.json.parent, self.tensorboard):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be created: {error.strerror}; choose another --results"
            ) from None
