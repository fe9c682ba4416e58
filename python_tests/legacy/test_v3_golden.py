"""V3's own features and outputs for 128 observations of real games, from the observations alone."""

import json

import numpy as np
import pytest
import torch
from v3_files import real_files

from tedg_fast.hypergraph import EXPERTS
from tedg_fast.legacy import V3Checkpoint, V3Hypergraph, V3Policy, is_v3_checkpoint
from tedg_fast.legacy.experts import operator_expert


@pytest.fixture(scope="module")
def folder():
    return real_files()


@pytest.fixture(scope="module")
def golden(folder):
    return np.load(folder / "golden.npz")


@pytest.fixture(scope="module")
def policy(folder):
    return V3Policy.load(folder / "model_00100.pth", folder)


def test_atoms_are_equal(policy, golden):
    atoms = policy.atoms(golden["glyphs"], golden["blstats"])
    for row, text in enumerate(golden["atoms"]):
        wanted = json.loads(str(text))
        assert atoms.names(row) == (wanted["pre_nodes"], wanted["scene_atoms"])


def test_features_and_active_nodes(policy, golden):
    features, active = policy.observe(golden["glyphs"], golden["blstats"], golden["step"])
    assert features.dtype == torch.float32 and active.dtype == torch.bool
    np.testing.assert_array_equal(active.numpy(), golden["active_mask"] > 0)
    np.testing.assert_allclose(features.numpy(), golden["state"], rtol=0, atol=1e-5)


def test_outputs(policy, golden):
    inputs = policy.observe(golden["glyphs"], golden["blstats"], golden["step"])
    with torch.no_grad():
        output = policy(*inputs)
    for name, value in output._asdict().items():
        assert value.shape == golden[name].shape, name
        np.testing.assert_allclose(value.numpy(), golden[name], rtol=0, atol=1e-4, err_msg=name)


def test_names_and_order_are_v3s(folder, policy):
    path = folder / "model_00100.pth"
    assert is_v3_checkpoint(path)
    checkpoint = V3Checkpoint.load(path)
    assert list(policy.state_dict()) == list(checkpoint.weights)
    parameters = [name for name in checkpoint.weights if not name.startswith("gat._")]
    assert [name for name, _ in policy.named_parameters()] == parameters
    assert list(checkpoint.adam) == parameters[20:] and len(parameters) == 88
    assert checkpoint.completed == 100 and checkpoint.num_experts == 4


def test_every_expert_has_operators(folder):
    hypergraph = V3Hypergraph.load(folder)
    owners = [operator_expert(hypergraph.labels[i]) for i in hypergraph.operators]
    share = np.bincount(owners, minlength=len(EXPERTS)) / len(owners)
    assert (share > 0.08).all(), dict(zip(EXPERTS, share))
