"""The grid's statistics against values worked out by hand."""

import math

import numpy as np
import pytest

from tedg_fast.evaluate.grid import gain_interval, over_seeds, score_at
from tedg_fast.runs.log import Run


def run_of(scores, env_steps, steps_played):
    return Run(
        name="x", path=None, config={}, first_episode=0, parent=None, phases=[], endings=[],
        events=[],
        episodes={"true_score": np.array(scores, float), "env_steps": np.array(env_steps, float)},
        updates={"env_steps": np.array([steps_played], float)},
    )  # fmt: skip


def test_score_at_a_number_of_steps():
    run = run_of([7] * 50 + [1] * 100 + [9], [10] * 50 + [200] * 100 + [300], 400)
    assert score_at(run, 10) == 7
    assert score_at(run, 299) == 1  # the last hundred only
    assert score_at(run, 300) == (99 + 9) / 100
    assert score_at(run, 9) is None
    assert score_at(run, 401) is None


def measured(score, **changes):
    run = {
        "true_score": score, "last_observation_score": score / 2, "rollbacks": 1,
        "grad_norm": score, "attention_variance": score / 100, "alignment_first": 2.0,
        "alignment_last": None, "evaluation": None,
        "at_steps": {"100000": score, "300000": None, "500000": None, "700000": None},
    }  # fmt: skip
    return run | changes


def test_an_arm_is_compared_with_the_full_system_by_common_seeds():
    full = {1: measured(1.0), 2: measured(2.0), 3: measured(5.0)}
    arm = {3: measured(5.0), 1: measured(8.0), 2: measured(4.0), 9: measured(100.0)}
    found = over_seeds(arm, full)
    assert found["true_score"]["mean"] == 117 / 4
    assert found["at_steps"]["100000"]["mean"] == 117 / 4
    assert found["at_steps"]["300000"] == {"count": 0, "mean": None, "half_width": None}
    less = found["less_full"]
    assert (less["games"], less["mean"]) == (3, 3)
    t = 3 / math.sqrt(13 / 3)  # of the differences 7, 2, 0
    assert less["p"] == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert less["half_width"] == pytest.approx(4.30265 * math.sqrt(13 / 3), rel=1e-5)
    assert (found["rollbacks"], found["grad_norm"]) == (4, 100)
    assert found["attention_variance"] == 0.04
    assert found["alignment_last"]["mean"] is None
    assert found["experts"] is None


def test_final_policies_are_compared_by_the_seeds_that_both_have_evaluated():
    def evaluated(score):
        experts = {"usage": {}, "leading": {}, "contexts": {}}
        return {"true_score": score, "experts": experts, "gain": {}}

    full = {seed: measured(0.0, evaluation=evaluated(10.0 * seed)) for seed in (1, 2, 3)}
    arm = {
        1: measured(0.0, evaluation=evaluated(12.0)),
        2: measured(0.0, evaluation=evaluated(26.0)),
        3: measured(0.0),  # still being evaluated
        4: measured(0.0, evaluation=evaluated(1000.0)),
    }
    found = over_seeds(arm, full)
    assert found["evaluated"]["count"] == 3
    less = found["evaluated_less_full"]
    assert (less["games"], less["mean"]) == (2, 4)  # of 2 and 6
    assert less["half_width"] == pytest.approx(12.7062 * 2, rel=1e-5)
    assert over_seeds({1: measured(3.0)}, full)["evaluated_less_full"]["games"] == 0


def test_a_gain_is_uncertain_over_seeds_and_over_games():
    gain = gain_interval([[10, 30, 50], [20, 40, 60]])
    over_seeds = 12.706 * 5  # Student's t of 1 degree of freedom; means 30 and 40
    over_games = 4.3027 * 20 / math.sqrt(3)  # of 2; means 15, 35 and 55
    assert gain["mean"] == 35
    assert gain["half_width"] == pytest.approx(math.hypot(over_seeds, over_games), rel=1e-4)
    assert gain_interval([[10, 30, 50]])["half_width"] is None
