import copy
import pickle

import numpy as np
import pytest
import torch

from tedg_fast.ops import Graph, gat_attention
from tedg_fast.ops.graph import _build_by_sorting


def test_rows_keep_the_order_of_the_edges():
    edges = torch.tensor([[3, 0, 3, 1, 0], [1, 0, 1, 1, 0]])
    graph = Graph(edges, 4, 3, relation=torch.tensor([5, 4, 3, 2, 1]))
    assert graph.rowptr.tolist() == [0, 2, 5, 5]
    assert graph.col.tolist() == [0, 0, 3, 3, 1]
    assert graph.edge_id.tolist() == [1, 4, 0, 2, 3]
    assert graph.relation.tolist() == [4, 1, 5, 3, 2]
    assert graph.num_relations == 6
    assert graph.t_rowptr.tolist() == [0, 2, 3, 3, 5]
    assert graph.t_edge.tolist() == [0, 1, 4, 2, 3]
    assert graph.t_target.tolist() == [0, 0, 1, 1, 1]
    assert graph.rowptr.dtype == torch.int32


def test_accepts_lists_and_numpy_and_no_edges():
    assert Graph([[0], [1]], 2, 2).num_edges == 1
    assert Graph(np.array([[0], [1]], dtype=np.int32), 2, 2).num_edges == 1
    empty = Graph(torch.empty(2, 0), 3, 2)
    assert empty.num_edges == 0
    assert empty.rowptr.tolist() == [0, 0, 0]


def test_is_immutable_and_copies():
    graph = Graph([[0], [1]], 2, 2)
    with pytest.raises(AttributeError, match="immutable"):
        graph.col = torch.zeros(1)
    with pytest.raises(AttributeError, match="immutable"):
        del graph.col
    assert graph.to("cpu") is graph
    for twin in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert torch.equal(twin.col, graph.col) and twin.num_targets == 2


@pytest.mark.parametrize(
    ("sources", "targets", "edges"), [(5, 7, 30), (1, 1, 9), (3, 2, 0), (0, 0, 0), (900, 40, 5000)]
)
def test_counting_gives_what_sorting_gives(sources, targets, edges):
    source = torch.randint(0, max(sources, 1), (edges,))
    target = torch.randint(0, max(targets, 1), (edges,))
    index = torch.stack([source, target])
    for found, wanted in zip(
        torch.ops.tedg.build_graph(index, sources, targets),
        _build_by_sorting(index, sources, targets),
        strict=True,
    ):
        assert torch.equal(found, wanted) and found.dtype == torch.int32


def test_the_raw_op_refuses_bad_input():
    build = torch.ops.tedg.build_graph
    for index, sources, targets, message in [
        ([[0], [2]], 2, 2, r"edge_index\[1\] \(targets\) must be in \[0, 2\), got 2"),
        ([[-1], [0]], 2, 2, r"edge_index\[0\] \(sources\) must be in \[0, 2\), got -1"),
        ([[2**40], [0]], 2, 2, "edge_index.0. .sources. must be in .*, got 1099511627776"),
        ([[0]], 2, 2, r"edge_index must have shape \[2, 1\], got \[1, 1\]"),
        ([[0], [0]], 2**31, 2, "num_sources must be in"),
        ([[0], [0]], 2, -1, "num_targets must be in"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            build(torch.tensor(index), sources, targets)
    with pytest.raises(RuntimeError, match="edge_index must have dtype int64, got float32"):
        build(torch.zeros(2, 1), 1, 1)


class Attention(torch.nn.Module):
    def forward(self, x, scores, graph):
        return gat_attention(x, scores, scores, graph)[0]


def test_may_be_an_argument_of_what_is_compiled_or_exported():
    graph = Graph(torch.randint(0, 5, (2, 9)), 5, 5, torch.randint(0, 3, (9,)))
    other = Graph(torch.randint(0, 5, (2, 9)), 5, 5, torch.randint(0, 3, (9,)))
    x, scores = torch.randn(1, 5, 2, 4), torch.randn(1, 5, 2)
    module = Attention()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(module, (x, scores, graph)).module()
    for argument in (graph, other):
        for function in (compiled, exported):
            assert torch.equal(function(x, scores, argument), module(x, scores, argument))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 1]], 2, 2), r"edge_index must have shape \[2, E\], got \[1, 2\]"),
        (([[0], [2]], 2, 2), r"edge_index\[1\] \(targets\) must be in \[0, 2\), got 2"),
        (([[-1], [0]], 2, 2), r"edge_index\[0\] \(sources\) must be in \[0, 2\), got -1"),
        (([[0.5], [0.0]], 2, 2), "edge_index must hold integers, got dtype torch.float32"),
        (([[0], [0]], 0, 2), r"edge_index\[0\] \(sources\) must be in \[0, 0\), got 0"),
        (([[0], [0]], 2.0, 2), "num_sources must be an int, got float"),
        (([[0], [0]], 2, -1), r"num_targets must be in \[0, 2\*\*31 - 1\), got -1"),
        (([[0], [0]], 2, 2, [1, 2]), r"relation must have shape \[1\].*got \[2\]"),
        (([[0], [0]], 2, 2, [-1]), r"relation must be in .*, got -1"),
        (([[0], [0]], 2, 2, [True]), "relation must hold integers, got dtype torch.bool"),
    ],
)
def test_refuses_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        Graph(*arguments)
