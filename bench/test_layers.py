"""GATConv and GATv2Conv as people use them, beside PyTorch Geometric's, compiled and torch-scatter.

Every layer gets an ``edge_index`` and adds its self-loops itself. A backward pass gives the
gradients of the parameters, as the first layer of a network needs them.
"""

import graphs
import pytest
import torch
from torch.nn import functional as F

from tedg_fast import nn as ours

# graph, heads, channels of a head
SHAPES = {
    "Cora: 2,708 nodes, 10,556 edges, 1433 to 8x8": (graphs.cora, 8, 8),
    "arxiv size: 169k nodes, 1.17M edges, 128 to 4x64": (graphs.arxiv, 4, 64),
    "256 molecules of 23 atoms, 64 to 4x16": (graphs.molecules, 4, 16),
    "dense: 600 nodes, 360k edges, 64 to 4x16": (graphs.dense, 4, 16),
    "64 x NetHack's rules, 32 to 4x64": (graphs.nethack, 4, 64),
}
LAYERS = ["GATConv", "GATv2Conv"]


def pyg(layer):
    geometric = pytest.importorskip("torch_geometric.nn")
    return getattr(geometric, layer)


def build(name, layer, width, heads, channels):
    """The layer of an implementation, all with the same parameters."""
    torch.manual_seed(0)
    if name == "tedg_fast":
        return getattr(ours, layer)(width, channels, heads)
    if name == "torch-scatter":
        scatter = pytest.importorskip("torch_scatter")
        if layer != "GATConv":
            pytest.skip("written for GATConv only")
        return ScatterGAT(pyg(layer)(width, channels, heads), scatter)
    module = pyg(layer)(width, channels, heads)
    if name == "torch.compile(PyG)":
        torch._dynamo.reset()
        return torch.compile(module)
    return module


class ScatterGAT(torch.nn.Module):
    """The layer in the operations of torch-scatter, as people wrote it before PyG had one."""

    def __init__(self, conv, scatter):
        super().__init__()
        self.conv, self.scatter = conv, scatter

    def forward(self, x, edge_index):
        conv, nodes = self.conv, len(x)
        loops = torch.arange(nodes).expand(2, -1)
        source, target = torch.cat([edge_index[:, edge_index[0] != edge_index[1]], loops], 1)
        features = conv.lin(x).view(nodes, conv.heads, conv.out_channels)
        score = (features * conv.att_src).sum(-1)[source]
        score = F.leaky_relu(score + (features * conv.att_dst).sum(-1)[target], 0.2)
        weight = self.scatter.scatter_softmax(score, target, dim=0, dim_size=nodes)
        message = weight.unsqueeze(-1) * features[source]
        out = self.scatter.scatter_sum(message, target, dim=0, dim_size=nodes)
        return out.flatten(1) + conv.bias


def run(module, data, direction):
    """A call that gives the output, or the gradients of the parameters, in the order of names."""
    if direction == "forward":
        return lambda: forward(module, data)
    parameters = [value for _, value in sorted(module.named_parameters())]
    weight = torch.randn(forward(module, data).shape, generator=torch.Generator().manual_seed(1))
    return lambda: torch.autograd.grad(module(*data), parameters, weight)


@torch.no_grad()
def forward(module, data):
    return module(*data)


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", ["tedg_fast", "PyG", "torch.compile(PyG)", "torch-scatter"])
def test_layer(measured, name, layer, shape, direction):
    make, heads, channels = SHAPES[shape]
    data = make()
    width = data.x.shape[1]
    module = build(name, layer, width, heads, channels)
    truth = build("tedg_fast", layer, width, heads, channels)
    measured(
        layer, shape, direction, name, run(module, data, direction), run(truth, data, direction)
    )


class TwoLayers(torch.nn.Module):
    """The network of Velickovic et al. for Cora, without dropout, whose masks would differ."""

    def __init__(self, conv):
        super().__init__()
        self.first = conv(1433, 8, 8)
        self.second = conv(64, 7, 1)

    def forward(self, x, edge_index):
        return self.second(F.elu(self.first(x, edge_index)), edge_index)


def training_step(name, data):
    torch.manual_seed(0)
    model = TwoLayers(ours.GATConv if name == "tedg_fast" else pyg("GATConv"))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    labels = torch.randint(0, 7, (len(data.x),), generator=torch.Generator().manual_seed(2))
    if name.startswith("torch.compile"):
        torch._dynamo.reset()
        model = torch.compile(model)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(*data)[:140], labels[:140])
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


@pytest.mark.parametrize("name", ["tedg_fast", "PyG", "torch.compile(PyG)"])
def test_training_step(measured, name, threads):
    """Forward, backward and Adam of two layers; the first losses must be the same."""
    data = graphs.cora()
    measured(
        "two-layer GAT", "Cora", f"training step, {threads} threads", name,
        training_step(name, data), training_step("tedg_fast", data),
    )  # fmt: skip
