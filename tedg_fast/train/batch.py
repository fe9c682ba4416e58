"""A rollout as the rows that minibatches are made of."""

import torch
from torch import Tensor

from tedg_fast.policy import Policy
from tedg_fast.runs.config import PPOConfig
from tedg_fast.train.advantages import generalised_advantages
from tedg_fast.train.distributed import World
from tedg_fast.train.losses import Minibatch
from tedg_fast.train.rollout import Rollout


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
