"""The training loop: collect → advantages and update → log → save."""

import time
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
from tedg_fast.train.ppo import PPO, NotFinite
from tedg_fast.train.rollout import Collector, Played, Rollout
from tedg_fast.train.run_folder import RunFolder
from tedg_fast.train.run_log import SCORE_WINDOW, RunLog

ATTENTION_SAMPLE = 64
"""Active sets on which the attention variance is measured."""
BEST_AFTER = 20
"""Episodes a moving mean must cover before a checkpoint can be called the best."""


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
        self.best_score = -np.inf
        self.stop_requested = False

    # --- checkpoints -------------------------------------------------------------------------

    def state_dict(self, env: VectorEnv) -> checkpoint.State:
        """Everything the run needs to go on exactly as if it had not stopped."""
        return {
            "config": to_dict(self.config),
            "hypergraph": {"name": self.hypergraph.name, "digest": self.hypergraph.digest},
            "policy": self.policy.state_dict(),
            "optimizer": self.ppo.optimizer.state_dict(),
            "normaliser": self.normaliser.state_dict(),
            "generator": self.generator.get_state(),
            "health": self.health.state_dict(),
            "log": self.log.state_dict(),
            "completed": self.completed,
            "env_steps": self.env_steps,
            "rollbacks": self.rollbacks,
            "workers_lost": self.workers_lost,
            "best_score": self.best_score,
            "next_episode": env.next_episode,
            "games": [_pack(game) for game in env.games()],
        }

    def resume(self, state: checkpoint.State, source: Path) -> None:
        """Take over a checkpoint's state; under another run's name, begin a log of our own."""
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
        if state["config"]["exp_name"] == self.config.exp_name:
            self.log.load_state_dict(state["log"])
        else:
            self.log.first_episode, self.log.parent = self.completed, str(source)
            self.best_score = -np.inf

    def resume_v3(self, v3: V3Checkpoint) -> None:
        """Take over V3's weights, what it has of Adam's state, and its count of episodes."""
        v3.load_weights(self.policy)
        optimizer = self.ppo.optimizer
        optimizer.load_state_dict(v3.adam_state_dict(self.policy, optimizer))
        self.completed = self.next_episode = v3.completed
        self.log.first_episode, self.log.parent = v3.completed, str(v3.path)

    def _save(self, path: Path, env: VectorEnv) -> None:
        with self.display.timed("checkpoint"):
            checkpoint.save(path, self.state_dict(env))

    # --- the loop ----------------------------------------------------------------------------

    def run(self) -> Path:
        """Train until ``config.episodes`` are completed or a stop is requested.

        Returns the checkpoint that holds the end state.
        """
        config = self.config
        self.log.open(self.env_steps)
        self.log.text.info(
            "run %s: %d episodes done, going to %d", config.exp_name, self.completed, config.episodes
        )
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
        with env:
            self._start_games(env)
            rollout = Rollout(
                self.spec, config.ppo.rollout_steps, config.num_envs, config.num_experts
            )
            collector = Collector(env, self.policy, self.normaliser, self.generator, rollout)
            while self.completed < config.episodes and not self.stop_requested:
                self._iterate(env, collector, rollout)
            end = self.folder.final
            if self.completed < config.episodes:
                end = self.folder.model(self.completed)
            self._save(end, env)
        self.log.close()
        return end

    def _start_games(self, env: VectorEnv) -> None:
        """Go on with the checkpoint's games where their number fits, else begin fresh ones."""
        if not self.games:
            env.start()
        elif len(self.games) == env.num_envs:
            for message in env.restore(self.games, self.next_episode):
                self.log.event("replay", message, self.completed)
        else:
            self.log.event(
                "replay",
                f"{len(self.games)} games were running and {env.num_envs} are to run now: fresh "
                "games begin, so this run is not bit for bit the uninterrupted one",
                self.completed,
            )
            env.start()

    def _iterate(self, env: VectorEnv, collector: Collector, rollout: Rollout) -> None:
        """One rollout and one update, with everything that is recorded about them."""
        config = self.config
        began = time.perf_counter()
        settings = config.settings_at(self.completed)
        torch.set_num_threads(1)  # a rollout's products are small, and the games need the cores
        played = collector.collect(Routing(settings.routing, settings.temperature))
        collected = time.perf_counter()

        torch.set_num_threads(config.threads)
        try:
            signals = self.ppo.update(rollout, settings)
        except NotFinite as error:
            self.rollbacks += 1
            message = f"{error}: the update was undone, weights and optimizer are as before it"
            self.log.event("rollback", message, self.completed)
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
        self._save_when_due(env, before)
        with self.display.timed("logging"):
            self.log.write_json()
        self.display.refresh(
            Status(
                completed=self.completed,
                episodes=config.episodes,
                phase=settings.phase,
                env_steps=self.env_steps,
                steps_per_second=speed,
                true_score=self.log.recent("true_score"),
                last_observation_score=self.log.recent("last_observation_score"),
            )
        )

    def _record_episodes(self, played: Played) -> None:
        for episode in played.episodes:
            self.completed += 1
            self.log.episode(episode, self.env_steps)
        for message in played.lost:
            self.workers_lost += 1
            self.log.event("worker lost", message, self.completed)

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
        for warning in self.health(reading):
            self.log.event("health", warning, self.completed)
            self.display.warn(warning)
        entry = {"completed": self.completed, "env_steps": self.env_steps, "phase": reading.phase}
        entry |= {name: settings[name] for name in ("progress", "temperature", "learning_rate")}
        entry |= signals | {"attention_variance": variance}
        entry |= {f"usage_{expert_name(k)}": share for k, share in enumerate(usage)}
        entry |= {
            "mean_true_score": self.log.recent("true_score"),
            "mean_last_observation_score": self.log.recent("last_observation_score"),
            "rollbacks": self.rollbacks,
            "workers_lost": self.workers_lost,
            "steps_per_second": speed,
        }
        self.log.update(entry, self.env_steps)

    def _save_when_due(self, env: VectorEnv, completed_before: int) -> None:
        every = self.config.save_every
        milestone = self.completed // every * every
        if milestone > completed_before:
            self._save(self.folder.model(milestone), env)
        score = self.log.recent("true_score")
        if self.log.num_episodes >= min(BEST_AFTER, SCORE_WINDOW) and score > self.best_score:
            self.best_score = score
            self._save(self.folder.best, env)


def _pack(game: GameState) -> dict[str, Any]:
    """A game's state in types that a ``weights_only`` load accepts."""
    actions = np.frombuffer(game.actions, np.uint8).copy()
    return asdict(game) | {"actions": torch.from_numpy(actions)}


def _unpack(packed: dict[str, Any]) -> GameState:
    return GameState(**packed | {"actions": packed["actions"].numpy().tobytes()})
