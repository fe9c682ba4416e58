"""Large results of a linear map: the numbers of PyTorch's own, whatever is done with the map."""

import pytest
import torch
from torch.nn import functional as F

from tedg_fast.nn import linear as module
from tedg_fast.nn.linear import Linear, product


@pytest.fixture
def taken(monkeypatch):
    """All results count as large; how often large pages were asked for."""
    calls = []
    own = module._LargeProduct.apply
    monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr(module._LargeProduct, "apply", lambda *a: calls.append(1) or own(*a))
    return calls


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0, 3, 5), (1, 1, 1), (7, 3, 5), (300, 128, 64)])
def test_results_and_gradients_are_those_of_pytorch(taken, dtype, shape):
    rows, inputs, outputs = shape
    torch.manual_seed(0)
    x = torch.randn(rows, inputs, dtype=dtype, requires_grad=True)
    weight = torch.randn(outputs, inputs, dtype=dtype, requires_grad=True)
    grad = torch.randn(rows, outputs, dtype=dtype)
    results = []
    for f in (product, F.linear):
        out = f(x, weight)
        assert out.data_ptr() % module._ALIGNMENT == 0 or out.numel() == 0
        results.append((out, *torch.autograd.grad(out, (x, weight), grad)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert len(taken) == (rows > 0)


def test_derivatives_of_all_kinds(taken):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(product, (x, weight), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(product, (x, weight))
    assert taken
    x, weight = x.detach(), weight.detach()
    batched = torch.func.vmap(product, (0, None))(x.expand(2, 4, 3), weight)
    torch.testing.assert_close(batched, F.linear(x, weight).expand(2, 4, 5))
    slope = torch.func.grad(lambda w: product(x, w).square().sum())(weight)
    torch.testing.assert_close(slope, 2 * F.linear(x, weight).T @ x)


def test_what_pytorch_does_otherwise_is_left_to_it(taken):
    layer = Linear(3, 5, bias=False)
    x = torch.randn(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
    assert layer.float()(torch.randn(2, 4, 3)).shape == (2, 4, 5)
    assert not taken
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(torch.randn(4, 2))
    with torch.no_grad():
        torch.testing.assert_close(layer(x), x @ layer.weight.T)
    assert taken
