"""Each health signal warns at its threshold, once when it sets in."""

from dataclasses import replace

import pytest

from tedg_fast.train.health import HealthMonitor, Reading

HEALTHY = Reading(
    completed=100,
    phase="warmup",
    grad_norm=2.0,
    attention_variance=0.2,
    alpha_entropy=1.3,
    usage=(0.25, 0.25, 0.25, 0.25),
    alignment_loss=0.3,
)


def test_healthy_is_silent():
    monitor = HealthMonitor()
    assert monitor(HEALTHY) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grad_norm": 10.1}, "gradient norm"),
        ({"attention_variance": 0.049}, "attention variance"),
        ({"alpha_entropy": 0.29}, "collapse"),
        ({"alpha_entropy": 1.21, "phase": "fine-tune"}, "above 1.2 in fine-tune"),
        ({"usage": (0.81, 0.1, 0.05, 0.04)}, "survival is used 81%"),
        ({"usage": (0.5, 0.3, 0.19, 0.01)}, "general is used 1.0%"),
    ],
)
def test_thresholds(change, words):
    monitor = HealthMonitor()
    warnings = monitor(replace(HEALTHY, **change))
    assert len(warnings) == 1
    assert words in warnings[0]
    assert monitor(replace(HEALTHY, **change)) == [], "the same warning again"
    assert monitor(HEALTHY) == []
    assert len(monitor(replace(HEALTHY, **change))) == 1, "it set in anew"


def test_one_expert_is_no_collapse():
    alone = replace(HEALTHY, usage=(1.0,), alpha_entropy=0.0)
    assert HealthMonitor()(alone) == []


def alignment_run(monitor, losses, start=0):
    """One reading every five episodes; all warnings."""
    readings = [
        replace(HEALTHY, completed=start + 5 * i, alignment_loss=loss)
        for i, loss in enumerate(losses)
    ]
    return [warning for reading in readings for warning in monitor(reading)]


def test_rising_alignment_warns_falling_does_not():
    assert alignment_run(HealthMonitor(), [0.5 - 0.01 * i for i in range(30)]) == []
    assert alignment_run(HealthMonitor(), [0.3] * 30) == []
    noisy = [0.04 + 0.02 * (7 * i % 5) / 4 for i in range(60)]
    assert alignment_run(HealthMonitor(), noisy) == []
    rising = alignment_run(HealthMonitor(), [0.3 + 0.01 * i for i in range(30)])
    assert len(rising) == 1
    assert "alignment loss has risen over 50 episodes" in rising[0]


def test_alignment_of_another_phase_is_another_loss():
    monitor = HealthMonitor()
    alignment_run(monitor, [0.3] * 11)
    jump = replace(HEALTHY, completed=60, phase="transition", alignment_loss=3.0)
    assert monitor(jump) == []


def test_resumes():
    one, other = HealthMonitor(), HealthMonitor()
    alignment_run(one, [0.3 + 0.01 * i for i in range(9)])
    other.load_state_dict(one.state_dict())
    rest = [0.4 + 0.01 * i for i in range(9)]
    assert alignment_run(one, rest, start=45) == alignment_run(other, rest, start=45) != []
