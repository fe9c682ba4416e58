"""The Manager gives exactly what graph attention over each sample's whole graph gives."""

import numpy as np
import pytest
import torch
from probe import tiny_hypergraph
from torch.nn import functional as F

from rule_instances import instances, random_active

from tedg_fast.hypergraph import (
    ACTIONS,
    Condition,
    Do,
    Effect,
    Hypergraph,
    Operator,
    Template,
    Use,
    load_hypergraph,
)
from tedg_fast.nethack.facts.observation import NOTHING
from tedg_fast.policy import Manager


def mixed_hypergraph():
    """Rules with 1 to 4 conditions of both kinds, shared conditions and effects."""
    kinds = [()] * 3 + [("monster",)] * 3
    conditions = tuple(Condition(f"c{i}", f"c{i}", kinds[i]) for i in range(6))
    needs = [(0,), (0, 3), (1, 2, 4), (0, 2, 3, 5), (5,)]
    operators = tuple(
        Operator(
            name=f"o{i}",
            why="",
            expert=("survival", "combat", "exploration", "general")[i % 4],
            conditions=tuple(Use(c) for c in need),
            effects=(f"e{i % 3}", "e3"),
            actions=(Template(Do.PRESS, action=19),),
            priority=i - 1.5,
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


def plain_manager(manager, holds, listed, hypergraph):
    """The pooled operators and facts, and the claims [K, A], for one sample: the conditions that
    hold [C] bool, and (rule, actions) of each instance."""
    state = torch.zeros(hypergraph.num_nodes, dtype=torch.long)
    state[: len(holds)] = holds.long()
    kind = torch.from_numpy(hypergraph.node_type)
    x = manager.identity + manager.trait[kind] + manager.trait[3 + state]
    x = plain_round(manager.first, x, hypergraph)
    facts = x[: len(holds)][holds].sum(0) / max(int(holds.sum()), 1)
    x = plain_round(manager.second, x, hypergraph)
    pooled, total = torch.zeros_like(facts), 1.0
    for rule in {rule for rule, _ in listed}:
        features = x[len(holds) + rule]
        learned = manager.score(features)
        pooled, total = pooled + learned.exp() * features, total + learned.exp()
    claims = torch.zeros(4, len(ACTIONS), dtype=torch.float64)
    for rule, actions in listed:
        learned = manager.score(x[len(holds) + rule])
        each = (hypergraph.operators[rule].priority or 0.0) + learned
        owner = torch.eye(4, dtype=torch.float64)[hypergraph.operator_expert[rule]]
        chosen = torch.zeros(len(ACTIONS), dtype=torch.float64)
        chosen[actions] = 1 / len(actions)
        claims = claims + each.exp() * torch.outer(owner, chosen)
    return pooled / total, facts, claims


def lists(table):
    """uint8 [I, 8] -> (rule, actions) of each instance."""
    rows = [(row[0] + 256 * row[1], row[4:]) for row in table.tolist()]
    return [(r, [a for a in actions if a != NOTHING]) for r, actions in rows if r != 0xFFFF]


@pytest.mark.parametrize("make", [tiny_hypergraph, mixed_hypergraph])
def test_equals_plain_attention_over_every_sample(make):
    """Values and the gradient of every parameter."""
    hypergraph = make()
    manager = make_manager(hypergraph)
    conditions = hypergraph.num_conditions
    packed, table = random_active(np.random.default_rng(0), hypergraph, 12)
    active = manager.active(packed, table)
    applying = active.nodes[:, conditions : conditions + hypergraph.num_operators]
    assert not applying.any(1).all() and (applying.sum(1) >= 2).any()
    weight = torch.randn(12, 8, dtype=torch.float64)

    def gradients(logic):
        manager.zero_grad()
        total = (logic[0] * weight).sum() + logic[1].square().sum() + logic[2].square().sum()
        total.backward()
        return {name: p.grad.clone() for name, p in manager.named_parameters()}

    fast = manager(manager.rules(), active)
    holds = active.nodes[:, :conditions]
    parts = [
        plain_manager(manager, row, lists(listed), hypergraph)
        for row, listed in zip(holds, table, strict=True)
    ]
    rules, facts, claims = (torch.stack(part) for part in zip(*parts))
    h_logic = manager.readout(torch.cat([rules, facts], 1))
    loudness = claims.sum(2).log1p()
    plain = (h_logic, claims.log1p() / loudness.clamp_min(1).unsqueeze(2), loudness)
    for got, expected in zip(fast, plain):
        torch.testing.assert_close(got, expected)
    got, expected = gradients(fast), gradients(plain)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], msg=name)


def test_active_nodes_are_the_conditions_that_hold_and_the_rules_that_have_instances():
    hypergraph = load_hypergraph()
    manager = make_manager(hypergraph)
    packed, table = random_active(np.random.default_rng(1), hypergraph, 50, fair=False)
    nodes = manager.active(packed, table).nodes
    count = hypergraph.num_conditions
    holds = np.unpackbits(packed, axis=1, count=count).astype(bool)
    assert np.array_equal(nodes[:, :count].numpy(), holds)
    for row, listed in zip(nodes[:, count:], table, strict=True):
        assert set(row.nonzero().flatten().tolist()) == {rule for rule, _ in lists(listed)}
    assert 0 < nodes[:, count:].sum() < nodes[:, count:].numel()


def test_rows_of_what_is_active_can_be_selected():
    hypergraph = load_hypergraph()
    manager = make_manager(hypergraph)
    packed, table = random_active(np.random.default_rng(2), hypergraph, 9)
    rows = torch.tensor([7, 0, 7, 3])
    some = manager.active(packed, table).select(rows)
    again = manager.active(packed[rows], table[rows])
    assert torch.equal(some.nodes, again.nodes)
    assert all(torch.equal(*pair) for pair in zip(some.instances, again.instances))
    assert some.instances.start[-1] > 0


def test_a_state_without_rules_is_fine():
    manager = make_manager(tiny_hypergraph())
    active = manager.active(np.zeros((1, 1), np.uint8), instances([[]]))
    logic = manager(manager.rules(), active)
    assert torch.isfinite(logic.h_logic).all()
    assert (logic.proposals == 0).all() and (logic.advice_scores == 0).all()


def test_instances_propose_by_their_rules_priorities():
    """Before anything is learned: an instance gives each of its actions an equal share of
    e^priority, and what an expert says is that over its loudness."""
    hypergraph = mixed_hypergraph()
    proposals = make_manager(hypergraph).proposals
    wait, up, down = (ACTIONS.index(name) for name in ("wait", "up", "down"))
    # Survival's o0 to two objects, and its o4; combat's o1.
    table = instances([[(4, [wait, up]), (1, [up]), (0, [wait]), (0, [down, wait])]])
    listed = make_manager(hypergraph).active(np.zeros((1, 1), np.uint8), table).instances
    said, loudness = proposals(listed, proposals.priority.double().exp())
    w = np.exp([-1.5, -0.5, 2.5])  # of o0, o1, o4
    mass = {wait: w[2] / 2 + w[0] + w[0] / 2, up: w[2] / 2, down: w[0] / 2}
    loud = np.log1p(w[2] + 2 * w[0])
    assert loudness[0].tolist() == pytest.approx([loud, np.log1p(w[1]), 0, 0])
    for action in range(len(ACTIONS)):
        expected = np.log1p(mass.get(action, 0)) / max(loud, 1)
        assert said[0, 0, action].item() == pytest.approx(expected)
    assert said[0, 1].nonzero().flatten().tolist() == [up]
    assert said[0, 1, up].item() == pytest.approx(np.log1p(w[1]))
    assert not said[0, 2:].any()


def test_every_node_of_a_rule_receives_messages():
    """Fault (b): conditions without incoming edges heard nothing. Those that only show effects, and
    effects that no rule causes, belong to no rule."""
    hypergraph = load_hypergraph()
    heard = make_manager(hypergraph).graph.rowptr.diff() > 0
    caused = {effect for operator in hypergraph.operators for effect in operator.effects}
    belongs = [
        *hypergraph.operator_conditions.any(0),
        *[True] * hypergraph.num_operators,
        *[effect.name in caused for effect in hypergraph.effects],
    ]
    assert heard.tolist() == belongs
    assert np.mean(belongs) > 0.9
