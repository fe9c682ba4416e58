"""What bench/run_cuda.py times: each op with its competitors and the formula it must agree with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import graphs
import test_attention
import test_routing
import torch
from run import OURS

from tedg_fast.ops import Graph, gat_attention, reference, route, routing_losses


@dataclass
class Problem:
    """One op at one shape. ``functions`` make what takes ``inputs``, ours first."""

    op: str
    shape: str
    inputs: list[torch.Tensor]
    functions: dict[str, Callable[[], Callable]]
    truth: Callable  # of the same inputs, in float64
    moved: tuple[int, int]  # bytes, inputs once and outputs once: forward, and with backward


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _attention(shape: str, sizes: tuple, dtype: torch.dtype, device: str, relations: int = 0,
               edge_index: torch.Tensor | None = None) -> Problem:  # fmt: skip
    batch, nodes, edges, heads, width = sizes
    if edge_index is None:
        edge_index, inputs = test_attention.problem(sizes)
    else:
        inputs = [torch.randn(batch, nodes, heads, *rest) for rest in ((width,), (), ())]
    relation = torch.arange(edges) % relations if relations else None
    graph = Graph(edge_index, nodes, nodes, relation).to(device)
    inputs = [x.to(dtype) for x in inputs]
    if relations:
        inputs.append(torch.randn(relations, heads).to(dtype))

    def ours(x, src, dst, bias=None):
        return gat_attention(x, src, dst, graph, edge_bias=bias)[0]

    def truth(x, src, dst, bias=None):
        return reference.gat_attention(x, src, dst, graph, edge_bias=bias)[0]

    functions: dict[str, Callable] = {OURS: lambda: ours}
    if not relations:  # the competitors know of no bias
        edges_there = edge_index.to(device)
        for name, make in test_attention.IMPLEMENTATIONS.items():
            if name != "tedg_fast":
                functions[name] = lambda make=make: make(edges_there, nodes)
    read, out = _bytes(inputs), inputs[0].numel() * inputs[0].element_size()
    name = f"{shape} {str(dtype).removeprefix('torch.')}" + (" edge_bias" if relations else "")
    return Problem("gat_attention", name, inputs, functions, truth,
                   (read + out, 3 * read + 2 * out))  # fmt: skip


def _routing(shape: str) -> Iterator[Problem]:
    batch, experts, actions = test_routing.SHAPES[shape]
    inputs = test_routing.problem(shape)

    def route_truth(scores, logits, mask):
        return reference.route(scores, logits, mapping="sparsemax", action_mask=mask)[0]

    functions = {
        OURS: lambda: lambda *a: route(*a[:2], mapping="sparsemax", action_mask=a[2])[0],
        "entmax + einsum + mask": lambda: lambda *a: test_routing.eager_route(*a)[0],
    }
    read, out = _bytes(inputs), 4 * batch * (experts + actions)
    yield Problem("route sparsemax", shape, inputs, functions, route_truth,
                  (read + out, 3 * read + 2 * out))  # fmt: skip
    inputs = [torch.softmax(inputs[0], -1), inputs[1]]
    functions = {
        OURS: lambda: routing_losses,
        "eager": lambda: test_routing.eager_losses,
        "torch.compile": lambda: test_routing.compiled(test_routing.eager_losses),
    }
    read = _bytes(inputs)
    yield Problem("routing_losses", shape, inputs, functions, reference.routing_losses,
                  (read, 3 * read))  # fmt: skip


def headline(device: str) -> Iterator[Problem]:
    """The shapes that the goals are about."""
    sizes = (64, 530, 3500, 4, 64)
    yield _attention("B=64 N=530 E=3500 H=4 D=64", sizes, torch.float32, device)
    yield from _routing("B=4096 K=4 A=23")


def problems(device: str, small: bool) -> Iterator[Problem]:
    """All of them, the headline first; ``small``: one a kind, for a dry run."""
    if small:
        small_ones = [
            _attention("B=16 N=20 E=90 H=4 D=16", (16, 20, 90, 4, 16), dtype, device, relations)
            for dtype, relations in ((torch.float32, 0), (torch.bfloat16, 3))
        ]
        for problem in [*small_ones, *_routing("B=64 K=4 A=23")]:
            problem.functions.pop("torch.compile", None)  # compiling takes longer than the rest
            yield problem
        return
    yield from headline(device)
    for batch in (64, 1024):
        sizes = (batch, 530, 3500, 4, 64)
        shape = f"B={batch} N=530 E=3500 H=4 D=64"
        for dtype in (torch.float32, torch.bfloat16):
            for relations in (0, 8):
                if (batch, dtype, relations) != (64, torch.float32, 0):  # the headline
                    yield _attention(shape, sizes, dtype, device, relations)
    arxiv = graphs.arxiv()
    sizes = (1, len(arxiv.x), arxiv.edge_index.shape[1], 4, 64)
    yield _attention("arxiv size H=4 D=64", sizes, torch.float32, device,
                     edge_index=arxiv.edge_index)  # fmt: skip
    for shape, sizes in list(test_attention.SHAPES.items())[1:]:
        yield _attention(shape, sizes, torch.float32, device)
    for shape in list(test_routing.SHAPES)[1:]:
        yield from _routing(shape)
