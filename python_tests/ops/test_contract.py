"""What every op promises: gradients, opcheck, determinism, torch.compile, one derivative."""

import pytest
import torch
from ops.op_cases import attention_problem

from tedg_fast.ops import (
    concat_embedding,
    expert_overlap,
    fenchel_young_loss,
    gat_attention,
    gat_attention_weights,
    gatv2_scores,
    route,
    routing_losses,
    sparsemax,
)

ops = torch.ops.tedg


def attention(relations=2, masked=True, **shape):
    graph, tensors = attention_problem(relations=relations, masked=masked, **shape)
    mask = tensors.pop("node_mask")
    return lambda **inputs: gat_attention(graph=graph, node_mask=mask, **inputs), tensors


def edge_attention(dtype, batch):
    function, tensors = attention(dtype=dtype, batch=batch)
    score = torch.randn(23, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    tensors["score_edge"] = score.to(dtype)
    seed = torch.tensor(9)
    return lambda **inputs: function(dropout_p=0.3, dropout_seed=seed, **inputs), tensors


def gatv2(dtype, batch):
    graph, tensors = attention_problem(dtype=dtype, batch=batch)
    x = tensors["x"]
    return lambda **inputs: gatv2_scores(graph=graph, **inputs), {
        "x_src": x,
        "x_dst": x[:, :5].flip(1),
        "att": x[0, 6],
        "x_edge": x.flatten(0, 1)[torch.arange(23) % 7],
    }


def problems(dtype=torch.float64, batch=4):
    """name -> (function of its tensors by name, those tensors)."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    weights = torch.softmax(normal(batch, 4).double(), -1).to(dtype)
    mask = torch.rand(batch, 9, generator=generator) > 0.3
    experts = normal(batch, 4, 9)
    index = torch.randint(0, 5, (batch, 7), generator=generator, dtype=torch.uint8)
    return {
        "gat_attention": attention(dtype=dtype, batch=batch),
        "gat_attention_edges": edge_attention(dtype, batch),
        "gatv2_scores": gatv2(dtype, batch),
        "route softmax": (
            lambda router_logits, expert_logits: route(
                router_logits, expert_logits, temperature=0.5, action_mask=mask
            ),
            {"router_logits": normal(batch, 4), "expert_logits": experts},
        ),
        "route sparsemax": (
            lambda router_logits, expert_logits: route(
                router_logits, expert_logits, mapping="sparsemax"
            ),
            {"router_logits": normal(batch, 4), "expert_logits": experts},
        ),
        "sparsemax": (sparsemax, {"x": normal(batch, 6)}),
        "fenchel_young softmax": (
            lambda scores: fenchel_young_loss("softmax", scores, weights),
            {"scores": normal(batch, 4)},
        ),
        "fenchel_young sparsemax": (
            lambda scores: fenchel_young_loss("sparsemax", scores, weights),
            {"scores": normal(batch, 4)},
        ),
        "expert_overlap": (expert_overlap, {"alpha": weights, "expert_logits": experts}),
        "routing_losses": (routing_losses, {"alpha": weights, "expert_logits": experts}),
        "concat_embedding": (
            lambda table: concat_embedding(weights, index, table),
            {"table": normal(5, 3)},
        ),
    }


NAMES = list(problems())


def call(function, tensors):
    """Outputs and gradients of their sum, as one tuple."""
    leaves = {name: value.clone().requires_grad_() for name, value in tensors.items()}
    out = function(**leaves)
    outputs = (out,) if isinstance(out, torch.Tensor) else tuple(out)
    total = sum(torch.where(o == -torch.inf, 0, o).float().sum() for o in outputs)
    grads = torch.autograd.grad(total, list(leaves.values()))
    return *(o.detach() for o in outputs), *grads


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    function, tensors = problems()[name]
    names = list(tensors)

    def flat(*values):
        out = function(**dict(zip(names, values, strict=True)))
        outputs = (out,) if isinstance(out, torch.Tensor) else tuple(out)
        return tuple(torch.where(o == -torch.inf, 0, o) for o in outputs)

    inputs = [tensors[n].clone().requires_grad_() for n in names]
    assert torch.autograd.gradcheck(flat, inputs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_inputs_give_the_same_bits(name, dtype):
    function, tensors = problems(dtype, batch=600)[name]
    first = call(function, tensors)
    for _ in range(3):
        for again, once in zip(call(function, tensors), first, strict=True):
            assert torch.equal(again, once)


def test_sums_do_not_depend_on_the_number_of_threads():
    threads = torch.get_num_threads()
    try:
        for name in (
            "routing_losses", "expert_overlap", "fenchel_young softmax", "concat_embedding"
        ):  # fmt: skip
            function, tensors = problems(torch.float32, batch=3000)[name]
            results = []
            for count in (1, 2, 5):
                torch.set_num_threads(count)
                results.append(call(function, tensors))
            for other in results[1:]:
                assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_derivative_is_refused(name):
    function, tensors = problems()[name]
    leaves = {n: value.clone().requires_grad_() for n, value in tensors.items()}
    out = function(**leaves)
    first = out if isinstance(out, torch.Tensor) else out[0]
    grads = torch.autograd.grad(
        first.square().sum(), list(leaves.values()), create_graph=True, allow_unused=True
    )
    with pytest.raises(RuntimeError, match="second derivative is not implemented"):
        sum(g.square().sum() for g in grads if g is not None).backward()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_graph_break(name, dynamic):
    torch._dynamo.reset()
    function, tensors = problems(torch.float32)[name]
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for actual, wanted in zip(call(compiled, tensors), call(function, tensors), strict=True):
        torch.testing.assert_close(actual, wanted, rtol=0, atol=0)
    with torch.no_grad():
        out, expected = compiled(**tensors), function(**tensors)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


def graph_tensors(graph):
    return (graph.rowptr, graph.col, graph.t_rowptr, graph.t_target, graph.t_edge, graph.relation)


def opcheck_cases():
    graph, tensors = attention_problem(relations=2, masked=True)
    x, src, dst, bias, mask = tensors.values()
    leaf = lambda t: t.clone().requires_grad_()  # noqa: E731
    out, lse = gat_attention(graph=graph, **tensors)
    own, seed = torch.randn(23, 3), torch.tensor(7)
    walk = *graph_tensors(graph)[:2], graph.edge_id
    transpose = graph_tensors(graph)[2:5]
    scored = graph.relation, leaf(bias), 0.2, mask, 0.3, seed
    ends = leaf(x), leaf(out), leaf(x[0, 0]), leaf(own[:, :, None].expand(23, 3, 5))
    scores, experts = torch.randn(5, 4), torch.randn(5, 4, 9)
    alpha = torch.softmax(scores, -1)
    means = alpha.mean(0)
    one = torch.tensor(0.7)
    index, table = torch.randint(0, 6, (5, 3), dtype=torch.uint8), torch.randn(6, 2)
    return {
        "build_graph": (torch.tensor([[3, 0, 3], [1, 0, 1]]), 4, 2),
        "batch_graph": (
            torch.tensor([0, 2, 2, 3]),
            torch.tensor([0, 3, 3, 4]),
            torch.tensor([1, -2, 0, -1], dtype=torch.int32),
            torch.tensor([0, 0, 0, 0], dtype=torch.int32),
            3,
            2,
        ),
        "gat_attention": (
            leaf(x),
            leaf(src),
            leaf(dst),
            *graph_tensors(graph),
            leaf(bias),
            0.2,
            mask,
        ),
        "gat_attention_backward": (
            out,
            lse,
            x,
            src,
            dst,
            *graph_tensors(graph),
            bias,
            0.2,
            mask,
            lse,
        ),
        "gat_attention_weights": (
            src,
            dst,
            lse,
            graph.rowptr,
            graph.col,
            graph.edge_id,
            graph.relation,
            bias,
            0.2,
            mask,
        ),
        "gat_attention_edges": (
            leaf(x),
            leaf(src),
            leaf(dst),
            leaf(own),
            *walk,
            *transpose,
            *scored,
        ),
        "gat_attention_edges_backward": (
            out,
            lse,
            x,
            src,
            dst,
            own,
            *walk,
            *transpose,
            graph.relation,
            bias,
            0.2,
            mask,
            0.3,
            seed,
            lse,
        ),
        "gat_attention_edges_weights": (
            src,
            dst,
            own,
            lse,
            *walk,
            graph.relation,
            bias,
            0.2,
            mask,
            0.3,
            seed,
        ),
        "gatv2_scores": (*ends, *walk, *transpose, 0.2),
        "gatv2_scores_backward": (
            torch.randn(2, 23, 3),
            *(t.detach() for t in ends),
            *walk,
            *transpose,
            0.2,
        ),
        "route": (leaf(scores), leaf(experts), True, 0.5, torch.rand(5, 9) > 0.5),
        "route_backward": (alpha, experts[:, 0], scores, experts, False, 0.5, None),
        "sparsemax": (leaf(scores),),
        "sparsemax_backward": (scores, sparsemax(scores)),
        "fenchel_young_loss": (leaf(scores), alpha, True),
        "fenchel_young_loss_backward": (one, scores),
        "expert_overlap": (leaf(alpha), leaf(experts)),
        "expert_overlap_backward": (one, alpha, experts),
        "routing_losses": (leaf(alpha), leaf(experts)),
        "concat_embedding": (scores, index, leaf(table)),
        "concat_embedding_backward": (torch.randn(5, 10), index, table),
        "routing_losses_backward": (one, None, one, None, one, alpha, experts, means),
    }


@pytest.mark.parametrize("name", list(opcheck_cases()))
def test_opcheck(name):
    torch.library.opcheck(getattr(ops, name).default, opcheck_cases()[name])


def test_every_op_is_checked():
    defined = {n.split("::")[1] for n in torch._C._dispatch_get_all_op_names() if "tedg::" in n}
    assert defined == set(opcheck_cases()) | {"_entmax15"}  # which test_entmax.py checks


def test_weights_compile():
    graph, tensors = attention_problem()
    tensors.pop("x")
    compiled = torch.compile(
        lambda **t: gat_attention_weights(graph=graph, **t), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(**tensors), gat_attention_weights(graph=graph, **tensors))
