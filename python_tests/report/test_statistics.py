"""Intervals against published quantiles and against their own promise."""

import math

import numpy as np
import pytest

from tedg_fast.report.statistics import (
    difference_interval,
    mean_interval,
    moving_interval,
    moving_mean,
    paired_p_value,
    student_t,
)


@pytest.mark.parametrize(
    ("level", "freedom", "quantile"),
    [
        (0.95, 1, 12.7062), (0.95, 2, 4.30265), (0.95, 10, 2.22814), (0.95, 120, 1.97993),
        (0.99, 5, 4.03214), (0.90, 30, 1.69726), (0.95, 1e6, 1.95997),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_printed_tables(level, freedom, quantile):
    assert student_t(level, freedom) == pytest.approx(quantile, rel=2e-5)


def test_mean_of_three():
    mean, half = mean_interval([1, 2, 6])
    assert mean == 3
    assert half == pytest.approx(4.30265 * math.sqrt(7 / 3), rel=1e-5)


def test_paired_p_values():
    """With 2 degrees of freedom P(|T| > t) = 1 − t/√(2 + t²); with 1 it is 1 − 2/π arctan t."""
    t = 3 / math.sqrt((16 + 1 + 9) / 2 / 3)  # of the differences 7, 2, 0
    assert paired_p_value([8, 4, 5], [1, 2, 5]) == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert paired_p_value([1, 5], [0, 2]) == pytest.approx(1 - 2 / math.pi * math.atan(2))
    assert paired_p_value([2, 2, 2], [1, 1, 1]) == 0
    assert paired_p_value([2, 2, 2], [2, 2, 2]) == 1
    assert math.isnan(paired_p_value([2], [1]))


def test_difference_of_two_samples():
    """Welch's own formula."""
    a, b = [5.0, 7.0, 9.0, 6.0], [1.0, 2.0, 9.0]
    errors = np.var(a, ddof=1) / 4, np.var(b, ddof=1) / 3
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 3 + errors[1] ** 2 / 2)
    mean, half = difference_interval(a, b)
    assert mean == pytest.approx(6.75 - 4)
    assert half == pytest.approx(student_t(0.95, freedom) * math.sqrt(sum(errors)))


def test_pairs_that_differ_by_a_constant_leave_no_doubt():
    assert difference_interval([3, 9, 40], [1, 7, 38], paired=True) == (2, 0)
    assert difference_interval([3, 9, 40], [1, 7, 38])[1] > 10
    with pytest.raises(ValueError, match="3 and 2 values cannot be paired"):
        difference_interval([1, 2, 3], [1, 2], paired=True)


def test_too_few_values_decide_nothing():
    assert mean_interval([4]) == (4, math.inf)
    assert math.isnan(mean_interval([])[0])
    assert difference_interval([4], [1, 2])[1] == math.inf
    assert difference_interval([4, 4], [1, 1]) == (3, 0)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(2000, 40))
    inside = [abs(mean - 1) < half for mean, half in map(mean_interval, samples)]
    assert 0.92 < np.mean(inside) < 0.97


def test_moving_means():
    values = [3.0, 1.0, 8.0, 4.0, 4.0]
    assert moving_mean(values, 3) == pytest.approx([3, 2, 4, 13 / 3, 16 / 3])
    mean, half = moving_interval(values, 3)
    assert math.isnan(half[0])
    for i in (1, 2, 3, 4):
        part = values[max(0, i - 2) : i + 1]
        assert (mean[i], half[i]) == pytest.approx(mean_interval(part))
