"""What becomes of an update: counted, written down, saved and shown."""

import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tedg_fast.nethack.games.episode import Episode
from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import TrainConfig, to_dict
from tedg_fast.runs.config_file import as_toml
from tedg_fast.runs.folder import RunFolder
from tedg_fast.runs.phases import Settings
from tedg_fast.runs.source import Source
from tedg_fast.train.display import Display, Status
from tedg_fast.train.distributed import World
from tedg_fast.train.entry import entry_of, reading_of
from tedg_fast.train.health import HealthMonitor, Reading
from tedg_fast.train.progress import Progress
from tedg_fast.train.ranks import Pace, RankState, Share
from tedg_fast.train.resume import notes_on
from tedg_fast.train.run_log import RunLog
from tedg_fast.train.saver import Saver

BEST_AFTER = 20
"""Episodes a moving mean must cover before a checkpoint can be called the best."""


class Recorder:
    """Writes the files of a run and its display on the first rank; does nothing on the others.

    ``no_update`` says why the run needs none; it is empty if it needs any.
    """

    def __init__(self, config: TrainConfig, display: Display, progress: Progress, world: World):
        self.config, self.display, self.world = config, display, world
        self.progress = progress
        self.folder = RunFolder(config.results, config.exp_name)
        self.log = RunLog(self.folder, to_dict(config), parent=None)
        self.health = HealthMonitor()
        self.saver = Saver(self.folder, config, partial(self.event, "checkpoint"))
        self.notes: list[str] = []
        self.no_update = ""
        self._before = 0
        self._reading: Reading | None = None
        self._pace: Pace | None = None

    def state_dict(self) -> checkpoint.State:
        """What a checkpoint keeps of log and health; a copy."""
        return {"log": self.log.state_dict(), "health": self.health.state_dict()}

    def resume(self, source: Source) -> None:
        """Go on with a checkpoint's log; in another run's folder, begin one of our own."""
        self.health.load_state_dict(source.state["health"])
        if self.folder.holds(source.path):
            self.log.load_state_dict(source.state["log"])
        else:
            self.begin_after(source.path)
        self.notes = notes_on(source, self.config, self.world.size)

    def begin_after(self, parent: Path) -> None:
        """Begin a log of our own, for the episodes after those of the checkpoint ``parent``."""
        self.log.first_episode, self.log.parent = self.progress.completed, str(parent)
        self.progress.best_score = -math.inf

    def event(self, kind: str, message: str) -> None:
        """Record something out of the ordinary and show it, on the first rank."""
        if self.world.leads:
            self.log.event(kind, message, self.progress.completed)
            self._warn(message)

    def open(
        self, ranks: list[RankState], files: dict[str, str], state: Callable[[], checkpoint.State]
    ) -> None:
        """Begin the log, save the ``state`` that there is to resume from now on, and keep the
        rules' ``files`` and the settings beside it."""
        config, progress = self.config, self.progress
        self.log.open(progress.env_steps)
        self._count([], ranks)
        self.display.begin(self._completed(), self._ended(), config.num_envs)
        self.saver.boundary = state()
        self.saver.save(self.folder.latest)
        self.log.text.info(
            "run %s: %d episodes done, going to %d",
            config.exp_name,
            progress.completed,
            config.episodes,
        )
        for note in self.notes:
            self.event("resume", note)
        if progress.completed >= config.episodes:
            self.no_update = (
                f"no update was needed: these {config.episodes} episodes had been played before; "
                f"to train on, ask for more than {progress.completed} (--episodes {self.more()})"
            )
            self.log.event("resume", self.no_update, progress.completed, logging.INFO)
        for problem in self.folder.keep(files | {"config.toml": as_toml(config)}):
            self.event("log", problem)
        self._write_log(everything=True)

    def close(self) -> None:
        """Save the last boundary as the final or the latest state, and close the log."""
        self.saver.save_end()
        for problem in self.log.close():
            self._warn(problem)

    def count(self, shares: list[Share]) -> None:
        """Count what all ranks have played."""
        self._before = self.progress.completed
        steps, decisions = _played(shares)
        self.progress.env_steps += steps
        self.progress.decisions += decisions
        ended = [episode for share in shares for episode in share.played.episodes]
        self._count(ended, [share.state for share in shares])
        for message in [message for share in shares for message in share.played.lost]:
            self.progress.workers_lost += 1
            self.event("worker lost", message)

    def update(
        self,
        signals: dict[str, float],
        attention_variance: float,
        shares: list[Share],
        settings: Settings,
        seconds: float,
    ) -> None:
        """Log an update that took ``seconds`` with its rollout, and warn of what is not healthy."""
        progress = self.progress
        reading = reading_of(
            signals, attention_variance, shares, progress.completed, settings.phase
        )
        self._reading = reading
        for warning in self.health(reading):
            self.event("health", warning)
        entry = entry_of(reading, asdict(settings), signals, shares, seconds) | {
            "env_steps": progress.env_steps,
            "decisions": progress.decisions,
            "mean_true_score": self.log.recent("true_score"),
            "mean_last_observation_score": self.log.recent("last_observation_score"),
            "rollbacks": progress.rollbacks,
            "workers_lost": progress.workers_lost,
        }
        entry |= {f"share_{part}": x for part, x in self.display.watch.shares().items()}
        if self.world.size > 1:
            self._pace = Pace.of(shares)
            entry |= self._pace.series()
        self.log.update(entry, progress.env_steps)

    def save(self, state: Callable[[], checkpoint.State]) -> None:
        """Keep the ``state`` at this boundary, and bring to the disk what is due.

        The log comes first: a checkpoint never knows more than it.
        """
        paths = self.saver.due(self._before, self.progress.completed, best=self._is_best())
        self._write_log(everything=bool(paths))
        with self.display.watch.timed("checkpoint"):
            self.saver.boundary = state()
            self.saver.save_due(paths)

    def show(self, shares: list[Share], settings: Settings, seconds: float) -> None:
        """Show where the run stands after a rollout and update that took ``seconds``."""
        progress = self.progress
        steps, decisions = _played(shares)
        status = Status(
            completed=self._completed(),
            waiting=len(progress.waiting),
            ended=self._ended(),
            phase=settings.phase,
            progress=settings.progress,
            env_steps=progress.env_steps,
            steps_per_second=steps / seconds,
            decisions=progress.decisions,
            decision_share=decisions / steps,
            true_score=self.log.recent("true_score"),
            best_score=progress.best_score,
            last_observation_score=self.log.recent("last_observation_score"),
            rollbacks=progress.rollbacks,
            reading=self._reading,
            pace=self._pace.words() if self._pace else "",
        )
        with contextlib.suppress(OSError):  # as in _warn
            self.display.refresh(status)

    def more(self) -> int:
        """A total to go on to: double, as often as it takes to exceed what has been played."""
        episodes = 2 * self.config.episodes
        while episodes <= self.progress.completed:
            episodes *= 2
        return episodes

    def _count(self, ended: list[Episode], ranks: list[RankState]) -> None:
        """Log the episodes that count now that these have ``ended``."""
        open_numbers = [game["episode"] for rank in ranks for game in rank["games"]]
        open_numbers += [number for rank in ranks for number in rank["unbegun"]]
        for episode in self.progress.count(ended, open_numbers):
            self.log.episode(episode, self.progress.env_steps)

    def _completed(self) -> int:
        """Episodes that count, of those that the run was asked for."""
        return min(self.progress.completed, self.config.episodes)

    def _ended(self) -> int:
        """Episodes that count or wait, of those that the run was asked for."""
        asked = self.config.episodes
        return self._completed() + sum(e.number < asked for e in self.progress.waiting)

    def _write_log(self, *, everything: bool) -> None:
        with self.display.watch.timed("logging"):
            for problem in self.log.write(everything=everything):
                self.event("log", problem)

    def _warn(self, message: str) -> None:
        with contextlib.suppress(OSError):  # the output may go to the disk that is full
            self.display.warn(message)

    def _is_best(self) -> bool:
        """Whether the moving mean of the true score is the best so far; if so it is kept."""
        score = self.log.recent("true_score")
        if self.log.num_episodes < BEST_AFTER or score <= self.progress.best_score:
            return False
        self.progress.best_score = score
        return True


def _played(shares: list[Share]) -> tuple[int, int]:
    """Game steps and decisions of all ranks."""
    return sum(share.steps for share in shares), sum(share.decisions for share in shares)
