"""Generalised advantage estimation over contiguous rollouts, and running reward normalisation."""

import numpy as np
import torch
from torch import Tensor


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
    advantages = torch.empty_like(reward)
    running = torch.zeros_like(reward[0])
    for t in range(len(reward) - 1, -1, -1):
        running = delta[t] + carry[t] * running
        advantages[t] = running
    return advantages


class RewardNormaliser:
    """Divides rewards by the running standard deviation of the discounted return.

    The variance of each game's discounted return so far (Engstrom et al. 2020, "reward scaling")
    is tracked over the whole run; rewards keep their sign and are clipped afterwards.
    """

    def __init__(self, num_envs: int, gamma: float, clip: float):
        self.gamma, self.clip = gamma, clip
        self.returns = np.zeros(num_envs)
        # One imagined return of variance 1, so that the very first steps do not divide by nothing.
        self.count, self.mean, self.spread = 1, 0.0, 1.0

    def __call__(self, reward: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Rewards and episode ends of one step, both [E] → normalised rewards [E] float32."""
        self.returns = self.gamma * self.returns + reward
        self._track(self.returns)
        self.returns[done] = 0.0
        scale = np.sqrt(self.spread / self.count)
        return np.clip(reward / scale, -self.clip, self.clip).astype(np.float32)

    def _track(self, values: np.ndarray) -> None:
        """Merge a batch into the running moments (Chan et al. 1979)."""
        mean = float(values.mean())
        spread = float(((values - mean) ** 2).sum())
        total = self.count + len(values)
        shift = mean - self.mean
        self.spread += spread + shift**2 * self.count * len(values) / total
        self.mean += shift * len(values) / total
        self.count = total

    def state_dict(self) -> dict:
        return {
            "returns": torch.from_numpy(self.returns.copy()),
            "count": self.count,
            "mean": self.mean,
            "spread": self.spread,
        }

    def load_state_dict(self, state: dict) -> None:
        """The moments always; the running returns only for the same number of games."""
        self.count, self.mean, self.spread = state["count"], state["mean"], state["spread"]
        if len(state["returns"]) == len(self.returns):
            self.returns = state["returns"].numpy().copy()
