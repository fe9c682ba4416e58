"""Scores of the edges' own and dropout of the weights in gat_attention."""

import pytest
import torch
from ops.op_cases import FLOATS, attention_problem, close, compare

from tedg_fast.ops import Graph, gat_attention, gat_attention_weights, reference

SEED = torch.tensor(-123456789012345)
SHAPES = {
    "few rows": {"batch": 2},
    "heads side by side": {"batch": 10, "heads": 4, "width": 8},
    "one head at a time": {"batch": 6, "sources": 40, "targets": 30, "edges": 120, "width": 64},
    "many rows, masked": {"batch": 1, "sources": 300, "targets": 200, "edges": 1500, "heads": 8,
                          "width": 8, "relations": 3, "masked": True},
    "one short head": {"heads": 1, "width": 7},
}  # fmt: skip


def problem(name, shared, dtype):
    graph, arguments = attention_problem(**SHAPES[name], dtype=dtype)
    batch, _, heads = arguments["score_src"].shape
    shape = (graph.num_edges, heads) if shared else (batch, graph.num_edges, heads)
    arguments["score_edge"] = torch.randn(shape, dtype=torch.float64).to(dtype)
    return graph, arguments


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", list(SHAPES))
def test_equals_the_reference(name, shared, dtype):
    graph, arguments = problem(name, shared, dtype)
    for dropout_p in (0.0, 0.3, 1.0):
        options = {"graph": graph, "dropout_p": dropout_p, "dropout_seed": SEED}
        compare(
            lambda options=options, **tensors: gat_attention(**tensors, **options),
            lambda options=options, **tensors: reference.gat_attention(**tensors, **options),
            arguments,
            dtype,
        )
        scores = {name: value for name, value in arguments.items() if name != "x"}
        close(
            gat_attention_weights(**scores, **options),
            reference.gat_attention_weights(**scores, **options),
            dtype,
        )


def test_philox_gives_the_published_words():
    # The known answer of Random123 (Salmon et al. 2011) for philox4x32-10 at zeros.
    zero = torch.tensor([0])
    assert reference.philox(zero, zero, zero, torch.tensor(0)).item() == 0x6627E8D5


def test_dropout_keeps_its_share_and_the_mean():
    count = 4000
    graph = Graph([list(range(count)), [0] * count], count, 1)
    zeros = torch.zeros(2, count, 3)
    for p in (0.1, 0.5, 0.9):
        weights = gat_attention_weights(zeros, zeros[:, :1], graph, dropout_p=p, dropout_seed=11)
        kept = (weights != 0).double().mean((0, 1))
        # Five standard deviations of a share of 8,000 draws.
        assert (kept - (1 - p)).abs().max() < 5 * (p * (1 - p) / 8000) ** 0.5
        assert set((weights[weights != 0] * count * (1 - p) - 1).abs().gt(1e-5).tolist()) == {False}


def test_dropout_depends_on_its_seed_alone():
    graph, arguments = attention_problem(batch=3, edges=200)

    def run(seed, **changed):
        return gat_attention(
            graph=graph, dropout_p=0.5, dropout_seed=seed, **{**arguments, **changed}
        )[0]

    assert torch.equal(run(5), run(torch.tensor(5)))
    assert not torch.equal(run(5), run(6))
    assert not torch.equal(run(5), run(5 + 2**32))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(5)
        torch.set_num_threads(3)
        assert torch.equal(one, run(5))
    finally:
        torch.set_num_threads(threads)
    torch.manual_seed(1)
    first, second = run(None), run(None)
    torch.manual_seed(1)
    assert torch.equal(first, run(None)) and not torch.equal(first, second)
    # Dropout leaves lse alone.
    lse = gat_attention(graph=graph, dropout_p=0.5, **arguments)[1]
    assert torch.equal(lse, gat_attention(graph=graph, **arguments)[1])


def test_an_edge_of_minus_infinity_takes_no_part():
    graph, arguments = attention_problem(batch=2, edges=40)
    removed = torch.arange(40) % 3 == 0
    score = torch.where(removed[:, None], -torch.inf, torch.randn(40, 3))
    edges = torch.empty(2, 40, dtype=torch.int64)
    rows = graph.rowptr[1:] - graph.rowptr[:-1]
    edges[:, graph.edge_id.long()] = torch.stack(
        [graph.col.long(), torch.repeat_interleave(torch.arange(5), rows)]
    )
    rest = Graph(edges[:, ~removed], 7, 5)
    for slope in (0.2, 0.0):
        out = gat_attention(graph=graph, score_edge=score, negative_slope=slope, **arguments)
        wanted = gat_attention(
            graph=rest, score_edge=score[~removed], negative_slope=slope, **arguments
        )
        for actual, expected in zip(out, wanted, strict=True):
            torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("scale", [1e4, 1e6, 1e8, 1e30])
def test_weights_of_large_scores_sum_to_one(scale):
    # lse alone cannot hold them: 1e6 + ln 8 is off by more than a weight's digits.
    graph = Graph([list(range(8)), [0] * 8], 8, 1)
    x = torch.randn(1, 8, 1, 3, requires_grad=True)
    score = torch.full((1, 8, 1), scale)
    weights = gat_attention_weights(score, score[:, :1] * 0, graph)
    assert torch.equal(weights, torch.full_like(weights, 0.125))
    gat_attention(x, score, score[:, :1] * 0, graph)[0].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.125))


@pytest.mark.parametrize("width", [3, 64])
def test_gradients_of_large_scores(width):
    graph, arguments = attention_problem(batch=6, edges=60, width=width)
    for name in ("score_src", "score_dst"):
        # Differences that float32 holds exactly on top of 2^20.
        arguments[name] = (arguments[name] * 4).round() / 4 + 2.0**20
    compare(
        lambda **tensors: gat_attention(graph=graph, **tensors)[0],
        lambda **tensors: reference.gat_attention(graph=graph, **tensors)[0],
        arguments,
        torch.float32,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score_edge": torch.zeros(22, 3)}, r"score_edge must have shape \[23, 3\] or \[2, 23,"),
        ({"score_edge": torch.zeros(23)}, r"score_edge must have shape .*, got \[23\]"),
        ({"score_edge": torch.zeros(23, 3, dtype=torch.float64)}, "score_edge must have dtype"),
        ({"score_edge": 1.0}, "score_edge must be a tensor, got float"),
        ({"dropout_p": -0.1}, r"dropout_p must be in \[0, 1\], got -0.1"),
        ({"dropout_p": float("nan")}, r"dropout_p must be in \[0, 1\], got nan"),
        ({"dropout_p": torch.tensor(0.5)}, "dropout_p must be a Python number, got a tensor"),
        ({"dropout_p": 0.5, "dropout_seed": 2**63}, "dropout_seed must fit 64 bits"),
        ({"dropout_p": 0.5, "dropout_seed": 0.5}, "dropout_seed must be an int or a tensor"),
        ({"dropout_p": 0.5, "dropout_seed": torch.zeros(2)}, "dropout_seed must be an int64"),
        ({"negative_slope": torch.tensor(0.2)}, "negative_slope must be a Python number, got a"),
        ({"negative_slope": "0.2"}, "negative_slope must be a Python number, got str"),
    ],
)
def test_refuses_bad_input(change, message):
    graph, arguments = attention_problem()
    with pytest.raises(ValueError, match=message):
        gat_attention(graph=graph, **{**arguments, **change})


def test_the_raw_op_checks_too():
    graph, arguments = attention_problem()
    x, src, dst, _, _ = arguments.values()
    walk = graph.rowptr, graph.col
    transpose = graph.t_rowptr, graph.t_target, graph.t_edge

    def run(score_edge=None, edge_id=graph.edge_id, p=0.0, seed=None):
        return torch.ops.tedg.gat_attention_edges(
            x, src, dst, score_edge, *walk, edge_id, *transpose, None, None, 0.2, None, p, seed
        )

    for options, message in [
        ({"score_edge": torch.zeros(1, 23, 3)}, r"score_edge must have shape \[2, 23, 3\]"),
        ({"edge_id": graph.edge_id * 0}, "edge_id must hold each edge once, got 0 again"),
        ({"edge_id": graph.edge_id + 1}, r"edge_id must be in \[0, 23\)"),
        ({"p": 0.5}, "dropout_seed must be a tensor for dropout_p > 0, got None"),
        ({"p": 2.0, "seed": SEED}, r"dropout_p must be a number in \[0, 1\], got 2"),
        ({"p": 0.5, "seed": SEED.int()}, "dropout_seed must have dtype int64"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            run(**options)
