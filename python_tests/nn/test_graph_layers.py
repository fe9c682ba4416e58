"""What the layers do beyond PyTorch Geometric: graphs built once, batches, compiling, bad input."""

import gc
import subprocess
import sys
import weakref

import pytest
import torch
from nn.layer_cases import LAYERS, close, edges
from torch._dynamo.testing import CompileCounterWithBackend

from tedg_fast import nn as ours
from tedg_fast.nn import adjacency
from tedg_fast.ops import Graph, GraphBatch

both = pytest.mark.parametrize("layer", LAYERS)


def make(layer, *args, **kwargs):
    torch.manual_seed(0)
    return getattr(ours, layer)(*args, **kwargs)


@both
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_batch_is_its_samples(layer, dropout):
    module = make(layer, 6, 4, 2, residual=True, edge_dim=3, dropout=dropout).eval()
    index = edges(9, 9, 30)
    x, attr = torch.randn(5, 9, 6), torch.randn(index.shape[1], 3)
    out, (walked, weight) = module(x, index, attr, return_attention_weights=True)
    for b in range(5):
        alone, (_, alone_weight) = module(x[b], index, attr, return_attention_weights=True)
        close(out[b], alone)
        close(weight[b], alone_weight)
    sources = module.train()(x, index, attr, return_attention_weights=True)[1][1]
    assert sources.shape == (5, walked.shape[1], 2)
    if dropout:
        assert not torch.equal(sources[0] == 0, sources[1] == 0), "each sample drops its own"


@both
def test_a_graph_is_walked_as_it_is(layer):
    module = make(layer, 6, 4, 2)
    index, x = edges(9, 9, 30), torch.randn(9, 6)
    graph = module.graph(index, 9)
    assert isinstance(graph, Graph)
    out, (walked, weight) = module(x, graph, return_attention_weights=True)
    expected, (wanted, wanted_weight) = module(x, index, return_attention_weights=True)
    close(out, expected)
    assert torch.equal(walked, wanted)
    close(weight, wanted_weight)
    bare = make(layer, 6, 4, 2, add_self_loops=False)
    close(module(x, Graph(index, 9, 9)), bare(x, index))
    pair = make(layer, (6, 5), 4, edge_dim=2)
    index = edges(9, 4, 20)
    attr = torch.randn(index.shape[1], 2)
    features = torch.randn(9, 6), torch.randn(4, 5)
    other = make(layer, (6, 5), 4, edge_dim=2, add_self_loops=False)
    close(pair(features, Graph(index, 9, 4), attr), other(features, index, attr))


@both
def test_a_graph_batch_is_its_graphs(layer):
    data = pytest.importorskip("torch_geometric.data")
    module = make(layer, 6, 4, 2, residual=True, edge_dim=3, add_self_loops=False)
    graphs = []
    for nodes, count in ((9, 30), (1, 2), (4, 0), (12, 50)):
        index = edges(nodes, nodes, count)
        attr = torch.randn(index.shape[1], 3)
        graphs.append(data.Data(x=torch.randn(nodes, 6), edge_index=index, edge_attr=attr))
    pyg = data.Batch.from_data_list(graphs)
    batch = GraphBatch.from_edge_index(pyg.edge_index, pyg.ptr)
    out, (walked, _) = module(pyg.x, batch, pyg.edge_attr, return_attention_weights=True)
    close(out, torch.cat([module(g.x, g.edge_index, g.edge_attr) for g in graphs]))
    assert torch.equal(walked, pyg.edge_index)
    rows = torch.tensor([3, 0, 3])
    nodes, chosen = batch.nodes_of(rows), batch.edges_of(rows)
    close(module(pyg.x[nodes], batch.select(rows), pyg.edge_attr[chosen]), out[nodes])


@both
def test_shared_nodes_of_a_batch_are_further_sources(layer):
    module = make(layer, (6, 6), 4, 2)
    batch = GraphBatch([0, 2, 3], [0, 2, 4], [-1, 0, -2, -1], [0, 1, 0, 0], num_shared=2)
    x, shared = torch.randn(3, 6), torch.randn(2, 6)
    index = torch.tensor([[3, 0, 4, 3], [0, 1, 2, 2]])
    bare = make(layer, (6, 6), 4, 2, add_self_loops=False)
    features = torch.cat([x, shared]), x
    close(module(features, batch), bare(features, index))


def test_an_edge_index_is_built_once_and_noticed_when_it_changes(monkeypatch):
    built, init = [], Graph.__init__
    monkeypatch.setattr(
        Graph, "__init__", lambda self, *args: built.append(args) or init(self, *args)
    )
    first, second = make("GATConv", 6, 4), make("GATv2Conv", 4, 4)
    index, x = edges(9, 9, 30), torch.randn(9, 6)
    for _ in range(3):
        second(first(x, index), index)
    assert len(built) == 1, "both layers walk one graph"
    index.numpy()[0] = (index.numpy()[0] + 1) % 9  # behind PyTorch's back
    close(first(x, index), first(x, index.clone()))
    assert len(built) == 3
    alive = weakref.ref(adjacency._built[index][9, 9, 9, False].graph)
    del index
    gc.collect()
    assert alive() is None


@both
def test_compiles_whole_with_a_graph_as_argument(layer):
    torch._dynamo.reset()
    module = make(layer, 6, 4, 2, residual=True)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for nodes in (9, 12):
        graph = module.graph(edges(nodes, nodes, 30, seed=nodes), nodes)
        x = torch.randn(5, nodes, 6, requires_grad=True)
        close(compiled(x, graph), module(x, graph))
        pair = [torch.autograd.grad(f(x, graph).square().sum(), x)[0] for f in (compiled, module)]
        close(*pair)


@both
@pytest.mark.parametrize("loops", [True, False])
def test_compiles_whole_with_an_edge_index(layer, loops):
    torch._dynamo.reset()
    module = make(layer, 6, 4, 2, edge_dim=3, dropout=0.3, add_self_loops=loops)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    index, x = edges(9, 9, 30), torch.randn(9, 6)
    attr = torch.randn(index.shape[1], 3)
    compiled(x, index, attr).sum().backward()
    module.eval()
    close(compiled(x, index, attr), module(x, index, attr))
    close(compiled(x, index.flip(0), attr), module(x, index.flip(0), attr))


@both
def test_graphs_of_all_sizes_need_two_compilations(layer):
    """One for the first size, one for all others."""
    torch._dynamo.reset()
    compilations = CompileCounterWithBackend("aot_eager")
    module = make(layer, 6, 4, 2)
    compiled = torch.compile(module, fullgraph=True, backend=compilations)
    for nodes in range(9, 30, 2):
        index, x = edges(nodes, nodes, 3 * nodes), torch.randn(nodes, 6)
        close(compiled(x, index), module(x, index))
    assert compilations.frame_count == 2


@both
def test_compiles_whole_between_two_kinds_of_nodes(layer):
    torch._dynamo.reset()
    module = make(layer, (6, 5), 4, 2, add_self_loops=False)
    ends, index = (torch.randn(7, 6), torch.randn(9, 5)), edges(7, 9, 20)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    close(compiled(ends, index), module(ends, index))


@both
def test_exports_with_an_edge_index(layer):
    module = make(layer, 6, 4, 2).eval()
    index, x = edges(9, 9, 30), torch.randn(9, 6)
    program = torch.export.export(module, (x, index)).module()
    for changed in (index, index.flip(0), torch.arange(9).repeat(2, 5)[:, : index.shape[1]]):
        close(program(x, changed), module(x, changed))


@both
def test_exports_for_all_sizes_of_graphs(layer):
    module = make(layer, 6, 4, 2).eval()
    sizes = {0: torch.export.Dim("nodes", min=2)}, {1: torch.export.Dim("edges", min=2)}
    given = torch.randn(9, 6), edges(9, 9, 30)
    program = torch.export.export(module, given, dynamic_shapes=sizes).module()
    for nodes in (9, 14):
        index, x = edges(nodes, nodes, 40), torch.randn(nodes, 6)
        close(program(x, index), module(x, index))


@both
def test_exports_with_a_graph_as_argument(layer):
    module = make(layer, 6, 4, 2, edge_dim=3).eval()
    index = edges(9, 9, 30)
    graph = Graph(index, 9, 9)
    arguments = (torch.randn(9, 6), graph, torch.randn(index.shape[1], 3))
    program = torch.export.export(module, arguments)
    other = Graph(index.roll(1, 1).flip(0), 9, 9)
    for g in (graph, other):
        changed = (torch.randn(9, 6), g, arguments[2])
        close(program.module()(*changed), module(*changed))


@both
def test_a_second_derivative_is_refused(layer):
    module, x = make(layer, 6, 4, 2), torch.randn(9, 6, requires_grad=True)
    out = module(x, edges(9, 9, 30))
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        grad.sum().backward()


@both
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_scripting_is_refused(layer):
    with pytest.raises((RuntimeError, torch.jit.frontend.FrontendError)):
        torch.jit.script(make(layer, 6, 4))


_ALONE = """
import importlib.metadata, re, sys

allowed, queue = {"tedg_fast"}, ["torch", "numpy"]
while queue:
    name = queue.pop()
    try:
        needs = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        continue
    allowed.add(name.lower().replace("-", "_"))
    queue += [re.match(r"[\\w.-]+", n).group() for n in needs if "extra ==" not in n]
tops = {
    top for top, names in importlib.metadata.packages_distributions().items()
    if not any(n.lower().replace("-", "_") in allowed for n in names)
} - {"tedg_fast"} - set(sys.stdlib_module_names)

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in tops:
            raise ModuleNotFoundError(name)

for name in tops:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuse())
import torch
import importlib.util as util
real = util.find_spec
util.find_spec = lambda name, *rest: None if name.split(".")[0] in tops else real(name, *rest)

import tedg_fast.ops
from tedg_fast.nn import GATConv, GATv2Conv
assert "torch_geometric" in tops or real("torch_geometric") is None
assert not tops & {name.split(".")[0] for name in sys.modules}
results = []
for x, index, attr, state in torch.load(sys.argv[1]):
    for layer in (GATConv, GATv2Conv):
        module = layer(12, 5, 2, edge_dim=3, residual=True)
        module.load_state_dict(state[layer.__name__])
        out, (walked, weight) = module(x, index, attr, return_attention_weights=True)
        out.sum().backward()
        results += [out.detach(), walked, weight.detach(), *(p.grad for p in module.parameters())]
        try:
            layer(12, 5, aggr="mean")
        except ValueError as error:
            assert "torch-geometric" in str(error)
        else:
            raise AssertionError("aggr='mean' was taken")
torch.save(results, sys.argv[2])
"""


def test_torch_and_numpy_are_enough(tmp_path):
    """Every other third-party package is refused, PyTorch Geometric among them."""
    index = edges(9, 9, 30)
    x, attr = torch.randn(9, 12), torch.randn(index.shape[1], 3)
    expected, state = [], {}
    for layer in LAYERS:
        module = make(layer, 12, 5, 2, edge_dim=3, residual=True)
        state[layer] = module.state_dict()
        out, (walked, weight) = module(x, index, attr, return_attention_weights=True)
        out.sum().backward()
        expected += [out.detach(), walked, weight.detach(), *(p.grad for p in module.parameters())]
    torch.save([(x, index, attr, state)], tmp_path / "in.pt")
    command = [sys.executable, "-c", _ALONE, tmp_path / "in.pt", tmp_path / "out.pt"]
    subprocess.run(command, check=True)
    for actual, wanted in zip(torch.load(tmp_path / "out.pt"), expected, strict=True):
        close(actual, wanted)


X, INDEX = torch.zeros(4, 3), torch.tensor([[0, 1], [1, 2]])


@both
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda conv: conv(0, 2), "in_channels must be at least 1 or -1 .*, got 0"),
        (lambda conv: conv((3, -2), 2), "in_channels must be at least 1 or -1 .*, got -2"),
        (lambda conv: conv(3, 0), "out_channels must be at least 1, got 0"),
        (lambda conv: conv(3, 2, 0), "heads must be at least 1, got 0"),
        (lambda conv: conv(3, 2, 1.5), "heads must be an int, got 1.5"),
        (lambda conv: conv(3, 2, dropout=1.5), r"dropout must be in \[0, 1\], got 1.5"),
        (lambda conv: conv(3, 2, edge_dim=1, fill_value="median"), "fill_value must be .*'median'"),
        (lambda conv: conv(3, 2)(X[0], INDEX), r"x must have shape \[N, F\].*got \[3\]"),
        (
            lambda conv: conv(5, 2)(X, INDEX),
            r"x must have 5 features a row, the layer's in_channels, got shape \[4, 3\]",
        ),
        (
            lambda conv: conv((3, 5), 2, add_self_loops=False)((X, X), INDEX),
            r"x\[1\] must have 5 features a row, the layer's in_channels, got shape \[4, 3\]",
        ),
        (
            lambda conv: conv(3, 2, edge_dim=4)(X, INDEX, torch.zeros(2, 1)),
            r"edge_attr must have 4 features a row, the layer's edge_dim, got shape \[2, 1\]",
        ),
        (lambda conv: conv(3, 2)(X, INDEX[:1]), r"edge_index must have shape \[2, E\]"),
        (lambda conv: conv(3, 2)(X, INDEX.float()), "edge_index must hold integers"),
        (lambda conv: conv(3, 2)(X, INDEX + 2), r"must be in \[0, 4\), got 4"),
        (lambda conv: conv(3, 2)(X, INDEX - 1), r"must be in \[0, 4\), got -1"),
        (lambda conv: conv(3, 2)(X, [[0], [1]]), "edge_index must be an integer tensor .*got list"),
        (
            lambda conv: conv(3, 2)(X, torch.eye(4).to_sparse_csc()),
            "edge_index must be .*COO or CSR .*got torch.sparse_csc",
        ),
        (
            lambda conv: conv(3, 2)(X, torch.eye(5).to_sparse()),
            "edge_index is for 5 sources and 5 targets, x for 4 and 4",
        ),
        (
            lambda conv: conv(3, 2)(X, Graph(INDEX, 5, 4)),
            "edge_index is for 5 sources and 4 targets, x for 4 and 4",
        ),
        (
            lambda conv: conv(3, 2)(X, INDEX, torch.zeros(2, 1)),
            "edge_attr needs a layer with edge_",
        ),
        (
            lambda conv: conv(3, 2, edge_dim=1)(X, INDEX, torch.zeros(3, 1)),
            r"edge_attr must have shape \[2, D\], one row an edge, got \[3, 1\]",
        ),
    ],
)
def test_refuses_bad_input(layer, call, message):
    with pytest.raises(ValueError, match=message):
        call(getattr(ours, layer))


def test_refuses_a_size_that_does_not_fit():
    with pytest.raises(ValueError, match=r"size must give 4 targets like x, got \(4, 5\)"):
        make("GATConv", 3, 2)(X, INDEX, size=(4, 5))
