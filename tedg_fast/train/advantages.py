"""Generalised advantage estimation over contiguous rollouts, and running reward normalisation."""

import numpy as np
import torch
from torch import Tensor

from tedg_fast.train.distributed import ALONE, World


def generalised_advantages(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """GAE (Schulman et al. 2016, eq. 11–16) → advantages [T, E].

    ``next_value`` [T, E] is V of the state each step led to: of the last valid observation where
    the episode was truncated, of the following observation elsewhere. Nothing is bootstrapped
    through a death, and the sum never crosses an episode's end of either kind.
    """
    alive = 1.0 - terminated.float()
    delta = reward + gamma * alive * next_value - value
    carry = gamma * gae_lambda * alive * (1.0 - truncated.float())
    # Small steps: of arrays each costs a third of what it does of tensors.
    advantages, carry = delta.numpy(), carry.numpy()
    for t in range(len(reward) - 2, -1, -1):
        advantages[t] += carry[t] * advantages[t + 1]
    return delta


class RewardNormaliser:
    """Divides rewards by the running standard deviation of the discounted return.

    The variance of each game's discounted return so far (Engstrom et al. 2020, "reward scaling")
    is tracked over the whole run and over all ranks; rewards keep their sign and are clipped
    afterwards.
    """

    def __init__(self, num_envs: int, clip: float, world: World = ALONE):
        self.clip, self.world = clip, world
        self.returns = np.zeros(num_envs)
        # One imagined return of variance 1, so that the very first steps do not divide by nothing.
        self.count, self.mean, self.spread = 1, 0.0, 1.0

    def __call__(self, reward: np.ndarray, done: np.ndarray, gamma: float) -> np.ndarray:
        """Rewards and episode ends of a rollout, both [T, E], → normalised rewards [T, E] float32.

        ``gamma`` is their discount. A step's rewards are divided by the deviation as it is after
        that step in all ranks' games.
        """
        moments = np.empty((len(reward), 2))
        for t, ended in enumerate(done):
            self.returns = gamma * self.returns + reward[t]
            mean = float(self.returns.mean())
            moments[t] = mean, float(((self.returns - mean) ** 2).sum())
            self.returns[ended] = 0.0
        means, spreads = self.world.stack(torch.from_numpy(moments)).numpy().transpose(2, 0, 1)
        # All ranks have as many games: merged, their values have the mean of their means.
        number, merged = len(self.returns), means.mean(0)
        spreads = spreads.sum(0) + number * ((means - merged) ** 2).sum(0)
        scale = np.empty((len(reward), 1))
        for t, (mean, spread) in enumerate(zip(merged.tolist(), spreads.tolist())):
            self._track(mean, spread, number * self.world.size)
            scale[t] = np.sqrt(self.spread / self.count)
        return np.clip(reward / scale, -self.clip, self.clip).astype(np.float32)

    def _track(self, mean: float, spread: float, number: int) -> None:
        """Merge a batch into the running moments (Chan et al. 1979)."""
        total = self.count + number
        shift = mean - self.mean
        self.spread += spread + shift**2 * self.count * number / total
        self.mean += shift * number / total
        self.count = total

    def state_dict(self) -> dict:
        """The moments, which all ranks share."""
        return {"count": self.count, "mean": self.mean, "spread": self.spread}

    def load_state_dict(self, state: dict) -> None:
        """Inverse of ``state_dict``."""
        self.count, self.mean, self.spread = state["count"], state["mean"], state["spread"]
