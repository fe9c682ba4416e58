"""The rules that apply to a batch of states, as the policy's parts read them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tedg_fast.nethack.facts.observation import NOTHING


class Instances(NamedTuple):
    """All instances of a batch, one after the other: ``sample`` [E] int64 (row of the batch),
    ``rule`` [E] int64, ``actions`` [E, 4] int64 (NOTHING: fewer)."""

    sample: Tensor
    rule: Tensor
    actions: Tensor


class Active(NamedTuple):
    """What holds in each of B states: ``nodes`` [B, C + O] bool, the conditions that hold and the
    rules that apply; ``instances`` [B, I, 8] uint8, to what and by which actions they do
    (``Observation.instances``)."""

    nodes: Tensor
    instances: Tensor

    def select(self, rows: Tensor) -> "Active":
        """The states ``rows`` [R] (int64)."""
        return Active(*(part.index_select(0, rows) for part in self))

    def listed(self) -> Instances:
        """The instances without the empty places."""
        bytes_of = self.instances.long()
        rule = bytes_of[..., 0] + 256 * bytes_of[..., 1]
        sample, place = (rule != 256 * NOTHING + NOTHING).nonzero(as_tuple=True)
        return Instances(sample, rule[sample, place], bytes_of[sample, place, 4:])


def active_of(
    active_bits: np.ndarray, instances: np.ndarray, conditions: int, operators: int
) -> Active:
    """Packed conditions [B, ceil(C/8)] uint8 and instances [B, I, 8] uint8 → what is active."""
    holds = torch.from_numpy(np.unpackbits(active_bits, axis=1, count=conditions)).bool()
    active = Active(torch.zeros(len(holds), conditions + operators, dtype=torch.bool),
                    torch.from_numpy(np.ascontiguousarray(instances)))  # fmt: skip
    active.nodes[:, :conditions] = holds
    listed = active.listed()
    active.nodes[listed.sample, conditions + listed.rule] = True
    return active
