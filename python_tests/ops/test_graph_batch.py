"""GraphBatch: many graphs as one equal each of them alone, in any order; bad ones are refused."""

import copy
import pickle

import pytest
import torch

from tedg_fast.ops import Graph, GraphBatch, gat_attention, gatv2_attention
from tedg_fast.ops.graph_batch import _batch_by_sorting

# (nodes, edges) of each graph: none of either, one node, lone nodes, more edges than pairs.
ODD = [(0, 0), (1, 0), (3, 7), (1, 4), (0, 0), (9, 0), (2, 30), (5, 5), (0, 0)]


def parts(sizes=ODD, shared=3, relations=4, seed=0):
    """The edges [2, E_b] of each graph, its relations, and the sizes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high, count):
        return torch.randint(low, high, (count,), generator=generator)

    edges = [
        torch.stack([draw(-shared, n, e), draw(0, n, e)])
        if n else torch.empty(2, 0, dtype=torch.int64)
        for n, e in sizes
    ]  # fmt: skip
    return edges, [draw(0, max(relations, 1), e.shape[1]) for e in edges]


def starts(counts):
    return torch.tensor([0, *counts]).cumsum(0)


def batch_of(sizes=ODD, shared=3, relations=4, seed=0):
    edges, relation = parts(sizes, shared, relations, seed)
    source, target = torch.cat([torch.empty(2, 0, dtype=torch.int64), *edges], 1)
    return GraphBatch(
        starts([n for n, _ in sizes]), starts([e.shape[1] for e in edges]), source, target,
        torch.cat([torch.empty(0, dtype=torch.int64), *relation]) if relations else None, shared,
    )  # fmt: skip


def tensors_of(graph):
    names = ("rowptr", "col", "edge_id", "t_rowptr", "t_target", "t_edge", "relation")
    return {name: getattr(graph, name) for name in names}


def same(a, b):
    assert (a is None) == (b is None)
    assert a is None or (torch.equal(a, b) and a.dtype == b.dtype)


def same_batch(a, b):
    for name in ("node_start", "edge_start", "source", "target", "relation", "sample"):
        same(getattr(a, name), getattr(b, name))
    for name, tensor in tensors_of(a.graph).items():
        same(tensor, getattr(b.graph, name))
    for name in ("num_sources", "num_targets", "num_edges"):
        assert getattr(a.graph, name) == getattr(b.graph, name)


def test_numbers_of_a_small_one():
    batch = GraphBatch(
        [0, 3, 3, 5], [0, 3, 3, 5], [2, -2, 0, -1, 1], [0, 1, 0, 1, 1], [1, 0, 3, 0, 2], 2
    )
    assert len(batch) == 3 and batch.num_nodes == 5 and batch.num_edges == 5
    assert batch.sample.tolist() == [0, 0, 0, 2, 2]
    graph = batch.graph
    assert graph is batch.graph
    assert (graph.num_sources, graph.num_targets, graph.num_relations) == (7, 5, 4)
    assert graph.rowptr.tolist() == [0, 2, 3, 3, 3, 5]
    assert graph.col.tolist() == [2, 0, 6, 5, 4]
    assert graph.edge_id.tolist() == [0, 2, 1, 3, 4]
    assert graph.relation.tolist() == [1, 3, 0, 0, 2]
    assert graph.t_rowptr.tolist() == [0, 1, 1, 2, 2, 3, 4, 5]
    assert graph.t_target.tolist() == [0, 0, 4, 4, 1]
    assert batch.select(torch.tensor([2, 1, 2])).graph.col.tolist() == [4, 1, 4, 3]
    assert batch.nodes_of(torch.tensor([2, 1, 0])).tolist() == [3, 4, 0, 1, 2]
    assert batch.edges_of(torch.tensor([2, 2])).tolist() == [3, 4, 3, 4]


@pytest.mark.parametrize("relations", [0, 4])
@pytest.mark.parametrize("shared", [0, 3])
@pytest.mark.parametrize("sizes", [ODD, [], [(0, 0)], [(1, 0)], [(1, 1)], [(40, 130)] * 70])
def test_the_graph_is_that_of_all_edges_numbered_through(sizes, shared, relations):
    batch, (edges, relation) = batch_of(sizes, shared, relations), parts(sizes, shared, relations)
    first = starts([n for n, _ in sizes])
    nodes = int(first[-1])
    columns = [
        (int(f) + s if s >= 0 else nodes - 1 - s, int(f) + t)
        for f, part in zip(first, edges, strict=False) for s, t in part.t().tolist()
    ]  # fmt: skip
    index = torch.tensor(columns, dtype=torch.int64).reshape(-1, 2).t()
    expected = Graph(
        index, nodes + shared, nodes,
        torch.cat([torch.empty(0, dtype=torch.int64), *relation]) if relations else None,
    )  # fmt: skip
    for name, tensor in tensors_of(expected).items():
        same(getattr(batch.graph, name), tensor)
    assert batch.graph.num_relations == expected.num_relations
    assert batch.sample.tolist() == [b for b, (n, _) in enumerate(sizes) for _ in range(n)]


ROWS = [[], [0], [2], [8, 6, 6, 3, 2, 2, 0], list(range(9)), [0, 0, 0]]


@pytest.mark.parametrize("rows", ROWS)
def test_a_selection_is_the_batch_of_those_graphs(rows):
    batch, (edges, relation) = batch_of(), parts()
    none = torch.empty(2, 0, dtype=torch.int64)
    source, target = torch.cat([none, *(edges[r] for r in rows)], 1)
    expected = GraphBatch(
        starts([ODD[r][0] for r in rows]), starts([edges[r].shape[1] for r in rows]), source,
        target, torch.cat([none[0], *(relation[r] for r in rows)]), 3,
    )  # fmt: skip
    index = torch.tensor(rows, dtype=torch.int64)
    chosen = batch.select(index)
    same_batch(chosen, expected)
    assert torch.equal(batch.sample[batch.nodes_of(index)], index[chosen.sample])
    assert torch.equal(batch.source[batch.edges_of(index)], chosen.source)
    assert chosen.num_relations == chosen.graph.num_relations == batch.num_relations == 4
    same_batch(chosen.select(torch.arange(len(rows))), chosen)


def attention(batch, x, shared, src, dst, bias):
    """gat_attention over the batch; rows of ``shared`` follow the nodes of all graphs."""
    sources = torch.cat([x, shared])[None]
    scores = torch.cat([src, src.new_ones(len(shared), src.shape[1])])[None]
    out, _ = gat_attention(sources, scores, dst[None], batch.graph, edge_bias=bias)
    return out[0]


def inputs(batch, heads=2, width=5):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    nodes = batch.num_nodes
    return (
        normal(nodes, heads, width), normal(batch.num_shared, heads, width),
        normal(nodes, heads), normal(nodes, heads), normal(batch.num_relations, heads),
    )  # fmt: skip


def test_attention_over_a_batch_is_that_over_each_graph():
    batch = batch_of()
    x, shared, src, dst, bias = (t.requires_grad_() for t in inputs(batch))
    together = attention(batch, x, shared, src, dst, bias)
    alone = []
    for b in range(len(batch)):
        one = batch.select(torch.tensor([b]))
        nodes = slice(int(batch.node_start[b]), int(batch.node_start[b + 1]))
        alone.append(attention(one, x[nodes], shared, src[nodes], dst[nodes], bias))
    alone = torch.cat(alone)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    weight = torch.randn(together.shape, dtype=torch.float64)
    pair = [
        torch.autograd.grad((out * weight).sum(), (x, shared, src, dst, bias))
        for out in (together, alone)
    ]
    for a, b in zip(*pair, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert pair[0][1].abs().sum() > 0


def test_selecting_rows_selects_rows_of_the_output():
    batch = batch_of()
    x, shared, src, dst, bias = inputs(batch)
    rows = torch.tensor([6, 2, 2, 8, 3])
    nodes = batch.nodes_of(rows)
    whole = attention(batch, x, shared, src, dst, bias)
    part = attention(batch.select(rows), x[nodes], shared, src[nodes], dst[nodes], bias)
    assert torch.equal(part, whole[nodes])


def test_gradients():
    batch = batch_of([(3, 7), (0, 0), (1, 4), (4, 9)])
    function = lambda *tensors: attention(batch, *tensors)  # noqa: E731
    assert torch.autograd.gradcheck(function, [t.requires_grad_() for t in inputs(batch, width=3)])
    x, shared, *_ = inputs(batch, width=3)
    att = torch.randn(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, shared, att: gatv2_attention(
            torch.cat([x, shared])[None], x[None], att, batch.graph
        )[0],
        [t.requires_grad_() for t in (x, shared, att)],
    )


def test_a_shared_node_of_thousands_of_edges_gets_the_same_bits_from_any_threads():
    batch = batch_of([(25, 150)] * 400, shared=2)
    batch = GraphBatch(
        batch.node_start, batch.edge_start, batch.source.clamp(max=0), batch.target,
        batch.relation, 2,
    )  # fmt: skip
    tensors = [t.float().requires_grad_() for t in inputs(batch, heads=4, width=8)]
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            out = attention(batch, *tensors)
            results.append((out, *torch.autograd.grad(out.square().sum(), tensors)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))


def test_its_graph_may_be_an_argument_of_what_is_compiled():
    torch._dynamo.reset()

    def run(x, scores, graph):
        return gat_attention(x, scores, scores[:, : graph.num_targets], graph)[0]

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for rows in (list(range(9)), [2, 3, 6], [8, 6, 6, 3, 2, 2, 0]):
        graph = batch_of().select(torch.tensor(rows)).graph
        x = torch.randn(1, graph.num_sources, 2, 8)
        scores = torch.randn(1, graph.num_sources, 2)
        assert torch.equal(compiled(x, scores, graph), run(x, scores, graph))


def test_copies_and_is_immutable():
    batch = batch_of()
    for twin in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch)), batch.to("cpu")):
        same_batch(twin, batch)
    assert batch.to("cpu") is batch
    with pytest.raises(AttributeError, match="immutable"):
        batch.source = batch.target


GOOD = {
    "node_start": [0, 3, 5], "edge_start": [0, 2, 4], "source": [0, 1, -1, -1],
    "target": [1, 2, 0, 1], "relation": [0, 1, 1, 0], "num_shared": 1,
}  # fmt: skip


@pytest.mark.parametrize("sizes", [ODD, [], [(40, 130)] * 70])
def test_counting_gives_what_sorting_gives(sizes):
    batch = batch_of(sizes)
    parts = batch.node_start, batch.edge_start, batch.source, batch.target, batch.num_nodes, 3
    counted = torch.ops.tedg.batch_graph(*parts)
    for found, wanted in zip(counted, _batch_by_sorting(*parts), strict=True):
        same(found, wanted)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, torch.tensor([0, 4, 5]), r"target must be in \[0, 1\) in graph 1, got 1"),
        (0, torch.tensor([0, 3, 6]), "node_start must rise from 0 to 5"),
        (0, torch.tensor([0, 6, 5]), "node_start must rise from 0 to 5"),
        (0, torch.tensor([0, 3]), r"edge_start must have shape \[2\], got \[3\]"),
        (1, torch.tensor([0, 2, 5]), "edge_start must rise from 0 to 4"),
        (1, torch.tensor([1, 2, 4]), "edge_start must rise from 0 to 4"),
        (2, torch.tensor([0, 3, -1, -1]).int(), r"source must be in \[-1, 3\) in graph 0, got 3"),
        (2, torch.tensor([0, 1, -1, -2]).int(), r"source must be in \[-1, 2\) in graph 1, got -2"),
        (2, torch.tensor([0, 1, -1, -1]), "source must have dtype int32, got int64"),
        (3, torch.tensor([1, -1, 0, 1]).int(), r"target must be in \[0, 3\) in graph 0, got -1"),
        (3, torch.tensor([1, 2, 0]).int(), r"target must have shape \[4\], got \[3\]"),
        (4, 4, "node_start must rise from 0 to 4"),
        (4, -1, r"num_nodes must be in \[0, 2\*\*31 - 1\), got -1"),
        (5, -1, r"num_shared must be in \[0, 2\*\*31 - 1\), got -1"),
        (5, 2**31 - 4, r"num_nodes \+ num_shared must be in"),
    ],
)
def test_the_raw_op_refuses_bad_input(place, value, message):
    batch = GraphBatch(**GOOD)
    parts = [batch.node_start, batch.edge_start, batch.source, batch.target, 5, 1]
    torch.ops.tedg.batch_graph(*parts)
    parts[place] = value
    with pytest.raises(RuntimeError, match=message):
        torch.ops.tedg.batch_graph(*parts)


def test_takes_the_batches_of_pyg():
    data = pytest.importorskip("torch_geometric.data")
    edges, relation = parts([(n, e) for n, e in ODD if n], shared=0)
    graphs = [
        data.Data(edge_index=index, num_nodes=n, kind=kind)
        for (n, _), index, kind in zip([s for s in ODD if s[0]], edges, relation, strict=True)
    ]
    pyg = data.Batch.from_data_list(graphs)
    batch = GraphBatch.from_edge_index(pyg.edge_index, pyg.ptr, pyg.kind)
    assert torch.equal(batch.sample, pyg.batch)
    assert torch.equal(batch.source.long(), torch.cat(edges, 1)[0])
    whole = Graph(pyg.edge_index, pyg.num_nodes, pyg.num_nodes, pyg.kind)
    for name, tensor in tensors_of(whole).items():
        same(getattr(batch.graph, name), tensor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"node_start": [1, 3, 5]}, "node_start must begin at 0 and never fall"),
        ({"node_start": [0, 6, 5]}, "node_start must begin at 0 and never fall"),
        ({"node_start": []}, r"node_start must have shape \[B\+1\], got \[0\]"),
        ({"node_start": [[0]]}, r"node_start must have shape \[B\+1\], got \[1, 1\]"),
        ({"node_start": [0.0, 3.0, 5.0]}, "node_start must hold integers, got dtype torch.float"),
        ({"node_start": [0, 3, 2**31]}, r"node_start must end below 2\*\*31 - 1, got 2147483649"),
        ({"node_start": [0, 5]}, r"edge_start must have shape \[2\] like node_start, got \[3\]"),
        ({"edge_start": [0, 4, 2]}, "edge_start must begin at 0 and never fall"),
        ({"edge_start": [0, 2, 5]}, r"source must have shape \[5\].*got \[4\]"),
        ({"source": [0, 3, -1, -1]}, r"source must be in \[-1, 3\) in graph 0, got 3 at edge 1"),
        ({"source": [0, 1, -2, -1]}, r"source must be in \[-1, 2\) in graph 1, got -2 at edge 2"),
        ({"source": [0, 1, -1]}, r"source must have shape \[4\].*got \[3\]"),
        ({"target": [1, 2, 2, 1]}, r"target must be in \[0, 2\) in graph 1, got 2 at edge 2"),
        ({"target": [-1, 2, 0, 1]}, r"target must be in \[0, 3\) in graph 0, got -1 at edge 0"),
        ({"target": [2**40, 2, 0, 1]}, r"target must be in .* got 1099511627776 at edge 0"),
        ({"relation": [0, 1, -1, 0]}, "relation must be in .* got -1"),
        ({"relation": [0, 1, 1]}, r"relation must have shape \[4\].*got \[3\]"),
        ({"num_shared": -1}, r"num_shared must be in \[0, 2\*\*31 - 1\), got -1"),
        ({"num_shared": True}, "num_shared must be an int, got bool"),
        ({"source": torch.empty(4, dtype=torch.int64, device="meta")}, "source must be on cpu"),
    ],
)
def test_refuses_bad_graphs(change, message):
    GraphBatch(**GOOD)
    with pytest.raises(ValueError, match=message):
        GraphBatch(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([2], r"rows must be in \[0, 2\), got 2"),
        ([-1], r"rows must be in \[0, 2\), got -1"),
        ([[0]], r"rows must have shape \[R\], got \[1, 1\]"),
        ([True, False], "rows must hold integers, got dtype torch.bool"),
        ([0.5], "rows must hold integers"),
    ],
)
def test_refuses_bad_rows(rows, message):
    batch = GraphBatch(**GOOD)
    for call in (batch.select, batch.nodes_of, batch.edges_of):
        with pytest.raises(ValueError, match=message):
            call(torch.tensor(rows))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([[0, 3], [1, 2]], "must stay within a graph, edge 1 leads from graph 1 to graph 0"),
        ([[3, 0], [4, 1]], "must list the edges graph by graph"),
        ([[0], [5]], r"edge_index must be in \[0, 5\), got 5"),
        ([[0]], r"edge_index must have shape \[2, E\], got \[1, 1\]"),
    ],
)
def test_refuses_edges_that_are_no_batch(index, message):
    with pytest.raises(ValueError, match=message):
        GraphBatch.from_edge_index(torch.tensor(index), torch.tensor([0, 3, 5]))
