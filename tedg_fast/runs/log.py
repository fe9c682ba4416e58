"""Runs as series of numbers, read from run folders: whole, half-finished, running or damaged."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tedg_fast.errors import BadInput
from tedg_fast.runs import checkpoint
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.folder import RunFolder

V3_UPDATES = {
    "alpha_entropy": "alpha_entropy",
    "expert_usage_variance": "usage_variance",
    "gradient_norm": "grad_norm",
}
"""V3's names of signals -> ours. V3 logged them once an episode."""


class LogError(BadInput):
    """A run's log that cannot be read; the message is one line: what is wrong, what to do."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run's log.

    ``episodes`` holds float series with one entry an episode (``true_score``,
    ``last_observation_score``, ``length``, ``depth``, ``reward``; whatever the log has),
    ``updates`` those with one entry an update; missing numbers are NaN. ``decided`` has for each
    episode what ``Episode.decided`` says, and is empty where the log does not. ``remarks`` say what
    is to be known before trusting it.
    """

    name: str
    path: Path
    config: dict[str, Any]
    first_episode: int
    parent: str | None
    episodes: dict[str, np.ndarray]
    updates: dict[str, np.ndarray]
    phases: list[str]
    endings: list[str]
    events: list[dict[str, Any]]
    decided: list[dict[str, list[int]]] = field(default_factory=list)
    is_v3: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def num_episodes(self) -> int:
        """Episodes in this log; those before ``first_episode`` are in the parent's."""
        return len(self.episodes["last_observation_score"])

    @property
    def last_episode(self) -> int:
        """Number of the last finished episode, those of parents included."""
        return self.first_episode + self.num_episodes

    @property
    def numbers(self) -> np.ndarray:
        """[n] The numbers of the episodes in this log, from 1 with the first one of the course."""
        return np.arange(self.first_episode + 1, self.last_episode + 1)

    def scores(self, name: str, after: int = 0, to: int | None = None) -> np.ndarray:
        """The series ``name`` of the episodes ``after`` < number ≤ ``to``; empty if not logged."""
        values = self.episodes.get(name)
        if values is None:
            return np.empty(0)
        to = self.last_episode if to is None else to
        return values[(self.numbers > after) & (self.numbers <= to)]

    def signal(self, name: str, after: int = 0, to: int | None = None) -> float:
        """Mean of an update series over the updates that ended in those episodes; NaN if none."""
        values = self.updates.get(name)
        if values is None:
            return np.nan
        to = self.last_episode if to is None else to
        completed = self.updates["completed"]
        inside = values[(completed > after) & (completed <= to)]
        inside = inside[np.isfinite(inside)]
        return float(inside.mean()) if len(inside) else np.nan

    @property
    def usage(self) -> dict[str, np.ndarray]:
        """Mean routing weight of each expert, by name."""
        return {
            name.removeprefix("usage_"): values
            for name, values in self.updates.items()
            if name.startswith("usage_") and name != "usage_variance"
        }


def load_run(path: Path) -> Run:
    """The run in a folder, or in a log file of ours or of V3's.

    What a run folder lacks of its log is taken from its newest whole checkpoint, with a remark.
    Raises ``LogError`` where there is nothing to read.
    """
    if path.is_file():
        return _from_log(path, path, _read(path))
    if not path.is_dir():
        raise LogError(f"no run at {path}: give a run folder, or a training_log.json")
    for log in (path / "logs" / "training_log.json", path / "training_log.json"):
        if log.exists():
            try:
                return _from_log(path, log, _read(log))
            except LogError as error:
                return _from_checkpoint(path, str(error))
    return _from_checkpoint(path, f"{path} has no logs/training_log.json")


def _read(log: Path) -> Any:
    try:
        return json.loads(log.read_text())
    except OSError as error:
        raise LogError(f"{log} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise LogError(f"{log} is damaged: {error}") from None


def _from_log(path: Path, log: Path, record: Any) -> Run:
    """The run whose log file ``log`` holds ``record``; ``path`` is what the user named."""
    try:
        if record.get("format") == "tedg-training-log":
            run = _run(_name(path, record["config"]), path, record["config"], record)
        elif "episode_scores" in record:
            run = _v3_run(path, record)
        else:
            raise ValueError("neither tedg_fast's log nor V3's")
        _remark(run)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise LogError(f"{log} is not a training log that can be read: {problem}") from None
    return run


def _from_checkpoint(path: Path, problem: str) -> Run:
    try:
        file, state, _ = checkpoint.newest(path)
    except CheckpointError as error:
        raise LogError(f"{problem}; {error}") from None
    # A checkpoint that loads has a log whose series fit together.
    run = _run(_name(path, state["config"]), path, state["config"], state["log"])
    run.remarks.append(f"{problem}; its series are those of {file.name}")
    _remark(run)
    return run


def _run(name: str, path: Path, config: dict[str, Any], log: dict[str, Any]) -> Run:
    _require_equal_lengths(log["episodes"], "episodes")
    _require_equal_lengths(log["updates"], "updates")
    endings, phases = log["episodes"].get("ending", []), log["updates"].get("phase", [])
    episodes, updates = _numbers(log["episodes"]), _numbers(log["updates"])
    if not episodes:  # none has ended yet
        names = ("true_score", "last_observation_score", "length", "depth", "reward")
        episodes = {name: np.empty(0) for name in names}
    if "completed" in updates:  # at the end more games may have ended than were asked for
        last = int(log["first_episode"]) + len(episodes["last_observation_score"])
        updates["completed"] = np.minimum(updates["completed"], last)
    usage = [v for name, v in updates.items() if name.startswith("usage_")]
    if usage:
        updates["usage_variance"] = np.var(usage, axis=0)
    return Run(
        name=name,
        path=path,
        config=config,
        first_episode=int(log["first_episode"]),
        parent=log["parent"],
        episodes=episodes,
        updates=updates or {"completed": np.empty(0)},
        phases=phases,
        endings=endings,
        events=log["events"],
        decided=log["episodes"].get("decided", []),
    )


def _v3_run(path: Path, record: dict[str, Any]) -> Run:
    """V3's score is that of the last observation; its log has no true score and no depth."""
    metrics = record["monitor_metrics"]
    scores = _floats(record["episode_scores"])
    updates = {ours: _floats(metrics[v3]) for v3, ours in V3_UPDATES.items() if v3 in metrics}
    updates |= {"completed": np.arange(1, len(scores) + 1, dtype=float)}
    _require_equal_lengths(updates, "monitor_metrics")
    episodes = {
        "last_observation_score": scores,
        "length": _floats(record["episode_lengths"]),
        "reward": _floats(record["episode_rewards"]),
    }
    _require_equal_lengths(episodes, "episodes")
    folder = path.parent if path.is_file() else path
    return Run(
        name=f"V3 ({folder.name})",
        path=path,
        config=record.get("config", {}),
        first_episode=0,
        parent=None,
        episodes=episodes,
        updates=updates,
        phases=[],
        endings=[],
        events=[],
        is_v3=True,
        remarks=["a log of V3's, which has no true score: its score is 0 after every death"],
    )


def _remark(run: Run) -> None:
    """Say what is unfinished."""
    if run.num_episodes == 0:
        run.remarks.append("no episode has ended yet")
    if run.is_v3:
        return
    done = f"{run.last_episode} of {run.config['episodes']} episodes"
    if run.path.is_dir() and RunFolder(str(run.path.parent), run.path.name).in_use():
        run.remarks.append(f"still running: {done}")
    elif run.last_episode < run.config["episodes"]:
        run.remarks.append(f"stopped after {done}")


def _name(path: Path, config: dict[str, Any]) -> str:
    return path.resolve().name if path.is_dir() else str(config["exp_name"])


def _numbers(series: dict[str, list]) -> dict[str, np.ndarray]:
    """The series of numbers among ``series``."""
    return {
        name: _floats(values)
        for name, values in series.items()
        if not any(isinstance(value, str | dict) for value in values)
    }


def _floats(values: list) -> np.ndarray:
    """NaN stands for what JSON wrote as null."""
    return np.array([np.nan if value is None else value for value in values], float)


def _require_equal_lengths(series: dict[str, Any], what: str) -> None:
    lengths = {len(values) for values in series.values()}
    if len(lengths) > 1:
        raise ValueError(f"the series of {what} have different lengths, {sorted(lengths)}")
