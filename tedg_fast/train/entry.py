"""One update in numbers: what the health monitor reads, and what the log keeps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tedg_fast.hypergraph import expert_name
from tedg_fast.train.health import Reading
from tedg_fast.train.ranks import Share


def reading_of(
    signals: dict[str, float], attention_variance: float, shares: Sequence[Share],
    completed: int, phase: str,
) -> Reading:  # fmt: skip
    """The watched signals of an update after which ``completed`` episodes count."""
    return Reading(
        completed=completed,
        phase=phase,
        grad_norm=signals["grad_norm"],
        attention_variance=attention_variance,
        alpha_entropy=signals["alpha_entropy"],
        usage=tuple(np.mean([share.usage for share in shares], 0).tolist()),
        alignment_loss=signals["alignment_loss"],
    )


def entry_of(
    reading: Reading, settings: dict[str, Any], signals: dict[str, float],
    shares: Sequence[Share], seconds: float,
) -> dict[str, float | int | str]:  # fmt: skip
    """The log's entry of an update that took ``seconds`` with its rollout, but for what concerns
    the run as a whole.

    All means are over decisions; ``decision_share`` is their share of the game steps played.
    """
    changes, pairs = np.sum([share.switching for share in shares], 0).tolist()
    steps = sum(share.steps for share in shares)
    decisions = sum(share.decisions for share in shares)
    entry: dict[str, Any] = {"completed": reading.completed, "phase": reading.phase}
    entry |= {name: settings[name] for name in ("progress", "temperature", "learning_rate")}
    entry |= signals | {"attention_variance": reading.attention_variance}
    entry |= {f"usage_{expert_name(k)}": share for k, share in enumerate(reading.usage)}
    return entry | {
        "expert_switching": changes / max(pairs, 1),
        "decision_share": decisions / steps,
        "steps_per_second": steps / seconds,
        "decisions_per_second": decisions / seconds,
    }
