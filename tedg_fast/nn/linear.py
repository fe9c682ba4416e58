"""Linear maps with the initial values of Glorot & Bengio 2010, and a lazy input width."""

import math
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

LARGE = 1 << 24
"""Bytes of a result from which on large pages save more time than asking for them costs."""
_ALIGNMENT = 64
"""Bytes: a cache line, which vectors are written to whole."""
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def glorot_(tensor: Tensor) -> None:
    """Uniform within sqrt(6 / (fan in + fan out)), the fans being the last two sizes."""
    bound = math.sqrt(6.0 / (tensor.shape[-2] + tensor.shape[-1]))
    nn.init.uniform_(tensor, -bound, bound)


class Linear(nn.Linear):
    """``torch.nn.Linear`` with Glorot's initial weight, and large results in large pages."""

    def reset_parameters(self) -> None:
        glorot_(self.weight)
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight) if self.bias is None else super().forward(x)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """``x Wᵀ`` [.., out], as ``torch.nn.functional.linear``; if it is large, in large pages."""
    if _in_large_pages(x, weight):
        return _LargeProduct.apply(x, weight)
    return F.linear(x, weight)


class _LargeProduct(torch.autograd.Function):
    """``x Wᵀ`` and its gradients, each in memory that the system may back with large pages.

    PyTorch's own results of this size are new memory at every call, handed out in pages of 4 KiB:
    clearing them one by one takes half as long as the product. NumPy asks for large ones.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _mm(x, weight.t())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        mm = torch.mm if torch.is_grad_enabled() else _mm  # `out=` has no derivative
        needs_x, needs_weight = ctx.needs_input_grad
        return mm(grad, weight) if needs_x else None, mm(grad.t(), x) if needs_weight else None


def _mm(a: Tensor, b: Tensor) -> Tensor:
    """``torch.mm`` into memory of NumPy's if it is large, from a multiple of ``_ALIGNMENT`` on."""
    shape = (a.shape[0], b.shape[1])
    size = math.prod(shape)
    if size * a.element_size() < LARGE:
        return torch.mm(a, b)
    memory = np.empty(size + _ALIGNMENT, _DTYPES[a.dtype])
    first = -memory.ctypes.data // memory.itemsize % (_ALIGNMENT // memory.itemsize)
    return torch.mm(a, b, out=torch.from_numpy(memory[first : first + size].reshape(shape)))


def _in_large_pages(x: Tensor, weight: Tensor) -> bool:
    """Whether the product or its gradient is large, of plain tensors that nothing transforms."""
    return (
        not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.dim() == 2
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in _DTYPES
        and x.shape[1] == weight.shape[1]
        and x.shape[0] * max(weight.shape) * x.element_size() >= LARGE
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
        and not any(map(torch._C._functorch.is_functorch_wrapped_tensor, (x, weight)))
    )


class LazyLinear(nn.LazyLinear):
    """A :class:`Linear` that takes its input width from the first input."""

    cls_to_become = Linear

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features != 0:
            Linear.reset_parameters(self)  # type: ignore[arg-type]  # it becomes one


def linear(in_features: int, out_features: int, bias: bool = False) -> nn.Linear:
    """A linear map; ``in_features`` -1 leaves the width to the first input."""
    if in_features == -1:
        return LazyLinear(out_features, bias)
    return Linear(in_features, out_features, bias)


def is_plain(module: nn.Module) -> TypeGuard[Linear]:
    """Whether ``module`` is an unchanged :class:`Linear` without bias: not wrapped, no hooks."""
    if type(module) is not Linear or module.bias is not None or "forward" in module.__dict__:
        return False
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return not any((*hooks, module._backward_hooks, module._backward_pre_hooks))
