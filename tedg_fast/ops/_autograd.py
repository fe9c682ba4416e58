"""How the autograd formulas of :mod:`tedg_fast.ops._register` are hung on ``torch.ops.tedg``.

What has no formula, the gradients' own derivatives and (but for sparsemax) forward mode, is
refused: it raises, instead of giving a wrong number.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

from tedg_fast.ops import _native  # noqa: F401  (defines the ops)

ops = torch.ops.tedg

_library = torch.library.Library("tedg", "IMPL")


def _differentiates(value: Any, forward_mode: bool) -> bool:
    if not isinstance(value, Tensor):
        return False
    if torch.is_grad_enabled() and value.requires_grad:
        return True
    return forward_mode and forward_ad.unpack_dual(value).tangent is not None


def register_autograd(
    name: str,
    backward: Callable[..., Any],
    setup: Callable[[Any, tuple, Any], None] = lambda ctx, inputs, output: None,
    jvp: Callable[..., Any] | None = None,
) -> None:
    """As ``torch.library.register_autograd``, at a fraction of its cost a call.

    On small inputs that function's bookkeeping takes longer than the kernels. It also gives zeros
    in forward mode, where this one uses ``jvp`` or refuses.
    """
    op = getattr(ops, name).default

    def below_autograd(*inputs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    def forward(ctx: Any, *inputs: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            # An outer transform differentiates what is below this one's autograd.
            with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
                output = below_autograd(*inputs)
        else:
            output = below_autograd(*inputs)
        setup(ctx, inputs, output)
        return output

    def refuse_forward_mode(ctx: Any, *tangents: Any) -> Any:
        raise RuntimeError(
            f"tedg::{name} has no forward-mode derivative: use reverse mode (backward, "
            "torch.func.vjp), or the function of tedg_fast.ops.reference, which has both"
        )

    members = {
        "forward": staticmethod(forward),
        "backward": staticmethod(backward),
        "jvp": staticmethod(jvp or refuse_forward_mode),
    }
    # Not autograd.Function, which refuses torch.func: the dispatcher has taken that apart already.
    base = torch.autograd.function._SingleLevelFunction
    derivative: Any = type(f"Derivative of tedg::{name}", (base,), members)

    def kernel(*inputs: Any) -> Any:
        forward_mode = forward_ad._current_level >= 0
        for value in inputs:
            if _differentiates(value, forward_mode):
                if torch._C._are_functorch_transforms_active():
                    with enable_single_level_autograd_function():
                        return derivative.apply(*inputs)
                return derivative.apply(*inputs)
        return below_autograd(*inputs)

    _library.impl(name, kernel, "Autograd")


def once_differentiable(op: str) -> None:
    def refuse(ctx, *grads):
        raise RuntimeError(
            f"tedg::{op} can be differentiated once: its second derivative is not implemented"
        )

    register_autograd(f"{op}_backward", refuse)
