"""Indices and direction vectors of the actions: NetHackScore-v0's 23, and prayer.

NetHackScore-v0 has no prayer. A game has it where it is asked for, and is then another task.
"""

import numpy as np

from tedg_fast.hypergraph.schema import ACTIONS, TASK_ACTIONS

NUM_ACTIONS = len(ACTIONS)

# The compass in action order; (row, column) steps of each, rows growing southwards.
COMPASS = ACTIONS[1:9]
STEPS = np.array(
    [(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)], dtype=np.int64
)
IS_DIAGONAL = np.all(STEPS != 0, axis=1)

MORE = ACTIONS.index("more")
FIRST_MOVE = ACTIONS.index("north")
FIRST_FAR_MOVE = ACTIONS.index("far_north")
UP = ACTIONS.index("up")
DOWN = ACTIONS.index("down")
WAIT = ACTIONS.index("wait")
KICK = ACTIONS.index("kick")
EAT = ACTIONS.index("eat")
SEARCH = ACTIONS.index("search")
PRAY = ACTIONS.index("pray")

MOVES = slice(FIRST_MOVE, FIRST_MOVE + 8)
FAR_MOVES = slice(FIRST_FAR_MOVE, FIRST_FAR_MOVE + 8)

# The key that each action sends; at a prompt the game reads the key, not the action.
KEYS = b"\rkljhunbyKLJHUNBY<>.\x04es\xf0"
YES = KEYS.index(b"y")
NO = KEYS.index(b"n")


def num_actions(prayer: bool) -> int:
    """How many actions a task has, with or without prayer, which is the last."""
    return NUM_ACTIONS if prayer else len(TASK_ACTIONS)


def require_actions(actions: np.ndarray, number: int, prayer: bool) -> np.ndarray:
    """`actions` as an array of `number` of them. Raises ValueError for anything else."""
    actions = np.asarray(actions)
    if actions.shape != (number,) or actions.dtype.kind not in "iu":
        raise ValueError(
            f"actions must be {number} integers, not {actions.dtype} of shape {actions.shape}"
        )
    last = num_actions(prayer) - 1
    if actions.min() < 0 or actions.max() > last:
        raise ValueError(f"actions must lie in 0..{last}, not {actions}")
    return actions
