"""What games say about agents: means with intervals, deaths by cause, paired differences."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tedg_fast.nethack.games.episode import Episode
from tedg_fast.report.statistics import LEVEL, difference_interval, mean_interval, paired_p_value

MEASURES = ("true_score", "last_observation_score", "depth", "length")


def summarise(episodes: dict[int, Episode]) -> dict[str, Any]:
    """Of at least one episode, as plain values: ``episodes``; each of ``MEASURES`` → ``mean``,
    ``half_width`` (95 %, None for a single game), ``median``; ``died`` (share); ``endings`` and
    ``killers`` → count, the most frequent first, equals by name."""
    played = list(episodes.values())
    summary: dict[str, Any] = {"episodes": len(played)}
    for name in MEASURES:
        values = [getattr(episode, name) for episode in played]
        mean, half_width = mean_interval(values)
        summary[name] = {
            "mean": mean,
            "half_width": finite(half_width),
            "median": float(np.median(values)),
        }
    endings = Counter(episode.ending for episode in played)
    killers = Counter(episode.killer for episode in played if episode.ending == "death")
    summary["died"] = endings["death"] / len(played)
    summary["endings"] = _most_frequent_first(endings)
    summary["killers"] = _most_frequent_first(killers)
    return summary


def _most_frequent_first(counts: Counter[str]) -> dict[str, int]:
    """Equal counts by name, so that agents that fared alike read alike."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def compare(one: dict[int, Episode], other: dict[int, Episode]) -> dict[str, float | int | None]:
    """True score of one agent less another's over their common games: ``games``, ``mean``,
    ``half_width`` (95 %) and ``p`` of Student's paired test (None where two games are lacking)."""
    common = sorted(one.keys() & other.keys())
    return paired([one[n].true_score for n in common], [other[n].true_score for n in common])


def paired(a: Sequence[float], b: Sequence[float], looks: int = 1) -> dict[str, Any]:
    """``compare`` for values that belong together.

    With several ``looks`` at them as they grow in number, ``half_width`` and ``p`` are corrected
    so that with a probability of 95 % no look errs (Bonferroni).
    """
    mean, half_width = difference_interval(a, b, paired=True, level=1 - (1 - LEVEL) / looks)
    return {
        "games": len(a),
        "mean": finite(mean),
        "half_width": finite(half_width),
        "p": finite(float(np.minimum(1, looks * paired_p_value(a, b)))),
    }


def finite(value: float) -> float | None:
    """None in place of NaN and infinities, for which JSON has no words."""
    return value if np.isfinite(value) else None
