"""The PPO update: minibatches of consecutive decisions, gradient steps; undone if not finite."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tedg_fast.policy import Policy, PolicyInput, PolicyOutput, Routing
from tedg_fast.runs.checkpoint import snapshot
from tedg_fast.runs.config import PPOConfig
from tedg_fast.runs.phases import Settings
from tedg_fast.train.batch import Batch, segment_rows
from tedg_fast.train.distributed import ALONE, World
from tedg_fast.train.losses import effect_loss, ppo_loss
from tedg_fast.train.rollout import Rollout
from tedg_fast.train.stopwatch import Stopwatch
from tedg_fast.train.threads import Threads


class NotFinite(ArithmeticError):
    """A loss or a gradient was NaN or infinite."""


class PPO:
    """Proximal policy optimisation of a ``Policy`` with Adam.

    Every rank of the ``world`` calls ``update`` with a rollout of its own, and all come to the
    same parameters: each takes its part of every minibatch, and gradients are averaged. So do the
    ``threads`` of a rank with the rank's part; their number, like that of the ranks, changes how
    sums are rounded. ``watch`` counts the time.
    """

    def __init__(
        self,
        policy: Policy,
        config: PPOConfig,
        generator: torch.Generator,
        watch: Stopwatch,
        world: World = ALONE,
        threads: int = 1,
    ):
        self.policy, self.config, self.generator, self.world = policy, config, generator, world
        self.watch = watch
        self.threads = Threads(threads)
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
            self._step(batch, segments[chosen], divisor, settings)
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
        self, batch: Batch, segments: Tensor, divisors: Tensor, settings: Settings
    ) -> dict[str, Tensor]:
        """One gradient step on ``segments`` [S, L]; ``divisors`` [2] are those of the losses that
        are means over ``batch.counts``."""
        lap, each = self.watch.lap, self.threads.each
        parts = [part.flatten() for part in segments.chunk(self.threads.count)]
        weights = [len(part) / segments.numel() for part in parts]
        inputs = each(batch.inputs.select, parts)
        lap("inputs")
        routing = Routing(settings.routing, settings.temperature)
        outputs = each(lambda part: self.policy(part, routing), inputs)
        lap("network")
        usage = _mean([output.alpha.detach().mean(0) for output in outputs], weights)
        mean_usage = self.world.mean(usage)
        lap("waiting")
        loss_of = partial(self._loss, batch, settings, mean_usage)
        # A part's sums over pairs and rows are as much smaller as the part is.
        counts = [divisors * weight for weight in weights]
        losses, terms = zip(*each(loss_of, parts, counts, inputs, outputs))
        lap("losses")
        learned = [parameter for parameter in self.parameters if parameter.requires_grad]
        gradients = each(
            lambda loss, weight: torch.autograd.grad(weight * loss, learned, allow_unused=True),
            losses,
            weights,
        )
        for parameter in self.parameters:
            parameter.grad = None
        for parameter, *of_parts in zip(learned, *gradients):
            used = [part for part in of_parts if part is not None]
            parameter.grad = torch.stack(used).sum(0) if used else None
        lap("backward")
        signals = {name: _mean([term[name] for term in terms], weights) for name in terms[0]}
        signals["ratio_error"] = torch.stack([term["ratio_error"] for term in terms]).max()
        # Of the whole minibatch from here on, so that all ranks come to the same judgement.
        mean_loss = self.world.average_gradients(self.parameters, signals["loss"])
        lap("waiting")
        norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if not (math.isfinite(mean_loss.item()) and math.isfinite(norm.item())):
            raise NotFinite(f"loss {mean_loss.item()}, gradient norm {norm.item()}")
        if norm > self.config.max_grad_norm:
            clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        self.optimizer.step()
        lap("optimizer")
        return signals | {"grad_norm": norm}

    def _loss(
        self, batch: Batch, settings: Settings, mean_usage: Tensor, rows: Tensor, divisors: Tensor,
        inputs: PolicyInput, output: PolicyOutput,
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """The loss of ``rows`` and its terms, from what the policy made of their ``inputs``."""
        config = self.config
        minibatch = batch.rows(rows, config.segment_decisions, divisors[0])
        loss, terms = ppo_loss(
            output,
            minibatch,
            settings,
            clip=config.clip,
            value_coef=config.value_coef,
            mean_usage=mean_usage,
        )
        effects = torch.zeros(())
        if batch.effects is not None and self.policy.effects is not None:
            shown, follows = (part.index_select(0, rows) for part in batch.effects)
            logits = self.policy.effects(output.reading, inputs, minibatch.action)
            effects = effect_loss(logits, shown, follows, divisors[1])
            loss = loss + config.effect_coef * effects
        return loss, terms | {"loss": loss.detach(), "effect_loss": effects.detach()}


def _mean(values: list[Tensor], weights: list[float]) -> Tensor:
    """Weighed mean, summed in the order of the list."""
    return sum((w * value for w, value in zip(weights[1:], values[1:])), weights[0] * values[0])
