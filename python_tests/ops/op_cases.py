"""Problems for the op tests, and the comparison with the reference."""

import torch

from tedg_fast.ops import Graph

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
# (rtol, atol): a few roundings of the storage type, of float32 sums where that is finer.
TOLERANCE = {
    torch.float64: (1e-9, 1e-11),
    torch.float32: (2e-5, 2e-5),
    torch.bfloat16: (4e-2, 4e-2),
    torch.float16: (6e-3, 6e-3),
}


def close(actual, expected, dtype, what=""):
    rtol, atol = TOLERANCE[dtype]
    torch.testing.assert_close(
        actual.double(),
        expected.double(),
        rtol=rtol,
        atol=atol,
        equal_nan=True,
        msg=lambda text: f"{what}: {text}",
    )


def attention_problem(
    *,
    batch=2,
    sources=7,
    targets=5,
    edges=23,
    heads=3,
    width=5,
    relations=0,
    masked=False,
    dtype=torch.float32,
    seed=0,
):
    """(graph, tensors for gat_attention by name); the last target has no edge."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    if sources == 0 or targets == 0:
        edges = 0
    source = torch.randint(0, max(sources, 1), (edges,), generator=generator)
    target = torch.randint(0, max(targets - 1, 1), (edges,), generator=generator)
    relation = None
    if relations:
        relation = torch.randint(0, relations, (edges,), generator=generator)
    graph = Graph(torch.stack([source, target]), sources, targets, relation)
    arguments = {
        "x": normal(batch, sources, heads, width),
        "score_src": normal(batch, sources, heads),
        "score_dst": normal(batch, targets, heads),
        "edge_bias": normal(relations, heads) if relations else None,
        "node_mask": torch.rand(batch, sources, generator=generator) > 0.4 if masked else None,
    }
    return graph, arguments


def gradients(function, arguments, seed=0):
    """Outputs of function(**arguments) and the gradients of random sums of them, by name.

    The inputs are leaves of float dtype; outputs that are -inf (lse of an empty row) are left out
    of the sum.
    """
    leaves = {
        name: value.detach().clone().requires_grad_()
        for name, value in arguments.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    outputs = function(**{**arguments, **leaves})
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:
        weight = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        weight = weight.to(output.device, output.dtype).double()
        finite = torch.where(output == -torch.inf, 0, output.double())
        total = total + (weight * finite).sum()
    grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return outputs, dict(zip(leaves, grads, strict=True))


def compare(native, reference, arguments, dtype, grads=True):
    """Native and reference give the same outputs and gradients within rounding of ``dtype``.

    For 16-bit types the reference runs in float64 on the same (rounded) inputs, so that what is
    measured is the native op's own error.
    """
    wide = {
        name: value.double()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
        else value
        for name, value in arguments.items()
    }
    outputs, native_grads = gradients(native, arguments)
    expected, expected_grads = gradients(reference, wide)
    for index, (a, e) in enumerate(zip(outputs, expected, strict=True)):
        close(a, e, dtype, f"output {index}")
    if grads:
        for name, grad in native_grads.items():
            expected_grad = expected_grads[name]
            if expected_grad is None:  # native gives zeros where autograd knows of no path
                assert grad is None or not grad.any(), name
            else:
                close(grad, expected_grad, dtype, f"gradient of {name}")
