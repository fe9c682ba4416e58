"""Means and differences with their confidence intervals (Student 1908, Welch 1947)."""

import math

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
"""Confidence level of every interval."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def mean_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Mean of independent ``values`` and half the width of its Student t interval.

    The half-width of fewer than two values is infinite, the mean of none is NaN.
    """
    sample = np.asarray(values, float)
    if len(sample) == 0:
        return math.nan, math.inf
    if len(sample) == 1:
        return float(sample[0]), math.inf
    error = sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean()), float(error * student_t(level, len(sample) - 1))


def difference_interval(
    a: ArrayLike, b: ArrayLike, *, paired: bool = False, level: float = LEVEL
) -> tuple[float, float]:
    """mean(a) − mean(b) and half the width of its interval.

    Independent samples of unequal variance (Welch's degrees of freedom), or, if ``paired``,
    ``a[i]`` and ``b[i]`` belonging together (``ValueError`` if their numbers differ). The
    half-width is infinite where a sample has fewer than two values.
    """
    one, other = np.asarray(a, float), np.asarray(b, float)
    if paired:
        if len(one) != len(other):
            raise ValueError(f"{len(one)} and {len(other)} values cannot be paired")
        return mean_interval(one - other, level)
    mean = mean_interval(one)[0] - mean_interval(other)[0]
    if min(len(one), len(other)) < 2:
        return mean, math.inf
    errors = np.array([one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)])
    if errors.sum() == 0:
        return mean, 0.0
    freedom = errors.sum() ** 2 / (errors**2 / [len(one) - 1, len(other) - 1]).sum()
    return mean, float(math.sqrt(errors.sum()) * student_t(level, freedom))


def paired_p_value(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p value of Student's paired test that mean(a) = mean(b).

    Exact to about 1e-12. NaN for fewer than two pairs; ``ValueError`` as ``difference_interval``.
    """
    mean, half_width = difference_interval(a, b, paired=True)
    if not math.isfinite(half_width):
        return math.nan
    if half_width == 0:
        return 1.0 if mean == 0 else 0.0
    freedom = np.size(a) - 1
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


def moving_mean(values: ArrayLike, window: int) -> np.ndarray:
    """Mean of each value and the up to ``window − 1`` before it, [n] → [n]."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(values, float))])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def moving_interval(values: ArrayLike, window: int) -> tuple[np.ndarray, np.ndarray]:
    """``moving_mean`` and the half-widths of its intervals, NaN before two values."""
    series = np.asarray(values, float)
    half = np.full(len(series), np.nan)
    quantile = [math.nan] * 2 + [student_t(LEVEL, n - 1) for n in range(2, window + 1)]
    for i in range(1, len(series)):
        part = series[max(0, i + 1 - window) : i + 1]
        half[i] = part.std(ddof=1) / math.sqrt(len(part)) * quantile[len(part)]
    return moving_mean(series, window), half
