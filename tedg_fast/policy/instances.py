"""The rules that apply to a batch of states, as the policy's parts read them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tedg_fast.nethack.facts.observation import INSTANCE, NO_RULE


class Instances(NamedTuple):
    """The instances of B states, one state's after the other's.

    Those of state b are ``start[b]`` to ``start[b + 1]``: ``start`` [B + 1], ``rule`` [E] and
    ``actions`` [E, 4] (NOTHING: fewer), all int64.
    """

    start: Tensor
    rule: Tensor
    actions: Tensor

    @classmethod
    def none(cls, batch: int, device: torch.device | str = "cpu") -> "Instances":
        """No instances in any of ``batch`` states."""
        new = torch.zeros(batch + 1, dtype=torch.int64, device=device)
        return cls(new, new[:0], new[:0].view(0, 4))

    def sample(self) -> Tensor:
        """The state that each instance belongs to, int64 [E]."""
        return torch.repeat_interleave(self.start.diff())

    def select(self, rows: Tensor) -> "Instances":
        """The instances of the states ``rows`` [R] (int64)."""
        first = self.start[rows]
        count = self.start[rows + 1] - first
        start = torch.cat([count.new_zeros(1), count.cumsum(0)])
        place = torch.arange(int(start[-1]), device=start.device)
        place += torch.repeat_interleave(first - start[:-1], count)
        return Instances(start, self.rule[place], self.actions[place])


class Active(NamedTuple):
    """What holds in each of B states: ``nodes`` [B, C + O] bool, the conditions that hold and the
    rules that apply; ``instances``, by which actions they do."""

    nodes: Tensor
    instances: Instances

    def select(self, rows: Tensor) -> "Active":
        """The states ``rows`` [R] (int64)."""
        return Active(self.nodes.index_select(0, rows), self.instances.select(rows))

    def to(self, device: torch.device | str) -> "Active":
        """The same on another device."""
        parts = (part.to(device) for part in self.instances)
        return Active(self.nodes.to(device), Instances(*parts))


def active_of(
    active_bits: np.ndarray, instances: np.ndarray, conditions: int, operators: int
) -> Active:
    """Packed conditions [B, ceil(C/8)] and instances [B, I, 8] (``Observation.instances``), both
    uint8 → what is active."""
    batch = len(active_bits)
    nodes = np.zeros((batch, conditions + operators), np.uint8)
    nodes[:, :conditions] = np.unpackbits(active_bits, axis=1, count=conditions)
    listed = np.ascontiguousarray(instances).view(INSTANCE)[..., 0]
    applying = listed["rule"] != NO_RULE
    sample, _ = applying.nonzero()
    found = listed[applying]
    nodes[sample, conditions + found["rule"].astype(np.int64)] = 1
    start = np.zeros(batch + 1, np.int64)
    applying.sum(1).cumsum(out=start[1:])
    parts = (start, found["rule"].astype(np.int64), found["actions"].astype(np.int64))
    return Active(torch.from_numpy(nodes).bool(), Instances(*map(torch.from_numpy, parts)))
