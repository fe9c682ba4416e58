"""The phases, and the switches of the mechanisms.

The table is the specification's but for the learning rate, γ and c_H, which are tuned.
"""

from dataclasses import asdict, replace

import pytest

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.policy import PolicyConfig
from tedg_fast.runs.config import TrainConfig
from tedg_fast.runs.model import build_policy
from tedg_fast.runs.phases import Mechanisms

TABLE = {
    # completed episodes: phase, routing, T,
    #     learning rate, γ, c_H, σ·c_α, lb, div, align, sem, temp, ov
    0: ("warmup", "softmax", 1.0,
        8e-4, 0.999, 0.002, -0.1, 0.02, 0.01, 0.1, 0.05, 0.0, 0.0),
    999: ("warmup", "softmax", 1.0,
          8e-4, 0.999, 0.002, -0.1, 0.02, 0.01, 0.1, 0.05, 0.0, 0.0),
    1000: ("transition", "sparsemax", 1.0,
           4e-4, 0.999, 0.001, -0.1, 0.01, 0.01, 0.1, 0.05, 0.01, 0.03),
    2000: ("transition", "sparsemax", 0.75,
           4e-4, 0.999, 0.001, -0.05, 0.01, 0.01, 0.1, 0.05, 0.01, 0.03),
    3000: ("fine-tune", "sparsemax", 0.5,
           8e-5, 0.999, 0.0005, 0.05, 0.005, 0.005, 0.1, 0.05, 0.02, 0.05),
    9999: ("fine-tune", "sparsemax", 0.5,
           8e-5, 0.999, 0.0005, 0.05, 0.005, 0.005, 0.1, 0.05, 0.02, 0.05),
}  # fmt: skip


@pytest.mark.parametrize("completed", TABLE)
def test_table(completed):
    names = (
        "phase", "routing", "temperature", "learning_rate", "gamma", "entropy_coef",
        "alpha_entropy_coef", "load_balance_coef", "diversity_coef", "alignment_coef",
        "semantic_coef", "temporal_coef", "overlap_coef",
    )  # fmt: skip
    settings = asdict(TrainConfig().settings_at(completed))
    for name, value in zip(names, TABLE[completed], strict=True):
        assert settings[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    assert settings["alignment_temperature"] == 1.0


def test_alpha_entropy_reward_fades_out():
    assert TrainConfig().settings_at(2999).alpha_entropy_coef == pytest.approx(-0.1 / 2000)


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ("manager", {"alignment_coef", "semantic_coef"}),
        ("entropy_min", {"alpha_entropy_coef"}),
        ("temporal", {"temporal_coef"}),
        ("overlap", {"overlap_coef"}),
    ],
)
def test_each_mechanism_can_be_switched_off_alone(switch, gone):
    everything = asdict(TrainConfig().settings_at(5000))
    without = asdict(TrainConfig(mechanisms=Mechanisms(**{switch: False})).settings_at(5000))
    assert {name for name in everything if everything[name] != without[name]} == gone
    assert all(without[name] == 0 for name in gone)


@pytest.mark.parametrize(("router", "weight"), [("advised", 0.0), ("advice", 1.0)])
def test_without_the_manager_no_advice_reaches_a_learned_router(router, weight):
    config = TrainConfig(policy=PolicyConfig(router=router))
    assert build_policy(load_hypergraph(), config).advice_weight > 0
    config = replace(config, mechanisms=Mechanisms(manager=False))
    assert build_policy(load_hypergraph(), config).advice_weight == weight


def test_entropy_minimisation_switch_leaves_earlier_phases_alone():
    config = TrainConfig(mechanisms=Mechanisms(entropy_min=False))
    assert config.settings_at(0) == TrainConfig().settings_at(0)
    assert config.settings_at(1500) == TrainConfig().settings_at(1500)
