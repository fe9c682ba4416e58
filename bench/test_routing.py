"""Maps, losses and routing against entmax, the eager formulas and their compile."""

import pytest
import torch

from tedg_fast.ops import (
    entmax15,
    entmax15_loss,
    route,
    routing_losses,
    sparsemax,
    sparsemax_loss,
)

# (B, K, A)
SHAPES = {
    "B=4096 K=4 A=23": (4096, 4, 23),
    "B=65536 K=4 A=23": (65536, 4, 23),
    "B=64 K=4 A=23": (64, 4, 23),
    "B=256 K=8 A=121": (256, 8, 121),
    "B=256 K=64 A=23": (256, 64, 23),
}
LOWEST = torch.finfo(torch.float32).min


def problem(shape):
    batch, experts, actions = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(batch, actions, generator=generator) > 0.3
    mask[:, 0] = True
    scores = torch.randn(batch, experts, generator=generator)
    return [scores, torch.randn(batch, experts, actions, generator=generator), mask]


def bytes_of(direction, read, written):
    """Inputs once, outputs once; backward reads the inputs again and writes their gradients."""
    return read + written if direction == "forward" else 3 * read + 2 * written


def eager_route(scores, experts, mask):
    entmax = pytest.importorskip("entmax")
    alpha = entmax.sparsemax(scores, dim=-1)
    return alpha, torch.einsum("bk,bka->ba", alpha, experts).masked_fill(~mask, LOWEST)


def eager_losses(alpha, experts):
    """The formulas of the losses as one writes them down."""
    batch, count = alpha.shape
    unit = torch.nn.functional.normalize(experts, dim=-1)
    cosine = torch.einsum("bia,bja->bij", unit, unit)
    off = cosine * (1 - torch.eye(count))
    upper = torch.triu_indices(count, count, 1)
    overlap = (alpha[:, :, None] * alpha[:, None, :] * off).sum((1, 2)).mean()
    semantic = off.abs().mean((1, 2)).mean()
    diversity = off[:, upper[0], upper[1]].mean()
    balance = ((alpha.mean(0) - 1 / count) ** 2).mean()
    entropy = -torch.xlogy(alpha, alpha).sum(-1).mean()
    return overlap, semantic, diversity, balance, entropy


def compiled(function):
    torch._dynamo.reset()
    return torch.compile(function)


def fused_route(scores, experts, mask):
    return route(scores, experts, mapping="sparsemax", action_mask=mask)


def entmax_sparsemax(x):
    return pytest.importorskip("entmax").sparsemax(x, dim=-1)


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("name", ["tedg_fast", "entmax + einsum + mask"])
def test_route(compare, name, shape, direction):
    function = fused_route if name == "tedg_fast" else eager_route
    inputs = problem(shape)
    batch, experts, actions = SHAPES[shape]
    read = sum(x.numel() * x.element_size() for x in inputs)
    moved = bytes_of(direction, read, 4 * batch * (experts + actions))
    compare("route sparsemax", shape, direction, name, function, fused_route, inputs, moved)


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("name", ["tedg_fast", "eager", "torch.compile"])
def test_routing_losses(compare, name, shape, direction):
    choices = {"tedg_fast": lambda: routing_losses, "eager": lambda: eager_losses,
               "torch.compile": lambda: compiled(eager_losses)}
    scores, experts, _ = problem(shape)
    inputs = [torch.softmax(scores, -1), experts]
    moved = bytes_of(direction, sum(x.numel() * 4 for x in inputs), 0)
    compare("routing_losses", shape, direction, name, choices[name](), routing_losses, inputs,
            moved)


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", ["B=4096 K=4", "B=4096 K=64", "B=16 K=5000", "B=1 K=1000000"])
@pytest.mark.parametrize("name", ["tedg_fast", "entmax"])
def test_sparsemax(compare, name, shape, direction):
    batch, count = (int(part.split("=")[1]) for part in shape.split())
    x = torch.randn(batch, count, generator=torch.Generator().manual_seed(0))
    function = sparsemax if name == "tedg_fast" else entmax_sparsemax
    compare("sparsemax", shape, direction, name, function, sparsemax, [x])


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", ["B=4096 K=4", "B=4096 K=32", "B=1024 K=1000", "B=64 K=32000"])
@pytest.mark.parametrize("name", ["tedg_fast", "entmax", "entmax, k=100"])
def test_entmax15(compare, name, shape, direction):
    batch, count = (int(part.split("=")[1]) for part in shape.split())
    x = torch.randn(batch, count, generator=torch.Generator().manual_seed(0))
    entmax = pytest.importorskip("entmax")
    function = {
        "tedg_fast": entmax15,
        "entmax": lambda x: entmax.entmax15(x, dim=-1),
        "entmax, k=100": lambda x: entmax.entmax15(x, dim=-1, k=100),
    }[name]
    compare("entmax15", shape, direction, name, function, entmax15, [x])


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", ["B=4096 K=32 classes", "B=1024 K=1000 classes"])
@pytest.mark.parametrize("loss", ["sparsemax_loss", "entmax15_loss"])
@pytest.mark.parametrize("name", ["tedg_fast", "entmax"])
def test_class_loss(compare, name, loss, shape, direction):
    batch, count = (int(part.split("=")[1]) for part in shape.split()[:2])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, count, generator=generator)
    classes = torch.randint(0, count, (batch,), generator=generator)
    entmax = pytest.importorskip("entmax")
    module = {"sparsemax_loss": entmax.SparsemaxLoss, "entmax15_loss": entmax.Entmax15Loss}[loss]()
    mine = {"sparsemax_loss": sparsemax_loss, "entmax15_loss": entmax15_loss}[loss]
    function = mine if name == "tedg_fast" else module
    compare(loss, shape, direction, name, function, mine, [x, classes])


def test_copy(benchmark):
    """The copy bandwidth that the others' bytes are held against."""
    source = torch.randn(64 << 20)
    target = torch.empty_like(source)
    benchmark.group = "copy"
    benchmark.extra_info["implementation"] = "torch copy_"
    benchmark.extra_info["bytes_moved"] = 2 * source.numel() * 4
    benchmark(lambda: target.copy_(source))
