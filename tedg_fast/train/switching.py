"""How often the mixture's leading expert changes."""

import numpy as np
from torch import Tensor


def expert_switching(alpha: Tensor, done: np.ndarray) -> float:
    """Share of pairs of consecutive steps of one episode between which the leading expert changes.

    ``alpha`` [T, E, K] and ``done`` [T, E] bool, the step ended its episode; 0 without any pair.
    """
    leader = alpha.argmax(-1).numpy()
    continues = ~done[:-1]
    changes = (leader[1:] != leader[:-1]) & continues
    return float(changes.sum() / max(continues.sum(), 1))
