"""A run together with the runs that it went on from, as one course."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tedg_fast.runs.folder import RunFolder
from tedg_fast.runs.log import LogError, Run, load_run


def whole_course(run: Run, runs: Sequence[Run]) -> Run:
    """``run`` with its parents' episodes and updates before its own.

    A parent is looked for among ``runs``, then where the log says that it was; without it the
    course begins where ``run`` does.
    """
    parent = _parent(run, runs)
    if parent is None:
        return run
    parent = whole_course(parent, runs)
    count = run.first_episode - parent.first_episode
    before = np.full(len(parent.updates["completed"]), True)
    if len(own := run.updates.get("env_steps", np.empty(0))) and "env_steps" in parent.updates:
        before = parent.updates["env_steps"] < own[0]
    if count > parent.num_episodes:  # the parent's log is older than the checkpoint
        return run
    return replace(
        run,
        first_episode=parent.first_episode,
        parent=parent.parent,
        episodes=_joined(parent.episodes, run.episodes, slice(count)),
        updates=_joined(parent.updates, run.updates, before),
        phases=[phase for phase, keep in zip(parent.phases, before) if keep] + run.phases,
        endings=parent.endings[:count] + run.endings,
        decided=parent.decided[:count] + run.decided,
        events=parent.events + run.events,
    )


def _parent(run: Run, runs: Sequence[Run]) -> Run | None:
    folder = RunFolder.around(Path(run.parent)) if run.parent else None
    if folder is None:
        return None
    for other in runs:
        if other.path.resolve() == folder.path.resolve():
            return other
    try:
        parent = load_run(folder.path)
    except LogError:
        return None
    return None if parent.path.resolve() == run.path.resolve() else parent


def _joined(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], keep: slice | np.ndarray
) -> dict[str, np.ndarray]:
    """Both series one after the other, those that both have."""
    return {
        name: np.concatenate([values[keep], second[name]])
        for name, values in first.items()
        if name in second
    }
