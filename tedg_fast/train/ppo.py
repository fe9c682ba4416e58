"""The PPO update: minibatches of consecutive steps, gradient steps, undone if anything is not finite."""

import copy
import math

import numpy as np
import torch
from torch import Tensor

from tedg_fast.policy import Policy, Routing, StateInput
from tedg_fast.train.advantages import generalised_advantages
from tedg_fast.train.config import PPOConfig
from tedg_fast.train.losses import Minibatch, effect_loss, ppo_loss
from tedg_fast.train.phases import Settings
from tedg_fast.train.rollout import Rollout


class NotFinite(ArithmeticError):
    """A loss or a gradient was NaN or infinite."""


class Batch:
    """A rollout as flat rows on the policy's device, with advantages and returns."""

    def __init__(self, rollout: Rollout, policy: Policy, config: PPOConfig):
        device = policy.device
        advantage = generalised_advantages(
            torch.from_numpy(rollout.reward),
            rollout.value,
            rollout.next_value,
            torch.from_numpy(rollout.terminated),
            torch.from_numpy(rollout.truncated),
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
        )
        self.returns = (advantage + rollout.value).flatten().to(device)
        spread = advantage.std(correction=0) + 1e-8
        self.advantage = ((advantage - advantage.mean()) / spread).flatten().to(device)
        self.action = torch.from_numpy(rollout.action).flatten().to(device)
        self.log_prob = rollout.log_prob.flatten().to(device)
        self.done = torch.from_numpy(rollout.done).flatten().to(device)
        observation = rollout.observation
        flat = [
            np.ascontiguousarray(field).reshape(-1, field.shape[-1])
            for field in (observation.features, observation.crop, observation.action_mask)
        ]
        self.state = StateInput(*(torch.from_numpy(field).to(device) for field in flat))
        bits = observation.active_bits
        self.active = policy.unpack(bits.reshape(-1, bits.shape[-1]))
        self.effects: tuple[Tensor, Tensor] | None = None
        if policy.effects is not None and config.effect_coef > 0:
            self.effects = self._effects(rollout, policy)

    def _effects(self, rollout: Rollout, policy: Policy) -> tuple[Tensor, Tensor]:
        """The effects that the observation after each row shows, and where there is one."""
        steps = self.active.unflatten(0, (rollout.steps, rollout.num_envs))
        next_holds = steps[:, :, : policy.manager.num_conditions].roll(-1, 0).flatten(0, 1)
        follows = ~self.done
        follows[-rollout.num_envs :] = False
        return policy.effects.shown(next_holds), follows

    def rows(self, rows: Tensor, segment_steps: int) -> Minibatch:
        """The minibatch of ``rows`` [B], which are whole segments."""
        done = self.done[rows].unflatten(0, (-1, segment_steps))
        return Minibatch(
            self.action[rows],
            self.log_prob[rows],
            self.advantage[rows],
            self.returns[rows],
            ~done[:, :-1],
        )


def segment_rows(steps: int, num_envs: int, segment_steps: int) -> Tensor:
    """Row numbers [S, L] of all runs of ``segment_steps`` consecutive steps of one game each."""
    rows = torch.arange(steps * num_envs).view(steps // segment_steps, segment_steps, num_envs)
    return rows.transpose(1, 2).reshape(-1, segment_steps)


class PPO:
    """Proximal policy optimisation of a ``Policy`` with Adam."""

    def __init__(self, policy: Policy, config: PPOConfig, generator: torch.Generator):
        self.policy, self.config, self.generator = policy, config, generator
        self.parameters = list(policy.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=0.0, eps=1e-5, fused=True)

    def update(self, rollout: Rollout, settings: Settings) -> dict[str, float]:
        """One update from a rollout → mean of each signal over its gradient steps.

        The first signal ``first_ratio_error`` is the largest |ratio − 1| of the first minibatch,
        which is rounding alone. Raises ``NotFinite``, with parameters and optimizer as they were
        before the call, when a loss or gradient is NaN or infinite.
        """
        before = copy.deepcopy((self.policy.state_dict(), self.optimizer.state_dict()))
        try:
            return self._update(Batch(rollout, self.policy, self.config), rollout, settings)
        except NotFinite:
            self.policy.load_state_dict(before[0])
            self.optimizer.load_state_dict(before[1])
            raise

    def _update(self, batch: Batch, rollout: Rollout, settings: Settings) -> dict[str, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate
        segments = segment_rows(rollout.steps, rollout.num_envs, config.segment_steps)
        per_minibatch = config.minibatch_size // config.segment_steps
        history: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            order = torch.randperm(len(segments), generator=self.generator)
            for chosen in order.split(per_minibatch):
                rows = segments[chosen].flatten().to(self.policy.device)
                history.append(self._step(batch, rows, settings))
        signals = {
            name: torch.stack([terms[name] for terms in history]).mean().item()
            for name in history[0]
        }
        signals["first_ratio_error"] = history[0]["ratio_error"].item()
        signals["returns_explained"] = _explained_variance(batch.returns, rollout.value.flatten())
        return signals

    def _step(self, batch: Batch, rows: Tensor, settings: Settings) -> dict[str, Tensor]:
        """One gradient step."""
        rules = self.policy.manager.rules()
        active = batch.active[rows]
        logic = self.policy.manager(rules, active)
        state = StateInput(*(field[rows] for field in batch.state))
        output = self.policy(state, logic, Routing(settings.routing, settings.temperature))
        minibatch = batch.rows(rows, self.config.segment_steps)
        loss, terms = ppo_loss(
            output,
            minibatch,
            settings,
            clip=self.config.clip,
            value_coef=self.config.value_coef,
        )
        effects = torch.zeros(())
        if batch.effects is not None:
            applies = active[:, self.policy.manager.num_conditions :]
            shown, follows = (part[rows] for part in batch.effects)
            logits = self.policy.effects(rules, applies, minibatch.action)
            effects = effect_loss(logits, shown, follows)
            loss = loss + self.config.effect_coef * effects
        terms |= {"loss": loss.detach(), "effect_loss": effects.detach()}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise NotFinite(f"loss {loss.item()}, gradient norm {norm.item()}")
        self.optimizer.step()
        return terms | {"grad_norm": norm}


def _explained_variance(returns: Tensor, value: Tensor) -> float:
    """1 − Var(returns − value) / Var(returns): 1 is a perfect critic, ≤ 0 a useless one."""
    returns = returns.cpu()
    variance = returns.var(correction=0).item()
    return 1 - (returns - value).var(correction=0).item() / variance if variance > 0 else 0.0
