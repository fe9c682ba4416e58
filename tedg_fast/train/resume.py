"""Going on from a checkpoint: whether a configuration and its networks can take it over."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tedg_fast.runs import checkpoint
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.checkpoint_schema import Mismatch, require, require_like
from tedg_fast.runs.config import TrainConfig, changed_settings, to_dict
from tedg_fast.runs.folder import RunFolder
from tedg_fast.runs.platform import platform
from tedg_fast.runs.source import AnySource, Source
from tedg_fast.runs.v3_source import V3Source


def goes_on_in(source: AnySource, folder: RunFolder) -> bool:
    """Whether the run's own files are in ``folder``; V3's folders are not like ours."""
    return isinstance(source, Source) and folder.holds(source.path)


def check_takeover(source: AnySource, config: TrainConfig) -> None:
    """Raise ``CheckpointError`` naming the difference if ``config`` cannot go on from there."""
    if isinstance(source, V3Source):
        if config.num_experts != source.v3.num_experts:
            raise CheckpointError(
                f"{source.path} has {source.v3.num_experts} experts and --num-experts is "
                f"{config.num_experts}: leave it out"
            )
        return
    saved, now = source.state["config"], to_dict(config)
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


def notes_on(source: Source, config: TrainConfig, ranks: int = 1) -> list[str]:
    """What is to be said of going on from there with ``config`` on so many ``ranks``."""
    notes = list(source.remarks)
    if source.remarks:
        notes.append(f"going on from {source.path}, {source.completed} episodes")
    changed = changed_settings(
        source.state["config"] | source.state["platform"] | {"hypergraph": None},
        to_dict(config) | platform() | {"hypergraph": None},  # the rules are the same, wherever
    )
    if changed:
        notes.append(
            f"resumed with other settings than {source.path} was made with, so this run is not "
            f"bit for bit the uninterrupted one: {'; '.join(changed)}"
        )
    before = len(source.state["ranks"])
    if before != ranks:
        notes.append(
            f"resumed on another number of ranks than {source.path} was made on, {ranks} here "
            f"and {before} there, so this run is not bit for bit the uninterrupted one; the "
            "games are dealt out anew"
        )
    return notes


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
