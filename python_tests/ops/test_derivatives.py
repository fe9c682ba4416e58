"""Every way of PyTorch to differentiate: right, or refused by name, never a silent zero."""

import pytest
import torch
from ops.test_contract import NAMES, problems
from torch.autograd import forward_ad

from tedg_fast.ops import reference, sparsemax

REFUSED = "has no forward-mode derivative|second derivative is not implemented"


def scalar(name):
    """A function of the problem's tensors to one number, and those tensors."""
    function, tensors = problems(batch=2)[name]
    names = list(tensors)

    def total(*values):
        out = function(**dict(zip(names, values, strict=True)))
        outputs = (out,) if isinstance(out, torch.Tensor) else tuple(out)
        return sum(torch.where(o == -torch.inf, 0, o).square().sum() for o in outputs)

    return total, tuple(tensors.values())


@pytest.mark.parametrize("name", NAMES)
def test_func_grad_and_vjp(name):
    total, values = scalar(name)
    leaves = [value.clone().requires_grad_() for value in values]
    wanted = torch.autograd.grad(total(*leaves), leaves)
    places = tuple(range(len(values)))
    _, pull = torch.func.vjp(total, *values)
    one = torch.ones((), dtype=torch.float64)
    for found in (torch.func.grad(total, argnums=places)(*values), pull(one)):
        for actual, expected in zip(found, wanted, strict=True):
            assert torch.equal(actual, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sparsemax"])
def test_forward_mode_is_refused(name):
    total, values = scalar(name)
    with pytest.raises(RuntimeError, match=REFUSED):
        torch.func.jvp(total, values, tuple(map(torch.ones_like, values)))
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match=REFUSED):
        total(*(forward_ad.make_dual(value, torch.ones_like(value)) for value in values))
    with forward_ad.dual_level(), torch.no_grad(), pytest.raises(RuntimeError, match=REFUSED):
        total(*(forward_ad.make_dual(value, torch.ones_like(value)) for value in values))


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_are_refused(name):
    total, values = scalar(name)

    def first(*values):
        grads = torch.func.grad(total, argnums=tuple(range(len(values))))(*values)
        return sum(grad.square().sum() for grad in grads)

    with pytest.raises(RuntimeError, match=REFUSED):
        torch.func.grad(first)(*values)
    with pytest.raises(RuntimeError, match=REFUSED):
        torch.func.jvp(first, values, tuple(map(torch.ones_like, values)))


@pytest.mark.parametrize("count", [5, 260])
def test_sparsemax_in_forward_mode(count):
    x, tangent = torch.randn(2, 3, count, dtype=torch.float64).unbind()
    _, wanted = torch.func.jvp(reference.sparsemax, (x,), (tangent,))
    assert wanted.any()
    for found in (
        torch.func.jvp(sparsemax, (x,), (tangent,))[1],
        torch.func.jvp(lambda x: sparsemax(x.T, dim=0).T, (x,), (tangent,))[1],
    ):
        torch.testing.assert_close(found, wanted)
    with forward_ad.dual_level():
        out = sparsemax(forward_ad.make_dual(x, tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(out).tangent, wanted)
    row = x[0]
    jacobian = torch.func.jacfwd(sparsemax)(row)
    torch.testing.assert_close(jacobian, torch.func.jacrev(sparsemax)(row))
    x.requires_grad_()
    assert torch.autograd.gradcheck(sparsemax, x, check_forward_ad=True, fast_mode=True)
