"""The packaged hypergraph: its size, its graph, and that it reads without NLE or PyTorch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tedg_fast.hypergraph import ACTIONS, EXPERTS, RELATIONS, load_hypergraph


@pytest.fixture(scope="module")
def graph():
    return load_hypergraph()


def test_it_is_large_enough(graph):
    assert graph.num_operators >= 150
    assert graph.num_conditions >= 120
    assert graph.num_effects >= 60


def test_every_expert_has_plenty_to_say(graph):
    per_expert = np.bincount(graph.operator_expert, minlength=len(EXPERTS))
    assert (per_expert >= 30).all()


def test_every_action_carries_some_operator_out(graph):
    assert graph.operator_actions.any(axis=0).all()


def test_no_two_operators_say_the_same(graph):
    rules = [(o.conditions, o.actions, o.effects) for o in graph.operators]
    assert len(set(rules)) == len(rules)


def test_operators_that_name_a_way_use_that_way(graph):
    ways = ("northeast", "northwest", "southeast", "southwest", "north", "east", "south", "west")
    for operator in graph.operators:
        way = next((w for w in ways if operator.name.endswith("_" + w)), None)
        if way and not operator.name.startswith("kick_"):
            assert {a.removeprefix("far_") for a in operator.actions} == {way}, operator.name
            named = [c for c in operator.conditions if c.endswith(ways)]
            assert all(c.endswith("_" + way) for c in named), operator.name


def test_nodes_and_edges(graph):
    edge_index, relation = graph.edges()
    assert edge_index.dtype == relation.dtype == np.int64
    assert edge_index.shape == (2, len(relation))
    assert edge_index.min() >= 0 and edge_index.max() < graph.num_nodes
    assert np.array_equal(np.bincount(graph.node_type),
                          [graph.num_conditions, graph.num_operators, graph.num_effects])
    source, target = graph.node_type[edge_index]
    joined = {"requires": (0, 1), "context": (0, 1), "causes": (1, 2)}
    for name, (start, end) in joined.items():
        forward = relation == RELATIONS.index(name)
        backward = relation == RELATIONS.index(name + "_reverse")
        assert forward.any()
        assert (source[forward] == start).all() and (target[forward] == end).all()
        assert np.array_equal(edge_index[:, forward], edge_index[::-1, backward])
    assert set(np.unique(edge_index[1])) == set(range(graph.num_nodes)), "a node hears nothing"


def test_tables_agree_with_the_operators(graph):
    for i, operator in enumerate(graph.operators):
        names = {graph.conditions[c].name for c in np.flatnonzero(graph.operator_conditions[i])}
        assert names == set(operator.conditions)
        assert {ACTIONS[a] for a in np.flatnonzero(graph.operator_actions[i])} == set(
            operator.actions
        )


def test_the_digest_is_of_the_content_not_the_layout(graph, tmp_path):
    from importlib import resources

    text = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.json").read_text()
    content = json.loads(text)
    path = tmp_path / "same.json"
    path.write_text(json.dumps(content))
    assert load_hypergraph(path).digest == graph.digest
    content["operators"][0]["description"] += " Indeed."
    path.write_text(json.dumps(content))
    assert load_hypergraph(str(path)).digest != graph.digest


def test_reads_without_nle_or_torch():
    code = (
        "import sys; from tedg_fast.hypergraph import load_hypergraph; load_hypergraph();"
        "assert not {'nle', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
