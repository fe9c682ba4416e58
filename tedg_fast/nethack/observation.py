"""What a policy sees of one game."""

from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.features import NUM_FEATURES
from tedg_fast.nethack.rows import Rows

CROP = 9

@dataclass
class Observation(Rows):
    """One row per game; every field has the same leading dimensions [...]."""

    active_bits: np.ndarray  # uint8 [..., ceil(C / 8)]: active conditions, np.packbits order
    features: np.ndarray  # float32 [..., NUM_FEATURES]: see features.py
    crop: np.ndarray  # uint8 [..., CROP * CROP]: glyph classes around the player, row-major
    action_mask: np.ndarray  # bool [..., 23]: True = allowed; never an all-False row


@dataclass(frozen=True)
class ObservationSpec:
    """Shapes and dtypes of an Observation's row for a hypergraph of so many conditions."""

    num_conditions: int

    def fields(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Name -> (shape of one row, dtype), in the order of Observation's fields."""
        return {
            "active_bits": ((-(-self.num_conditions // 8),), np.dtype(np.uint8)),
            "features": ((NUM_FEATURES,), np.dtype(np.float32)),
            "crop": ((CROP * CROP,), np.dtype(np.uint8)),
            "action_mask": ((NUM_ACTIONS,), np.dtype(bool)),
        }

    def empty(self, *leading: int) -> Observation:
        """An observation of zeros with the given leading dimensions."""
        return Observation(
            *(np.zeros(leading + shape, dtype) for shape, dtype in self.fields().values())
        )
