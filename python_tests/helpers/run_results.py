"""What a run left behind, and whether two runs left the same."""

import json
import math

from exact import differences
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tedg_fast.runs import checkpoint

EPISODE_SERIES = ("true_score", "last_observation_score", "reward", "length", "depth")


def log_of(folder):
    """``training_log.json``."""
    return json.loads((folder / "logs" / "training_log.json").read_text())


def end_state(folder):
    """Everything in ``model_final.pth`` that two equal runs must share."""
    state = checkpoint.load(folder / "checkpoints" / "model_final.pth")
    del state["config"]  # names the folder, and how often to save
    forget_timings(state)
    return state


OF_RANKS = ("waiting_share", "slowest_rank")


def forget_timings(state):
    """Take out of a checkpoint's log what depends on the machine's speed."""
    updates = state["log"]["updates"]
    for name in list(updates):
        if name.endswith("s_per_second") or name.startswith("share_") or name in OF_RANKS:
            del updates[name]


def assert_same_end(one, other):
    """Parameters, optimizer, generator, games, normaliser, series and events, bit for bit."""
    assert not differences(end_state(one), end_state(other))


def assert_logs_are_complete(folder):
    """JSON, TensorBoard and the final checkpoint tell of the same episodes, once each."""
    log = log_of(folder)
    state = checkpoint.load(folder / "checkpoints" / "model_final.pth")["log"]
    assert log["episodes"] == json.loads(json.dumps(state["episodes"]))  # a tuple is a list there
    assert log["updates"] == _with_null(state["updates"])
    numbers = log["episodes"]["number"]
    assert len(set(numbers)) == len(numbers)

    steps = list(range(log["first_episode"] + 1, log["first_episode"] + len(numbers) + 1))
    shown = tensorboard_series(folder / "tensorboard" / "episode")
    for name in EPISODE_SERIES:
        _assert_close(shown[f"episode/{name}"], steps, log["episodes"][name])
    shown = tensorboard_series(folder / "tensorboard" / "train")
    for name in ("loss", "completed", "usage_combat"):
        _assert_close(shown[f"train/{name}"], log["updates"]["env_steps"], log["updates"][name])


def tensorboard_series(folder):
    """What TensorBoard shows → {tag: [(step, value), …]}."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(entry.step, entry.value) for entry in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def _assert_close(shown, steps, values):
    """TensorBoard keeps 32 bits of a value."""
    assert [step for step, _ in shown] == steps
    assert all(math.isclose(a, b, rel_tol=1e-6) for (_, a), b in zip(shown, values))


def _with_null(series):
    return {
        name: [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
        for name, values in series.items()
    }
