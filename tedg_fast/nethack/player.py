"""A policy that plays without PyTorch (csrc/nethack/player): all that makes one but its weights."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tedg_fast.nethack import _native_grounding


@dataclass(frozen=True)
class PlayerSetup:
    """Picklable, and all that stays as it is while a policy learns.

    Attributes
    ----------
    scenes : arguments of the native `SceneGraphBuilder`.
    shapes : of the weights, by the groups that csrc/nethack/player/player.h names.
    owner : the expert of each rule.
    experts : how many there are.
    features, player_features : how many an observation has, and which of them, from the first to
        before the last, the player's node begins with.
    advice_weight, direct : as of `Policy`.
    """

    scenes: dict[str, Any]
    shapes: tuple[tuple[tuple[int, ...], ...], ...]
    owner: tuple[int, ...]
    experts: int
    features: int
    player_features: tuple[int, int]
    advice_weight: float
    direct: bool

    @property
    def num_weights(self) -> int:
        """The numbers in all weights together."""
        return sum(prod(shape) for group in self.shapes for shape in group)

    def player(self, weights: np.ndarray) -> "_native_grounding.Player":
        """The native player by `weights` (float32 [num_weights], one group after the other), which
        it reads anew for each state: who changes them changes how it plays.

        Called with an observation [B, ...] it returns logits [B, A] (masked), value [B] and alpha
        [B, K], float32 each. Raises ValueError for weights of another number or kind, and where
        called, for an observation of other rules or another shape.
        """
        return _native_grounding.Player(
            scenes=_native_grounding.SceneGraphBuilder(**self.scenes),
            shapes=[list(map(list, group)) for group in self.shapes],
            weights=weights,
            owner=list(self.owner),
            features=self.features,
            player_features=self.player_features,
            advice_weight=self.advice_weight,
            direct=self.direct,
        )
