"""A checkpoint to go on from or to play with: which file, the settings and rules kept in it."""

from dataclasses import dataclass, replace
from pathlib import Path

from tedg_fast.hypergraph import HypergraphError
from tedg_fast.legacy import LegacyError, V3Checkpoint, is_v3_checkpoint
from tedg_fast.runs import checkpoint
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.config import TrainConfig, from_dict
from tedg_fast.runs.folder import RunFolder
from tedg_fast.runs.model import Rules, load_rules, stored_rules
from tedg_fast.runs.v3_source import V3Source


@dataclass(frozen=True)
class Source:
    """A checkpoint, with remarks on damaged files that were passed over."""

    path: Path
    state: checkpoint.State
    remarks: list[str]

    @property
    def completed(self) -> int:
        """Episodes finished."""
        return self.state["completed"]

    def rules(self, path: str | None) -> tuple[Rules, str]:
        """The rules to go on by, and in words which: those kept in the checkpoint, or, where their
        play is the same, those at ``path``.

        Raises ``CheckpointError``, ``HypergraphError`` or ``LegacyError``.
        """
        kept = self.state["hypergraph"]
        if path is None:
            try:
                rules = stored_rules(kept["files"], str(self.path))
            except (HypergraphError, LegacyError) as error:
                raise CheckpointError(f"{error}; give their file by --hypergraph") from None
            where = f"as kept in {self.path}{self._changed_since()}"
        else:
            rules, where = load_rules(path), f"from {path}"
        if rules.digest != kept["digest"]:
            raise CheckpointError(
                f"{self.path} was trained with the rules {kept['name']!r} (sha256 "
                f"{kept['digest'][:12]}…), which {named(rules)} {where} are not: leave out "
                "--hypergraph, or begin a new run"
            )
        return rules, f"by the rules {named(rules)} {where}"

    def settings(self) -> TrainConfig:
        """The settings that are kept where no others are given.

        Its ``hypergraph`` is None, for the kept rules; the run's folder is where it lies now, as it
        may have been moved or renamed.
        """
        saved = replace(from_dict(self.state["config"]), hypergraph=None)
        run = RunFolder.around(self.path)
        if run is None:
            return saved
        return replace(saved, results=str(run.path.parent), exp_name=run.path.name)

    def _changed_since(self) -> str:
        """In words, that the rules have changed where the run first had them from."""
        origin = self.state["config"]["hypergraph"]
        try:
            same = load_rules(origin).digest == self.state["hypergraph"]["digest"]
        except (HypergraphError, LegacyError):
            return ""  # moved or gone: nothing that would matter
        if same:
            return ""
        return f" ({origin or 'the packaged ones'} are others by now)"


def named(rules: Rules) -> str:
    """Rules, in words that tell them from others."""
    return f"{rules.name!r} (sha256 {rules.digest[:12]}…)"


AnySource = Source | V3Source


def find_checkpoint(path: Path) -> AnySource:
    """The checkpoint ``path`` names: the file itself, or the newest whole one of a run folder.

    Raises ``CheckpointError``, or ``LegacyError`` for a file of V3's.
    """
    if str(path) in ("", "."):
        raise CheckpointError("--resume is empty; give a checkpoint file or a run folder")
    if path.is_dir():
        return Source(*checkpoint.newest(path))
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is no file; give a checkpoint file or a run folder")
    if is_v3_checkpoint(path):
        return V3Source(path, V3Checkpoint.load(path))
    return Source(path, checkpoint.load(path), [])
