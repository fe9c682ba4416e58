"""The compiled pass that plays gives what the policy's own forward pass gives."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rule_instances import instances, random_active

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.glyphs import NUM_GLYPH_CLASSES
from tedg_fast.nethack.facts.observation import Observation, ObservationSpec
from tedg_fast.policy import Player, Policy, PolicyConfig, Routing, player_of
from tedg_fast.policy.player import CompiledPlayer

HYPERGRAPH = load_hypergraph()


def make_policy(seed: int, num_experts: int = 4, **sizes) -> Policy:
    """A policy none of whose parameters is at its special first value."""
    torch.manual_seed(seed)
    policy = Policy(HYPERGRAPH, num_experts, PolicyConfig(**sizes))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def observe(batch: int, seed: int) -> Observation:
    """Random observations; from no rule to all rules apply."""
    rng = np.random.default_rng(seed)
    observation = ObservationSpec(HYPERGRAPH.num_conditions).empty(batch)
    packed, table = random_active(rng, HYPERGRAPH, batch, fair=False)
    observation.active_bits[:], observation.instances[:] = packed, table
    observation.features[:] = rng.normal(size=observation.features.shape)
    observation.crop[:] = rng.integers(0, NUM_GLYPH_CLASSES, observation.crop.shape)
    observation.action_mask[:] = rng.random(observation.action_mask.shape) < 0.7
    return observation


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(0, 40),
    num_experts=st.integers(1, 6),
    hidden_size=st.sampled_from([8, 34, 64, 80]),
    glyph_embedding=st.integers(1, 5),
    heads=st.sampled_from([(1, 3), (2, 17), (4, 16)]),
    router=st.sampled_from(["advised", "learned", "advice"]),
    routing=st.sampled_from([Routing("softmax", 1.0), Routing("sparsemax", 0.6)]),
    seed=st.integers(0, 99),
)
def test_the_compiled_pass_equals_the_policy(
    batch, num_experts, hidden_size, glyph_embedding, heads, router, routing, seed
):
    policy = make_policy(
        seed,
        num_experts,
        hidden_size=hidden_size,
        glyph_embedding=glyph_embedding,
        gat_heads=heads[0],
        gat_head_size=heads[1],
        router=router,
    )
    observation = observe(batch, seed)
    with torch.inference_mode():
        expected = Player(policy, routing)(observation)
        player = player_of(policy, routing)
        got = player(observation)
    assert isinstance(player, CompiledPlayer)
    for name, value in got._asdict().items():
        # Logits are sums of terms of either sign, of up to a few hundred each.
        torch.testing.assert_close(value, getattr(expected, name), rtol=1e-4, atol=3e-4)


def test_opcheck():
    player = player_of(make_policy(3), Routing("sparsemax", 0.5))
    torch.library.opcheck(torch.ops.tedg.play_policy.default, player.arguments(observe(4, 3)))


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_at_the_lower_vector_levels_too(level):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    command += ["-k", test_the_compiled_pass_equals_the_policy.__name__]
    subprocess.run(command, env={**os.environ, "TEDG_SIMD": level}, check=True)


def test_without_the_graph_the_policy_plays_itself():
    policy = make_policy(0, graph=False)
    player = player_of(policy, Routing("softmax", 1.0))
    assert type(player) is Player
    with torch.inference_mode():
        assert torch.isfinite(player(observe(3, 0)).value).all()


def test_later_changes_of_the_parameters_do_not_reach_a_player():
    policy, observation = make_policy(1), observe(5, 1)
    player = player_of(policy, Routing("softmax", 1.0))
    before = player(observation)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    for got, expected in zip(player(observation), before):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("active_bits", np.zeros((3, 4), np.uint8), r"active_bits must have shape \[3, "),
        ("features", np.zeros((3, 9), np.float32), "state must have shape"),
        ("features", np.zeros((3, 70)), "features must have dtype float32"),
        ("crop", np.full((3, 81), 200, np.uint8), "crop holds glyph class 200, expected less"),
        ("crop", np.zeros((2, 81), np.uint8), r"crop must have shape \[3, 81\]"),
        ("instances", np.zeros((3, 64, 7), np.uint8), "instances must"),
        ("instances", np.zeros((2, 64, 8), np.uint8), "instances must"),
        ("instances", np.zeros((3, 64, 8)), "instances must have dtype uint8"),
        ("instances", instances([[], [(4000, [1])], []]), "instances name rule 4000, expected"),
        ("instances", instances([[], [], [(0, [23])]]), "instances name action 23"),
        ("action_mask", np.zeros((3, 23), np.uint8), "action_mask must have dtype bool"),
    ],
)
def test_observations_that_do_not_fit_are_refused(field, value, message):
    player = player_of(make_policy(2), Routing("softmax", 1.0))
    observation = observe(3, 2)
    setattr(observation, field, value)
    with pytest.raises(RuntimeError, match=message):
        player(observation)
