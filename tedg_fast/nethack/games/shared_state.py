"""The memory that the trainer's process and its game workers share.

It is an anonymous file (memfd) mapped by all of them: it has no name anywhere, so it is gone when
the last process is, however that one ended. Linux only.
"""

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tedg_fast.nethack.facts.observation import Observation, ObservationSpec
from tedg_fast.nethack.rows import Rows

DIGEST_BYTES = 16
_CACHE_LINE = 64

KILLER_BYTES = 64  # a longer name is cut

# What a worker says of an episode that ended; `ending` indexes episode.ENDINGS.
RECORD = np.dtype(
    [
        ("reward", np.float64),
        ("length", np.int64),
        ("true_score", np.int64),
        ("last_observation_score", np.int64),
        ("depth", np.int64),
        ("ending", np.uint8),
        ("killer", f"S{KILLER_BYTES}"),
    ],
    align=True,
)


@dataclass
class SharedState(Rows):
    """One row per environment. Who writes a field is said beside it; nobody else does."""

    action: np.ndarray  # uint8 [E]                 trainer: what to play next
    begin: np.ndarray  # bool [E]                   trainer: whose game to begin
    seeds: np.ndarray  # uint64 [E, 2]              trainer: seeds of the current episode
    num_actions: np.ndarray  # int64 [E]            trainer: actions of the current episode ...
    log: np.ndarray  # uint8 [E, max_steps]         trainer: ... and these themselves
    reward: np.ndarray  # float32 [E]               worker: of the last step
    terminated: np.ndarray  # bool [E]              worker
    truncated: np.ndarray  # bool [E]               worker
    record: np.ndarray  # RECORD [E]                worker: valid where the last step ended one
    digest: np.ndarray  # uint8 [E, DIGEST_BYTES]   worker: of the raw observation, on request
    # int64 [E, 2]; worker: objects and rule instances left out so far, a share's in its first row.
    left_out: np.ndarray
    observation: Observation  # [E, ...]            worker


def create_memory(num_envs: int, max_steps: int, spec: ObservationSpec) -> int:
    """A file descriptor of zeroed memory, large enough for `map_memory`; the caller closes it."""
    descriptor = os.memfd_create("tedg-games")
    os.ftruncate(descriptor, _layout(num_envs, max_steps, spec)[1])
    return descriptor


def map_memory(
    descriptor: int, num_envs: int, max_steps: int, spec: ObservationSpec
) -> SharedState:
    """The memory behind `descriptor` as arrays; the descriptor may be closed afterwards."""
    layout, size = _layout(num_envs, max_steps, spec)
    memory = mmap.mmap(descriptor, size)
    arrays: dict[str, Any] = {
        name: np.ndarray(shape, dtype, buffer=memory, offset=offset)
        for name, (shape, dtype, offset) in layout.items()
    }
    observation = Observation(**{name: arrays.pop(name) for name in spec.fields()})
    return SharedState(**arrays, observation=observation)


def _layout(
    num_envs: int, max_steps: int, spec: ObservationSpec
) -> tuple[dict[str, tuple[tuple[int, ...], np.dtype, int]], int]:
    """Every array's shape, dtype and offset, and the size of all."""
    rows = {
        "action": ((), np.dtype(np.uint8)),
        "begin": ((), np.dtype(bool)),
        "seeds": ((2,), np.dtype(np.uint64)),
        "num_actions": ((), np.dtype(np.int64)),
        "log": ((max_steps,), np.dtype(np.uint8)),
        "reward": ((), np.dtype(np.float32)),
        "terminated": ((), np.dtype(bool)),
        "truncated": ((), np.dtype(bool)),
        "record": ((), RECORD),
        "digest": ((DIGEST_BYTES,), np.dtype(np.uint8)),
        "left_out": ((2,), np.dtype(np.int64)),
        **spec.fields(),
    }
    layout = {}
    offset = 0
    for name, (shape, dtype) in rows.items():
        layout[name] = ((num_envs, *shape), dtype, offset)
        size = num_envs * int(np.prod(shape)) * dtype.itemsize
        offset += -(-size // _CACHE_LINE) * _CACHE_LINE
    return layout, offset
