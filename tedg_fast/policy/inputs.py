"""What a policy reads of a batch of observations, as tensors."""

from typing import NamedTuple

import torch
from torch import Tensor

from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy.scenes import Scenes


class PolicyInput(NamedTuple):
    """B observations: ``features`` [B, F] float32, ``crop`` [B, CROP²] uint8, ``action_mask``
    [B, A] bool; ``scenes``, their graphs, None for a policy that reads none."""

    features: Tensor
    crop: Tensor
    action_mask: Tensor
    scenes: Scenes | None

    @classmethod
    def of(
        cls, observation: Observation, scenes: Scenes | None, device: torch.device | str
    ) -> "PolicyInput":
        """Of an observation with one leading dimension; shares memory on the CPU."""
        arrays = (observation.features, observation.crop, observation.action_mask)
        features, crop, mask = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(features, crop, mask, scenes)

    def select(self, rows: Tensor) -> "PolicyInput":
        """The observations ``rows`` [R] (int64), in their order, repeats allowed."""
        *state, scenes = self
        features, crop, mask = (part.index_select(0, rows) for part in state)
        return PolicyInput(features, crop, mask, None if scenes is None else scenes.select(rows))


def scenes_of(inputs: PolicyInput) -> Scenes:
    """The scene graphs of ``inputs``, for callers that need them to be there."""
    assert inputs.scenes is not None
    return inputs.scenes
