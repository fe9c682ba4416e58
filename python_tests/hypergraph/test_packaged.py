"""The packaged rules: they are few, none is idle, and they read without PyTorch."""

import subprocess
import sys

import numpy as np
import pytest

from tedg_fast.hypergraph import EXPERTS, RELATIONS, load_hypergraph
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.rules.review import Review


@pytest.fixture(scope="module")
def graph():
    return load_hypergraph()


def test_they_are_few_and_none_is_idle(graph):
    assert 20 <= graph.num_operators <= 100
    assert Review(graph, nethack_vocabulary()).remarks() == []


def test_every_expert_has_something_to_say(graph):
    assert (np.bincount(graph.operator_expert, minlength=len(EXPERTS)) > 0).all()


def test_no_two_rules_say_the_same(graph):
    rules = [(rule.variables, frozenset(rule.conditions), rule.actions) for rule in graph.operators]
    assert len(set(rules)) == len(rules)


def test_nodes_and_edges(graph):
    edge_index, relation = graph.edges()
    assert edge_index.dtype == relation.dtype == np.int64
    assert edge_index.shape == (2, len(relation))
    assert edge_index.min() >= 0 and edge_index.max() < graph.num_nodes
    counts = [graph.num_conditions, graph.num_operators, graph.num_effects]
    assert np.array_equal(np.bincount(graph.node_type), counts)
    source, target = graph.node_type[edge_index]
    joined = {"requires": (0, 1), "context": (0, 1), "causes": (1, 2)}
    for name, (start, end) in joined.items():
        forward = relation == RELATIONS.index(name)
        backward = relation == RELATIONS.index(name + "_reverse")
        assert forward.any()
        assert (source[forward] == start).all() and (target[forward] == end).all()
        assert np.array_equal(edge_index[:, forward], edge_index[::-1, backward])


def test_tables_agree_with_the_rules(graph):
    for i, rule in enumerate(graph.operators):
        assert set(np.flatnonzero(graph.operator_conditions[i])) == {
            use.condition for use in rule.conditions
        }
        for use in rule.conditions:
            kinds = tuple(rule.variables[variable] for variable in use.variables)
            assert kinds == graph.conditions[use.condition].kinds
        assert graph.operator_priority[i] == np.float32(rule.priority or 0)
        assert graph.operator_decide[i] == rule.decide
    assert len(graph.condition_index) == graph.num_conditions, "two conditions share a name"


def test_reads_without_torch():
    code = (
        "import sys; from tedg_fast.hypergraph import load_hypergraph; load_hypergraph();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
