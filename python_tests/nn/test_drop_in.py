"""GATConv and GATv2Conv are PyTorch Geometric's: interface, parameters, numbers, gradients.

Each row of docs/gat_layers.md names a test here or in test_pyg_tools.py.
"""

import copy
import inspect
import pickle

import pytest
import torch
from nn.layer_cases import LAYERS, close, edges, pair, same

from tedg_fast import nn as ours

both = pytest.mark.parametrize("layer", LAYERS)


def number_of_parameters(layer):
    return sum(parameter.numel() for parameter in layer.parameters())


@both
def test_signature(layer):
    geometric = pytest.importorskip("torch_geometric.nn")
    for method in ("__init__", "forward"):
        mine, theirs = (
            inspect.signature(getattr(getattr(module, layer), method)).parameters.values()
            for module in (ours, geometric)
        )
        assert [(p.name, p.kind, p.default) for p in mine] == [
            (p.name, p.kind, p.default) for p in theirs
        ]


@both
@pytest.mark.parametrize("channels", [6, (6, 5)])
@pytest.mark.parametrize("options", [{}, {"residual": True, "edge_dim": 3}, {"bias": False}])
def test_parameters_by_seed_and_state_dict(layer, channels, options):
    geometric = pytest.importorskip("torch_geometric.nn")
    made = []
    for module in (ours, geometric):
        torch.manual_seed(3)
        made.append(getattr(module, layer)(channels, 4, 2, **options))
    mine, theirs = made
    # The order counts for the state of an optimizer, and the values for a seed.
    assert [name for name, _ in mine.named_parameters()] == [
        name for name, _ in theirs.named_parameters()
    ]
    for (name, a), (_, e) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(a, e), name
    assert str(mine) == str(theirs)
    theirs.reset_parameters()
    mine.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(mine.state_dict())
    for a, e in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, e)


@both
@pytest.mark.parametrize("nodes, count", [(20, 90), (50, 100), (1, 3), (1, 0), (7, 0), (0, 0)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"heads": 3, "concat": False, "residual": True},
        {"heads": 2, "add_self_loops": False, "bias": False, "negative_slope": 0.5},
    ],
)
def test_numbers_and_gradients(layer, nodes, count, options):
    mine, theirs = pair(layer, 12, 5, **options)
    x = torch.randn(nodes, 12, generator=torch.Generator().manual_seed(1))
    index = edges(nodes, nodes, count)
    out = same(mine, theirs, x, index)
    if layer == "GATConv":
        assert torch.equal(mine(x, index, size=(nodes, nodes)), out)


@both
def test_double_precision(layer):
    mine, theirs = (module.double() for module in pair(layer, 12, 5, 2, edge_dim=2))
    index = edges(9, 9, 30)
    x, attr = (torch.randn(size, 12, dtype=torch.float64)[:, :width]
               for size, width in ((9, 12), (index.shape[1], 2)))  # fmt: skip
    same(mine, theirs, x, index, attr)


@both
@pytest.mark.parametrize("loops", [True, False])
def test_bipartite(layer, loops):
    index = edges(9, 4, 25)
    source, target = torch.randn(9, 6), torch.randn(4, 5)
    mine, theirs = pair(layer, (6, 5), 3, 2, residual=True, add_self_loops=loops)
    same(mine, theirs, (source, target), index)
    # Weights of one kind for both ends: the features then have one width.
    mine, theirs = pair(layer, 6, 3, 2, add_self_loops=loops)
    same(mine, theirs, (source, torch.randn(4, 6)), index)
    mine, theirs = pair(layer, (6, 6), 3, 2, add_self_loops=loops)
    same(mine, theirs, source, edges(9, 9, 25))


def test_targets_without_features():
    index = edges(9, 4, 25)
    x = (torch.randn(9, 6), None)
    for options in ({}, {"residual": True}, {"add_self_loops": False}):
        mine, theirs = pair("GATConv", (6, 5), 3, 2, **options)
        same(mine, theirs, x, index, size=(9, 4))
        same(mine, theirs, x, edges(9, 9, 25))
    assert mine(x, index, size=(9, 4)).shape == (4, 6)
    v2, _ = pair("GATv2Conv", (6, 5), 3, 2)
    with pytest.raises(ValueError, match="x must hold target features"):
        v2(x, index)


@both
@pytest.mark.parametrize(
    "fill_value", [0.5, torch.tensor([0.1, -0.2, 0.3]), "add", "mean", "min", "max", "mul"]
)
@pytest.mark.parametrize("loops", [True, False])
def test_edge_features(layer, fill_value, loops):
    mine, theirs = pair(
        layer, 12, 5, 2, edge_dim=3, fill_value=fill_value, add_self_loops=loops
    )
    index = edges(8, 8, 30)
    attr = torch.randn(index.shape[1], 3)
    same(mine, theirs, torch.randn(8, 12), index, attr)
    same(mine, theirs, torch.randn(8, 12), index)
    mine, theirs = pair(layer, (12, 4), 5, 2, edge_dim=3, add_self_loops=False)
    index = edges(8, 3, 30)
    same(mine, theirs, (torch.randn(8, 12), torch.randn(3, 4)), index, attr)


@both
@pytest.mark.parametrize("fill_value", [0.5, "mean"])
def test_one_weight_an_edge(layer, fill_value):
    mine, theirs = pair(layer, 12, 5, 2, edge_dim=1, fill_value=fill_value)
    index = edges(8, 8, 30)
    same(mine, theirs, torch.randn(8, 12), index, torch.randn(index.shape[1]))


@both
def test_attention_weights(layer):
    mine, theirs = pair(layer, 12, 5, 2, edge_dim=3)
    index = edges(8, 8, 30)
    x, attr = torch.randn(8, 12), torch.randn(index.shape[1], 3)
    results = [
        module(x, index, attr, return_attention_weights=True) for module in (mine, theirs)
    ]
    (out, (walked, weight)), (their_out, (their_walked, their_weight)) = results
    close(out, their_out)
    assert torch.equal(walked, their_walked)
    close(weight, their_weight)
    close(torch.zeros(8, 2).index_add(0, walked[1], weight), torch.ones(8, 2))
    # A loss on the weights reaches the parameters, as theirs does.
    entropies = [-(w * w.clamp(min=1e-9).log()).sum() for w in (weight, their_weight)]
    names = [name for name, p in sorted(mine.named_parameters()) if name not in ("bias", "res")]
    grads = [
        torch.autograd.grad(
            entropy, [dict(module.named_parameters())[name] for name in names], allow_unused=True
        )
        for entropy, module in zip(entropies, (mine, theirs), strict=True)
    ]
    for name, a, e in zip(names, *grads, strict=True):
        if e is not None:
            close(a, e, name)
    assert torch.equal(mine(x, index, attr, return_attention_weights=False), mine(x, index, attr))


@both
@pytest.mark.parametrize("kind", ["coo", "csr"])
@pytest.mark.parametrize("loops", [True, False])
def test_sparse_matrices(layer, kind, loops):
    utils = pytest.importorskip("torch_geometric.utils")
    make = {"coo": utils.to_torch_coo_tensor, "csr": utils.to_torch_csc_tensor}[kind]
    index = edges(9, 9, 30).unique(dim=1)
    adjacency = make(index, size=(9, 9)).t()
    adjacency = adjacency.coalesce() if kind == "coo" else adjacency
    mine, theirs = pair(layer, 12, 5, 2, add_self_loops=loops)
    x = torch.randn(9, 12)
    out = same(mine, theirs, x, adjacency)
    close(out, mine(x, index))
    results = [m(x, adjacency, return_attention_weights=True) for m in (mine, theirs)]
    (out, (matrix, weight)), (their_out, (their_matrix, their_weight)) = results
    close(out, their_out)
    close(weight, their_weight)
    assert matrix.layout == their_matrix.layout and matrix.shape == their_matrix.shape == (9, 9, 2)
    a, e = (m.to_dense() if kind == "coo" else m.values() for m in (matrix, their_matrix))
    close(a, e)
    if kind == "csr":
        assert torch.equal(matrix.crow_indices(), their_matrix.crow_indices())
        assert torch.equal(matrix.col_indices(), their_matrix.col_indices())


@both
def test_sparse_matrices_hold_sizes_and_edge_features(layer):
    utils = pytest.importorskip("torch_geometric.utils")
    index = edges(9, 4, 25).unique(dim=1)
    adjacency = utils.to_torch_csc_tensor(index, size=(9, 4)).t()
    mine, theirs = pair(layer, (12, 6), 5, 2)
    same(mine, theirs, (torch.randn(9, 12), torch.randn(4, 6)), adjacency)
    if layer == "GATConv":
        same(mine, theirs, (torch.randn(9, 12), None), adjacency)
    index = edges(8, 8, 30).unique(dim=1)
    values = torch.randn(index.shape[1], 3)
    adjacency = utils.to_torch_coo_tensor(index, values, size=(8, 8)).transpose(0, 1).coalesce()
    for fill_value in ("mean", 0.5):
        mine, theirs = pair(layer, 12, 5, 2, edge_dim=3, fill_value=fill_value)
        same(mine, theirs, torch.randn(8, 12), adjacency)


@both
def test_torch_sparse(layer):
    sparse = pytest.importorskip("torch_sparse")
    index = edges(9, 9, 30).unique(dim=1)
    adjacency = sparse.SparseTensor.from_edge_index(index, sparse_sizes=(9, 9)).t()
    mine, theirs = pair(layer, 12, 5, 2)
    x = torch.randn(9, 12)
    close(same(mine, theirs, x, adjacency), mine(x, index))
    (out, weights), (their_out, their_weights) = (
        module(x, adjacency, return_attention_weights=True) for module in (mine, theirs)
    )
    close(out, their_out)
    for a, e in zip(weights.coo(), their_weights.coo(), strict=True):
        close(a, e)
    values = torch.randn(index.shape[1], 3)
    adjacency = sparse.SparseTensor.from_edge_index(index, values, (9, 9)).t()
    mine, theirs = pair(layer, 12, 5, 2, edge_dim=3, add_self_loops=False)
    same(mine, theirs, x, adjacency)
    mine, _ = pair(layer, 12, 5, 2, edge_dim=3)
    with pytest.raises(NotImplementedError, match="SparseTensor cannot have edge features and"):
        mine(x, adjacency)


@both
def test_edge_index_of_pyg(layer):
    geometric = pytest.importorskip("torch_geometric")
    index = edges(9, 9, 30)
    mine, theirs = pair(layer, 12, 5, 2)
    same(mine, theirs, torch.randn(9, 12), geometric.EdgeIndex(index, sparse_size=(9, 9)))


@both
@pytest.mark.parametrize("channels", [-1, (-1, -1)])
def test_lazy_channels(layer, channels):
    mine, theirs = pair(layer, channels, 5, 2, edge_dim=-1, residual=True, add_self_loops=False)
    assert str(mine) == str(theirs)
    index = edges(9, 4, 25)
    attr = torch.randn(index.shape[1], 3)
    target = torch.randn(4, 12 if channels == -1 else 6)
    x = (torch.randn(9, 12), target)
    made = []
    for module in (mine, theirs):
        torch.manual_seed(5)
        made.append(module(x, index, attr))
        assert number_of_parameters(module) == number_of_parameters(mine)
    loaded = type(mine)(channels, 5, 2, edge_dim=-1, residual=True, add_self_loops=False)
    loaded.load_state_dict(theirs.state_dict())
    close(loaded(x, index, attr), made[1])
    theirs.load_state_dict(mine.state_dict())
    close(theirs(x, index, attr), made[0])


@both
def test_flow(layer):
    index = edges(9, 9, 30)
    x = torch.randn(9, 12)
    for options in ({}, {"edge_dim": 3}, {"edge_dim": 3, "fill_value": "max"}):
        mine, theirs = pair(layer, 12, 5, 2, flow="target_to_source", **options)
        attr = torch.randn(index.shape[1], 3) if options else None
        same(mine, theirs, x, index, attr)
        results = [m(x, index, attr, return_attention_weights=True) for m in (mine, theirs)]
        assert torch.equal(results[0][1][0], results[1][1][0])
        close(results[0][1][1], results[1][1][1])
    forward, _ = pair(layer, 12, 5, 2)
    forward.load_state_dict({k: v for k, v in mine.state_dict().items() if "edge" not in k})
    close(mine(x, index), forward(x, index.flip(0)))
    with pytest.raises(ValueError, match="flow.* 'source_to_target' or"):
        type(mine)(12, 5, flow="sideways")
    with pytest.raises(ValueError, match="edge_index must be a tensor .* for flow"):
        mine(x, forward.graph(index, 9))


def sum_of_messages(module, x, edge_index, weight):
    """The output of a layer with these weights [E, H], message by message."""
    lin = module.lin if isinstance(module, ours.GATConv) else module.lin_l
    sent = lin(x).view(len(x), weight.shape[1], -1)[edge_index[0]]
    out = torch.zeros(len(x), *sent.shape[1:], dtype=x.dtype)
    return out.index_add(0, edge_index[1], weight[:, :, None] * sent).flatten(1)


@both
@pytest.mark.parametrize("loops", [True, False])
def test_dropout_drops_the_weights_it_says(layer, loops):
    mine, _ = pair(layer, 12, 5, 2, dropout=0.4, add_self_loops=loops, bias=False)
    mine, x = mine.double(), torch.randn(60, 12, dtype=torch.float64)
    index = edges(60, 60, 2000)
    kept = mine.eval()(x, index, return_attention_weights=True)[1][1]
    torch.manual_seed(1)
    out, (walked, weight) = mine.train()(x, index, return_attention_weights=True)
    dropped = weight == 0
    assert abs(dropped.float().mean().item() - 0.4) < 0.04
    close(weight[~dropped], kept[~dropped] / 0.6)
    # The output is what these weights give.
    close(out, sum_of_messages(mine, x, walked, weight))
    torch.manual_seed(1)
    assert torch.equal(mine(x, index), out)
    assert not torch.equal(mine(x, index), out)
    # So are the gradients.
    torch.manual_seed(1)
    again, (_, weight) = mine(x, index, return_attention_weights=True)
    by_op = torch.autograd.grad(again.square().sum(), list(mine.parameters()), retain_graph=True)
    messages = sum_of_messages(mine, x, walked, weight)
    by_hand = torch.autograd.grad(messages.square().sum(), list(mine.parameters()))
    for a, e in zip(by_op, by_hand, strict=True):
        close(a, e)
    mine.dropout = 1.0
    out, (_, weight) = mine(x, index, return_attention_weights=True)
    assert not out.any() and not weight.any()


@both
@pytest.mark.parametrize("width", [4, 12], ids=["narrower than the features", "wider"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "hooked"])
def test_hooks_and_wrappers_of_lin_are_honoured(layer, wrapped, width):
    mine, theirs = pair(layer, width, 5, 2)
    x, index = torch.randn(9, width), edges(9, 9, 30)
    same(mine, theirs, x, index)
    name = "lin" if layer == "GATConv" else "lin_l"

    class LowRank(torch.nn.Module):
        def __init__(self, base, a, b):
            super().__init__()
            self.base, self.a, self.b = base, a, b

        def forward(self, x):
            return self.base(x) + x @ self.a @ self.b

    a, b = (torch.nn.Parameter(torch.randn(size)) for size in [(width, 2), (2, 10)])
    seen = []
    for module in (mine, theirs):
        lin = getattr(module, name)
        lin.register_forward_hook(lambda module, inputs, out: seen.append(out.shape) or out * 2)
        if wrapped:
            setattr(module, name, LowRank(lin, a, b))
    same(mine, theirs, x, index)
    assert seen == [(9, 10)] * 2


@both
def test_copies_and_pickles(layer):
    mine, _ = pair(layer, 12, 5, 2, edge_dim=3)
    index = edges(9, 9, 30)
    x, attr = torch.randn(9, 12), torch.randn(index.shape[1], 3)
    for other in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert torch.equal(other(x, index, attr), mine(x, index, attr))


@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_and_autocast(layer, dtype):
    mine, theirs = pair(layer, 12, 5, 2, edge_dim=3)
    index = edges(9, 9, 30)
    x, attr = torch.randn(9, 12), torch.randn(index.shape[1], 3)
    exact = theirs(x, index, attr)
    with torch.autocast("cpu", dtype):
        mixed = mine(x, index, attr)
        assert mixed.dtype == theirs(x, index, attr).dtype
        mixed.float().sum().backward()
    half = copy.deepcopy(mine).to(dtype)(x.to(dtype), index, attr.to(dtype))
    assert half.dtype == dtype
    for out in (mixed, half):
        torch.testing.assert_close(out.float(), exact, rtol=5e-2, atol=5e-2)
    for parameter in mine.parameters():
        assert parameter.grad.isfinite().all()
