"""Linear maps with the initial values of Glorot & Bengio 2010, and a lazy input width."""

import math
from typing import TypeGuard

from torch import Tensor, nn


def glorot_(tensor: Tensor) -> None:
    """Uniform within sqrt(6 / (fan in + fan out)), the fans being the last two sizes."""
    bound = math.sqrt(6.0 / (tensor.shape[-2] + tensor.shape[-1]))
    nn.init.uniform_(tensor, -bound, bound)


class Linear(nn.Linear):
    """``torch.nn.Linear`` with Glorot's initial weight."""

    def reset_parameters(self) -> None:
        glorot_(self.weight)
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)


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
