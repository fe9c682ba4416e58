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
_OBSERVATIONS = ("observation.", "last.")

KILLER_BYTES = 64  # a longer name is cut

# What a worker says of an episode that ended; `ending` indexes episode.ENDINGS.
RECORD = np.dtype(
    [
        ("number", np.int64),
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
    """One row per environment. While a worker carries out a command its rows are the worker's,
    otherwise the trainer's; who writes a field is said beside it."""

    action: np.ndarray  # uint8 [E]                trainer: what was decided
    discount: np.ndarray  # float64 [E]            trainer: of rewards, a game step
    begin: np.ndarray  # bool [E]                  trainer: whose game to begin
    # Which episode is played, which come next, and whether none does: the trainer where it has a
    # game begin, the worker where one follows another.
    episode: np.ndarray  # int64 [E]
    next_episode: np.ndarray  # int64 [E]
    later_episode: np.ndarray  # int64 [E]
    idle: np.ndarray  # bool [E]
    # The episode's actions so far: the worker; the trainer where they are to be replayed.
    num_actions: np.ndarray  # int64 [E]
    log: np.ndarray  # uint8 [E, max_steps]
    # Of the last decision, see StepResult; the worker.
    reward: np.ndarray  # float32 [E]
    length: np.ndarray  # int64 [E]
    terminated: np.ndarray  # bool [E]
    truncated: np.ndarray  # bool [E]
    follows: np.ndarray  # bool [E]
    shown: np.ndarray  # uint8 [E, ceil(C / 8)]
    record: np.ndarray  # RECORD [E]               worker: valid where an episode ended
    digest: np.ndarray  # uint8 [E, DIGEST_BYTES]  worker: of the raw observation, on request
    # int64 [E, 2]; worker: objects and rule instances left out so far, a share's in its first row.
    left_out: np.ndarray
    observation: Observation  # [E, ...]           worker: what is to be decided upon
    last: Observation  # [E, ...]                  worker: the last one where an episode was cut


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
    observation, last = (
        Observation(**{name: arrays.pop(prefix + name) for name in spec.fields()})
        for prefix in _OBSERVATIONS
    )
    return SharedState(**arrays, observation=observation, last=last)


def _layout(
    num_envs: int, max_steps: int, spec: ObservationSpec
) -> tuple[dict[str, tuple[tuple[int, ...], np.dtype, int]], int]:
    """Every array's shape, dtype and offset, and the size of all."""
    fields = spec.fields()
    rows: dict[str, tuple[tuple[int, ...], np.dtype]] = {
        "action": ((), np.dtype(np.uint8)),
        "discount": ((), np.dtype(np.float64)),
        "begin": ((), np.dtype(bool)),
        "episode": ((), np.dtype(np.int64)),
        "next_episode": ((), np.dtype(np.int64)),
        "later_episode": ((), np.dtype(np.int64)),
        "idle": ((), np.dtype(bool)),
        "num_actions": ((), np.dtype(np.int64)),
        "log": ((max_steps,), np.dtype(np.uint8)),
        "reward": ((), np.dtype(np.float32)),
        "length": ((), np.dtype(np.int64)),
        "terminated": ((), np.dtype(bool)),
        "truncated": ((), np.dtype(bool)),
        "follows": ((), np.dtype(bool)),
        "shown": fields["active_bits"],
        "record": ((), RECORD),
        "digest": ((DIGEST_BYTES,), np.dtype(np.uint8)),
        "left_out": ((2,), np.dtype(np.int64)),
        **{prefix + name: kind for prefix in _OBSERVATIONS for name, kind in fields.items()},
    }
    layout: dict[str, tuple[tuple[int, ...], np.dtype, int]] = {}
    offset = 0
    for name, (shape, dtype) in rows.items():
        layout[name] = ((num_envs, *shape), dtype, offset)
        size = num_envs * int(np.prod(shape)) * dtype.itemsize
        offset += -(-size // _CACHE_LINE) * _CACHE_LINE
    return layout, offset
