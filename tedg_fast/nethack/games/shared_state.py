"""The memory that the trainer's process and its game workers share.

It is an anonymous file (memfd) mapped by all of them: it has no name anywhere, so it is gone when
the last process is, however that one ended. Linux only.
"""

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.observation import Observation, ObservationSpec
from tedg_fast.nethack.player import PlayerSetup
from tedg_fast.nethack.rows import Rows

DIGEST_BYTES = 16
_CACHE_LINE = 64

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
    rollout: np.ndarray  # bool [E]                trainer: whether the workers' policy decides
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
    decided: np.ndarray  # int64 [E, 2, rules + 1] worker: of that episode, see Grounder.decided
    digest: np.ndarray  # uint8 [E, DIGEST_BYTES]  worker: of the raw observation, on request
    # int64 [E, 2]; worker: objects and rule instances left out so far, a share's in its first row.
    left_out: np.ndarray
    observation: Observation  # [E, ...]           worker: what is to be decided upon
    last: Observation  # [E, ...]                  worker: the last one where an episode was cut


@dataclass
class Decisions(Rows):
    """All that is known of the decisions of a rollout, one row each: [T, E, ...], or flattened to
    [T · E, ...], where row t · E + e is decision t of environment e. The policy plays in the
    workers, which write all but the noise; A actions, K experts."""

    noise: np.ndarray  # float32 [..., A]       trainer: added to the logits, whose largest decides
    observation: Observation  # [..., ...]      what was decided upon
    logits: np.ndarray  # float32 [..., A]      masked
    value: np.ndarray  # float32 [...]
    alpha: np.ndarray  # float32 [..., K]
    action: np.ndarray  # int64 [...]
    # V of the state that it led to, where that is no other row's: where the episode was cut off,
    # and at the rollout's end.
    next_value: np.ndarray  # float32 [...]
    reward: np.ndarray  # what it led to: as in SharedState
    length: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    follows: np.ndarray
    shown: np.ndarray
    record: np.ndarray
    decided: np.ndarray

    def flat(self) -> "Decisions":
        """The same memory with its two leading dimensions made one."""
        arrays = {
            name: array.reshape(-1, *array.shape[2:])
            for name, array in vars(self).items()
            if name != "observation"
        }
        return Decisions(**arrays, observation=self.observation.flat())


@dataclass(frozen=True)
class RolloutSetup:
    """What the workers must know to play with a policy: the `player` but for its weights, and how
    many `decisions` they take in each game at a time."""

    player: PlayerSetup
    decisions: int


@dataclass(frozen=True)
class Memory:
    """How the shared memory is divided; its parts begin at multiples of a cache line.

    `spec` describes the observations, `num_rules` is of the rules that `decided` counts for.
    Without a `rollout` there is no memory for one.
    """

    num_envs: int
    max_steps: int
    spec: ObservationSpec
    num_rules: int
    rollout: RolloutSetup | None

    def create(self) -> int:
        """A file descriptor of zeroed memory of this size; the caller closes it."""
        descriptor = os.memfd_create("tedg-games")
        os.ftruncate(descriptor, self._layout()[1])
        return descriptor

    def map(self, descriptor: int) -> tuple[SharedState, Decisions | None, np.ndarray]:
        """The memory behind `descriptor` as arrays: the environments' state, the rollout, if there
        is one, and the policy's weights (float32, none without); the descriptor may be closed
        afterwards."""
        layout, size = self._layout()
        memory = mmap.mmap(descriptor, size)
        arrays: dict[str, Any] = {
            name: np.ndarray(shape, dtype, buffer=memory, offset=offset)
            for name, (shape, dtype, offset) in layout.items()
        }

        def taken(prefix: str) -> dict[str, np.ndarray]:
            found = [name for name in arrays if name.startswith(prefix)]
            return {name.removeprefix(prefix): arrays.pop(name) for name in found}

        observation, last = Observation(**taken("observation.")), Observation(**taken("last."))
        decisions = None
        if self.rollout is not None:
            seen = Observation(**taken("rollout.observation."))
            decisions = Decisions(**taken("rollout."), observation=seen)
        weights = arrays.pop("weights")
        return SharedState(**arrays, observation=observation, last=last), decisions, weights

    def _layout(self) -> tuple[dict[str, tuple[tuple[int, ...], np.dtype, int]], int]:
        """Every array's shape, dtype and offset, and the size of all."""
        fields = self.spec.fields()
        led_to: dict[str, tuple[tuple[int, ...], np.dtype]] = {
            "reward": ((), np.dtype(np.float32)),
            "length": ((), np.dtype(np.int64)),
            "terminated": ((), np.dtype(bool)),
            "truncated": ((), np.dtype(bool)),
            "follows": ((), np.dtype(bool)),
            "shown": fields["active_bits"],
            "record": ((), RECORD),
            "decided": ((2, self.num_rules + 1), np.dtype(np.int64)),
        }
        of_state = {
            "action": ((), np.dtype(np.uint8)),
            "rollout": ((), np.dtype(bool)),
            "discount": ((), np.dtype(np.float64)),
            "begin": ((), np.dtype(bool)),
            "episode": ((), np.dtype(np.int64)),
            "next_episode": ((), np.dtype(np.int64)),
            "later_episode": ((), np.dtype(np.int64)),
            "idle": ((), np.dtype(bool)),
            "num_actions": ((), np.dtype(np.int64)),
            "log": ((self.max_steps,), np.dtype(np.uint8)),
            **led_to,
            "digest": ((DIGEST_BYTES,), np.dtype(np.uint8)),
            "left_out": ((2,), np.dtype(np.int64)),
            **{f"observation.{name}": kind for name, kind in fields.items()},
            **{f"last.{name}": kind for name, kind in fields.items()},
        }
        envs = self.num_envs
        arrays: dict[str, tuple[tuple[int, ...], np.dtype]]
        arrays = {name: ((envs, *shape), dtype) for name, (shape, dtype) in of_state.items()}
        number = np.dtype(np.float32)
        arrays["weights"] = ((0,), number)
        if self.rollout is not None:
            player = self.rollout.player
            arrays["weights"] = ((player.num_weights,), number)
            of_decision: dict[str, tuple[tuple[int, ...], np.dtype]] = {
                "noise": ((NUM_ACTIONS,), number),
                "logits": ((NUM_ACTIONS,), number),
                "value": ((), number),
                "alpha": ((player.experts,), number),
                "action": ((), np.dtype(np.int64)),
                "next_value": ((), number),
                **led_to,
                **{f"observation.{name}": kind for name, kind in fields.items()},
            }
            for name, (shape, dtype) in of_decision.items():
                arrays[f"rollout.{name}"] = ((self.rollout.decisions, envs, *shape), dtype)
        layout: dict[str, tuple[tuple[int, ...], np.dtype, int]] = {}
        offset = 0
        for name, (shape, dtype) in arrays.items():
            layout[name] = (shape, dtype, offset)
            size = int(np.prod(shape)) * dtype.itemsize
            offset += -(-size // _CACHE_LINE) * _CACHE_LINE
        return layout, offset
