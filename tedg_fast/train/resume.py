"""Going on from a checkpoint: which file, and whether this configuration can take it over."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tedg_fast.hypergraph import Hypergraph, HypergraphError
from tedg_fast.legacy import LegacyError, V3Checkpoint, V3Hypergraph, is_v3_checkpoint
from tedg_fast.train import checkpoint
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.checkpoint_schema import Mismatch, require, require_like
from tedg_fast.train.config import TrainConfig, to_dict
from tedg_fast.train.limits import flat_settings
from tedg_fast.train.model import load_rules, stored_rules
from tedg_fast.train.platform import platform
from tedg_fast.train.run_folder import RunFolder

WITHOUT_EFFECT = (
    "exp_name", "results", "resume", "episodes", "num_workers", "save_every", "keep_checkpoints",
    "checkpoint_minutes",
)  # fmt: skip
"""Settings that change no bit of what is learnt."""


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

    def rules(self, path: str | None) -> tuple[Hypergraph | V3Hypergraph, str]:
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

    def notes(self, config: TrainConfig, ranks: int = 1) -> list[str]:
        """What is to be said of going on from here with ``config`` on so many ``ranks``."""
        notes = list(self.remarks)
        if self.remarks:
            notes.append(f"going on from {self.path}, {self.completed} episodes")
        changed = changed_settings(
            self.state["config"] | self.state["platform"] | {"hypergraph": None},
            to_dict(config) | platform() | {"hypergraph": None},  # the rules are the same, wherever
        )
        if changed:
            notes.append(
                f"resumed with other settings than {self.path} was made with, so this run is not "
                f"bit for bit the uninterrupted one: {'; '.join(changed)}"
            )
        before = len(self.state["ranks"])
        if before != ranks:
            notes.append(
                f"resumed on another number of ranks than {self.path} was made on, {ranks} here "
                f"and {before} there, so this run is not bit for bit the uninterrupted one; the games "
                "are dealt out anew"
            )
        return notes


def named(rules: Hypergraph | V3Hypergraph) -> str:
    """Rules, in words that tell them from others."""
    return f"{rules.name!r} (sha256 {rules.digest[:12]}…)"


def changed_settings(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """In words, the settings of ``here`` that matter and are others, or missing, ``there``."""
    before = flat_settings(there)
    return [
        f"{name} is {before.get(name)} there and {value} here"
        for name, value in flat_settings(here).items()
        if name not in WITHOUT_EFFECT and value != before.get(name)
    ]


def find_checkpoint(path: Path) -> Source | V3Checkpoint:
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
        return V3Checkpoint.load(path)
    return Source(path, checkpoint.load(path), [])


def check_takeover(
    source: Source | V3Checkpoint, config: TrainConfig, hypergraph: Hypergraph | V3Hypergraph
) -> None:
    """Raise ``CheckpointError`` naming the difference if ``config`` cannot go on from
    ``source``."""
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
    if differences:
        raise CheckpointError(
            f"{source.path} is of another configuration: {'; '.join(differences)}; resume with "
            "the same ones, or start a new run"
        )
    folder = RunFolder(config.results, config.exp_name)
    if folder.holds(source.path):
        _refuse_rewind(source, folder)


def require_fit(source: Source, policy: nn.Module, optimizer: Optimizer) -> None:
    """Raise ``CheckpointError`` unless the state's tensors are those of these networks."""
    own = optimizer.state_dict()
    saved = source.state["optimizer"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        require_like(source.state["policy"], _on_cpu(policy.state_dict()), "policy")
        require_like(saved["param_groups"], own["param_groups"], "optimizer.param_groups")
        for mine, its in zip(own["param_groups"], saved["param_groups"]):
            if its | {"lr": 0.0} != mine | {"lr": 0.0}:
                raise Mismatch("optimizer.param_groups differ from Adam's settings here")
        require(list(saved["state"]), [int], "the parameter numbers of optimizer.state")
        for number, entry in saved["state"].items():
            where = f"optimizer.state[{number}]"
            if not 0 <= number < len(parameters):
                raise Mismatch(f"{where} belongs to no parameter")
            moment = torch.zeros(parameters[number].shape, dtype=parameters[number].dtype)
            step = torch.zeros((), dtype=torch.float32)
            require_like(entry, {"step": step, "exp_avg": moment, "exp_avg_sq": moment}, where)
        for rank in source.state["ranks"]:
            torch.Generator().set_state(rank["generator"])
    except (Mismatch, RuntimeError) as error:
        raise CheckpointError(
            f"checkpoint {source.path} cannot be used: {error}; resume from another file"
        ) from None


def _refuse_rewind(source: Source, folder: RunFolder) -> None:
    """Going on in a folder from an older file would overwrite what came after it."""
    path, state, _ = checkpoint.newest(folder.path)  # there is one: the source
    if state["env_steps"] > source.state["env_steps"]:
        raise CheckpointError(
            f"{folder.path} has a newer checkpoint, {path.name}: --resume {folder.path} goes on "
            f"from it; to go on from {source.path.name} choose another --exp-name"
        )


def _on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.empty_like(tensor, device="cpu") for name, tensor in state.items()}
