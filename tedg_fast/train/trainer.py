"""The training loop: collect → advantages and update → log → save."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.legacy import V3Checkpoint, V3Hypergraph
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.nethack.games.vector_env import GameState, VectorEnv
from tedg_fast.policy import Routing
from tedg_fast.train import checkpoint
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.config import TrainConfig, to_dict
from tedg_fast.train.config_file import as_toml
from tedg_fast.train.counting import in_turn
from tedg_fast.train.distributed import ALONE, World
from tedg_fast.train.display import Display, Status
from tedg_fast.train.entry import entry_of, reading_of
from tedg_fast.train.health import HealthMonitor, Reading
from tedg_fast.train.model import build_policy, grounder_of
from tedg_fast.train.platform import platform
from tedg_fast.train.ppo import PPO, NotFinite
from tedg_fast.train.ranks import (
    Clock, Pace, RankState, Share, checksum, deal, first_generator, pack, require_same, unpack,
)  # fmt: skip
from tedg_fast.train.rollout import Collector, Rollout
from tedg_fast.train.resume import Source, require_fit
from tedg_fast.train.run_folder import RunFolder
from tedg_fast.train.run_log import RunLog
from tedg_fast.train.saver import Saver
from tedg_fast.train.switching import expert_switches

ATTENTION_SAMPLE = 64
"""Observations on which the attention variance is measured."""
BEST_AFTER = 20
"""Episodes a moving mean must cover before a checkpoint can be called the best."""


class Dropped(Exception):
    """A stop was requested while nothing was lost by stopping at once."""


class Trainer:
    """One training run. ``resume`` takes over a checkpoint; ``run`` plays and learns to the end.

    Every rank of the ``world`` has a trainer; each plays its share of ``config.num_envs`` games,
    and the first one's writes the log and the checkpoints.
    """

    def __init__(
        self,
        config: TrainConfig,
        hypergraph: Hypergraph | V3Hypergraph,
        display: Display,
        world: World = ALONE,
    ):
        self.config, self.hypergraph, self.display = config, hypergraph, display
        self.world = world
        self.num_envs = config.num_envs // world.size
        self.folder = RunFolder(config.results, config.exp_name)
        self.spec = grounder_of(hypergraph)(hypergraph, 1).spec
        self.policy = build_policy(hypergraph, replace(config, device=world.device(config.device)))
        self.generator = first_generator(config.seed, world.rank)
        self.ppo = PPO(self.policy, config.ppo, self.generator, display.watch, world)
        self.normaliser = RewardNormaliser(self.num_envs, config.ppo.reward_clip, world)
        self.health = HealthMonitor()
        self.log = RunLog(self.folder, to_dict(config), parent=None)
        self.completed = 0
        self.waiting: list[Episode] = []
        self.env_steps = 0
        self.rollbacks = 0
        self.workers_lost = 0
        self.next_episode = world.rank
        self.games: list[GameState] = []
        self.best_score = -math.inf
        self.notes: list[str] = []
        self.stop_requested = self.stopping = False
        self.stoppable = False
        self.saver = Saver(self.folder, config, partial(self._event, "checkpoint"))
        self.reading: Reading | None = None
        self.pace: Pace | None = None

    # --- checkpoints -------------------------------------------------------------------------

    def state_dict(self, ranks: list[RankState]) -> checkpoint.State:
        """Everything the run needs to go on exactly as if it had not stopped; a copy."""
        rules = self.hypergraph
        return {
            "config": to_dict(self.config),
            "platform": platform(),
            "hypergraph": {"name": rules.name, "digest": rules.digest, "files": rules.files},
            "policy": checkpoint.snapshot(self.policy.state_dict()),
            "optimizer": checkpoint.snapshot(self.ppo.optimizer.state_dict()),
            "normaliser": self.normaliser.state_dict(),
            "health": self.health.state_dict(),
            "log": self.log.state_dict(),
            "completed": self.completed,
            "waiting": [asdict(episode) for episode in self.waiting],
            "env_steps": self.env_steps,
            "rollbacks": self.rollbacks,
            "workers_lost": self.workers_lost,
            "best_score": self.best_score,
            "ranks": ranks,
        }

    def rank_state(self) -> RankState:
        """What only this rank knows of the run; a copy."""
        return {
            "generator": self.generator.get_state(),
            "returns": torch.from_numpy(self.normaliser.returns.copy()),
            "next_episode": self.next_episode,
            "games": [pack(game) for game in self.games],
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
        self.health.load_state_dict(state["health"])
        self.completed, self.env_steps = state["completed"], state["env_steps"]
        self.waiting = [Episode(**episode) for episode in state["waiting"]]
        self.rollbacks, self.workers_lost = state["rollbacks"], state["workers_lost"]
        self.best_score = state["best_score"]
        mine = deal(state["ranks"], self.world, self.generator.get_state())
        self.generator.set_state(mine["generator"])
        if len(mine["returns"]) == self.num_envs:
            self.normaliser.returns = mine["returns"].numpy().copy()
        self.next_episode = mine["next_episode"]
        self.games = [unpack(game) for game in mine["games"]]
        if self.folder.holds(source.path):
            self.log.load_state_dict(state["log"])
        else:
            self.log.first_episode, self.log.parent = self.completed, str(source.path)
            self.best_score = -math.inf
        self.notes = source.notes(self.config, self.world.size)

    def resume_v3(self, v3: V3Checkpoint) -> None:
        """Take over V3's weights, what it has of Adam's state, and its count of episodes."""
        v3.load_weights(self.policy)
        optimizer = self.ppo.optimizer
        optimizer.load_state_dict(v3.adam_state_dict(self.policy, optimizer))
        self.completed, self.next_episode = v3.completed, v3.completed + self.world.rank
        self.log.first_episode, self.log.parent = v3.completed, str(v3.path)

    def _event(self, kind: str, message: str) -> None:
        """Record something out of the ordinary and show it, on the first rank."""
        if not self.world.leads:
            return
        self.log.event(kind, message, self.completed)
        self._warn(message)

    def _warn(self, message: str) -> None:
        with contextlib.suppress(OSError):  # the output may go to the disk that is full
            self.display.warn(message)

    # --- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Train until ``config.episodes`` are completed or a stop is requested.

        ``saver.unsaved`` then says why the end state could not be saved; it is empty if it is.
        """
        config, world = self.config, self.world
        ranks = world.gather(self.rank_state())
        if ranks is not None:
            self._open(ranks)
        self.completed = int(world.sums(self.completed if world.leads else 0)[0])
        workers = max(config.num_workers // world.local_size, 1)
        env = VectorEnv(
            self.hypergraph,
            num_envs=self.num_envs,
            num_workers=min(workers, self.num_envs),
            run_seed=config.seed,
            max_steps=config.max_steps,
            character=config.character,
            next_episode=self.next_episode,
            number_step=world.size,
            use_mask=config.mask,
            grounder=grounder_of(self.hypergraph),
        )
        try:
            with env, contextlib.suppress(Dropped):
                with self._stoppable():
                    self._start_games(env)
                rollout = Rollout(
                    self.spec, config.ppo.rollout_steps, self.num_envs, config.num_experts
                )
                self.clock = Clock(world.waited)
                collector = Collector(env, self.policy, self.normaliser, self.generator, rollout)
                while self.completed < config.episodes and not self.stopping:
                    self._iterate(env, collector, rollout)
        finally:  # whatever happened, the last boundary is whole
            if world.leads:
                self._save_end()

    def _open(self, ranks: list[RankState]) -> None:
        """Begin the log, and save what there is to resume from now on."""
        config = self.config
        self.log.open(self.env_steps)
        self._count([], ranks)
        self.saver.boundary = self.state_dict(ranks)
        self.saver.save(self.folder.latest)
        self.log.text.info(
            "run %s: %d episodes done, going to %d",
            config.exp_name, self.completed, config.episodes,
        )
        for note in self.notes:
            self._event("resume", note)
        for problem in self.folder.keep(self.hypergraph.files | {"config.toml": as_toml(config)}):
            self._event("log", problem)
        self._write_log(everything=True)

    def _save_end(self) -> None:
        """Save the last boundary as the final or the latest state, and close the log."""
        self.saver.save_end()
        for problem in self.log.close():
            self._warn(problem)

    def request_stop(self) -> None:
        """End the run within seconds, also from a signal handler.

        A rollout or update that is under way is dropped: resumed from the boundary before it, the
        run comes to the same. Of several ranks, any one may be asked; all end after the update.
        """
        self.stop_requested = True
        if self.stoppable:
            self.stoppable = False
            raise Dropped

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Where a requested stop may drop everything since the last update boundary."""
        self.stoppable = self.world.size == 1
        try:
            if self.stop_requested and self.stoppable:
                raise Dropped
            yield
        finally:
            self.stoppable = False

    def _start_games(self, env: VectorEnv) -> None:
        """Go on with the checkpoint's games where their number fits, else begin fresh ones."""
        count = env.num_envs
        self.display.stage(f"{'replaying' if self.games else 'starting'} {count} games …")
        messages: list[str] = []
        if len(self.games) == count:
            messages = env.restore(self.games, self.next_episode)
        else:
            if self.games:
                messages = [
                    f"{len(self.games)} games were running and {count} are to run now: fresh games "
                    "begin"
                ]
            env.start()
        for message in sum(self.world.gather(messages) or [], []):
            self._event("replay", message)

    def _iterate(self, env: VectorEnv, collector: Collector, rollout: Rollout) -> None:
        """One rollout and one update, with everything that is recorded about them."""
        config, world = self.config, self.world
        began, waited = time.perf_counter(), world.waited
        settings = config.settings_at(self.completed)
        with self._stoppable():
            torch.set_num_threads(1)  # a rollout's products are small, and the games need the cores
            routing = Routing(settings.routing, settings.temperature)
            played = collector.collect(routing, settings.gamma)
            waited_collecting = world.waited - waited

            torch.set_num_threads(config.threads)
            try:
                with world.settled():
                    signals = self.ppo.update(rollout, settings)
            except NotFinite as error:
                self.rollbacks += 1
                message = f"{error}: the update was undone, weights and optimizer are as before it"
                self._event("rollback", message)
                signals = {}
        updated, waited_updated = time.perf_counter(), world.waited
        watch = self.display.watch
        watch.add("games", played.stepping_seconds)
        watch.add("policy", played.policy_seconds - waited_collecting)

        with watch.timed("checkpoint"):
            self.next_episode, self.games = env.next_episode, env.games()
            share = Share(
                state=self.rank_state(),
                played=played,
                steps=rollout.steps * rollout.num_envs,
                usage=rollout.alpha.mean((0, 1)).tolist(),
                switching=expert_switches(rollout.alpha, rollout.done),
                checksum=checksum(self.policy) if world.size > 1 else 0,
                **self.clock.lap(world.waited),
            )
        shares = world.gather(share)
        before = self.completed
        self.env_steps += rollout.steps * config.num_envs
        if shares is not None:
            self._record_played(shares)
        completed, stops = world.sums(self.completed if world.leads else 0, self.stop_requested)
        self.completed, self.stopping = int(completed), stops > 0
        if world.size > 1:
            watch.add("waiting", world.waited - waited_updated + waited_collecting)
        if shares is None:
            return
        require_same(shares, self.env_steps)
        speed = rollout.steps * config.num_envs / (updated - began)
        self.pace = Pace.of(shares) if world.size > 1 else None
        if signals:
            self._record_update(rollout, shares, asdict(settings), signals, speed)
        paths = self.saver.due(before, self.completed, best=self._is_best())
        # Before saving: a checkpoint never knows more than the log.
        self._write_log(everything=bool(paths))
        with watch.timed("checkpoint"):
            self.saver.boundary = self.state_dict([share.state for share in shares])
            self.saver.save_due(paths)
        with contextlib.suppress(OSError):  # as in _warn
            self.display.refresh(
                Status(
                    completed=min(self.completed, config.episodes),
                    waiting=len(self.waiting),
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
                    pace=self.pace.words() if self.pace else "",
                )
            )

    def _write_log(self, *, everything: bool) -> None:
        with self.display.watch.timed("logging"):
            for problem in self.log.write(everything=everything):
                self._event("log", problem)

    def _record_played(self, shares: list[Share]) -> None:
        ended = [episode for share in shares for episode in share.played.episodes]
        self._count(ended, [share.state for share in shares])
        for message in [message for share in shares for message in share.played.lost]:
            self.workers_lost += 1
            self._event("worker lost", message)

    def _count(self, ended: list[Episode], ranks: list[RankState]) -> None:
        """Log the episodes that count now, of those that have ``ended`` and those that waited."""
        running = [game["episode"] for rank in ranks for game in rank["games"]]
        counted, self.waiting = in_turn([*self.waiting, *ended], running)
        for episode in counted:
            self.log.episode(episode, self.env_steps)
        self.completed += len(counted)

    def _record_update(
        self,
        rollout: Rollout,
        shares: list[Share],
        settings: dict[str, Any],
        signals: dict[str, float],
        speed: float,
    ) -> None:
        sample = self.policy.inputs(rollout.observation[:ATTENTION_SAMPLE, 0])
        variance = self.policy.manager.attention_variance(sample)
        reading = reading_of(signals, variance, shares, self.completed, settings["phase"])
        self.reading = reading
        for warning in self.health(reading):
            self._event("health", warning)
        entry = entry_of(reading, settings, signals, shares) | {
            "env_steps": self.env_steps,
            "mean_true_score": self.log.recent("true_score"),
            "mean_last_observation_score": self.log.recent("last_observation_score"),
            "rollbacks": self.rollbacks,
            "workers_lost": self.workers_lost,
            "steps_per_second": speed,
        }
        entry |= {f"share_{part}": x for part, x in self.display.watch.shares().items()}
        self.log.update(entry | (self.pace.series() if self.pace else {}), self.env_steps)

    def _is_best(self) -> bool:
        """Whether the moving mean of the true score is the best so far; if so it is kept."""
        score = self.log.recent("true_score")
        if self.log.num_episodes < BEST_AFTER or score <= self.best_score:
            return False
        self.best_score = score
        return True
