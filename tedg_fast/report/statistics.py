"""Means and differences with their confidence intervals (Student 1908, Welch 1947)."""

import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
"""Confidence level of every interval."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def mean_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Mean of independent ``values`` and half the width of its Student t interval.

    The half-width of fewer than two values is infinite, the mean of none is NaN.
    """
    values = np.asarray(values, float)
    if len(values) == 0:
        return math.nan, math.inf
    if len(values) == 1:
        return float(values[0]), math.inf
    error = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(error * student_t(level, len(values) - 1))


def difference_interval(
    a: Sequence[float], b: Sequence[float], *, paired: bool = False, level: float = LEVEL
) -> tuple[float, float]:
    """mean(a) − mean(b) and half the width of its interval.

    Independent samples of unequal variance (Welch's degrees of freedom), or, if ``paired``,
    ``a[i]`` and ``b[i]`` belonging together (``ValueError`` if their numbers differ). The
    half-width is infinite where a sample has fewer than two values.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if paired:
        if len(a) != len(b):
            raise ValueError(f"{len(a)} and {len(b)} values cannot be paired")
        return mean_interval(a - b, level)
    mean = mean_interval(a)[0] - mean_interval(b)[0]
    if min(len(a), len(b)) < 2:
        return mean, math.inf
    errors = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    if errors.sum() == 0:
        return mean, 0.0
    freedom = errors.sum() ** 2 / (errors**2 / [len(a) - 1, len(b) - 1]).sum()
    return mean, float(math.sqrt(errors.sum()) * student_t(level, freedom))


def paired_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p value of Student's paired test that mean(a) = mean(b).

    Exact to about 1e-12. NaN for fewer than two pairs; ``ValueError`` as ``difference_interval``.
    """
    mean, half_width = difference_interval(a, b, paired=True)
    if not math.isfinite(half_width):
        return math.nan
    if half_width == 0:
        return 1.0 if mean == 0 else 0.0
    freedom = len(a) - 1
    t = abs(mean) / half_width * student_t(LEVEL, freedom)
    return max(0.0, 1 - _inside(math.atan(t / math.sqrt(freedom)), freedom))


def student_t(level: float, freedom: float) -> float:
    """t such that a Student variable of ``freedom`` ≥ 1 lies in ±t with probability ``level``."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _inside(theta: float, freedom: float) -> float:
    """Probability that a Student variable lies within ± √freedom · tan θ.

    In θ the density is that of cos θ to the power freedom − 1, smooth enough for Gauss–Legendre.
    """
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    scale = 2 * math.exp(scale) / math.sqrt(math.pi)
    # Beyond 40 standard deviations there is nothing, and the peak must not fall between nodes.
    theta = min(theta, 40 / math.sqrt(freedom))
    angles = theta / 2 * (_NODES + 1)
    return scale * theta / 2 * float(_WEIGHTS @ np.cos(angles) ** (freedom - 1))


def moving_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of each value and the up to ``window − 1`` before it, [n] → [n]."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(values, float))])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def moving_interval(values: Sequence[float], window: int) -> tuple[np.ndarray, np.ndarray]:
    """``moving_mean`` and the half-widths of its intervals, NaN before two values."""
    values = np.asarray(values, float)
    half = np.full(len(values), np.nan)
    quantile = [math.nan] * 2 + [student_t(LEVEL, n - 1) for n in range(2, window + 1)]
    for i in range(1, len(values)):
        part = values[max(0, i + 1 - window) : i + 1]
        half[i] = part.std(ddof=1) / math.sqrt(len(part)) * quantile[len(part)]
    return moving_mean(values, window), half
