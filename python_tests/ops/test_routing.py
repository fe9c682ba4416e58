import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.op_cases import FLOATS, close, compare

from tedg_fast.ops import reference, route, sparsemax

INF = torch.inf


def route_problem(batch, experts, actions, masked, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "router_logits": torch.randn(batch, experts, generator=generator).to(dtype),
        "expert_logits": torch.randn(batch, experts, actions, generator=generator).to(dtype),
        "action_mask": torch.rand(batch, actions, generator=generator) > 0.3 if masked else None,
    }


def check_route(arguments, dtype, **options):
    def finite(function):
        # The lowest finite value of the dtype differs between float64 and the others.
        def call(**tensors):
            alpha, logits = function(**tensors, **options)
            if tensors["action_mask"] is not None:
                logits = logits.masked_fill(~tensors["action_mask"], 0)
            return alpha, logits

        return call

    # Coarse scores often lie on sparsemax's threshold, where rounding decides the gradient.
    grads = dtype.itemsize > 2 or options["mapping"] == "softmax"
    compare(finite(route), finite(reference.route), arguments, dtype, grads)


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(33, 4, 23), (5, 8, 121), (3, 64, 7), (2, 100, 3), (1, 1, 1)])
def test_route_equals_the_reference(mapping, dtype, masked, shape):
    arguments = route_problem(*shape, masked, dtype)
    check_route(arguments, dtype, mapping=mapping, temperature=0.7)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 40),
    experts=st.integers(1, 20),
    actions=st.integers(0, 70),
    masked=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    mapping=st.sampled_from(["softmax", "sparsemax"]),
    temperature=st.floats(0.1, 10),
    seed=st.integers(0, 1000),
)
def test_route_any_shape(batch, experts, actions, masked, dtype, mapping, temperature, seed):
    arguments = route_problem(batch, experts, actions, masked, dtype, seed)
    check_route(arguments, dtype, mapping=mapping, temperature=temperature)


@pytest.mark.parametrize("dtype", FLOATS)
def test_masked_actions_get_the_lowest_value_and_no_gradient(dtype):
    arguments = route_problem(3, 4, 23, True, dtype)
    arguments["action_mask"][1] = False
    z = arguments["expert_logits"].requires_grad_()
    _, logits = route(**arguments)
    hidden = ~arguments["action_mask"]
    assert (logits[hidden] == torch.finfo(dtype).min).all()
    assert (logits[1].softmax(-1) == logits.new_tensor(1 / 23)).all()
    (grad,) = torch.autograd.grad(logits.double().sum(), z)
    assert not grad.transpose(1, 2)[hidden].any()


def test_only_one_output_used():
    arguments = route_problem(6, 4, 9, False, torch.float64)
    for index in (0, 1):

        def native(index=index, **tensors):
            return route(**tensors, mapping="sparsemax")[index]

        def truth(index=index, **tensors):
            return reference.route(**tensors, mapping="sparsemax")[index]

        compare(native, truth, arguments, torch.float64)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [1, 2, 4, 17, 64, 65, 500])
def test_sparsemax_equals_the_reference(dtype, count):
    x = torch.randn(37, count, generator=torch.Generator().manual_seed(count)).to(dtype)
    grads = dtype.itemsize > 2  # as in check_route
    compare(lambda x: sparsemax(x), lambda x: reference.sparsemax(x), {"x": x}, dtype, grads)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([3.0, 0, 0, 0], [1.0, 0, 0, 0]),
        ([0.0, 0, 0, 0], [0.25] * 4),
        ([7.0], [1.0]),
        ([1e8, 1e8, -1e8], [0.5, 0.5, 0]),
        ([-1e8, -1e8, -1e8], [1 / 3] * 3),
        ([0.0, -INF, 0.5], [0.25, 0, 0.75]),
        ([-INF, 2.0, -INF], [0, 1.0, 0]),
        ([0.1, 0.1, -0.9], [0.5, 0.5, 0]),
        ([-INF, -INF], [torch.nan] * 2),
        ([0.0, torch.nan, 1.0], [torch.nan] * 3),
        ([INF, 0.0], [torch.nan] * 2),
    ],
)
def test_sparsemax_of_hard_rows(scores, expected):
    for function in (sparsemax, reference.sparsemax):
        for dtype in (torch.float64, torch.float32):
            actual = function(torch.tensor(scores, dtype=dtype))
            close(actual, torch.tensor(expected), torch.float32)


def test_the_soft_map_treats_infinities_as_torch_softmax_does():
    rows = torch.tensor([[-INF, -INF], [0.0, -INF], [1e8, -1e8], [torch.nan, 0.0]])
    alpha, _ = route(rows, torch.zeros(4, 2, 1))
    torch.testing.assert_close(alpha, torch.softmax(rows, -1), equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e8, 1e8, width=32), min_size=1, max_size=40))
def test_sparsemax_is_a_projection(scores):
    x = torch.tensor(scores, dtype=torch.float32)
    p = sparsemax(x)
    assert (p >= 0).all() and abs(p.sum().item() - 1) < 1e-5
    close(p, reference.sparsemax(x), torch.float32)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2])
def test_sparsemax_dimensions(dim):
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    compare(
        lambda x: sparsemax(x, dim), lambda x: reference.sparsemax(x, dim), {"x": x}, torch.float64
    )


def test_sparsemax_of_empty_shapes():
    assert sparsemax(torch.zeros(0, 3)).shape == (0, 3)
    assert sparsemax(torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    with pytest.raises(ValueError, match=r"x must have shape \[..., K\] with K >= 1"):
        sparsemax(torch.zeros(3, 0))
    with pytest.raises(IndexError):
        sparsemax(torch.zeros(3), dim=1)
