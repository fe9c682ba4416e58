"""Is the run healthy? The signals of a training run, their thresholds and warnings."""

import math
from dataclasses import dataclass
from statistics import fmean, variance

from tedg_fast.hypergraph import expert_name
from tedg_fast.runs.bands import ATTENTION_VARIANCE, COLLAPSE, DECIDED, EXPERT_USAGE, GRAD_NORM

ALIGNMENT_WINDOW = 50
"""Episodes over which the alignment loss is watched."""


@dataclass(frozen=True)
class Reading:
    """The watched signals after one update."""

    completed: int
    phase: str
    grad_norm: float
    attention_variance: float
    alpha_entropy: float
    usage: tuple[float, ...]
    """Mean α of each expert over the rollout."""
    alignment_loss: float


class HealthMonitor:
    """Turns readings into warnings; a warning is given when it sets in, not at every update."""

    def __init__(self):
        self.active: set[str] = set()
        self.alignment: list[tuple[int, float]] = []
        self.phase = ""

    def __call__(self, reading: Reading) -> list[str]:
        """Warnings that set in with this reading."""
        warnings = self._warnings(reading)
        new = [text for kind, text in warnings.items() if kind not in self.active]
        self.active = set(warnings)
        return new

    def _warnings(self, reading: Reading) -> dict[str, str]:
        found = {}
        if reading.grad_norm > GRAD_NORM.bearable[1]:
            found["grad_norm"] = (
                f"gradient norm {reading.grad_norm:.1f} is above {GRAD_NORM.bearable[1]}"
            )
        lowest = ATTENTION_VARIANCE.bearable[0]
        if reading.attention_variance < lowest:
            found["attention"] = (
                f"attention variance {reading.attention_variance:.3f} is below {lowest}: "
                "the graph network smooths everything alike"
            )
        if len(reading.usage) > 1:
            found |= self._routing_warnings(reading)
        if self._alignment_rises(reading):
            found["alignment"] = f"alignment loss has risen over {ALIGNMENT_WINDOW} episodes"
        return found

    def _routing_warnings(self, reading: Reading) -> dict[str, str]:
        found = {}
        entropy = f"α entropy {reading.alpha_entropy:.3f}"
        if reading.alpha_entropy < COLLAPSE:
            found["collapse"] = f"{entropy} is below {COLLAPSE}: collapse"
        if reading.phase == "fine-tune" and reading.alpha_entropy > DECIDED:
            found["undecided"] = f"{entropy} is above {DECIDED} in fine-tune"
        least, most = EXPERT_USAGE.bearable
        for k, share in enumerate(reading.usage):
            if share > most:
                found[f"over{k}"] = f"expert {expert_name(k)} is used {share:.0%}, above {most:.0%}"
            if share < least:
                found[f"under{k}"] = (
                    f"expert {expert_name(k)} is used {share:.1%}, below {least:.0%}"
                )
        return found

    def _alignment_rises(self, reading: Reading) -> bool:
        """Whether the later half of the window lies above the earlier half, beyond its noise.

        The difference of the means must exceed 5 % and two standard errors.
        """
        if reading.phase != self.phase:  # another phase has another alignment loss
            self.phase, self.alignment = reading.phase, []
        self.alignment.append((reading.completed, reading.alignment_loss))
        start = reading.completed - ALIGNMENT_WINDOW
        while len(self.alignment) > 1 and self.alignment[1][0] <= start:
            self.alignment.pop(0)
        if self.alignment[0][0] > start:
            return False
        middle = start + ALIGNMENT_WINDOW / 2
        early = [loss for at, loss in self.alignment if at <= middle]
        late = [loss for at, loss in self.alignment if at > middle]
        if min(len(early), len(late)) < 2:
            return False
        rise = fmean(late) - fmean(early)
        noise = math.sqrt(variance(early) / len(early) + variance(late) / len(late))
        return rise > 0.05 * fmean(early) and rise > 2 * noise

    def state_dict(self) -> dict:
        return {"active": sorted(self.active), "alignment": self.alignment, "phase": self.phase}

    def load_state_dict(self, state: dict) -> None:
        self.active, self.phase = set(state["active"]), state["phase"]
        self.alignment = [tuple(entry) for entry in state["alignment"]]
