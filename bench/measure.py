"""Running one implementation under pytest-benchmark, and its peak memory beside."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch


def forward(function: Callable, inputs: list[torch.Tensor]) -> Callable:
    """A call of function(*inputs) without gradients."""

    def run():
        with torch.no_grad():
            return function(*inputs)

    return run


def forward_backward(function: Callable, inputs: list[torch.Tensor]) -> Callable:
    """A call of function(*inputs) and the gradients of its outputs by the float inputs."""
    leaves = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    wanted = [x for x in leaves if x.requires_grad]
    generator = torch.Generator().manual_seed(1)
    weights: list[torch.Tensor] = []

    def run():
        outputs = function(*leaves)
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        if not weights:
            weights.extend(torch.randn(o.shape, generator=generator).to(o.dtype) for o in outputs)
        return torch.autograd.grad(outputs, wanted, weights)

    return run


def agree(actual, expected, what: str, tolerance: float = 1e-3) -> None:
    """Both give the same numbers within rounding, or the timing would mean nothing.

    An element may be a small rest of large sums, as in a weight's gradient over many nodes, so the
    tensor's root mean square, where it is above 1, is the measure of the error.
    """
    actual = [actual] if isinstance(actual, torch.Tensor) else actual
    expected = [expected] if isinstance(expected, torch.Tensor) else expected
    for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
        size = e.double().square().mean().sqrt().item() if e.numel() else 0.0
        torch.testing.assert_close(
            a.reshape(e.shape).to(e.dtype), e, rtol=tolerance, atol=tolerance / 10 * max(1.0, size),
            msg=lambda text: f"{what}[{index}]: {text}",
        )  # fmt: skip


def peak_bytes(run: Callable) -> int:
    """The most memory that a call needs beyond what was in use before it (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that stays mapped would hide new needs
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here
    result = run()
    peak = _status("VmHWM")
    del result
    return max(peak - before, 0)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
