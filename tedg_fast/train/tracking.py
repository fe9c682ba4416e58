"""A run's series sent to Weights & Biases as well, where that is installed."""

import contextlib
import importlib
import os
import shutil
from collections.abc import Iterator
from typing import Any, Literal

from tedg_fast.runs.config import ConfigError
from tedg_fast.runs.folder import RunFolder

Service = Literal["wandb"]
PROJECT = "tedg_fast"


class WandbRun:
    """One run at Weights & Biases; a resumed run goes on in the same one.

    A run that is resumed after a crash plays some games again. In its own files their entries
    replace the first ones; here both stay.

    Where an environment variable of wandb's (WANDB_PROJECT, WANDB_NAME and the like) is set, it
    counts, and not what is written here.
    """

    def __init__(self, folder: RunFolder, config: dict[str, Any]):
        """Raises ``ConfigError`` where wandb cannot begin; the folder is then as it was."""
        import wandb

        identity, files = folder.path / "wandb_id.txt", folder.path / "wandb"
        ours: dict[str, tuple[str, Any]] = {
            "WANDB_PROJECT": ("project", PROJECT),
            "WANDB_NAME": ("run_name", folder.path.name),
            "WANDB_RUN_ID": ("run_id", identity.read_text().strip() if identity.exists() else None),
            "WANDB_RESUME": ("resume", "allow"),
            "WANDB_DIR": ("root_dir", str(folder.path)),
            "WANDB_CONSOLE": ("console", "off"),
            "WANDB_SILENT": ("silent", True),
        }
        settings = dict(pair for variable, pair in ours.items() if variable not in os.environ)
        is_new = not files.exists()
        try:
            self._run = wandb.init(config=config, settings=wandb.Settings(**settings))
        except (wandb.Error, ValueError) as error:
            if is_new:  # a name that holds no files can be used again
                shutil.rmtree(files, ignore_errors=True)
            raise ConfigError(
                f"--track wandb: {_first_line(error)}; log in with wandb login, or set "
                "WANDB_MODE=offline"
            ) from None
        identity.write_text(self._run.id)
        self._run.define_metric("episode/*", step_metric="episode/number")
        self._run.define_metric("train/*", step_metric="train/env_steps")

    def log(self, kind: str, entry: dict[str, Any]) -> None:
        """Add an entry of ``kind`` "episode" or "train"."""
        self._run.log({f"{kind}/{name}": value for name, value in entry.items()})

    def finish(self) -> None:
        """Send what is left."""
        self._run.finish()


def check_service(service: Service | None) -> None:
    """Raise ``ConfigError`` if what it needs is not installed."""
    if service == "wandb":
        try:
            importlib.import_module("wandb")
        except ImportError:
            raise ConfigError("--track wandb needs wandb: pip install wandb") from None


@contextlib.contextmanager
def tracked(
    service: Service | None, folder: RunFolder, config: dict[str, Any]
) -> Iterator[WandbRun | None]:
    """The run at ``service`` while in use; None without a service."""
    if service is None:
        yield None
        return
    run = WandbRun(folder, config)
    try:
        yield run
    finally:
        run.finish()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
