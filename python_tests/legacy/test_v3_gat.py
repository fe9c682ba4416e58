"""The network on the table of cases is the network on all nodes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from v3_files import real_files, small_hypergraph

from tedg_fast.legacy import V3Policy
from tedg_fast.legacy.inputs import V3Input
from tedg_fast.ops import Graph, gat_attention, gat_attention_weights


@pytest.fixture(params=["small", "real"])
def policy(request, tmp_path):
    torch.manual_seed(0)
    if request.param == "small":
        return V3Policy(small_hypergraph(tmp_path / "hypergraph"), 4).double()
    folder = real_files()
    return V3Policy.load(folder / "model_00100.pth", folder).double()


def active_sets(policy, rows):
    """Random active sets, with bits also where there is no condition."""
    rng = np.random.default_rng(0)
    share = rng.random((rows, 1))
    return torch.from_numpy(rng.random((rows, policy.observer.num_nodes)) < share)


def on_all_nodes(gat, active):
    """h_logic, operator scores and the operators' attention variance, straight from V3's graph."""
    nodes = active.shape[1]
    edges = torch.cat([gat._edge_index, torch.arange(nodes).expand(2, -1)], 1)
    graph = Graph(edges, nodes, nodes)
    active = active & (gat._node_types == 0)
    x = gat.node_type_embedding(gat._node_types) + gat.activation_embedding(active.int())
    for layer, norm in ((gat.gat1, gat.ln1), (gat.gat2, gat.ln2)):
        projected = layer.lin(x).unflatten(-1, (4, 256))
        source, target = (projected * layer.att_src).sum(-1), (projected * layer.att_dst).sum(-1)
        weights = gat_attention_weights(source, target, graph)
        out, _ = gat_attention(projected, source, target, graph)
        x = x + F.relu(norm(out.mean(2) + layer.bias))
    scores = x[:, gat._operator_indices].norm(dim=-1)
    active = active.to(x.dtype)
    mean = torch.einsum("un,unw->uw", active, x) / (active.sum(1, keepdim=True) + 1e-8)
    h_logic = gat.readout(mean)
    variances = []
    for operator in gat._operator_indices.tolist():
        row = weights[:, edges[1] == operator]
        if row.shape[1] >= 2:
            uniform = 1 / row.shape[1]
            variances.append((row.square().sum(1) - uniform) / (1 - uniform))
    return h_logic, scores, torch.stack(variances).mean().item()


def test_equal_to_the_network_on_all_nodes(policy):
    active = active_sets(policy, 7)
    h_logic, scores, variance = on_all_nodes(policy.gat, active)
    logic = policy.manager(active)
    torch.testing.assert_close(logic.h_logic, h_logic)
    torch.testing.assert_close(logic.operator_scores, scores)
    inputs = V3Input(torch.zeros(7, 115), active, torch.ones(7, 23, dtype=torch.bool))
    assert policy.manager.attention_variance(inputs) == pytest.approx(variance)


def test_equal_gradients(policy):
    active = active_sets(policy, 7)
    direction = torch.randn(7, 256, dtype=torch.float64)
    gradients = []
    for h_logic, scores in (
        on_all_nodes(policy.gat, active)[:2],
        policy.manager(active)[:2],
    ):
        policy.zero_grad()
        ((h_logic * direction).sum() + scores.sum()).backward()
        gradients.append({name: p.grad for name, p in policy.gat.named_parameters()})
    assert all(gradient is not None for gradient in gradients[1].values())
    torch.testing.assert_close(gradients[1], gradients[0])


def test_nothing_active(policy):
    nothing = torch.zeros(2, policy.observer.num_nodes, dtype=torch.bool)
    logic = policy.manager(nothing)
    assert all(field.isfinite().all() for field in logic)


@pytest.mark.parametrize("num_experts", [1, 2, 4, 6])
def test_advice_is_the_log_mean_exp_of_each_experts_operators(tmp_path, num_experts):
    """The small graph's operators: exploration, survival, combat, general."""
    hypergraph = small_hypergraph(tmp_path / "hypergraph")
    policy = V3Policy(hypergraph, num_experts).double()
    logic = policy.manager(active_sets(policy, 3))
    exploration, survival, combat, general = logic.operator_scores.unbind(1)
    groups = [[survival], [combat], [exploration], [general]]
    own = min(num_experts, 4)
    groups[own - 1 :] = [sum(groups[own - 1 :], [])]
    wanted = [torch.stack(group).exp().mean(0).log() for group in groups]
    wanted += [torch.stack(wanted).mean(0)] * (num_experts - own)
    torch.testing.assert_close(logic.advice_scores, torch.stack(wanted, 1))
