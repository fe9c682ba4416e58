"""What plays gives what the policy's own forward pass gives, for as long as parameters stay."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from real_states import HYPERGRAPH, real_states

from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy import (
    Player,
    Policy,
    PolicyConfig,
    Routing,
    flat_weights,
    player_of,
    player_setup,
)
from tedg_fast.policy.player import NativePlayer


def make_policy(seed, num_experts=4, **config):
    """A policy none of whose parameters is at its special first value."""
    torch.manual_seed(seed)
    policy = Policy(HYPERGRAPH, num_experts, PolicyConfig(**config))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


@pytest.mark.parametrize("config", [
    {}, {"graph": False}, {"manager": "mean"}, {"manager": "no-objects"}, {"proposals": "direct"},
    {"router": "advice"}, {"router": "learned"}, {"hidden_size": 24, "gat_head_size": 3},
    {"num_experts": 1}, {"num_experts": 6, "gat_heads": 1, "glyph_embedding": 1},
])  # fmt: skip
@pytest.mark.parametrize("routing", [Routing("softmax", 1.0), Routing("sparsemax", 0.6)])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_play_equals_the_policys_pass(config, routing, rows):
    policy, observation = make_policy(0, **config), real_states(40)[:rows]
    with torch.no_grad():
        expected = policy(policy.inputs(observation), routing)
    player = player_of(policy, routing)
    assert type(player) is (NativePlayer if config.get("graph", True) else Player)
    for name, value in player(observation)._asdict().items():
        # Logits are sums of terms of either sign, of up to a few hundred each.
        torch.testing.assert_close(value, getattr(expected, name), rtol=1e-4, atol=3e-4)


def test_a_states_play_does_not_depend_on_the_others():
    player, observation = player_of(make_policy(1), Routing("softmax", 1.0)), real_states(40)
    together = player(observation)
    for row in range(40):
        alone = player(observation[row : row + 1])
        for got, expected in zip(alone, together):
            torch.testing.assert_close(got[0], expected[row], rtol=1e-5, atol=1e-5)


def test_later_changes_of_the_parameters_do_not_reach_a_player():
    policy, observation = make_policy(1), real_states(5)
    player = player_of(policy, Routing("softmax", 1.0))
    before = player(observation)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    for got, expected in zip(player(observation), before):
        assert torch.equal(got, expected)


def other(observation, **fields):
    """The observation with other arrays in the place of some."""
    return Observation(**(vars(observation) | fields))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("features", lambda array: array[:, 1:], "features has gaps|features has rows of"),
        ("features", lambda array: array.astype(float), "features has another dtype"),
        ("crop", lambda array: array * 0 + 200, "crop holds glyph class 200, expected less than"),
        ("crop", lambda array: array[:, :80].copy(), "crop has rows of 80 elements"),
        ("action_mask", lambda array: array.astype(np.uint8), "action_mask has another dtype"),
        ("action_mask", lambda array: array[:2], "action_mask has another number of rows"),
        ("instances", lambda array: array * 0 + 200, "instances name rule 51400, expected less"),
        ("objects", lambda array: array * 0 + 200, "objects name kind 200, expected"),
        ("active_bits", lambda array: array[:, 1:].copy(), "active_bits has rows of"),
    ],
)
def test_observations_that_do_not_fit_are_refused(name, change, message):
    player, observation = player_of(make_policy(2), Routing("softmax", 1.0)), real_states(3)
    before = player(observation)
    with pytest.raises(ValueError, match=message):
        player(other(observation, **{name: change(getattr(observation, name))}))
    for got, expected in zip(player(observation), before):  # nothing of it is left behind
        assert torch.equal(got, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda setup, weights: (setup, weights[:-1]), "too few weights"),
        (lambda setup, weights: (setup, np.append(weights, weights[:1])), "more weights than"),
        (lambda setup, weights: (setup, weights.astype(float)), "must be dense float32"),
        (lambda setup, weights: (setup, weights[::2]), "must be dense float32"),
        (lambda setup, weights: (replace(setup, owner=(9,) * 45), weights), r"owner must lie in"),
        (lambda setup, weights: (replace(setup, owner=()), weights), "priority must have shape"),
        (lambda setup, weights: (replace(setup, features=9), weights), "must have shape"),
        (lambda setup, weights: (replace(setup, shapes=setup.shapes[:3]), weights), "more weights"),
        (
            lambda setup, weights: (
                replace(setup, scenes=setup.scenes | {"num_conditions": 0, "rules": []}), weights
            ),
            "player must have shape|of the scenes' rules",
        ),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(change, message):
    policy = make_policy(2)
    setup, weights = change(player_setup(policy), flat_weights(policy, Routing("softmax", 1.0)))
    with pytest.raises(ValueError, match=message):
        setup.player(weights)


def test_weights_that_change_change_the_play():
    """Workers are given the next rollout's weights in the place of those of the last."""
    first, second = make_policy(1), make_policy(2)
    routing, observation = Routing("sparsemax", 0.6), real_states(9)
    weights = flat_weights(first, Routing("softmax", 1.0))
    player = player_setup(first).player(weights)
    player(observation)
    weights[:] = flat_weights(second, routing)
    for got, expected in zip(player(observation), player_of(second, routing)(observation)):
        np.testing.assert_array_equal(got, expected)
