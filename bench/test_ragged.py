"""gat_attention over many graphs of different sizes, beside what people do without ragged batches.

All compute the same numbers, with the gradients of features, scores and biases: PyTorch Geometric's
message passing and the compiled scatter formula over the graphs as one of so many components, and
dense masked attention over graphs padded to the largest one, each pair of nodes as often as it has
edges.
"""

import graphs
import pytest
import torch
from torch.nn.functional import leaky_relu

from tedg_fast.ops import gat_attention

# graphs, heads, width of a head
SHAPES = {
    "2,048 graphs of 40 nodes, 240 edges, 4x8": (graphs.small_graphs, 4, 8),
    "2,048 graphs of 40 nodes, 240 edges, 4x16": (graphs.small_graphs, 4, 16),
    "2,048 decisions of real games, 4x8": (graphs.decisions, 4, 8),
    "2,048 decisions of real games, 4x16": (graphs.decisions, 4, 16),
}


def ours(batch):
    graph = batch.graph
    return lambda *tensors: fused(graph, *tensors)


def fused(graph, x, score_src, score_dst, bias):
    out, _ = gat_attention(x[None], score_src[None], score_dst[None], graph, edge_bias=bias)
    return out[0]


def ends(batch):
    """Source and target of every edge, numbered through, and its relation."""
    first = batch.node_start[:-1].repeat_interleave(batch.edge_start.diff())
    source = batch.source.long()
    source = torch.where(source < 0, batch.num_nodes - 1 - source, source + first)
    return source, batch.target + first, batch.relation.long()


def scatter_formula(batch):
    source, target, relation = ends(batch)

    def run(x, score_src, score_dst, bias):
        score = leaky_relu(score_src[source] + score_dst[target] + bias[relation], 0.2)
        index = target[:, None].expand_as(score)
        top = torch.full_like(score_dst, -torch.inf)
        top = top.scatter_reduce(0, index, score.detach(), "amax")
        weight = torch.exp(score - top[target])
        total = torch.zeros_like(score_dst).index_add(0, target, weight)
        message = (weight / total[target]).unsqueeze(-1) * x[source]
        out = x.new_zeros(len(score_dst), *x.shape[1:])
        return out.index_add(0, target, message)

    return run


def compiled(batch):
    torch._dynamo.reset()
    return torch.compile(scatter_formula(batch))


def pyg(batch):
    geometric = pytest.importorskip("torch_geometric.nn")
    source, target, relation = ends(batch)
    edges = torch.stack([source, target])
    convs = {}

    def run(x, score_src, score_dst, bias):
        heads, width = x.shape[1:]
        if not convs:
            convs["conv"] = biased_conv(geometric.GATConv)(width, width, heads)
        conv = convs["conv"]
        sizes = len(score_src), len(score_dst)
        alpha = conv.edge_updater(
            edges, alpha=(score_src, score_dst), edge_attr=bias[relation], size=sizes
        )
        return conv.propagate(edges, x=(x, None), alpha=alpha, size=sizes)

    return run


def biased_conv(base):
    """PyG's layer with the score of an edge given, as it adds that of its edge features."""

    class Conv(base):
        def __init__(self, *sizes):
            super().__init__(*sizes, add_self_loops=False)

        def edge_update(self, alpha_j, alpha_i, edge_attr, index, ptr, dim_size):
            from torch_geometric.utils import softmax

            score = leaky_relu(alpha_j + alpha_i + edge_attr, self.negative_slope)
            return softmax(score, index, ptr, dim_size)

    return Conv


def padded(batch):
    """Dense attention over [B, H, Nmax, Nmax + shared], and how often each pair has an edge.

    It does not look for the largest score first, as numbers this small allow.
    """
    graph, shared = batch.sample, batch.num_shared
    count, most = len(batch), int(batch.node_start.diff().max())
    place = torch.arange(batch.num_nodes) - batch.node_start[graph]
    of_edge = torch.arange(count).repeat_interleave(batch.edge_start.diff())
    source = batch.source.long()
    source = torch.where(source < 0, most - 1 - source, source)
    relations = batch.num_relations
    pair = (of_edge * most + batch.target) * (most + shared) + source
    times = torch.bincount(
        pair * relations + batch.relation, minlength=count * most * (most + shared) * relations
    )
    times = times.view(count, most, most + shared, relations)
    times = times.permute(3, 0, 1, 2)[:, :, None].float()  # [R, B, 1, target, source]

    def dense(value):
        rows = value.new_zeros(count, most, *value.shape[1:])
        return rows.index_put((graph, place), value)

    def senders(value):
        common = value[batch.num_nodes :].expand(count, shared, *value.shape[1:])
        return torch.cat([dense(value[: batch.num_nodes]), common], 1)

    def run(x, score_src, score_dst, bias):
        end = senders(score_src).transpose(1, 2)[:, :, None], dense(score_dst).transpose(1, 2)
        score = end[0] + end[1][..., None]
        weight = sum(
            times[r] * leaky_relu(score + bias[r][:, None, None], 0.2).exp()
            for r in range(relations)
        )
        total = weight.sum(-1, keepdim=True)
        weight = weight / total.masked_fill(total == 0, 1)
        return (weight @ senders(x).transpose(1, 2)).transpose(1, 2)[graph, place]

    return run


IMPLEMENTATIONS = {
    "tedg_fast": ours,
    "PyG": pyg,
    "torch.compile": compiled,
    "padded": padded,
}


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("name", list(IMPLEMENTATIONS))
def test_ragged_attention(compare, name, shape, direction):
    make, heads, width = SHAPES[shape]
    batch = make()
    generator = torch.Generator().manual_seed(2)
    sources = batch.num_nodes + batch.num_shared
    sizes = (sources, heads, width), (sources, heads), (batch.num_nodes, heads)
    sizes += ((batch.num_relations, heads),)
    inputs = [torch.randn(size, generator=generator) for size in sizes]
    compare(
        "gat_attention of a GraphBatch", shape, direction, name,
        IMPLEMENTATIONS[name](batch), ours(batch), inputs,
    )  # fmt: skip


@pytest.mark.parametrize("shape", ["small_graphs", "decisions"])
def test_selection(benchmark, shape):
    """What a minibatch of 512 of the graphs costs before it is walked."""
    batch = getattr(graphs, shape)()
    rows = torch.randperm(len(batch), generator=torch.Generator().manual_seed(3))[:512]
    benchmark.group = f"select 512 of {shape} and build their graph"
    benchmark.extra_info["implementation"] = "GraphBatch"
    benchmark(lambda: batch.select(rows).graph)
