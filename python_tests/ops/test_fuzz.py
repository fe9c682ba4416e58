"""Random arguments, many of them wrong: a clear error or a result, never a crash.

10,000 cases over the raw ops and Graph; shapes, dtypes, values (NaN, infinities, 1e30) and the
graph's arrays are drawn at random. That results are right is what the other files test;
python_tests/sanitize.sh runs these cases under AddressSanitizer.
"""

import random

import pytest
import torch
from ops.op_cases import attention_problem

from tedg_fast import ops

raw = torch.ops.tedg
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
OTHER = (torch.int32, torch.int64, torch.bool, torch.complex64)
SPECIAL = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 0.0)
CALLS = 10_000


class Draw:
    """Random arguments from one seed; about one in `spoil` is spoiled."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.dtype = self.random.choice(DTYPES)
        self.spoil = self.random.choice((1e9, 8, 3))

    def spoiled(self):
        return self.random.random() < 1 / self.spoil

    def tensor(self, *shape, dtype=None):
        dtype = dtype or self.dtype
        if self.spoiled():
            dtype = self.random.choice(DTYPES + OTHER)
        if self.spoiled():
            shape = list(shape)
            change = self.random.randrange(3)
            if change == 0 and shape:
                shape.pop()
            elif change == 1:
                shape.append(2)
            elif shape:
                shape[self.random.randrange(len(shape))] = self.random.randrange(4)
        if dtype == torch.bool:
            return torch.rand(shape) > 0.5
        values = torch.randn(shape)
        if values.numel() and self.random.random() < 0.2:
            values.view(-1)[self.random.randrange(values.numel())] = self.random.choice(SPECIAL)
        if self.random.random() < 0.1:
            values = torch.stack([values, values], -1)[..., 0]
        return values.to(dtype)

    def integers(self, tensor):
        if not self.spoiled():
            return tensor
        kind = self.random.randrange(6)
        if kind == 0:
            return tensor + self.random.choice((-9, -1, 1, 9, 2**30))
        if kind == 1:
            return tensor.flip(0)
        if kind == 2:
            return tensor[:-1]
        if kind == 3:
            return tensor.long()
        if kind == 4:
            return torch.randint(-3, 30, tensor.shape, dtype=torch.int32)
        return tensor.float()

    def maybe(self, value):
        return value if self.random.random() < 0.5 else None

    def size(self, top=6):
        return self.random.randrange(top)


def attention_call(draw):
    shape = {
        "batch": draw.size(4),
        "sources": draw.size(),
        "targets": draw.size(),
        "edges": draw.size(20),
        "heads": draw.size(4),
        "width": draw.size(40),
    }
    graph, _ = attention_problem(**shape, relations=2)
    b, n, m = shape["batch"], graph.num_sources, graph.num_targets
    h, d = shape["heads"], shape["width"]
    x, src, dst = draw.tensor(b, n, h, d), draw.tensor(b, n, h), draw.tensor(b, m, h)
    names = ("rowptr", "col", "t_rowptr", "t_target", "t_edge", "relation")
    arrays = [draw.integers(getattr(graph, name)) for name in names]
    bias = draw.maybe(draw.tensor(2, h))
    mask = draw.maybe(draw.tensor(b, n, dtype=torch.bool))
    out, lse = raw.gat_attention(x, src, dst, *arrays, bias, 0.2, mask)
    grads = draw.tensor(b, m, h, d), draw.maybe(torch.randn(b, m, h, dtype=lse.dtype))
    raw.gat_attention_backward(*grads, x, src, dst, *arrays, bias, 0.2, mask, lse)
    edge_id = draw.integers(graph.edge_id)
    raw.gat_attention_weights(src, dst, lse, *arrays[:2], edge_id, arrays[5], bias, 0.2, mask)


def edge_attention_call(draw):
    shape = {
        "batch": draw.size(4),
        "sources": draw.size(),
        "targets": draw.size(),
        "edges": draw.size(20),
        "heads": draw.size(20),
        "width": draw.size(40),
    }
    graph, _ = attention_problem(**shape, relations=2)
    b, n, m, e = shape["batch"], graph.num_sources, graph.num_targets, graph.num_edges
    h, d = shape["heads"], shape["width"]
    acc = torch.float64 if draw.dtype == torch.float64 else torch.float32
    x, src, dst = draw.tensor(b, n, h, d), draw.tensor(b, n, h), draw.tensor(b, m, h)
    own = draw.maybe(draw.tensor(*draw.random.choice(((), (b,))), e, h, dtype=acc))
    names = ("rowptr", "col", "edge_id", "t_rowptr", "t_target", "t_edge", "relation")
    arrays = [draw.integers(getattr(graph, name)) for name in names]
    scored = draw.maybe(draw.tensor(2, h)), 0.2, draw.maybe(draw.tensor(b, n, dtype=torch.bool))
    dropout = draw.random.choice((0.0, 0.4, 1.0)), torch.tensor(draw.size(99))
    out, lse = raw.gat_attention_edges(x, src, dst, own, *arrays, *scored, *dropout)
    grads = draw.tensor(b, m, h, d), draw.maybe(torch.randn(b, m, h, dtype=lse.dtype))
    raw.gat_attention_edges_backward(*grads, x, src, dst, own, *arrays, *scored, *dropout, lse)
    raw.gat_attention_edges_weights(src, dst, own, lse, *arrays[:3], arrays[6], *scored, *dropout)
    ends = x, draw.tensor(b, m, h, d), draw.tensor(h, d), draw.maybe(draw.tensor(e, h, d))
    scores = raw.gatv2_scores(*ends, *arrays[:6], 0.2)
    raw.gatv2_scores_backward(scores, *ends, *arrays[:6], 0.2)


def route_call(draw):
    b, k, a = draw.size(40), draw.size(9), draw.size(40)
    if draw.random.random() < 0.1:
        k = 256 + draw.size(40)  # a long row
    temperature = draw.random.choice((1.0, 0.5, 1e-30, 0.0, float("nan")))
    scores, experts = draw.tensor(b, k), draw.tensor(b, k, a)
    mask = draw.maybe(draw.tensor(b, a, dtype=torch.bool))
    sparse = draw.random.random() < 0.5
    alpha, logits = raw.route(scores, experts, sparse, temperature, mask)
    grads = draw.maybe(draw.tensor(b, k)), draw.maybe(draw.tensor(b, a))
    raw.route_backward(*grads, scores, experts, sparse, temperature, mask)
    raw.sparsemax_backward(draw.tensor(b, k), raw.sparsemax(scores))


def loss_call(draw):
    b, k, a = draw.size(40), draw.size(9), draw.size(40)
    alpha, experts = draw.tensor(b, k), draw.tensor(b, k, a)
    *losses, means = raw.routing_losses(alpha, experts)
    grads = [draw.maybe(loss) for loss in losses]
    raw.routing_losses_backward(*grads, alpha, experts, means)
    raw.expert_overlap_backward(raw.expert_overlap(alpha, experts), alpha, experts)
    _, residual = raw.fenchel_young_loss(alpha, draw.tensor(b, k), draw.random.random() < 0.5)
    raw.fenchel_young_loss_backward(losses[0], residual)


def embedding_call(draw):
    b, f, s, c, w = draw.size(40), draw.size(), draw.size(), draw.size(9), draw.size(20)
    index = torch.randint(0, draw.random.choice((max(c, 1), 9)), (b, s)).to(torch.uint8)
    if draw.spoiled():
        index = draw.integers(index)
    table = draw.tensor(c, w)
    out = raw.concat_embedding(draw.tensor(b, f), index, table)
    raw.concat_embedding_backward(draw.tensor(*out.shape), index, table)


def graph_call(draw):
    edges = torch.randint(-2, 8, (draw.random.choice((2, 2, 2, 1, 3)), draw.size(10)))
    relation = draw.maybe(torch.randint(-1, 4, (draw.size(10),)))
    ops.Graph(edges, draw.size(9), draw.size(9), relation)
    raw.build_graph(edges, draw.size(9), draw.size(9))


@pytest.mark.parametrize(
    "call",
    [attention_call, edge_attention_call, route_call, loss_call, embedding_call, graph_call],
)
def test_never_crashes(call):
    refused = 0
    for seed in range(CALLS // 6):
        torch.manual_seed(seed)
        try:
            call(Draw(seed))
        except (ValueError, RuntimeError) as error:
            assert str(error).strip()
            refused += 1
    assert 0 < refused < CALLS // 6, "both outcomes must occur"
