"""The Manager gives exactly what graph attention over each sample's whole graph gives."""

import numpy as np
import pytest
import torch
from probe import tiny_hypergraph
from torch.nn import functional as F

from tedg_fast.hypergraph import ACTIONS, Condition, Effect, Hypergraph, Operator
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.policy import Manager, RulePolicy


def mixed_hypergraph():
    """Rules with 1 to 4 conditions of both kinds, shared conditions and effects."""
    conditions = tuple(Condition(f"c{i}", "state" if i < 3 else "scene", "") for i in range(6))
    needs = [(0,), (0, 3), (1, 2, 4), (0, 2, 3, 5), (5,)]
    operators = tuple(
        Operator(
            name=f"o{i}",
            description="",
            expert=("survival", "combat", "exploration", "general")[i % 4],
            priority=i - 1.5,
            state=tuple(f"c{c}" for c in need if c < 3),
            scene=tuple(f"c{c}" for c in need if c >= 3),
            effects=(f"e{i % 3}", "e3"),
            actions=("wait", "up", "down")[: 1 + i % 3],
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
    source = (h * layer.attend[0]).sum(-1)
    target = (h * layer.attend[1]).sum(-1)
    score = source[edge_index[0]] + target[edge_index[1]] + layer.relation_bias[relation]
    score = F.leaky_relu(score, 0.2)
    out = []
    for node in range(len(x)):
        inside = edge_index[1] == node
        weights = score[inside].softmax(0).unsqueeze(-1)
        out.append((weights * h[edge_index[0][inside]]).sum(0).flatten())
    return x + F.relu(layer.norm(torch.stack(out) + layer.bias))


def plain_manager(manager, holds, hypergraph):
    """The pooled operators and facts, and the claims [K, A], for one sample [C] bool."""
    state = torch.zeros(hypergraph.num_nodes, dtype=torch.long)
    state[: len(holds)] = holds.long()
    kind = torch.from_numpy(hypergraph.node_type)
    x = manager.identity + manager.trait[kind] + manager.trait[3 + state]
    x = plain_round(manager.first, x, hypergraph)
    facts = x[: len(holds)][holds].sum(0) / max(int(holds.sum()), 1)
    x = plain_round(manager.second, x, hypergraph)
    pooled, total = torch.zeros_like(facts), 1.0
    claims = torch.zeros(4, len(ACTIONS), dtype=torch.float64)
    for i, operator in enumerate(hypergraph.operators):
        if all(holds[hypergraph.condition_index[name]] for name in operator.conditions):
            features = x[len(holds) + i]
            learned = manager.score(features)
            pooled, total = pooled + learned.exp() * features, total + learned.exp()
            each = (operator.priority + learned).exp() / len(operator.actions)
            chosen = np.isin(ACTIONS, operator.actions)
            owner = torch.eye(4, dtype=torch.float64)[hypergraph.operator_expert[i]]
            claims = claims + each * torch.outer(owner, torch.from_numpy(chosen).double())
    return pooled / total, facts, claims


@pytest.mark.parametrize("make", [tiny_hypergraph, mixed_hypergraph])
def test_equals_plain_attention_over_every_sample(make):
    """Values and the gradient of every parameter."""
    hypergraph = make()
    manager = make_manager(hypergraph)
    conditions = hypergraph.num_conditions
    holds = torch.rand(12, conditions, generator=torch.Generator().manual_seed(0)) < 0.5
    holds[0], holds[1] = False, True
    weight = torch.randn(12, 8, dtype=torch.float64)

    def gradients(logic):
        manager.zero_grad()
        total = (logic[0] * weight).sum() + logic[1].square().sum() + logic[2].square().sum()
        total.backward()
        return {name: p.grad.clone() for name, p in manager.named_parameters()}

    fast = manager(manager.rules(), manager.active(holds))
    parts = [plain_manager(manager, row, hypergraph) for row in holds]
    rules, facts, claims = (torch.stack(part) for part in zip(*parts))
    h_logic = manager.readout(torch.cat([rules, facts], 1))
    loudness = claims.sum(2).log1p()
    plain = (h_logic, claims.log1p() / loudness.clamp_min(1).unsqueeze(2), loudness)
    for got, expected in zip(fast, plain):
        torch.testing.assert_close(got, expected)
    got, expected = gradients(fast), gradients(plain)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], msg=name)


def test_active_nodes_are_the_conditions_that_hold_and_the_rules_all_of_whose_conditions_do():
    hypergraph = load_hypergraph()
    manager = make_manager(hypergraph)
    holds = torch.rand(50, hypergraph.num_conditions) < 0.5
    active = manager.active(holds)
    requires = torch.from_numpy(hypergraph.operator_conditions)
    assert torch.equal(active[:, : hypergraph.num_conditions], holds)
    unmet = (requires & ~holds.unsqueeze(1)).any(2)
    assert torch.equal(active[:, hypergraph.num_conditions :], ~unmet)
    assert 0 < (~unmet).sum() < unmet.numel()


def test_a_state_without_rules_is_fine():
    manager = make_manager(tiny_hypergraph())
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    logic = manager(manager.rules(), manager.active(nothing))
    assert torch.isfinite(logic.h_logic).all()
    assert (logic.proposals == 0).all() and (logic.advice_scores == 0).all()


def test_rules_are_followed_by_priority():
    """By the hypergraph alone: a rule that applies proposes its actions, louder ones prevail."""
    hypergraph = mixed_hypergraph()
    holds = torch.tensor([[True, False, False, True, False, True]])  # o0, o1 and o4 apply
    allowed = torch.ones(1, len(ACTIONS), dtype=torch.bool)
    logits = RulePolicy(hypergraph)(holds, allowed)[0]
    names = np.array(ACTIONS)[logits.argsort(descending=True).numpy()]
    assert names[0] == "wait" and names[1] == "up"  # o4: wait, up; o1: wait, up; o0: wait
    w = np.exp([-1.5, -0.5, 2.5])  # experts: o0 and o4 survival, o1 combat
    wait = np.log1p(w[0] + w[2] / 2) + np.log1p(w[1] / 2)
    assert logits[ACTIONS.index("wait")].item() == pytest.approx(wait, rel=1e-6)
    allowed[0, ACTIONS.index("wait")] = False
    assert RulePolicy(hypergraph)(holds, allowed)[0].argmax() == ACTIONS.index("up")


def test_every_node_receives_messages():
    """Fault (b): conditions without incoming edges heard nothing."""
    manager = make_manager(load_hypergraph())
    assert (manager.graph.rowptr.diff() > 0).all()
