"""The ops in bfloat16 beside themselves in float32: half the bytes must not take longer."""

import pytest
import torch
from measure import forward, forward_backward

from tedg_fast.ops import Graph, gat_attention, route, routing_losses, sparsemax

DIRECTIONS = {"forward": forward, "forward+backward": forward_backward}


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def attention(batch, nodes, edges, heads, width):
    ends = torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(1))
    graph = Graph(ends, nodes, nodes)
    scores = [numbers(batch, nodes, heads) for _ in range(2)]
    return lambda *inputs: gat_attention(*inputs, graph), [
        numbers(batch, nodes, heads, width), *scores
    ]  # fmt: skip


def routing(function, batch, experts, actions):
    return function, [numbers(batch, experts).softmax(-1), numbers(batch, experts, actions)]


def sparse_route(scores, experts):
    return route(scores, experts, mapping="sparsemax")


# op, shape → function, inputs
PROBLEMS = {
    ("gat_attention", "B=64 N=530 E=3500 H=4 D=64"): lambda: attention(64, 530, 3500, 4, 64),
    ("gat_attention", "B=1 N=5000 E=100000 H=8 D=16"): lambda: attention(1, 5000, 100000, 8, 16),
    ("gat_attention", "B=256 N=530 E=3500 H=2 D=16"): lambda: attention(256, 530, 3500, 2, 16),
    ("route sparsemax", "B=4096 K=4 A=23"): lambda: routing(sparse_route, 4096, 4, 23),
    ("route sparsemax", "B=4096 K=32 A=121"): lambda: routing(sparse_route, 4096, 32, 121),
    ("routing_losses", "B=4096 K=4 A=23"): lambda: routing(routing_losses, 4096, 4, 23),
    ("sparsemax", "B=4096 K=64"): lambda: (sparsemax, [numbers(4096, 64)]),
    ("sparsemax", "B=1 K=1000000"): lambda: (sparsemax, [numbers(1, 1_000_000)]),
}


@pytest.mark.parametrize("direction", list(DIRECTIONS))
@pytest.mark.parametrize("problem", PROBLEMS, ids=" ".join)
@pytest.mark.parametrize("name", ["tedg_fast", "tedg_fast, float32"])
def test_bfloat16(measured, problem, name, direction):
    op, shape = problem
    function, inputs = PROBLEMS[problem]()
    rounded = [x.bfloat16() for x in inputs]
    exact = DIRECTIONS[direction](function, [x.float() for x in rounded])
    dtype = torch.bfloat16 if name == "tedg_fast" else torch.float32
    call = DIRECTIONS[direction](function, [x.to(dtype) for x in rounded])
    measured(
        f"{op}, bfloat16", shape, direction, name, call, exact,
        tolerance=2e-1 if dtype == torch.bfloat16 else 1e-3,
    )  # fmt: skip
