import copy
import pickle

import numpy as np
import pytest
import torch

from tedg_fast.ops import Graph


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
