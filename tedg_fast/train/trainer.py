"""The training loop: collect → advantages and update → log → save."""

import contextlib
import time
from dataclasses import replace

import torch

from tedg_fast.nethack.games.episode import GameState
from tedg_fast.nethack.games.shared_state import RolloutSetup
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Routing, has_native_player, player_setup
from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import TrainConfig, to_dict
from tedg_fast.runs.model import Rules, build_policy, grounder_of
from tedg_fast.runs.phases import Settings
from tedg_fast.runs.platform import platform
from tedg_fast.runs.source import AnySource
from tedg_fast.runs.v3_source import V3Source
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.display import Display
from tedg_fast.train.distributed import ALONE, World
from tedg_fast.train.ppo import PPO, NotFinite
from tedg_fast.train.progress import Progress
from tedg_fast.train.ranks import (
    Clock,
    RankState,
    Share,
    checksum,
    deal,
    first_generator,
    pack,
    require_same,
    unpack,
)  # fmt: skip
from tedg_fast.train.recorder import Recorder
from tedg_fast.train.resume import require_fit
from tedg_fast.train.rollout import Collector, Played, Rollout, collector_of
from tedg_fast.train.stopping import Dropped, Stop
from tedg_fast.train.switching import expert_switches

ATTENTION_SAMPLE = 64
"""Decisions on which the attention variance is measured."""


class Trainer:
    """One training run. ``resume`` takes over a checkpoint; ``run`` plays and learns to the end.

    Every rank of the ``world`` has a trainer; each plays its share of ``config.num_envs`` games,
    and the first one's writes the log and the checkpoints.
    """

    def __init__(
        self,
        config: TrainConfig,
        hypergraph: Rules,
        display: Display,
        world: World = ALONE,
    ):
        self.config, self.hypergraph, self.display = config, hypergraph, display
        self.world = world
        self.num_envs = config.num_envs // world.size
        self.policy = build_policy(hypergraph, replace(config, device=world.device(config.device)))
        self.generator = first_generator(config.seed, world.rank)
        threads = max(config.threads // world.size, 1) if self.policy.device.type == "cpu" else 1
        self.ppo = PPO(self.policy, config.ppo, self.generator, display.watch, world, threads)
        self.normaliser = RewardNormaliser(self.num_envs, config.ppo.reward_clip, world)
        self.progress = Progress()
        self.recorder = Recorder(config, display, self.progress, world)
        self.stop = Stop(world)
        self.next_episode = world.rank
        self.unbegun: list[int] = []
        self.games: list[GameState] = []

    # --- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Train until ``config.episodes`` are completed or a stop is requested.

        ``recorder.saver.unsaved`` then says why the end state could not be saved; it is empty if it
        is.
        """
        config, progress = self.config, self.progress
        torch.set_num_threads(1)  # of each op: the update's threads take parts of a minibatch
        ranks = self.world.gather(self.rank_state())
        if ranks is not None:
            self.recorder.open(ranks, self.hypergraph.files, lambda: self.state_dict(ranks))
        self._agree()
        env = self._environment()
        try:
            with env, contextlib.suppress(Dropped):
                with self.stop.droppable():
                    self._start_games(env)
                collector = collector_of(
                    env, self.policy, self.normaliser, self.generator,
                    config.ppo.rollout_decisions, config.num_experts, self.display.watch,
                )  # fmt: skip
                clock = Clock(self.world)
                while progress.completed < config.episodes and not self.stop.agreed:
                    self._iterate(collector, clock)
        finally:  # whatever happened, the last boundary is whole
            if self.world.leads:
                self.recorder.close()

    def _iterate(self, collector: Collector, clock: Clock) -> None:
        """One rollout and one update, with everything that is recorded about them."""
        settings = self.config.settings_at(self.progress.completed)
        began = time.perf_counter()
        with self.stop.droppable():
            routing = Routing(settings.routing, settings.temperature)
            played = collector.collect(routing, settings.gamma)
            signals = self._update(collector.rollout, settings)
        seconds = time.perf_counter() - began
        shares = self._gather(collector, played, clock)
        if shares is not None:
            self.recorder.count(shares)
        self._agree()
        if shares is None:
            return
        require_same(shares, self.progress.env_steps)
        if signals:
            variance = self._attention_variance(collector.rollout)
            self.recorder.update(signals, variance, shares, settings, seconds)
        self.recorder.save(lambda: self.state_dict([share.state for share in shares]))
        self.recorder.show(shares, settings, seconds)

    def _update(self, rollout: Rollout, settings: Settings) -> dict[str, float]:
        """The update's signals; none where it had to be undone."""
        try:
            with self.world.settled(self.ppo.threads.count):
                return self.ppo.update(rollout, settings)
        except NotFinite as error:
            self.progress.rollbacks += 1
            message = f"{error}: the update was undone, weights and optimizer are as before it"
            self.recorder.event("rollback", message)
            return {}

    def _gather(self, collector: Collector, played: Played, clock: Clock) -> list[Share] | None:
        """What every rank has done, on the first one."""
        env, rollout, watch = collector.env, collector.rollout, self.display.watch
        with watch.timed("checkpoint"):
            env.deal()
            self.next_episode, self.unbegun = env.next_episode, env.unbegun
            self.games = env.games()
            share = Share(
                state=self.rank_state(),
                played=played,
                steps=int(rollout.length.sum()),
                decisions=rollout.action.size,
                usage=rollout.alpha.mean((0, 1)).tolist(),
                switching=expert_switches(rollout.alpha, rollout.done),
                checksum=checksum(self.policy) if self.world.size > 1 else 0,
                **clock.lap(),
            )
        with watch.timed("waiting"):
            return self.world.gather(share)

    def _agree(self) -> None:
        """All ranks know how many episodes are completed, and whether any was asked to stop."""
        mine = self.progress.completed if self.world.leads else 0
        with self.display.watch.timed("waiting"):
            completed, stops = self.world.sums(mine, self.stop.requested)
        self.progress.completed, self.stop.agreed = int(completed), stops > 0

    def _attention_variance(self, rollout: Rollout) -> float:
        inputs = self.policy.inputs(rollout.observation[:ATTENTION_SAMPLE, 0])
        return self.policy.manager.attention_variance(inputs)

    # --- the games ---------------------------------------------------------------------------

    def _environment(self) -> VectorEnv:
        """This rank's games, none of them begun."""
        config, world = self.config, self.world
        workers = max(config.num_workers // world.local_size, 1)
        rollout = None  # the workers play by themselves with a policy that can do without PyTorch
        if has_native_player(self.policy):
            rollout = RolloutSetup(player_setup(self.policy), config.ppo.rollout_decisions)
        return VectorEnv(
            self.hypergraph,
            num_envs=self.num_envs,
            num_workers=min(workers, self.num_envs),
            run_seed=config.seed,
            max_steps=config.max_steps,
            character=config.character,
            prayer=config.prayer,
            next_episode=self.next_episode,
            number_step=world.size,
            unbegun=self.unbegun,
            use_mask=config.mask,
            decide=config.decide,
            margin=config.margin,
            grounder=grounder_of(self.hypergraph),
            rollout=rollout,
        )

    def _start_games(self, env: VectorEnv) -> None:
        """Go on with the checkpoint's games where their number fits, else begin fresh ones."""
        count = env.num_envs
        self.display.stage(f"{'replaying' if self.games else 'starting'} {count} games …")
        messages: list[str] = []
        if len(self.games) == count:
            messages = env.restore(self.games)
        else:
            if self.games:
                messages = [
                    f"{len(self.games)} games were running and {count} are to run now: fresh games "
                    "begin"
                ]
            env.start()
        for message in sum(self.world.gather(messages) or [], []):
            self.recorder.event("replay", message)

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
            **self.progress.state_dict(),
            **self.recorder.state_dict(),
            "ranks": ranks,
        }

    def rank_state(self) -> RankState:
        """What only this rank knows of the run; a copy."""
        return {
            "generator": self.generator.get_state(),
            "returns": torch.from_numpy(self.normaliser.returns.copy()),
            "next_episode": self.next_episode,
            "unbegun": self.unbegun,
            "games": [pack(game) for game in self.games],
        }

    def resume(self, source: AnySource) -> None:
        """Take over a checkpoint's state; in another run's folder, begin a log of our own.

        Raises ``CheckpointError`` if the state does not fit this run's networks.
        """
        if isinstance(source, V3Source):
            return self._resume_v3(source)
        state = source.state
        require_fit(source, self.policy, self.ppo.optimizer)
        self.policy.load_state_dict(state["policy"])
        self.ppo.optimizer.load_state_dict(state["optimizer"])
        self.normaliser.load_state_dict(state["normaliser"])
        self.progress.load_state_dict(state)
        self.recorder.resume(source)
        mine = deal(state["ranks"], self.world, self.generator.get_state())
        self.generator.set_state(mine["generator"])
        if len(mine["returns"]) == self.num_envs:
            self.normaliser.returns = mine["returns"].numpy().copy()
        self.next_episode, self.unbegun = mine["next_episode"], mine["unbegun"]
        self.games = [unpack(game) for game in mine["games"]]

    def _resume_v3(self, source: V3Source) -> None:
        """Take over V3's weights, what it has of Adam's state, and its count of episodes."""
        source.v3.load_weights(self.policy)
        optimizer = self.ppo.optimizer
        optimizer.load_state_dict(source.v3.adam_state_dict(self.policy, optimizer))
        self.progress.completed = source.completed
        self.next_episode = source.completed + self.world.rank
        self.recorder.begin_after(source.path)
