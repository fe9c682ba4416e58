"""The CUDA kernels against the float64 reference: on a GPU, or on the emulated device.

Seeds are fresh in every run and printed. What only a real device has (streams, graphs, a second
device) is skipped on the emulated one.
"""

import secrets

import pytest
import torch
from ops.op_cases import FLOATS, attention_problem, close, gradients

from tedg_fast.ops import (
    Graph,
    GraphBatch,
    _native,
    concat_embedding,
    expert_overlap,
    fenchel_young_loss,
    gat_attention,
    gat_attention_weights,
    gatv2_scores,
    reference,
    route,
    routing_losses,
    sparsemax,
)

EMULATED = getattr(_native, "EMULATED", False)
DEVICE = "cpu" if EMULATED else "cuda"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not (EMULATED or torch.cuda.is_available()), reason="no CUDA device, real or emulated"
    ),
]
dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=lambda v: str(v).removeprefix("torch."))
on_a_real_device = pytest.mark.skipif(EMULATED, reason="needs a real CUDA device")
# (batch, experts, actions) of the routing ops.
ROUTING = [(1, 4, 23), (64, 4, 23), (33, 7, 121), (3, 64, 121), (5, 33, 17), (2, 100, 9)]
ROUTING += [(2, 186, 121)]  # backward's K x K matrix does not fit shared memory
ROUTING += [] if EMULATED else [(4096, 4, 23), (40000, 4, 23), (256, 64, 121)]
# Problems that take the tile path (many samples and heads) and ones that do not.
ATTENTION = {
    "one sample": dict(batch=1, sources=60, targets=50, edges=500, heads=8, width=64),
    "tiles": dict(batch=32, sources=20, targets=17, edges=150, heads=2, width=64),
    "tiles of several slices": dict(batch=64, sources=9, targets=12, edges=70, heads=1, width=100),
    "tiles of odd rows": dict(batch=16, sources=12, targets=9, edges=60, heads=4, width=15),
    "tiles with hubs": dict(batch=16, sources=30, targets=3, edges=300, heads=4, width=24),
    "many relations": dict(
        batch=64, sources=9, targets=9, edges=60, heads=1, width=16, relations=40
    ),
}
if not EMULATED:
    ATTENTION |= {
        "the packaged size": dict(
            batch=64, sources=530, targets=530, edges=3500, heads=4, width=64
        ),
        "many samples": dict(batch=256, sources=100, targets=100, edges=1000, heads=1, width=16),
        "very many samples": dict(
            batch=4096, sources=100, targets=50, edges=1000, heads=1, width=16
        ),
        "wide": dict(batch=8, sources=500, targets=500, edges=3000, heads=8, width=256),
        "large": dict(batch=2, sources=5000, targets=5000, edges=100000, heads=4, width=64),
    }


def fresh_seed() -> int:
    seed = secrets.randbits(31)
    print(f"seed {seed}")
    return seed


def poison() -> None:
    """Leaves NaN in the memory that the next outputs will get (the emulation always does)."""
    if not EMULATED:
        for bytes_ in (1 << 9, 1 << 16, 1 << 20, 1 << 26):
            blocks = [torch.full((bytes_ // 4,), torch.nan, device=DEVICE) for _ in range(8)]
            del blocks


def moved(arguments, device=None):
    return {name: None if v is None else v.to(device or DEVICE) for name, v in arguments.items()}


def attention(graph, function):
    return lambda **tensors: function(graph=graph, **tensors)


def check(native, truth, arguments, dtype):
    """Outputs and gradients equal the float64 reference's, relative to each one's largest entry.

    (Sums over thousands of terms that cancel keep the error of the terms, not of the sum.)
    """
    arguments = moved(arguments)
    wide = {
        n: v.double() if v is not None and v.is_floating_point() else v
        for n, v in arguments.items()
    }
    expected, expected_grads = gradients(truth, wide)
    poison()
    actual, grads = gradients(native, arguments)
    pairs = {f"output {i}": pair for i, pair in enumerate(zip(actual, expected, strict=True))}
    for name, grad in grads.items():
        wanted = expected_grads[name]
        if grad is not None:  # no path to the reference: native gives zeros
            pairs[f"gradient of {name}"] = (grad, grad * 0 if wanted is None else wanted)
    for name, (value, wanted) in pairs.items():
        finite = wanted[wanted.isfinite()].abs()
        scale = max(1.0, finite.max().item()) if finite.numel() else 1.0
        close(value / scale, wanted / scale, dtype, name)


def hub_graph(sources=70, targets=60, edges=900):
    """Two targets and a source with hundreds of edges, the others with few."""
    edge = torch.arange(edges)
    target = torch.where(edge < 300, 3, torch.where(edge < 500, 50, edge % targets))
    source = torch.where(edge > 700, 5, edge % sources)
    return Graph(torch.stack([source, target]), sources, targets)


@on_a_real_device
def test_a_build_with_cuda_loads_its_kernels():
    assert _native.CUDA_LOADED == _native.CUDA_LIBRARY.exists()


@dtypes
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name, masked, dtype):
    shape = {"relations": 3, **ATTENTION[name]}
    graph, arguments = attention_problem(**shape, masked=masked, dtype=dtype, seed=fresh_seed())
    graph = graph.to(DEVICE)
    check(
        attention(graph, gat_attention), attention(graph, reference.gat_attention), arguments, dtype
    )


@pytest.mark.parametrize("batch", [1, 64])
@dtypes
def test_attention_over_hubs(batch, dtype):
    graph = hub_graph().to(DEVICE)
    _, arguments = attention_problem(
        batch=batch, sources=70, targets=60, heads=1, width=40, dtype=dtype, seed=fresh_seed()
    )
    check(
        attention(graph, gat_attention), attention(graph, reference.gat_attention), arguments, dtype
    )


def ragged_graph(graphs=12, nodes=60):
    """Many small graphs one after the other, degrees 0 to 60, and two sources that all share."""
    generator = torch.Generator().manual_seed(fresh_seed())
    degree = torch.randint(0, 61, (graphs * nodes,), generator=generator)
    degree[torch.rand(len(degree), generator=generator) < 0.8] //= 10
    target = torch.repeat_interleave(torch.arange(len(degree)), degree)
    source = target // nodes * nodes
    source += torch.randint(0, nodes, source.shape, generator=generator)
    shared = torch.randint(0, 2, source.shape, generator=generator) + len(degree)
    source = torch.where(torch.rand(source.shape, generator=generator) < 0.3, shared, source)
    return Graph(torch.stack([source, target]), len(degree) + 2, len(degree))


def scores_of_edges(graph, generator, batch, dtype):
    return torch.randn(*batch, graph.num_edges, 2, generator=generator).to(
        torch.float64 if dtype == torch.float64 else torch.float32
    )


@dtypes
@pytest.mark.parametrize("dropout_p", [0.0, 0.4])
@pytest.mark.parametrize("own", [None, "shared", "each sample's"])
def test_attention_over_many_small_graphs(own, dropout_p, dtype):
    graph = ragged_graph().to(DEVICE)
    generator = torch.Generator().manual_seed(fresh_seed())
    _, arguments = attention_problem(
        batch=1,
        sources=graph.num_sources,
        targets=graph.num_targets,
        edges=0,
        heads=2,
        width=20,
        dtype=dtype,
        seed=fresh_seed(),
    )
    if own is not None:
        batch = [] if own == "shared" else [1]
        arguments["score_edge"] = scores_of_edges(graph, generator, batch, dtype)
    options = {"dropout_p": dropout_p}
    if dropout_p > 0:
        options["dropout_seed"] = torch.tensor(-5, device=DEVICE)
    check(
        lambda **t: gat_attention(graph=graph, **t, **options),
        lambda **t: reference.gat_attention(graph=graph, **t, **options),
        arguments,
        dtype,
    )


@dtypes
def test_weights_over_hubs_with_scores_of_edges_and_dropout(dtype):
    graph = hub_graph().to(DEVICE)
    generator = torch.Generator().manual_seed(fresh_seed())
    _, arguments = attention_problem(
        batch=2, sources=70, targets=60, heads=2, dtype=dtype, seed=fresh_seed()
    )
    arguments.pop("x")
    arguments["score_edge"] = scores_of_edges(graph, generator, [2], dtype)
    arguments = moved(arguments)
    seed = torch.tensor(7, device=DEVICE)
    weights = gat_attention_weights(graph=graph, **arguments, dropout_p=0.4, dropout_seed=seed)
    wide = {n: None if v is None else v.double() for n, v in arguments.items()}
    expected = reference.gat_attention_weights(
        graph=graph, **wide, dropout_p=0.4, dropout_seed=seed
    )
    tolerance = {torch.float64: 1e-9, torch.float32: 2e-5}.get(dtype, 1e-2)
    torch.testing.assert_close(weights.double(), expected, rtol=tolerance, atol=tolerance)


@dtypes
@pytest.mark.parametrize("with_edges", [False, True])
@pytest.mark.parametrize("width", [40, 9, 2, 140])
def test_gatv2s_scores_over_hubs(width, with_edges, dtype):
    graph = hub_graph().to(DEVICE)
    generator = torch.Generator().manual_seed(fresh_seed())

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    tensors = {"x_src": normal(2, 70, 2, width), "x_dst": normal(2, 60, 2, width),
               "att": normal(2, width)}  # fmt: skip
    if with_edges:
        tensors["x_edge"] = normal(900, 2, width)
    check(attention(graph, gatv2_scores), attention(graph, reference.gatv2_scores), tensors, dtype)


@dtypes
@pytest.mark.parametrize(
    "shape", [(40, 5, 20, 7, 4), (3, 0, 2, 300, 40), (0, 3, 2, 5, 4), (4, 2, 0, 5, 4)]
)
def test_concat_embedding(shape, dtype):
    batch, features, count, classes, width = shape
    generator = torch.Generator().manual_seed(fresh_seed())
    index = torch.randint(0, min(classes, 256), (batch, count), generator=generator)
    index = index.to(torch.uint8).to(DEVICE)
    beside = torch.randn(batch, features, generator=generator).to(dtype).to(DEVICE)
    table = torch.randn(classes, width, generator=generator).to(dtype)
    check(
        lambda table: concat_embedding(beside, index, table),
        lambda table: reference.concat_embedding(beside.to(table.dtype), index, table),
        {"table": table},
        dtype,
    )


@dtypes
def test_attention_over_a_batch_of_graphs(dtype):
    """One sample of many small graphs: degrees from 0 to 60, shared nodes that hundreds hear."""
    seed = fresh_seed()
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high, count):
        return torch.randint(low, high, (count,), generator=generator)

    nodes, edges = draw(1, 13, 30), draw(0, 61, 30)
    node_start, edge_start = (torch.cat([n.new_zeros(1), n.cumsum(0)]) for n in (nodes, edges))
    size = nodes.repeat_interleave(edges)
    source = draw(0, 2**20, len(size)) % (size + 2) - 2
    target = torch.where(draw(0, 2, len(size)) == 0, 0, draw(0, 2**20, len(size)) % size)
    batch = GraphBatch(node_start, edge_start, source, target, draw(0, 3, len(size)), 2)
    graph = batch.to(DEVICE).graph
    _, arguments = attention_problem(
        batch=1,
        sources=graph.num_sources,
        targets=graph.num_targets,
        heads=4,
        width=8,
        edges=0,
        relations=3,
        masked=True,
        dtype=dtype,
        seed=seed,
    )
    check(
        attention(graph, gat_attention), attention(graph, reference.gat_attention), arguments, dtype
    )


@dtypes
def test_attention_weights(dtype):
    graph, arguments = attention_problem(
        batch=3, relations=3, masked=True, dtype=dtype, seed=fresh_seed()
    )
    graph, arguments = graph.to(DEVICE), moved(arguments)
    arguments.pop("x")
    poison()
    weights = gat_attention_weights(graph=graph, **arguments)
    wide = {n: v.double() if v.is_floating_point() else v for n, v in arguments.items()}
    expected = reference.gat_attention_weights(graph=graph, **wide)
    tolerance = {torch.float64: 1e-9, torch.float32: 2e-5}.get(dtype, 1e-2)
    torch.testing.assert_close(weights.double(), expected, rtol=tolerance, atol=tolerance)


@dtypes
@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
@pytest.mark.parametrize("shape", ROUTING)
def test_routing(shape, mapping, dtype):
    batch, experts, actions = shape
    generator = torch.Generator().manual_seed(fresh_seed())

    def normal(*size):
        return torch.randn(*size, generator=generator).to(dtype)

    scores, experts_logits = 2 * normal(batch, experts), normal(batch, experts, actions)
    mask = torch.rand(batch, actions, generator=generator) > 0.3

    def masked(function):
        def call(router_logits, expert_logits):
            allowed = mask.to(router_logits.device)
            alpha, logits = function(
                router_logits,
                expert_logits,
                mapping=mapping,
                temperature=0.7,
                action_mask=allowed,
            )
            assert (logits[~allowed] == torch.finfo(logits.dtype).min).all()
            return alpha, logits.masked_fill(~allowed, 0)

        return call

    check(
        masked(route),
        masked(reference.route),
        {"router_logits": scores, "expert_logits": experts_logits},
        dtype,
    )
    check(sparsemax, reference.sparsemax, {"x": scores}, dtype)
    target = torch.softmax(normal(batch, experts), -1)
    check(
        lambda **t: fenchel_young_loss(mapping, **t),
        lambda **t: reference.fenchel_young_loss(mapping, **t),
        {"scores": scores, "target": target},
        dtype,
    )
    alpha = reference.routing_map(mapping, scores.float()).to(dtype)
    arguments = {"alpha": alpha, "expert_logits": experts_logits}
    check(routing_losses, reference.routing_losses, arguments, dtype)
    check(expert_overlap, reference.expert_overlap, arguments, dtype)


@dtypes
@pytest.mark.parametrize(
    ("experts", "actions"),
    [(2, 121), (3, 23), (8, 121), (9, 23), (20, 7), (21, 7), (63, 5), (64, 5), (65, 5), (190, 121)],
)
def test_losses_of_any_number_of_experts(experts, actions, dtype):
    """Backward has few experts' cosines all at a time, those of many row by row."""
    generator = torch.Generator().manual_seed(fresh_seed())
    logits = torch.randn(3, experts, actions, generator=generator).to(dtype)
    alpha = torch.softmax(torch.randn(3, experts, generator=generator), -1).to(dtype)
    logits[0, 1] = 0
    arguments = {"alpha": alpha, "expert_logits": logits}
    check(routing_losses, reference.routing_losses, arguments, dtype)
    check(expert_overlap, reference.expert_overlap, arguments, dtype)


def results():
    """Outputs and gradients of every op on one set of inputs."""
    graph, tensors = attention_problem(
        batch=64, sources=20, targets=17, edges=150, heads=1, width=20, relations=2
    )
    graph, tensors = graph.to(DEVICE), moved(tensors)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(300, 4, generator=generator).to(DEVICE).requires_grad_()
    experts = torch.randn(300, 4, 23, generator=generator).to(DEVICE).requires_grad_()
    leaves = {n: v.requires_grad_() for n, v in tensors.items() if v is not None}
    out, lse = gat_attention(graph=graph, **leaves)
    alpha, logits = route(scores, experts, mapping="sparsemax")
    losses = routing_losses(alpha, experts)
    total = out.square().sum() + lse.nan_to_num(neginf=0).sum() + logits.square().sum()
    total = total + sum(losses) + fenchel_young_loss("softmax", scores, alpha)
    grads = torch.autograd.grad(total, [*leaves.values(), scores, experts])
    return [out.detach(), lse.detach(), alpha.detach(), *(v.detach() for v in losses), *grads]


def test_the_same_inputs_give_the_same_bits():
    first = results()
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(results(), first, strict=True))


@on_a_real_device
def test_kernels_run_on_the_current_stream():
    expected = results()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        actual = results()
    stream.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@on_a_real_device
@pytest.mark.parametrize("batch", [1, 64])  # the general path, the tile path
def test_kernels_can_be_captured_in_a_graph(batch):
    graph, tensors = attention_problem(batch=batch, sources=20, targets=17, edges=150, heads=1)
    graph, tensors = graph.to(DEVICE), moved(tensors)
    scores = torch.randn(300, 4, device=DEVICE)
    experts = torch.randn(300, 4, 23, device=DEVICE)

    def work():
        alpha, logits = route(scores, experts, mapping="sparsemax")
        losses = routing_losses(alpha, experts)
        return [*gat_attention(graph=graph, **tensors), alpha, logits, *losses]

    work()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        outputs = work()
    for value in (tensors["x"], scores, experts):
        value.normal_()
    captured.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(outputs, work(), strict=True))


@on_a_real_device
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_a_second_device_gets_its_own_launches():
    scores, experts = torch.randn(30, 4), torch.randn(30, 4, 23)
    first = route(scores.to("cuda:0"), experts.to("cuda:0"))
    second = route(scores.to("cuda:1"), experts.to("cuda:1"))
    assert second[0].device.index == 1
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(first, second, strict=True))


@pytest.mark.skipif(not EMULATED, reason="ends the device's context")
@pytest.mark.parametrize("batch", [1, 64])
def test_an_index_out_of_range_is_never_followed(batch):
    graph, tensors = attention_problem(batch=batch, heads=1)
    arrays = [graph.rowptr, graph.col, graph.t_rowptr, graph.t_target, graph.t_edge]
    for which, wrong in [(0, 1000), (1, 7), (1, -1)]:
        broken = [a.clone() for a in arrays]
        broken[which][3] = wrong
        with pytest.raises(RuntimeError, match="trap: an index is out of range"):
            torch.ops.tedg.gat_attention(
                tensors["x"],
                tensors["score_src"],
                tensors["score_dst"],
                *broken,
                None,
                None,
                0.2,
                None,
            )


@pytest.mark.parametrize("rows", [1, 32, 33, 34, 66, 198, 33 * 33, 33 * 33 + 1])
def test_the_last_row_is_found_whatever_their_number(rows):
    """Blocks find their rows by a search in 33 parts."""
    graph, arguments = attention_problem(
        batch=1, sources=7, targets=rows, heads=2, width=8, edges=3 * rows, relations=2
    )
    graph = graph.to(DEVICE)
    check(
        attention(graph, gat_attention),
        attention(graph, reference.gat_attention),
        arguments,
        torch.float32,
    )
