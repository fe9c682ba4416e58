"""The PPO update: minibatches of consecutive decisions, gradient steps; undone if not finite."""

import math

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tedg_fast.policy import Policy, Routing
from tedg_fast.runs.checkpoint import snapshot
from tedg_fast.runs.config import PPOConfig
from tedg_fast.runs.phases import Settings
from tedg_fast.train.advantages import generalised_advantages
from tedg_fast.train.distributed import ALONE, World
from tedg_fast.train.losses import Minibatch, effect_loss, ppo_loss
from tedg_fast.train.rollout import Rollout
from tedg_fast.train.stopwatch import Stopwatch


class NotFinite(ArithmeticError):
    """A loss or a gradient was NaN or infinite."""


class Batch:
    """A rollout as flat rows on the policy's device, with advantages and returns.

    Advantages, with rewards discounted by ``gamma`` a game step, are normalised over all ranks'
    rollouts.
    """

    def __init__(
        self, rollout: Rollout, policy: Policy, config: PPOConfig, gamma: float, world: World
    ):
        device = policy.device
        length = torch.from_numpy(rollout.length)
        advantage = generalised_advantages(
            torch.from_numpy(rollout.reward),
            length,
            rollout.value,
            rollout.next_value,
            torch.from_numpy(rollout.terminated),
            torch.from_numpy(rollout.truncated),
            gamma=gamma,
            gae_lambda=config.gae_lambda,
        )
        self.returns = (advantage + rollout.value).flatten().to(device)
        mean, spread = world.mean_and_std(advantage)
        self.advantage = ((advantage - mean) / (spread + 1e-8)).flatten().to(device)
        self.action = torch.from_numpy(rollout.action).flatten().to(device)
        self.log_prob = rollout.log_prob.flatten().to(device)
        # One over the game steps to the same episode's next decision; 0 where there is none.
        continues = torch.from_numpy(~rollout.done)
        self.closeness = (continues / length).flatten().to(device)
        self.inputs = policy.inputs(rollout.observation.flat())
        self.effects: tuple[Tensor, Tensor] | None = None
        if policy.effects is not None and config.effect_coef > 0:
            follows = torch.from_numpy(rollout.follows).flatten().to(device)
            shown = torch.from_numpy(rollout.shown).flatten(0, 1).to(device)
            self.effects = policy.effects.shown(shown), follows

    def counts(self, segments: Tensor) -> Tensor:
        """[S, 2] of each of the ``segments`` [S, L]: the pairs of decisions of one episode in it,
        and the rows after whose action there was an observation of their episode."""
        pairs = (self.closeness[segments[:, :-1]] > 0).sum(1)
        rows = self.effects[1][segments].sum(1) if self.effects else torch.zeros_like(pairs)
        return torch.stack([pairs, rows], 1)

    def rows(self, rows: Tensor, segment_decisions: int, num_pairs: Tensor) -> Minibatch:
        """The minibatch of ``rows`` [B], which are whole segments."""
        fields = (self.action, self.log_prob, self.advantage, self.returns, self.closeness)
        action, log_prob, advantage, returns, closeness = (
            field.index_select(0, rows) for field in fields
        )
        closeness = closeness.unflatten(0, (-1, segment_decisions))[:, :-1]
        return Minibatch(action, log_prob, advantage, returns, closeness, num_pairs)


def segment_rows(decisions: int, num_envs: int, segment_decisions: int) -> Tensor:
    """Row numbers [S, L] of all runs of L ``segment_decisions`` in a row of one game each."""
    rows = torch.arange(decisions * num_envs).view(-1, segment_decisions, num_envs)
    return rows.transpose(1, 2).reshape(-1, segment_decisions)


class PPO:
    """Proximal policy optimisation of a ``Policy`` with Adam.

    Every rank of the ``world`` calls ``update`` with a rollout of its own, and all come to the
    same parameters: each takes its part of every minibatch, and gradients are averaged.
    ``watch`` counts the parts' time.
    """

    def __init__(
        self,
        policy: Policy,
        config: PPOConfig,
        generator: torch.Generator,
        watch: Stopwatch,
        world: World = ALONE,
    ):
        self.policy, self.config, self.generator, self.world = policy, config, generator, world
        self.watch = watch
        self.parameters = list(policy.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=0.0, eps=1e-5, fused=True)

    def update(self, rollout: Rollout, settings: Settings) -> dict[str, float]:
        """One update from a rollout → mean of each signal over its gradient steps.

        The first signal ``first_ratio_error`` is the largest |ratio − 1| of the first minibatch,
        which is rounding alone. Raises ``NotFinite``, with parameters and optimizer as they were
        before the call, when a loss or gradient is NaN or infinite.
        """
        self.watch.start()
        before = snapshot(self.policy.state_dict()), snapshot(self.optimizer.state_dict())
        try:
            batch = Batch(rollout, self.policy, self.config, settings.gamma, self.world)
            self.watch.lap("advantages")
            return self._update(batch, rollout, settings)
        except NotFinite:
            self.policy.load_state_dict(before[0])
            self.optimizer.load_state_dict(before[1])
            raise

    def _update(self, batch: Batch, rollout: Rollout, settings: Settings) -> dict[str, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate
        segments = segment_rows(rollout.decisions, rollout.num_envs, config.segment_decisions)
        segments = segments.to(self.policy.device)
        minibatches = self._minibatches(len(segments))
        counts = batch.counts(segments)
        # Some losses are means over pairs of rows, others over rows that an observation follows.
        # Their sums over this rank's part are divided by the whole minibatch's count (at least 1)
        # over the number of ranks: the mean over the ranks is then the minibatch's mean.
        counts = torch.stack([counts[chosen].sum(0) for chosen in minibatches]).float()
        divisors = self.world.mean(counts).clamp_min(1 / self.world.size)
        history = [
            self._step(batch, segments[chosen].flatten(), divisor, settings)
            for chosen, divisor in zip(minibatches, divisors)
        ]
        series = self._over_ranks(
            {name: torch.stack([terms[name] for terms in history]) for name in history[0]}
        )
        signals = {name: values.mean().item() for name, values in series.items()}
        signals["first_ratio_error"] = series["ratio_error"][0].item()
        signals["returns_explained"] = self._explained_variance(batch.returns, rollout)
        return signals

    def _minibatches(self, num_segments: int) -> list[Tensor]:
        """The numbers of this rank's segments in each minibatch of an update."""
        part = self.config.minibatch_size // self.config.segment_decisions // self.world.size
        orders = [
            torch.randperm(num_segments, generator=self.generator)
            for _ in range(self.config.epochs)
        ]
        return [chosen.to(self.policy.device) for order in orders for chosen in order.split(part)]

    def _over_ranks(self, series: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of whole minibatches, from those of the ranks' parts."""
        if self.world.size == 1:
            return series
        ranks = self.world.stack(torch.stack([values.cpu() for values in series.values()]))
        means = dict(zip(series, ranks.mean(0)))
        largest = ranks[:, list(series).index("ratio_error")].amax(0)
        return means | {"ratio_error": largest}

    def _explained_variance(self, returns: Tensor, rollout: Rollout) -> float:
        """1 − Var(returns − value) / Var(returns): 1 is a perfect critic, ≤ 0 a useless one."""
        returns = returns.cpu()
        variance, error = self.world.variances(returns, returns - rollout.value.flatten())
        return 1 - error / variance if variance > 0 else 0.0

    def _step(
        self, batch: Batch, rows: Tensor, divisors: Tensor, settings: Settings
    ) -> dict[str, Tensor]:
        """One gradient step; ``divisors`` [2] as ``Minibatch.num_pairs`` and of ``effect_loss``."""
        lap = self.watch.lap
        inputs = batch.inputs.select(rows)
        lap("inputs")
        output = self.policy(inputs, Routing(settings.routing, settings.temperature))
        lap("network")
        minibatch = batch.rows(rows, self.config.segment_decisions, divisors[0])
        loss, terms = ppo_loss(
            output,
            minibatch,
            settings,
            clip=self.config.clip,
            value_coef=self.config.value_coef,
            world=self.world,
        )
        effects = torch.zeros(())
        if batch.effects is not None and self.policy.effects is not None:
            shown, follows = (part.index_select(0, rows) for part in batch.effects)
            logits = self.policy.effects(output.reading, inputs, minibatch.action)
            effects = effect_loss(logits, shown, follows, divisors[1])
            loss = loss + self.config.effect_coef * effects
        terms |= {"loss": loss.detach(), "effect_loss": effects.detach()}
        lap("losses")
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        lap("backward")
        # Of the whole minibatch from here on, so that all ranks come to the same judgement.
        mean_loss = self.world.average_gradients(self.parameters, loss.detach())
        lap("waiting")
        norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if not (math.isfinite(mean_loss.item()) and math.isfinite(norm.item())):
            raise NotFinite(f"loss {mean_loss.item()}, gradient norm {norm.item()}")
        if norm > self.config.max_grad_norm:
            clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        self.optimizer.step()
        lap("optimizer")
        return terms | {"grad_norm": norm}
