"""Looking up rows of a small table, beside other inputs of a network."""

from torch import Tensor, ops

from tedg_fast.ops import _checks, reference
from tedg_fast.ops._native import has_kernel


def concat_embedding(features: Tensor, index: Tensor, table: Tensor) -> Tensor:
    """Each row's features followed by the rows of ``table`` that its indices name.

    Args:
        features: [B, F], dtype of ``table``; no gradient flows to it.
        index: [B, S], uint8.
        table: [classes, width]; float32, bfloat16, float16 or float64.

    Returns:
        [B, F + S * width], dtype of ``table``. Differentiable, once.

    Raises:
        ValueError or RuntimeError: an argument's shape, dtype or device does not fit, or an index
            is not below ``classes``. (Elsewhere than on the CPU the last is an IndexError, or
            ends the launch on the device.)
    """
    _checks.embedding(features, index, table)
    if has_kernel(table.device, "concat_embedding"):
        return ops.tedg.concat_embedding.default(features.detach(), index, table)
    return reference.concat_embedding(features, index, table)
