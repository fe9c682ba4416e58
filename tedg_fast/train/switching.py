"""How often the mixture's leading expert changes."""

import numpy as np
from torch import Tensor


def expert_switches(alpha: Tensor, done: np.ndarray) -> tuple[int, int]:
    """How often the leading expert changes between two consecutive decisions of one episode, of how
    many such pairs.

    ``alpha`` [T, E, K] and ``done`` [T, E] bool, the episode ended before the next decision.
    """
    leader = alpha.argmax(-1).numpy()
    continues = ~done[:-1]
    changes = (leader[1:] != leader[:-1]) & continues
    return int(changes.sum()), int(continues.sum())
