"""A run's series sent to Weights & Biases as well, where that is installed."""

import contextlib
import importlib
import uuid
from collections.abc import Iterator
from typing import Any, Literal

from tedg_fast.train.limits import ConfigError
from tedg_fast.train.run_folder import RunFolder

Service = Literal["wandb"]
PROJECT = "tedg_fast"


class WandbRun:
    """One run there; a resumed run goes on in the same. After a crash it holds the entries that
    were made twice twice, unlike the run's own files."""

    def __init__(self, folder: RunFolder, config: dict[str, Any]):
        """Raises ``ConfigError`` where wandb cannot begin."""
        import wandb

        try:
            self._run = wandb.init(
                project=PROJECT,
                name=folder.path.name,
                id=_identity(folder),
                resume="allow",
                config=config,
                dir=folder.path,
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.Error as error:
            raise ConfigError(
                f"--track wandb: {str(error).splitlines()[0]}; log in with wandb login, or set "
                "WANDB_MODE=offline"
            ) from None
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


def _identity(folder: RunFolder) -> str:
    """The run's name at the service, made up once and kept in its folder."""
    path = folder.path / "wandb_id.txt"
    if not path.exists():
        path.write_text(uuid.uuid4().hex)
    return path.read_text().strip()
