"""What plays gives what the policy's own forward pass gives, for as long as parameters stay."""

import pytest
import torch
from real_states import HYPERGRAPH, real_states

from tedg_fast.policy import Player, Policy, PolicyConfig, Routing, player_of
from tedg_fast.policy.player import CompiledPlayer


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
    assert type(player) is (CompiledPlayer if config.get("graph", True) else Player)
    for name, value in player(observation)._asdict().items():
        # Logits are sums of terms of either sign, of up to a few hundred each.
        torch.testing.assert_close(value, getattr(expected, name), rtol=1e-4, atol=3e-4)


def test_opcheck():
    player = player_of(make_policy(3), Routing("sparsemax", 0.5))
    arguments = player.arguments(real_states(4))
    torch.library.opcheck(torch.ops.tedg.play_policy.default, arguments)


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


SCENES = CompiledPlayer.SCENES


def changed(name, place, value):
    """A change of one number of the scenes' array ``name``."""

    def change(arguments):
        array = arguments[3][SCENES.index(name)].clone()
        array[place] = value
        arguments[3][SCENES.index(name)] = array

    return change


def replaced(argument, tensor):
    """Another argument in the place of one of the state's."""

    def change(arguments):
        arguments[argument] = tensor

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(0, torch.zeros(3, 9)), "player's features must lie"),
        (replaced(0, torch.zeros(3, 80, dtype=torch.double)), "features must have dtype float32"),
        (replaced(1, torch.full((3, 81), 200, dtype=torch.uint8)), "crop holds glyph class 200"),
        (replaced(1, torch.zeros(2, 81, dtype=torch.uint8)), r"crop must have shape \[3, 81\]"),
        (replaced(2, torch.zeros(3, 24, dtype=torch.uint8)), "action_mask must have dtype bool"),
        (changed("node_start", 1, 1000), "node_start must rise"),
        (changed("edge_start", 0, 1), "edge_start must rise"),
        (changed("instance_start", -1, 0), "instance_start must rise"),
        (changed("node_start", 2, 1), "node_start must"),
        (changed("source", 0, 4000), "source must lie in"),
        (changed("source", 0, -4000), "source must lie in"),
        (changed("target", 0, -1), "target must lie in"),
        (changed("role", 0, 11), "role must lie in"),
        (changed("node", 1, 4000), "node must lie in"),
        (changed("actions", 0, 25), "actions must lie in"),
        (changed("subject", 0, 4000), "subject must lie in"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    player = player_of(make_policy(2), Routing("softmax", 1.0))
    arguments = list(player.arguments(real_states(3)))
    change(arguments)
    with pytest.raises(RuntimeError, match=message):
        torch.ops.tedg.play_policy.default(*arguments)
