import doctest

import pytest
import torch

import tedg_fast.nn.gat
import tedg_fast.nn.routing
from tedg_fast.nn import ExpertRouter, Sparsemax

INF = torch.inf


@pytest.mark.parametrize("count", [1, 2, 4, 17, 64, 300])
def test_sparsemax_equals_entmax(count):
    entmax = pytest.importorskip("entmax")
    x = torch.randn(50, count, generator=torch.Generator().manual_seed(count))
    x[10] = 0  # all tied
    x[11] = x[11].round()  # some tied
    x[12] *= 1e8
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    actual, expected = Sparsemax()(leaf), entmax.sparsemax(other, dim=-1)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    weight = torch.randn_like(x)
    (got,) = torch.autograd.grad((actual * weight).sum(), leaf)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), other)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_sparsemax_of_masked_rows():
    entmax = pytest.importorskip("entmax")
    x = torch.randn(20, 6)
    x[torch.rand(20, 6) < 0.3] = -INF
    x[:, 0] = 0.5
    torch.testing.assert_close(Sparsemax()(x), entmax.sparsemax(x, dim=-1))
    assert Sparsemax()(torch.full((2, 3), -INF)).isnan().all()


def test_router_learns_to_pick_the_right_expert():
    torch.manual_seed(0)
    router = ExpertRouter(2, 3, hidden=16)
    optimizer = torch.optim.Adam(router.parameters(), 1e-2)
    state = torch.randn(256, 2)
    right = (state[:, 0] > 0).long()
    experts = torch.eye(3).expand(256, 3, 3) * 5
    for _ in range(150):
        _, logits = router(state, experts)
        loss = torch.nn.functional.cross_entropy(logits, right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    alpha, _ = router(state, experts)
    assert (alpha.argmax(-1) == right).float().mean() > 0.95
    assert (alpha == 0).any(), "sparsemax leaves experts out entirely"


def test_router_refuses_an_unknown_mapping():
    with pytest.raises(ValueError, match="mapping must be 'softmax' or 'sparsemax', got 'top2'"):
        ExpertRouter(2, 3, mapping="top2")


@pytest.mark.parametrize("module", [tedg_fast.nn.gat, tedg_fast.nn.routing])
def test_the_examples_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 and results.failed == 0
