import pytest
import torch

from tedg_fast.nn import SparseGATConv
from tedg_fast.ops import Graph


def random_edges(nodes, edges, seed):
    """Isolated nodes, duplicate edges and self-loops included."""
    generator = torch.Generator().manual_seed(seed)
    if nodes == 0:
        return torch.zeros(2, 0, dtype=torch.int64)
    source = torch.randint(0, nodes, (edges,), generator=generator)
    target = torch.randint(0, max(nodes // 2, 1), (edges,), generator=generator)
    edge_index = torch.stack([source, target])
    return torch.cat([edge_index, edge_index[:, : edges // 4]], 1)


@pytest.mark.parametrize("nodes, edges", [(20, 90), (50, 100), (1, 3), (1, 0), (7, 0)])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("options", [{}, {"add_self_loops": False, "residual": True}])
def test_equals_pyg(nodes, edges, concat, options):
    geometric = pytest.importorskip("torch_geometric.nn")
    torch.manual_seed(nodes + edges)
    theirs = geometric.GATConv(12, 5, heads=3, concat=concat, **options)
    ours = SparseGATConv(12, 5, heads=3, concat=concat, **options)
    ours.load_state_dict(theirs.state_dict())
    edge_index = random_edges(nodes, edges, seed=1)
    x = torch.randn(nodes, 12, requires_grad=True)
    expected, actual = theirs(x, edge_index), ours(x, edge_index)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(expected)
    parameters = [x, *theirs.parameters()]
    wanted = torch.autograd.grad((expected * weight).sum(), parameters)
    ours_parameters = [x, *(dict(ours.named_parameters())[n] for n, _ in theirs.named_parameters())]
    got = torch.autograd.grad((actual * weight).sum(), ours_parameters)
    for a, e in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-5)


def test_a_batch_is_its_samples():
    layer = SparseGATConv(6, 4, heads=2)
    edge_index = random_edges(9, 30, seed=2)
    x = torch.randn(5, 9, 6)
    graph = SparseGATConv.graph(edge_index, 9)
    batch = layer(x, graph)
    for b in range(5):
        torch.testing.assert_close(batch[b], layer(x[b], edge_index), rtol=1e-5, atol=1e-6)


def test_compiles_without_a_graph_break():
    torch._dynamo.reset()
    layer = SparseGATConv(6, 4, heads=2)
    graph = Graph(random_edges(9, 30, seed=3), 9, 9)
    compiled = torch.compile(lambda x: layer(x, graph), fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 9, 6, requires_grad=True)
    torch.testing.assert_close(compiled(x), layer(x, graph))
    (wanted,) = torch.autograd.grad(layer(x, graph).square().sum(), x)
    (got,) = torch.autograd.grad(compiled(x).square().sum(), x)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SparseGATConv(3, 2, dropout=0.5), "dropout must be 0"),
        (lambda: SparseGATConv(3, 0), "out_channels must be at least 1, got 0"),
        (lambda: SparseGATConv(3, 2)(torch.zeros(4, 5), torch.zeros(2, 0)), r"x must have shape"),
        (
            lambda: SparseGATConv(3, 2)(torch.zeros(2, 3), torch.tensor([[0], [9]])),
            r"edge_index\[1\] \(targets\) must be in \[0, 2\), got 9",
        ),
    ],
)
def test_refuses_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
