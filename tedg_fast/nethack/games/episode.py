"""Episodes: how they are numbered and seeded, and what is kept of a finished or a running one.

Episodes are numbered when they start, and episode k's seeds depend on (run seed, k) alone. A
game is a function of its seeds and its actions, so these plus a hash of what the player sees are
all that a checkpoint needs of a running game.
"""

from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack.actions import num_actions

ENDINGS = ("death", "truncated", "escaped", "ascended", "quit", "panicked")


@dataclass(frozen=True)
class Episode:
    """A finished episode.

    `reward` is the undiscounted sum; `length` counts environment steps; `true_score` is the last
    score the game showed while it ran, `last_observation_score` that of the last observation,
    which NLE zeroes once a game is over; `depth` is the deepest dungeon level reached; `ending`
    is one of `ENDINGS`; `killer` says what a death was caused by, in the game's words ("jackal").
    `decided` has, by the names of the rules, how many steps each carried out by itself and how many
    decisions went to it (`Grounder.decided`); together they are all steps.
    """

    number: int
    reward: float
    length: int
    true_score: int
    last_observation_score: int
    depth: int
    ending: str
    killer: str
    decided: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class GameState:
    """A running game: its episode number, one byte per action so far, and `observation_hash`.

    The actions are all that were played, also those of the rules. The hash (hex) is over the raw
    NLE observation that follows the last action.
    """

    episode: int
    actions: bytes
    observation_hash: str

    def obstacle(self, max_steps: int, prayer: bool) -> str:
        """Why the game cannot be replayed where episodes have `max_steps`, with or without
        `prayer`; empty if it can."""
        if len(self.actions) >= max_steps:
            return f"it is {len(self.actions)} steps long, the limit is {max_steps}"
        last = num_actions(prayer) - 1
        if max(self.actions, default=0) > last:
            return f"its log holds action {max(self.actions)}, the last is {last}"
        return ""


def episode_seeds(run_seed: int, number: int) -> tuple[int, int]:
    """NLE's two seeds (core, display) of episode `number`, each in [0, 2**63).

    Raises ValueError (numpy's) if either argument is negative.
    """
    sequence = np.random.SeedSequence(entropy=run_seed, spawn_key=(number,))
    core, disp = sequence.generate_state(2, np.uint64) >> np.uint64(1)
    return int(core), int(disp)


def draws_of(seed: int, number: int, count: int) -> np.ndarray:
    """The uniform draws of a game, one a step; other streams than its seeds."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(number), 1))
    return np.random.default_rng(sequence).random(count)
