"""The table of rules gives exactly what graph attention over each sample's whole graph gives."""

import pytest
import torch
from probe import tiny_hypergraph
from torch.nn import functional as F

from tedg_fast.hypergraph import Condition, Effect, Hypergraph, HypergraphError, Operator
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.policy import Manager
from tedg_fast.policy.rule_table import RuleTable


def mixed_hypergraph():
    """Rules with 1 to 4 conditions of both kinds, shared conditions and effects."""
    conditions = tuple(Condition(f"c{i}", "state" if i < 3 else "scene", "") for i in range(6))
    needs = [(0,), (0, 3), (1, 2, 4), (0, 2, 3, 5), (5,)]
    operators = tuple(
        Operator(
            name=f"o{i}",
            description="",
            expert=("survival", "combat", "exploration", "general")[i % 4],
            state=tuple(f"c{c}" for c in need if c < 3),
            scene=tuple(f"c{c}" for c in need if c >= 3),
            effects=(f"e{i % 3}", "e3"),
            actions=("wait",),
        )
        for i, need in enumerate(needs)
    )
    effects = tuple(Effect(f"e{i}", "") for i in range(4))
    return Hypergraph("mixed", conditions, operators, effects, digest="0" * 64)


def make_manager(hypergraph):
    torch.manual_seed(0)
    manager = Manager(hypergraph, hidden_size=8, heads=2, head_size=4, num_experts=4).double()
    with torch.no_grad():
        for layer in (manager.first, manager.second):
            layer.relation_bias.normal_()
            layer.bias.normal_()
    return manager


def plain_round(layer, x, hypergraph):
    """One round at every node of one sample's graph [N, width], edge by edge."""
    edge_index, relation = map(torch.from_numpy, hypergraph.edges())
    h = layer.project(x).unflatten(1, (layer.heads, layer.head_size))
    source = (h * layer.attend_source).sum(-1)
    target = (h * layer.attend_target).sum(-1)
    score = source[edge_index[0]] + target[edge_index[1]] + layer.relation_bias[relation]
    score = F.leaky_relu(score, 0.2)
    out = []
    for node in range(len(x)):
        inside = edge_index[1] == node
        weights = score[inside].softmax(0).unsqueeze(-1)
        out.append((weights * h[edge_index[0][inside]]).sum(0).flatten())
    return x + F.relu(layer.norm(torch.stack(out) + layer.bias))


def plain_manager(manager, active, hypergraph):
    """Operator scores [O], the pooled operators and the pooled facts for one sample [C] bool."""
    holds = torch.zeros(hypergraph.num_nodes, dtype=torch.long)
    holds[: len(active)] = active.long()
    x = manager.identity + manager.kind[manager.kind_of] + manager.activation[holds]
    x = plain_round(manager.first, x, hypergraph)
    facts = x[: len(active)][active].sum(0) / max(int(active.sum()), 1)
    x = plain_round(manager.second, x, hypergraph)
    operators = x[len(active) : len(active) + hypergraph.num_operators]
    requires = torch.from_numpy(hypergraph.operator_conditions)
    unmet = (requires & ~active).sum(1)
    scores = manager.score(operators).squeeze(1) - manager.gain * unmet
    return scores, scores.softmax(0) @ operators, facts


@pytest.mark.parametrize("make", [tiny_hypergraph, mixed_hypergraph])
def test_equals_plain_attention_over_every_sample(make):
    """Values and the gradient of every parameter."""
    hypergraph = make()
    manager = make_manager(hypergraph)
    conditions = hypergraph.num_conditions
    active = torch.rand(12, conditions, generator=torch.Generator().manual_seed(0)) < 0.5
    active[0], active[1] = False, True
    weight = torch.randn(12, 8, dtype=torch.float64)

    def gradients(logic):
        manager.zero_grad()
        ((logic[0] * weight).sum() + logic[1].square().sum()).backward()
        return {name: p.grad.clone() for name, p in manager.named_parameters()}

    fast = manager(manager.rules(), active)
    parts = [plain_manager(manager, row, hypergraph) for row in active]
    scores, rules, facts = (torch.stack(part) for part in zip(*parts))
    plain = (manager.readout(torch.cat([rules, facts], 1)), scores)
    torch.testing.assert_close(fast.h_logic, plain[0])
    torch.testing.assert_close(fast.operator_scores, plain[1])
    got, expected = gradients(fast), gradients(plain)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], msg=name)


def test_advice_is_the_log_mean_exp_of_an_experts_operators():
    hypergraph = mixed_hypergraph()
    manager = make_manager(hypergraph)
    logic = manager(manager.rules(), torch.eye(6, dtype=torch.bool))
    for k in range(4):
        own = logic.operator_scores[:, hypergraph.operator_expert == k]
        expected = own.exp().mean(1).log()
        torch.testing.assert_close(logic.advice_scores[:, k], expected)


def test_each_row_is_read_for_its_pattern():
    hypergraph = load_hypergraph()
    table = RuleTable(hypergraph)
    requires = torch.from_numpy(hypergraph.operator_conditions)
    assert table.num_rows == (2 ** requires.sum(1)).sum()
    active = torch.rand(50, hypergraph.num_conditions) < 0.5
    rows = table.rows(active)
    own = torch.arange(hypergraph.num_operators).expand_as(rows)
    assert torch.equal(table.operator_of[rows], own)
    unmet = (requires & ~active.unsqueeze(1)).sum(2)
    assert torch.equal(table.unmet[rows], unmet.float())


def test_every_node_receives_messages():
    """Fault (b): conditions without incoming edges heard nothing."""
    table = RuleTable(load_hypergraph())
    assert (table.to_rows.rowptr.diff() > 0).all()
    assert (table.to_terms.rowptr.diff() > 0).all()


def test_a_rule_with_too_many_conditions_is_refused():
    conditions = tuple(Condition(f"c{i}", "state", "") for i in range(20))
    names = tuple(c.name for c in conditions)
    operator = Operator("monster", "", "combat", names, (), ("e",), ("wait",))
    hypergraph = Hypergraph("big", conditions, (operator,), (Effect("e", ""),), digest="0")
    with pytest.raises(HypergraphError, match="operator 'monster' has 20 conditions"):
        RuleTable(hypergraph)
