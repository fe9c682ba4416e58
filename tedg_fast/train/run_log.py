"""What a run writes down: ``training.log``, ``training_log.json`` and TensorBoard events.

The series live in memory and in every checkpoint; the JSON file is written from them as a whole,
so a resumed run goes on without a missing or doubled episode. A disk that is full or fails costs
what could not be written meanwhile, never the run.
"""

import contextlib
import json
import logging
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tedg_fast.files import write_whole
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.runs.folder import RunFolder
from tedg_fast.train.event_file import EventFile
from tedg_fast.train.tracking import WandbRun

SCORE_WINDOW = 100
"""Episodes of the moving means."""
_JSON_PAUSE = 100
"""How many times as long as its last writing took the JSON file is left alone: it grows with the
run, and writing it is to take at most a hundredth of the time."""


class RunLog:
    """Series of a run: one entry an episode, one an update, and events (warnings, losses).

    Episodes come in the order of their numbers. Those beyond ``config["episodes"]`` count for the
    moving means, and are written down by the run that goes on to more.
    """

    def __init__(self, folder: RunFolder, config: dict[str, Any], parent: str | None):
        self.folder, self.config, self.parent = folder, config, parent
        self.first_episode = 0
        self.episodes: dict[str, list] = {}
        self.updates: dict[str, list] = {}
        self.events: list[dict[str, Any]] = []
        self.text = logging.getLogger("tedg_fast.train")
        self.failing: set[Path] = set()
        self.tracker: WandbRun | None = None
        self._json_rests_until = 0.0

    def open(self, env_steps: int) -> None:
        """Start writing after ``env_steps``; entries of an abandoned future are void."""
        self.text_file = TextFile(self.folder.log)
        self.text.setLevel(logging.INFO)
        self.text.propagate = False
        self.text.addHandler(self.text_file)
        # Two files, for their steps are counted differently: episodes, and environment steps.
        done = self.first_episode + self.num_episodes
        self.episode_events = EventFile(self.folder.episode_events, done + 1)
        self.train_events = EventFile(self.folder.train_events, env_steps + 1)

    def close(self) -> list[str]:
        """Write everything and stop; as ``write``."""
        problems = self.write(everything=True)
        self.text.removeHandler(self.text_file)
        with contextlib.suppress(OSError):
            self.text_file.close()
        return problems

    def write(self, *, everything: bool) -> list[str]:
        """Bring to the disk what is new → one message for each file that now cannot be written.

        The JSON file, which is written as a whole, waits until that costs little, unless
        ``everything`` is asked for.
        """
        files = {
            self.folder.log: self.text_file.check,
            self.folder.episode_events: self.episode_events.flush,
            self.folder.train_events: self.train_events.flush,
        }
        if everything or time.monotonic() >= self._json_rests_until:
            files[self.folder.json] = self._write_json
        problems = {}
        for path, write in files.items():
            try:
                write()
            except OSError as error:
                problems[path] = (
                    f"{path} could not be written ({error.strerror or error}): the run goes on, "
                    "and so does the file when it can be written again"
                )
        new = [message for path, message in problems.items() if path not in self.failing]
        self.failing = self.failing - set(files) | set(problems)
        return new

    @property
    def num_episodes(self) -> int:
        """Episodes in this log; those before ``first_episode`` are in the parent's."""
        return len(self.episodes.get("number", []))

    def episode(self, episode: Episode, env_steps: int) -> None:
        """Record the next episode that counts, after ``env_steps``."""
        _append(self.episodes, asdict(episode) | {"env_steps": env_steps})
        number = self.first_episode + self.num_episodes
        if number > self.config["episodes"]:
            return
        self.text.info(
            "episode %d (game %d): true score %d, last-observation score %d, reward %.2f, "
            "%d steps, depth %d, %s",
            number, episode.number, episode.true_score, episode.last_observation_score,
            episode.reward, episode.length, episode.depth, episode.ending,
        )  # fmt: skip
        for name in ("true_score", "last_observation_score", "reward", "length", "depth"):
            self.episode_events.scalar(f"episode/{name}", getattr(episode, name), number)
        if self.tracker is not None:
            series = asdict(episode) | {"number": number}
            del series["decided"]  # too many of them to be curves
            self.tracker.log("episode", series)

    def update(self, signals: dict[str, float | int | str], env_steps: int) -> None:
        """Record the signals of one update."""
        _append(self.updates, signals)
        self.text.info(update_line(signals))
        for name, value in signals.items():
            if not isinstance(value, str):
                self.train_events.scalar(f"train/{name}", value, env_steps)
        if self.tracker is not None:
            self.tracker.log("train", signals)

    def event(self, kind: str, message: str, completed: int, level: int = logging.WARNING) -> None:
        """Record a warning, a loss of games, a rollback, a save."""
        self.events.append({"kind": kind, "completed": completed, "message": message})
        self.text.log(level, "%s: %s", kind, message)

    def recent(self, series: str) -> float:
        """Mean of an episode series over the last ``SCORE_WINDOW`` episodes by number; NaN before
        any."""
        values = self.episodes.get(series, [])[-SCORE_WINDOW:]
        return sum(values) / len(values) if values else math.nan

    def state_dict(self) -> dict[str, Any]:
        return {
            "first_episode": self.first_episode,
            "parent": self.parent,
            "episodes": {name: list(values) for name, values in self.episodes.items()},
            "updates": {name: list(values) for name, values in self.updates.items()},
            "events": list(self.events),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.first_episode, self.parent = state["first_episode"], state["parent"]
        self.episodes, self.updates = state["episodes"], state["updates"]
        self.events = state["events"]

    def _write_json(self) -> None:
        began = time.monotonic()
        state = self.state_dict()
        kept = self.config["episodes"] - self.first_episode
        state["episodes"] = {name: values[:kept] for name, values in state["episodes"].items()}
        record = {
            "format": "tedg-training-log", "version": 1, "config": self.config, **state,
        }  # fmt: skip
        write_whole(self.folder.json, json.dumps(_finite(record)).encode())
        ended = time.monotonic()
        self._json_rests_until = ended + _JSON_PAUSE * (ended - began)


def update_line(signals: dict[str, float | int | str]) -> str:
    """What of an update one reads in passing; ``training_log.json`` has everything."""
    usage = (
        f"{name.removeprefix('usage_')} {share:.0%}"
        for name, share in signals.items()
        if name.startswith("usage_")
    )
    # There is none before the first episode has ended.
    known = not math.isnan(float(signals["mean_true_score"]))
    score = "mean true score {mean_true_score:.1f}, " if known else ""
    return (
        "update at {completed} episodes, {env_steps} steps ({phase}, {steps_per_second:.0f} "
        "steps/s, {decision_share:.0%} of them decisions): " + score + "loss {loss:.3f}, gradient "
        "norm {grad_norm:.2f}, action entropy {entropy:.2f}, α entropy {alpha_entropy:.3f}, "
        "attention variance {attention_variance:.3f}, alignment loss {alignment_loss:.4f}, "
    ).format_map(signals) + ", ".join(usage)


class TextFile(logging.FileHandler):
    """``training.log``; lines that cannot be written are lost, and ``check`` says so."""

    def __init__(self, path: Path):
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        self.error: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.error = None
        try:
            super().emit(record)
        except OSError:  # it could not even be opened
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            raise
        self.error = error

    def check(self) -> None:
        """Raise the ``OSError`` that the last line met, if any."""
        if self.error is not None:
            raise self.error


def _append(series: dict[str, list], entry: dict[str, Any]) -> None:
    """One entry more in every series; NaN where a series has none, as after a change of ranks."""
    length = max(map(len, series.values()), default=0)
    for name in series | entry:
        series.setdefault(name, [math.nan] * length).append(entry.get(name, math.nan))


def _finite(value: Any) -> Any:
    """NaN and infinities as null: JSON has no words for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
