import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.op_cases import FLOATS, close

from tedg_fast.ops import entmax15, sparsemax

INF = torch.inf


def by_sorting(x):
    """Peters et al. 2019, algorithm 2: the threshold of every possible support, sorted."""
    z = x.double() / 2
    z = z - z.amax(-1, keepdim=True)
    top = z.sort(-1, descending=True).values
    size = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    mean = top.cumsum(-1) / size
    spread = top.square().cumsum(-1) - size * mean.square()
    threshold = mean - ((1 - spread) / size).clamp(min=0).sqrt()
    support = (threshold <= top).sum(-1, keepdim=True)
    return (z - threshold.gather(-1, support - 1)).clamp(min=0).square()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [1, 2, 4, 17, 64, 65, 500])
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 30.0])
def test_equals_the_algorithm_by_sorting(dtype, count, scale):
    generator = torch.Generator().manual_seed(count)
    x = (scale * torch.randn(37, count, generator=generator)).to(dtype)
    actual = entmax15(x)
    assert actual.dtype == dtype
    close(actual, by_sorting(x), dtype)


@pytest.mark.parametrize("options", [{}, {"dim": 0}, {"dim": 1}])
def test_equals_entmax_and_its_gradient(options):
    entmax = pytest.importorskip("entmax")
    x = torch.randn(6, 5, 7, dtype=torch.float64, requires_grad=True)
    expected = entmax.entmax15(x, **{"dim": -1, **options})
    actual = entmax15(x, **options)
    close(actual, expected, torch.float64)
    weight = torch.randn_like(x)
    grads = [torch.autograd.grad((weight * out).sum(), x)[0] for out in (actual, expected)]
    close(*grads, torch.float64)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e8, 1e8, width=32), min_size=1, max_size=60))
def test_any_scores_give_a_distribution(scores):
    x = torch.tensor(scores, dtype=torch.float32)
    p = entmax15(x)
    assert (p >= 0).all() and abs(p.double().sum().item() - 1) < 1e-6
    # The nearer of two large scores may differ in its last digit before the threshold is taken.
    close(p, by_sorting(x.double() - x.double().max()), torch.float32)


def test_millions_of_scores_sum_to_one():
    x = torch.randn(3_000_000, generator=torch.Generator().manual_seed(0))
    for scale in (0.0, 0.01, 1.0):
        assert abs(entmax15(scale * x).double().sum().item() - 1) < 1e-6


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([9.0, 0, 0, 0], [1.0, 0, 0, 0]),
        ([0.0, 0, 0, 0], [0.25] * 4),
        ([7.0], [1.0]),
        ([-1e8, -1e8, -1e8], [1 / 3] * 3),
        ([1e30, 1e30, -1e30], [0.5, 0.5, 0]),
        ([0.0, -INF, 0.0], [0.5, 0, 0.5]),
        ([-INF, -INF], [torch.nan] * 2),
        ([0.0, torch.nan, 1.0], [torch.nan] * 3),
        ([INF, 0.0], [torch.nan] * 2),
    ],
)
def test_hard_rows(scores, expected):
    for dtype in (torch.float64, torch.float32):
        close(entmax15(torch.tensor(scores, dtype=dtype)), torch.tensor(expected), torch.float32)


def test_lies_between_softmax_and_sparsemax():
    x = 2 * torch.randn(200, 9, dtype=torch.float64)
    sizes = [(p > 0).sum(-1) for p in (sparsemax(x), entmax15(x), x.softmax(-1))]
    assert (sizes[0] <= sizes[1]).all() and (sizes[1] <= sizes[2]).all()
    assert (sizes[0] < sizes[1]).any() and (sizes[1] < sizes[2]).any()


def test_derivatives_of_every_kind():
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert (entmax15(x) == 0).any(), "some weights are 0"
    assert torch.autograd.gradcheck(entmax15, x)
    assert torch.autograd.gradgradcheck(entmax15, x)
    with pytest.raises(RuntimeError, match="forward mode AD"):
        torch.func.jvp(entmax15, (x,), (x,))
    by_function = torch.func.jacrev(entmax15)(x[0])
    close(by_function, torch.autograd.functional.jacobian(entmax15, x[0]), torch.float64)
    close(torch.func.vmap(entmax15, in_dims=1)(x), entmax15(x.t()), torch.float64)


def test_compiles_without_a_graph_break():
    torch._dynamo.reset()
    compiled = torch.compile(entmax15, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 9, requires_grad=True)
    close(compiled(x), entmax15(x), torch.float32)
    (wanted,) = torch.autograd.grad(entmax15(x).square().sum(), x)
    (got,) = torch.autograd.grad(compiled(x).square().sum(), x)
    close(got, wanted, torch.float32)


def test_refuses_what_it_cannot_map():
    assert entmax15(torch.zeros(0, 3)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"x must have shape \[..., K\] with K >= 1"):
        entmax15(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="x must be float32"):
        entmax15(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(IndexError):
        entmax15(torch.zeros(3), dim=1)


def test_the_op_tells_its_shape():
    checks = ("test_schema", "test_faketensor")
    for x in (torch.randn(5, 9), torch.randn(2, 3, 4).movedim(0, 2)):
        torch.library.opcheck(torch.ops.tedg._entmax15.default, (x,), test_utils=checks)
