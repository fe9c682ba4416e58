"""Going on from a checkpoint: which file, and whether this configuration can take it over."""

from dataclasses import dataclass
from pathlib import Path

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.legacy import V3Checkpoint, V3Hypergraph, is_v3_checkpoint
from tedg_fast.train import checkpoint
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.config import TrainConfig, to_dict
from tedg_fast.train.run_folder import RunFolder


@dataclass(frozen=True)
class Source:
    """A checkpoint found for ``--resume``, with remarks on damaged files that were passed over."""

    path: Path
    state: checkpoint.State
    remarks: list[str]

    @property
    def completed(self) -> int:
        """Episodes finished."""
        return self.state["completed"]


def find_checkpoint(path: Path) -> Source | V3Checkpoint:
    """The checkpoint ``path`` names: the file itself, or the newest whole one of a run folder.

    Raises ``CheckpointError``, or ``LegacyError`` for a file of V3's.
    """
    if path.is_dir():
        return Source(*checkpoint.newest(path))
    if is_v3_checkpoint(path):
        return V3Checkpoint.load(path)
    return Source(path, checkpoint.load(path), [])


def check_takeover(
    source: Source | V3Checkpoint, config: TrainConfig, hypergraph: Hypergraph | V3Hypergraph
) -> None:
    """Raise ``CheckpointError`` naming the difference if ``config`` cannot go on from ``source``."""
    if isinstance(source, V3Checkpoint):
        if not isinstance(hypergraph, V3Hypergraph):
            raise CheckpointError(
                f"{source.path} is a checkpoint of V3: give the folder with the two hypergraph "
                "files that it was trained with by --hypergraph"
            )
        return
    saved = source.state["config"]
    now = to_dict(config)
    differences = [
        f"{name.replace('_', '-')} is {saved[name]} there and {now[name]} here"
        for name in ("num_experts",)
        if saved[name] != now[name]
    ]
    differences += [
        f"policy.{name.replace('_', '-')} is {value} there and {now['policy'][name]} here"
        for name, value in saved["policy"].items()
        if value != now["policy"][name]
    ]
    there = source.state["hypergraph"]
    if there["digest"] != hypergraph.digest:
        differences.append(
            f"the hypergraph is {there['name']!r} (sha256 {there['digest'][:12]}…) there and "
            f"{hypergraph.name!r} (sha256 {hypergraph.digest[:12]}…) here"
        )
    if differences:
        raise CheckpointError(
            f"{source.path} is of another configuration: {'; '.join(differences)}; resume with "
            "the same ones, or start a new run"
        )
    if saved["exp_name"] == config.exp_name:
        _refuse_rewind(source, RunFolder(config.results, config.exp_name))


def _refuse_rewind(source: Source, folder: RunFolder) -> None:
    """Going on in a folder from an older file would overwrite what came after it."""
    if not folder.checkpoints.is_dir():
        return
    path, state, _ = checkpoint.newest(folder.path)
    if state["env_steps"] > source.state["env_steps"]:
        raise CheckpointError(
            f"{folder.path} has a newer checkpoint, {path.name}: --resume {folder.path} goes on "
            f"from it; to go on from {source.path.name} choose another --exp-name"
        )
