"""What each rank hands to the first after an update, and takes back from a checkpoint."""

import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tedg_fast.errors import Failed
from tedg_fast.nethack.games.episode import GameState
from tedg_fast.train.distributed import World
from tedg_fast.train.rollout import Played

MOST_RANKS = 16
"""Ranks that are shown and logged one by one; of a larger number only the slowest and the fastest
are."""
STRAGGLES = 0.8
"""A rank straggles whose speed is below this share of the median."""


class RanksDiffer(Failed):
    """Ranks no longer have the same parameters; the message is one line."""


RankState = dict[str, Any]
"""A rank's part of a checkpoint: ``generator`` state, discounted ``returns`` [E] of its games,
``next_episode`` and ``unbegun``, the numbers of episodes to come, and ``games`` (packed)."""


class Clock:
    """Divides each iteration's time into that spent in collectives and the rest."""

    def __init__(self, world: World):
        self.world = world
        self._at, self._waited = time.perf_counter(), world.waited

    def lap(self) -> dict[str, float]:
        """Seconds since the last lap outside and inside of collectives."""
        now, waiting = time.perf_counter(), self.world.waited - self._waited
        busy = now - self._at - waiting
        self._at, self._waited = now, self.world.waited
        return {"busy": busy, "waiting": waiting}


@dataclass(frozen=True)
class Share:
    """One rank's part of an iteration: ``steps`` of its games and ``decisions`` in them. ``busy``
    and ``waiting`` are seconds outside and inside of collectives; ``usage`` [K] is the mean α over
    its decisions; ``switching`` counts (changes, pairs) of ``switching.expert_switches``;
    ``checksum`` is of the parameters after the update."""

    state: RankState
    played: Played
    steps: int
    decisions: int
    busy: float
    waiting: float
    usage: list[float]
    switching: tuple[int, int]
    checksum: int


@dataclass(frozen=True)
class Pace:
    """How fast each rank was outside of collectives, and how long it waited inside of them."""

    steps_per_second: tuple[float, ...]
    waiting: tuple[float, ...]
    """Share of the iteration's time."""

    @classmethod
    def of(cls, shares: Sequence[Share]) -> "Pace":
        return cls(
            tuple(share.steps / share.busy for share in shares),
            tuple(share.waiting / (share.busy + share.waiting) for share in shares),
        )

    @property
    def slowest(self) -> int:
        """The rank that the others wait for."""
        return min(range(len(self.steps_per_second)), key=self.steps_per_second.__getitem__)

    @property
    def straggles(self) -> bool:
        """Whether the slowest is far behind the median."""
        speeds = self.steps_per_second
        return speeds[self.slowest] < STRAGGLES * median(speeds)

    def series(self) -> dict[str, float | int]:
        """As entries of the log of updates."""
        speeds = self.steps_per_second
        entry: dict[str, float | int] = {
            "ranks": len(speeds),
            "waiting_share": float(np.mean(self.waiting)),
            "slowest_rank": self.slowest,
            "slowest_rank_steps_per_second": speeds[self.slowest],
            "fastest_rank_steps_per_second": max(speeds),
        }
        if len(speeds) <= MOST_RANKS:
            entry |= {f"rank{k}_steps_per_second": speed for k, speed in enumerate(speeds)}
        return entry

    def words(self) -> str:
        """For the display."""
        speeds = self.steps_per_second
        shown: Sequence[int] = range(len(speeds))
        if len(speeds) > MOST_RANKS:
            shown = (self.slowest, max(shown, key=speeds.__getitem__))
        each = ", ".join(f"rank {k} {speeds[k]:,.0f}" for k in shown)
        words = f"{each} steps/s when not waiting; waiting {np.mean(self.waiting):.0%} of the time"
        if self.straggles:
            behind = speeds[self.slowest] / median(speeds)
            words += f"; rank {self.slowest} straggles ({behind:.0%} of the median)"
        return words


def require_same(shares: Sequence[Share], env_steps: int) -> None:
    """Raise ``RanksDiffer`` unless all ranks have the same parameters."""
    others = [k for k, share in enumerate(shares) if share.checksum != shares[0].checksum]
    if others:
        raise RanksDiffer(
            f"after {env_steps} steps the parameters of ranks {others} differ from those of rank 0:"
            " a fault of a machine, or other processors; --resume goes on from the state before"
        )


def checksum(module: nn.Module) -> int:
    """A number that differs, but for one chance in 2³², where a parameter differs in a bit."""
    total = 0
    for parameter in module.parameters():
        total = zlib.crc32(parameter.detach().cpu().numpy().tobytes(), total)
    return total


def pack(game: GameState) -> dict[str, Any]:
    """A game's state in types that a ``weights_only`` load accepts."""
    actions = np.frombuffer(game.actions, np.uint8).copy()
    return asdict(game) | {"actions": torch.from_numpy(actions)}


def unpack(packed: dict[str, Any]) -> GameState:
    """Inverse of ``pack``."""
    return GameState(**packed | {"actions": packed["actions"].numpy().tobytes()})


def first_generator(seed: int, rank: int) -> torch.Generator:
    """The generator with which a rank begins: the first one's as that of a single process."""
    if rank > 0:  # torch's generator heeds the lower 32 bits of a seed only
        sequence = np.random.SeedSequence(entropy=seed, spawn_key=(rank,))
        seed = int(sequence.generate_state(1)[0])
    return torch.Generator().manual_seed(seed)


def deal(states: Sequence[RankState], world: World, generator: Tensor) -> RankState:
    """This rank's state of those that a checkpoint holds.

    Where they are of another number of ranks, the games are dealt out anew in their order, all of
    them; a rank that the checkpoint has none for gets the state ``generator``. Numbers of episodes
    below the highest that was given out are not given out again.
    """
    if len(states) == world.size:
        return states[world.rank]
    games = [game for state in states for game in state["games"]]
    returns = torch.cat([state["returns"] for state in states])
    share = -(-len(games) // world.size)
    mine = slice(world.rank * share, (world.rank + 1) * share)
    return {
        "generator": states[world.rank]["generator"] if world.rank < len(states) else generator,
        "returns": returns[mine],
        "next_episode": max(state["next_episode"] for state in states) + world.rank,
        "unbegun": [],
        "games": games[mine],
    }
