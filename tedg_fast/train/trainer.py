"""The training loop: collect → advantages and update → log → save."""

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.legacy import V3Checkpoint, V3Hypergraph
from tedg_fast.nethack.vector_env import GameState, VectorEnv
from tedg_fast.policy import Routing
from tedg_fast.train import checkpoint
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.config import TrainConfig, to_dict
from tedg_fast.train.display import Display, Status
from tedg_fast.train.health import HealthMonitor, Reading, expert_name
from tedg_fast.train.model import build_policy, grounder_of
from tedg_fast.train.platform import platform
from tedg_fast.train.ppo import PPO, NotFinite
from tedg_fast.train.rollout import Collector, Played, Rollout
from tedg_fast.train.resume import Source, require_fit
from tedg_fast.train.run_folder import RunFolder
from tedg_fast.train.run_log import RunLog
from tedg_fast.train.switching import expert_switching

ATTENTION_SAMPLE = 64
"""Active sets on which the attention variance is measured."""
BEST_AFTER = 20
"""Episodes a moving mean must cover before a checkpoint can be called the best."""


class Stopped(Exception):
    """A stop was requested while nothing was lost by stopping at once."""


class Trainer:
    """One training run. ``resume`` takes over a checkpoint; ``run`` plays and learns to the end."""

    def __init__(
        self, config: TrainConfig, hypergraph: Hypergraph | V3Hypergraph, display: Display
    ):
        self.config, self.hypergraph, self.display = config, hypergraph, display
        self.folder = RunFolder(config.results, config.exp_name)
        self.spec = grounder_of(hypergraph)(hypergraph, 1).spec
        self.policy = build_policy(hypergraph, config)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.ppo = PPO(self.policy, config.ppo, self.generator)
        self.normaliser = RewardNormaliser(
            config.num_envs, config.ppo.gamma, config.ppo.reward_clip
        )
        self.health = HealthMonitor()
        self.log = RunLog(self.folder, to_dict(config), parent=None)
        self.completed = 0
        self.env_steps = 0
        self.rollbacks = 0
        self.workers_lost = 0
        self.next_episode = 0
        self.games: list[GameState] = []
        self.best_score = -math.inf
        self.notes: list[str] = []
        self.stop_requested = False
        self.stoppable = False
        self.boundary: checkpoint.State = {}
        self.saved_at = 0.0
        self.unsaved = ""
        self.reading: Reading | None = None

    # --- checkpoints -------------------------------------------------------------------------

    def state_dict(self) -> checkpoint.State:
        """Everything the run needs to go on exactly as if it had not stopped; a copy."""
        return {
            "config": to_dict(self.config),
            "platform": platform(),
            "hypergraph": {"name": self.hypergraph.name, "digest": self.hypergraph.digest},
            "policy": copy.deepcopy(self.policy.state_dict()),
            "optimizer": copy.deepcopy(self.ppo.optimizer.state_dict()),
            "normaliser": self.normaliser.state_dict(),
            "generator": self.generator.get_state(),
            "health": self.health.state_dict(),
            "log": self.log.state_dict(),
            "completed": self.completed,
            "env_steps": self.env_steps,
            "rollbacks": self.rollbacks,
            "workers_lost": self.workers_lost,
            "best_score": self.best_score,
            "next_episode": self.next_episode,
            "games": [_pack(game) for game in self.games],
        }

    def resume(self, source: Source) -> None:
        """Take over a checkpoint's state; in another run's folder, begin a log of our own.

        Raises ``CheckpointError`` if the state does not fit this run's networks.
        """
        state = source.state
        require_fit(source, self.policy, self.ppo.optimizer)
        self.policy.load_state_dict(state["policy"])
        self.ppo.optimizer.load_state_dict(state["optimizer"])
        self.normaliser.load_state_dict(state["normaliser"])
        self.generator.set_state(state["generator"])
        self.health.load_state_dict(state["health"])
        self.completed, self.env_steps = state["completed"], state["env_steps"]
        self.rollbacks, self.workers_lost = state["rollbacks"], state["workers_lost"]
        self.best_score = state["best_score"]
        self.next_episode = state["next_episode"]
        self.games = [_unpack(game) for game in state["games"]]
        if self.folder.holds(source.path):
            self.log.load_state_dict(state["log"])
        else:
            self.log.first_episode, self.log.parent = self.completed, str(source.path)
            self.best_score = -math.inf
        self.notes = source.notes(self.config)

    def resume_v3(self, v3: V3Checkpoint) -> None:
        """Take over V3's weights, what it has of Adam's state, and its count of episodes."""
        v3.load_weights(self.policy)
        optimizer = self.ppo.optimizer
        optimizer.load_state_dict(v3.adam_state_dict(self.policy, optimizer))
        self.completed = self.next_episode = v3.completed
        self.log.first_episode, self.log.parent = v3.completed, str(v3.path)

    def _save(self, path: Path) -> bool:
        """Save the state of the last update boundary to ``path``; a failure ends nothing."""
        self.saved_at = time.monotonic()
        try:
            checkpoint.save(path, self.boundary)
        except OSError as error:
            self.unsaved = f"{path} could not be saved ({error.strerror or error})"
            self._event("checkpoint", f"{self.unsaved}; older checkpoints are as they were")
            return False
        self.unsaved = ""
        return True

    def _save_when_due(self, completed_before: int, *, best: bool) -> None:
        """Save what is due: the best model, a numbered checkpoint, or the latest state."""
        if best:
            self._save(self.folder.best)
        milestone = self.completed // self.config.save_every * self.config.save_every
        if milestone > completed_before:
            path = self.folder.model(milestone)
            if self._save(path) and self.config.keep_checkpoints is not None:
                self._prune(path)
        elif time.monotonic() - self.saved_at >= 60 * self.config.checkpoint_minutes:
            self._save(self.folder.latest)

    def _prune(self, newest: Path) -> None:
        try:
            self.folder.prune(self.config.keep_checkpoints, newest)
        except OSError as error:
            self._event("checkpoint", f"older checkpoints could not be deleted ({error.strerror})")

    def _event(self, kind: str, message: str) -> None:
        """Record something out of the ordinary and show it."""
        self.log.event(kind, message, self.completed)
        self._warn(message)

    def _warn(self, message: str) -> None:
        with contextlib.suppress(OSError):  # the output may go to the disk that is full
            self.display.warn(message)

    # --- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Train until ``config.episodes`` are completed or a stop is requested.

        ``unsaved`` then says why the end state could not be saved; it is empty if it is.
        """
        config = self.config
        self.log.open(self.env_steps)
        self.boundary = self.state_dict()
        self._save(self.folder.latest)  # from here on there is something to resume
        self.log.text.info(
            "run %s: %d episodes done, going to %d", config.exp_name, self.completed, config.episodes
        )
        for note in self.notes:
            self._event("resume", note)
        self._write_log()
        env = VectorEnv(
            self.hypergraph,
            num_envs=config.num_envs,
            num_workers=min(config.num_workers, config.num_envs),
            run_seed=config.seed,
            max_steps=config.max_steps,
            character=config.character,
            next_episode=self.next_episode,
            use_mask=config.mask,
            grounder=grounder_of(self.hypergraph),
        )
        try:
            with env, contextlib.suppress(Stopped):
                with self._stoppable():
                    self._start_games(env)
                rollout = Rollout(
                    self.spec, config.ppo.rollout_steps, config.num_envs, config.num_experts
                )
                collector = Collector(env, self.policy, self.normaliser, self.generator, rollout)
                while self.completed < config.episodes and not self.stop_requested:
                    self._iterate(env, collector, rollout)
        finally:  # whatever happened, the last boundary is whole
            self._save_end()

    def _save_end(self) -> None:
        """Save the last boundary as the final or the latest state, and close the log."""
        done = self.boundary["completed"] >= self.config.episodes
        if self._save(self.folder.final if done else self.folder.latest) and done:
            with contextlib.suppress(OSError):
                self.folder.latest.unlink(missing_ok=True)
        for problem in self.log.close():
            self._warn(problem)

    def request_stop(self) -> None:
        """End the run within seconds, also from a signal handler.

        A rollout or update that is under way is dropped: resumed from the boundary before it, the
        run comes to the same.
        """
        self.stop_requested = True
        if self.stoppable:
            self.stoppable = False
            raise Stopped

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Where a requested stop may drop everything since the last update boundary."""
        self.stoppable = True
        try:
            if self.stop_requested:
                raise Stopped
            yield
        finally:
            self.stoppable = False

    def _start_games(self, env: VectorEnv) -> None:
        """Go on with the checkpoint's games where their number fits, else begin fresh ones."""
        count = env.num_envs
        self.display.stage(f"{'replaying' if self.games else 'starting'} {count} games …")
        if not self.games:
            env.start()
        elif len(self.games) == env.num_envs:
            for message in env.restore(self.games, self.next_episode):
                self._event("replay", message)
        else:
            self._event(
                "replay",
                f"{len(self.games)} games were running and {env.num_envs} are to run now: fresh "
                "games begin",
            )
            env.start()

    def _iterate(self, env: VectorEnv, collector: Collector, rollout: Rollout) -> None:
        """One rollout and one update, with everything that is recorded about them."""
        config = self.config
        began = time.perf_counter()
        settings = config.settings_at(self.completed)
        with self._stoppable():
            torch.set_num_threads(1)  # a rollout's products are small, and the games need the cores
            played = collector.collect(Routing(settings.routing, settings.temperature))
            collected = time.perf_counter()

            torch.set_num_threads(config.threads)
            try:
                signals = self.ppo.update(rollout, settings)
            except NotFinite as error:
                self.rollbacks += 1
                message = f"{error}: the update was undone, weights and optimizer are as before it"
                self._event("rollback", message)
                signals = {}
        updated = time.perf_counter()
        self.display.add("games", played.stepping_seconds)
        self.display.add("policy", played.policy_seconds)
        self.display.add("update", updated - collected)

        before = self.completed
        self.env_steps += rollout.steps * rollout.num_envs
        self._record_episodes(played)
        speed = rollout.steps * rollout.num_envs / (updated - began)
        if signals:
            self._record_update(rollout, asdict(settings), signals, speed)
        best = self._is_best()
        self._write_log()  # before saving: a checkpoint never knows more than the log
        with self.display.timed("checkpoint"):
            self.next_episode, self.games = env.next_episode, env.games()
            self.boundary = self.state_dict()
            self._save_when_due(before, best=best)
        with contextlib.suppress(OSError):  # as in _warn
            self.display.refresh(
                Status(
                    completed=self.completed,
                    episodes=config.episodes,
                    phase=settings.phase,
                    progress=settings.progress,
                    env_steps=self.env_steps,
                    steps_per_second=speed,
                    true_score=self.log.recent("true_score"),
                    best_score=self.best_score,
                    last_observation_score=self.log.recent("last_observation_score"),
                    rollbacks=self.rollbacks,
                    reading=self.reading,
                )
            )

    def _write_log(self) -> None:
        with self.display.timed("logging"):
            for problem in self.log.write():
                self._event("log", problem)

    def _record_episodes(self, played: Played) -> None:
        for episode in played.episodes:
            self.completed += 1
            self.log.episode(episode, self.env_steps)
        for message in played.lost:
            self.workers_lost += 1
            self._event("worker lost", message)

    def _record_update(
        self, rollout: Rollout, settings: dict[str, Any], signals: dict[str, float], speed: float
    ) -> None:
        active = self.policy.unpack(rollout.observation.active_bits[:, 0][:ATTENTION_SAMPLE])
        variance = self.policy.manager.attention_variance(active)
        usage = rollout.alpha.mean((0, 1)).tolist()
        reading = Reading(
            completed=self.completed,
            phase=settings["phase"],
            grad_norm=signals["grad_norm"],
            attention_variance=variance,
            alpha_entropy=signals["alpha_entropy"],
            usage=tuple(usage),
            alignment_loss=signals["alignment_loss"],
        )
        self.reading = reading
        for warning in self.health(reading):
            self._event("health", warning)
        entry = {"completed": self.completed, "env_steps": self.env_steps, "phase": reading.phase}
        entry |= {name: settings[name] for name in ("progress", "temperature", "learning_rate")}
        entry |= signals | {"attention_variance": variance}
        entry |= {f"usage_{expert_name(k)}": share for k, share in enumerate(usage)}
        entry["expert_switching"] = expert_switching(rollout.alpha, rollout.done)
        entry |= {
            "mean_true_score": self.log.recent("true_score"),
            "mean_last_observation_score": self.log.recent("last_observation_score"),
            "rollbacks": self.rollbacks,
            "workers_lost": self.workers_lost,
            "steps_per_second": speed,
        }
        self.log.update(entry, self.env_steps)

    def _is_best(self) -> bool:
        """Whether the moving mean of the true score is the best so far; if so it is kept."""
        score = self.log.recent("true_score")
        if self.log.num_episodes < BEST_AFTER or score <= self.best_score:
            return False
        self.best_score = score
        return True


def _pack(game: GameState) -> dict[str, Any]:
    """A game's state in types that a ``weights_only`` load accepts."""
    actions = np.frombuffer(game.actions, np.uint8).copy()
    return asdict(game) | {"actions": torch.from_numpy(actions)}


def _unpack(packed: dict[str, Any]) -> GameState:
    return GameState(**packed | {"actions": packed["actions"].numpy().tobytes()})
