"""The two layers beside PyTorch Geometric's, with the same parameters."""

import pytest
import torch

from tedg_fast import nn as ours

LAYERS = ["GATConv", "GATv2Conv"]


def pair(layer, *args, **kwargs):
    """(ours, theirs) with the same parameters."""
    geometric = pytest.importorskip("torch_geometric.nn")
    torch.manual_seed(7)
    theirs = getattr(geometric, layer)(*args, **kwargs)
    mine = getattr(ours, layer)(*args, **kwargs)
    if not any(isinstance(p, torch.nn.UninitializedParameter) for p in theirs.parameters()):
        mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def edges(sources, targets, count, seed=0, loops=True):
    """Isolated targets, duplicates and (if they may be) self-loops included."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(0, max(sources, 1), (count,), generator=generator)
    target = torch.randint(0, max(targets - 1, 1), (count,), generator=generator)
    index = torch.stack([source, target])
    index = torch.cat([index, index[:, : count // 4]], 1)
    return index if loops else index[:, index[0] != index[1]]


def close(actual, expected, what=""):
    tolerance = dict(rtol=1e-4, atol=1e-5)
    if expected.dtype == torch.float64:
        tolerance = dict(rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(
        actual, expected, **tolerance, msg=lambda text: f"{what}: {text}" if what else text
    )


def same(mine, theirs, x, *args, **kwargs):
    """Both layers give the same output and the same gradients of all parameters and inputs."""
    inputs = [v for v in (x if isinstance(x, tuple) else (x,)) if v is not None]
    for extra in (*args, *kwargs.values()):
        if isinstance(extra, torch.Tensor) and extra.is_floating_point():
            inputs.append(extra)
    inputs = [v.requires_grad_() for v in inputs if v.layout == torch.strided]
    outputs, grads = [], []
    for layer in (mine, theirs):
        out = layer(x, *args, **kwargs)
        outputs.append(out)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
        wanted = [*inputs, *(value for _, value in sorted(layer.named_parameters()))]
        grads.append(torch.autograd.grad((out * weight).sum(), wanted, allow_unused=True))
    close(*outputs, "output")
    for place, (a, e) in enumerate(zip(*grads, strict=True)):
        a, e = (torch.zeros(()) if g is None else g for g in (a, e))
        if not a.any() and not e.any():
            continue
        close(a, e, f"gradient {place}")
    return outputs[0]
