"""What plays gives what the policy's own forward pass gives, for as long as parameters stay."""

import pytest
import torch
from real_states import HYPERGRAPH, real_states

from tedg_fast.policy import Policy, PolicyConfig, Routing, player_of


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
])  # fmt: skip
@pytest.mark.parametrize("routing", [Routing("softmax", 1.0), Routing("sparsemax", 0.6)])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_play_equals_the_policys_pass(config, routing, rows):
    policy, observation = make_policy(0, **config), real_states(40)[:rows]
    with torch.no_grad():
        expected = policy(policy.inputs(observation), routing)
    for name, value in player_of(policy, routing)(observation)._asdict().items():
        # Logits are sums of terms of either sign, of up to a few hundred each.
        torch.testing.assert_close(value, getattr(expected, name), rtol=1e-4, atol=3e-4)
