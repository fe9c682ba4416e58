"""gat_attention against PyTorch Geometric, torch-scatter, the scatter formula, and its compile."""

import pytest
import torch

from tedg_fast.ops import Graph, gat_attention

# (B, N, E, H, D); one target holds 198 of the edges, as in the packaged rules.
SHAPES = {
    "B=64 N=530 E=3500 H=4 D=64": (64, 530, 3500, 4, 64),
    "B=1 N=530 E=3500 H=4 D=64": (1, 530, 3500, 4, 64),
    "B=256 N=530 E=3500 H=2 D=16": (256, 530, 3500, 2, 16),
    "B=4 N=100 E=1000 H=1 D=256": (4, 100, 1000, 1, 256),
    "B=1 N=5000 E=100000 H=8 D=16": (1, 5000, 100000, 8, 16),
}


def problem(shape):
    batch, nodes, edges, heads, width = shape
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, nodes, (edges,), generator=generator)
    target[:198] = 7
    edge_index = torch.stack([torch.randint(0, nodes, (edges,), generator=generator), target])
    inputs = [
        torch.randn(batch, nodes, heads, width, generator=generator),
        torch.randn(batch, nodes, heads, generator=generator),
        torch.randn(batch, nodes, heads, generator=generator),
    ]
    return edge_index, inputs


def ours(edge_index, nodes):
    graph = Graph(edge_index, nodes, nodes)
    return lambda x, src, dst: gat_attention(x, src, dst, graph)[0]


def scatter_formula(edge_index, nodes):
    source, target = edge_index

    def run(x, src, dst):
        score = torch.nn.functional.leaky_relu(src[:, source] + dst[:, target], 0.2)
        index = target[None, :, None].expand_as(score)
        top = torch.full_like(dst, -torch.inf).scatter_reduce(1, index, score.detach(), "amax")
        weight = torch.exp(score - top[:, target])
        total = torch.zeros_like(dst).index_add(1, target, weight)
        message = (weight / total[:, target]).unsqueeze(-1) * x[:, source]
        return torch.zeros_like(x).index_add(1, target, message)

    return run


def compiled(edge_index, nodes):
    torch._dynamo.reset()
    return torch.compile(scatter_formula(edge_index, nodes))


def _one_graph(edge_index, nodes, batch):
    """The batch as one graph of B components, as PyG takes it."""
    offset = torch.arange(batch)[:, None, None] * nodes
    return (edge_index[None] + offset).permute(1, 0, 2).reshape(2, -1)


def pyg(edge_index, nodes):
    geometric = pytest.importorskip("torch_geometric.nn")
    layers = {}

    def run(x, src, dst):
        batch, _, heads, width = x.shape
        if not layers:
            layers["conv"] = geometric.GATConv(width, width, heads, add_self_loops=False)
            layers["edges"] = _one_graph(edge_index, nodes, batch)
        conv, edges = layers["conv"], layers["edges"]
        scores = (src.flatten(0, 1), dst.flatten(0, 1))
        alpha = conv.edge_updater(edges, alpha=scores, edge_attr=None, size=None)
        flat = x.flatten(0, 1)
        return conv.propagate(edges, x=(flat, flat), alpha=alpha, size=None).view_as(x)

    return run


def torch_scatter(edge_index, nodes):
    scatter = pytest.importorskip("torch_scatter")
    source, target = edge_index

    def run(x, src, dst):
        score = torch.nn.functional.leaky_relu(src[:, source] + dst[:, target], 0.2)
        weight = scatter.scatter_softmax(score, target, dim=1, dim_size=nodes)
        message = weight.unsqueeze(-1) * x[:, source]
        return scatter.scatter_sum(message, target, dim=1, dim_size=nodes)

    return run


IMPLEMENTATIONS = {
    "tedg_fast": ours,
    "PyG": pyg,
    "torch-scatter": torch_scatter,
    "torch.compile": compiled,
    "eager": scatter_formula,
}


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("name", list(IMPLEMENTATIONS))
def test_attention(compare, name, shape, direction):
    edge_index, inputs = problem(SHAPES[shape])
    nodes = SHAPES[shape][1]
    function = IMPLEMENTATIONS[name](edge_index, nodes)
    compare("gat_attention", shape, direction, name, function, ours(edge_index, nodes), inputs)
