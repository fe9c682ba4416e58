import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.op_cases import FLOATS, close, compare

from tedg_fast.ops import concat_embedding, reference


def problem(rows, features, count, classes, width, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    index = torch.randint(0, classes, (rows, count), generator=generator, dtype=torch.uint8)
    return {
        "features": normal(rows, features), "index": index, "table": normal(classes, width)
    }  # fmt: skip


def check(arguments, dtype):
    """Outputs and, of the raw op, the table's gradient: its sums are of rounded gradients."""
    compare(concat_embedding, reference.concat_embedding, arguments, dtype, grads=False)
    features, index, table = arguments.values()
    grad = torch.randn(concat_embedding(*arguments.values()).shape).to(dtype)
    rows = grad[:, features.shape[1] :].double().reshape(-1, table.shape[1])
    wanted = torch.zeros_like(table, dtype=torch.float64)
    wanted.index_add_(0, index.flatten().long(), rows)
    close(torch.ops.tedg.concat_embedding_backward(grad, index, table), wanted, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(300, 70, 81, 29, 4), (65, 0, 3, 256, 9), (1, 5, 1, 1, 1)])
def test_equals_the_reference(dtype, shape):
    check(problem(*shape, dtype), dtype)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 140),
    features=st.integers(0, 9),
    count=st.integers(0, 12),
    classes=st.integers(1, 256),
    width=st.integers(1, 37),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 1000),
)
def test_any_shape(rows, features, count, classes, width, dtype, seed):
    arguments = problem(rows, features, count, classes, width, dtype, seed)
    check(arguments, dtype)


def test_strided_arguments_and_gradient():
    tensors = problem(70, 6, 8, 5, 4, torch.float64)
    packed = concat_embedding(**tensors)
    table = tensors["table"].T.contiguous().T.requires_grad_()
    out = concat_embedding(tensors["features"].T.contiguous().T, tensors["index"], table)
    assert torch.equal(out, packed)
    weight = torch.randn(out.shape[::-1], dtype=torch.float64).T
    (grad,) = torch.autograd.grad((out * weight).sum(), table)
    leaf = tensors["table"].requires_grad_()
    wanted = reference.concat_embedding(tensors["features"], tensors["index"], leaf)
    torch.testing.assert_close(grad, torch.autograd.grad((wanted * weight).sum(), leaf)[0])


def test_elsewhere_it_is_the_reference():
    tensors = problem(3, 2, 5, 4, 6, torch.float32)
    elsewhere = {name: value.to("meta") for name, value in tensors.items()}
    assert concat_embedding(**elsewhere).shape == (3, 32)
