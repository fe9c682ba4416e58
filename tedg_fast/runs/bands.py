"""Which values of the watched signals are healthy, and at which a run warns."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Band:
    """Values from low to high, both included, that are healthy; a run warns outside
    ``bearable``."""

    healthy: tuple[float, float]
    bearable: tuple[float, float]

    def level(self, value: float) -> Literal["healthy", "bearable", "warns"]:
        """How a value is to be taken; NaN warns."""
        if self.healthy[0] <= value <= self.healthy[1]:
            return "healthy"
        return "bearable" if self.bearable[0] <= value <= self.bearable[1] else "warns"


GRAD_NORM = Band((0, 5), (0, 10))
ATTENTION_VARIANCE = Band((0.1, math.inf), (0.05, math.inf))
EXPERT_USAGE = Band((0.02, 0.8), (0.02, 0.8))
COLLAPSE, DECIDED = 0.3, 1.2
"""α entropy (nats) below which the routing has collapsed, and above which it has not decided."""


def alpha_entropy_band(phase: str, num_experts: int) -> Band:
    """The routing entropy's band in a phase: spread in warmup, decided in fine-tune."""
    most = math.log(num_experts) + 1e-3  # rounding may carry the entropy above its maximum
    if phase == "fine-tune":
        return Band((COLLAPSE, DECIDED), (COLLAPSE, DECIDED))
    lowest = DECIDED if phase == "warmup" and most > DECIDED else COLLAPSE
    return Band((lowest, most), (COLLAPSE, most))
