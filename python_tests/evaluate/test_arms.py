"""Which runs a grid consists of."""

import pytest

from tedg_fast.evaluate.arms import ARMS, does_the_same, num_parameters, plan
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.runs.config import ConfigError


def trials(*common, arms=tuple(ARMS), seeds=(3, 4), episodes=500):
    return plan(arms, seeds, results="grid", episodes=episodes, common=common)


def test_every_arm_is_its_own_run_for_every_seed():
    planned, repeats = trials("--warmup.episodes", "20", "--transition.episodes", "20")
    assert not repeats
    assert [trial.name for trial in planned] == [f"{a}-seed{s}" for s in (3, 4) for a in ARMS]
    for trial in planned:
        assert (trial.config.seed, trial.config.episodes) == (trial.seed, 500)
        assert trial.config.exp_name == trial.name
    for one in planned[: len(ARMS)]:
        assert [x.arm for x in planned if does_the_same(one.config, x.config)] == [one.arm]


def test_an_arm_that_only_repeats_the_full_system_is_left_out():
    """Warmup lasts 1000 episodes, and the transition 2000 more."""
    planned, repeats = trials()
    assert list(repeats) == ["no-entropy-min", "no-temporal", "no-overlap", "softmax-only"]
    assert {trial.arm for trial in planned} == set(ARMS) - set(repeats)
    _, repeats = trials("--warmup.episodes", "100")
    assert list(repeats) == ["no-entropy-min"]


@pytest.mark.parametrize("flags", [(), ("--policy.hidden-size", "33"), ("--num-experts", "7")])
def test_one_expert_has_as_many_parameters_as_the_full_system(flags):
    planned, _ = trials(*flags, arms=("full", "one-expert"), seeds=(0,))
    rules = load_hypergraph()
    full, one = (num_parameters(rules, trial.config) for trial in planned)
    assert one == pytest.approx(full, rel=0.02)
    assert planned[1].config.num_experts == 1
    assert planned[1].config.policy.hidden_size > planned[0].config.policy.hidden_size


def test_flags_for_all_runs_reach_them_unless_they_are_the_grids_own():
    planned, _ = trials("--max-steps", "77", arms=("full", "no-mask"))
    assert {trial.config.max_steps for trial in planned} == {77}
    for flags in (("--seed", "1"), ("--episodes=9",), ("--exp_name", "x"), ("--resume", "y")):
        with pytest.raises(ConfigError, match="tedg-ablate sets it"):
            trials(*flags)
    with pytest.raises(ConfigError, match="--max-steps is 0"):
        trials("--max-steps", "0")
