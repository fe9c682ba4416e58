"""Generalised advantage estimation over decisions, and running reward normalisation.

Decisions last differently many game steps, so what follows is discounted by γ to their length: a
semi-Markov decision process (Sutton, Precup & Singh 1999).
"""

import numpy as np
import torch
from torch import Tensor

from tedg_fast.train.distributed import ALONE, World


def generalised_advantages(
    reward: Tensor,
    length: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """GAE (Schulman et al. 2016, eq. 11–16) over decisions → advantages [T, E] float32.

    δ_t = R_t + γ^n V_{t+1} − V_t and A_t = δ_t + γ^n λ A_{t+1}, where n is ``length`` [T, E], the
    game steps that decision t lasted, and ``reward`` [T, E] is R_t, its rewards discounted to its
    beginning. γ is a discount a game step, λ one a decision.

    ``next_value`` [T, E] is V of the state each decision led to: of the last valid observation
    where the episode was truncated, of the next decision elsewhere. Nothing is bootstrapped
    through a death, and the sum never crosses an episode's end of either kind.
    """
    alive = 1.0 - terminated.float()
    discount = gamma ** length.double()
    delta = reward + discount.float() * alive * next_value - value
    carried = (gae_lambda * discount).float() * alive * (1.0 - truncated.float())
    # Short rows: of arrays each costs a third of what it does of tensors.
    advantages, carry = delta.numpy(), carried.numpy()
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

    def __call__(
        self, reward: np.ndarray, length: np.ndarray, done: np.ndarray, gamma: float
    ) -> np.ndarray:
        """Rewards, lengths in game steps and episode ends of a rollout's decisions, all [T, E] →
        normalised rewards [T, E] float32.

        ``gamma`` is the discount of the rewards a game step: the return so far shrinks by γ to the
        decision's length. A decision's rewards are divided by the deviation as it is after the
        decisions of its row in all ranks' games.
        """
        moments = np.empty((len(reward), 2))
        discount = gamma ** length.astype(np.float64)
        for t, ended in enumerate(done):
            self.returns = discount[t] * self.returns + reward[t]
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
