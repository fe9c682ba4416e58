"""What V3's network reads, as tensors."""

from typing import NamedTuple

from torch import Tensor


class V3Input(NamedTuple):
    """B observations: ``features`` [B, 115] float32, ``active`` nodes [B, N] bool, ``action_mask``
    [B, 24] bool."""

    features: Tensor
    active: Tensor
    action_mask: Tensor

    def select(self, rows: Tensor) -> "V3Input":
        """The observations ``rows`` [R] (int64), in their order, repeats allowed."""
        return V3Input(*(part.index_select(0, rows) for part in self))
