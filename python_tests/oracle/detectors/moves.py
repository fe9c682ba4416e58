"""Conditions about what the player has been doing: prompts to answer, failures, standing still."""

import numpy as np

from tedg_fast.nethack.actions import MOVES
from tedg_fast.nethack.detectors.registry import detects
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.messages import Said

_MOVE_BITS = 1 << np.arange(MOVES.start, MOVES.stop)
_ANY_PROMPT = (
    Said.DIRECTION_PROMPT | Said.EAT_ITEM_PROMPT | Said.EAT_HERE_PROMPT | Said.ATTACK_PROMPT
)


def _asked(view: View, which: int) -> np.ndarray:
    return view.scene.prompt & (view.scene.said & which != 0)


@detects("prompt_direction")
def prompt_direction(view: View) -> np.ndarray:
    """The game asks for a direction (of a kick)."""
    return _asked(view, Said.DIRECTION_PROMPT)


@detects("prompt_eat_item")
def prompt_eat_item(view: View) -> np.ndarray:
    """The game asks which carried item to eat."""
    return _asked(view, Said.EAT_ITEM_PROMPT)


@detects("prompt_eat_here")
def prompt_eat_here(view: View) -> np.ndarray:
    """The game asks whether to eat what lies here, or to go on eating."""
    return _asked(view, Said.EAT_HERE_PROMPT)


@detects("prompt_attack_peaceful")
def prompt_attack_peaceful(view: View) -> np.ndarray:
    """The game asks whether to really attack a peaceful monster."""
    return _asked(view, Said.ATTACK_PROMPT)


@detects("prompt_other")
def prompt_other(view: View) -> np.ndarray:
    """The game waits for an answer to some other question."""
    return view.scene.prompt & (view.scene.said & _ANY_PROMPT == 0)


@detects("more_pending")
def more_pending(view: View) -> np.ndarray:
    """The game waits at --More--."""
    return view.scene.more


@detects("meal_key_{}")
def meal_key(view: View) -> np.ndarray:
    """The eating prompt lists the letter that that direction's key sends."""
    return view.scene.prompt[:, None] & (view.scene.offered[:, None] & _MOVE_BITS != 0)


@detects("meal_at_hand")
def meal_at_hand(view: View) -> np.ndarray:
    """Hungry, and the last eating prompt, if any, listed a letter that an action sends."""
    return view.scene.hungry & ~view.memory.no_meal


_FRESH = 20  # turns; a corpse can be eaten safely for about fifty


def _fresh_kill(view: View) -> np.ndarray:
    memory = view.memory
    return (memory.kill >= 0) & (view.scene.time - memory.killed_at < _FRESH)


@detects("kill_{}")
def kill_towards(view: View) -> np.ndarray:
    """A monster was killed on that neighbouring square less than twenty turns ago."""
    return _fresh_kill(view)[:, None] & (view.scene.around == view.memory.kill[:, None])


@detects("on_kill")
def on_kill(view: View) -> np.ndarray:
    """A monster was killed on this square less than twenty turns ago."""
    return _fresh_kill(view) & (view.scene.position == view.memory.kill)


@detects("stale_meal_offered")
def stale_meal_offered(view: View) -> np.ndarray:
    """The game asks whether to eat a corpse that is not the player's latest kill."""
    corpse = view.scene.said & Said.CORPSE_HERE != 0
    return _asked(view, Said.EAT_HERE_PROMPT) & corpse & ~on_kill(view)


@detects("meal_underfoot")
def meal_underfoot(view: View) -> np.ndarray:
    """Hungry, and the game tells of things here that are no corpse."""
    said = view.scene.said
    return view.scene.hungry & (said & Said.OBJECT_HERE != 0) & (said & Said.CORPSE_HERE == 0)


@detects("trapped")
def trapped(view: View) -> np.ndarray:
    """A pit, trap, web or monster may be holding the player."""
    return view.memory.trapped


@detects("step_failed")
def step_failed(view: View) -> np.ndarray:
    """The last move neither changed the position nor took time."""
    return view.memory.failed


@detects("standing_still")
def standing_still(view: View) -> np.ndarray:
    """On the same square for 6 to 14 observations."""
    return (view.memory.still >= 6) & (view.memory.still < 15)


@detects("stuck_in_place")
def stuck_in_place(view: View) -> np.ndarray:
    """On the same square for 15 observations or more."""
    return view.memory.still >= 15


@detects("time_frozen")
def time_frozen(view: View) -> np.ndarray:
    """The game's clock has not advanced for three observations."""
    return view.memory.frozen >= 3


@detects("pacing")
def pacing(view: View) -> np.ndarray:
    """Going to and fro between two squares."""
    trail = view.memory.trail
    back = (trail[:, 0] == trail[:, 2]) & (trail[:, 1] == trail[:, 3])
    return back & (trail[:, 0] != trail[:, 1])


@detects("just_arrived")
def just_arrived(view: View) -> np.ndarray:
    """Fewer than ten turns on this level."""
    return view.scene.time - view.memory.arrival < 10


@detects("long_on_level")
def long_on_level(view: View) -> np.ndarray:
    """More than 400 turns on this level."""
    return view.scene.time - view.memory.arrival > 400


@detects("nothing_new")
def nothing_new(view: View) -> np.ndarray:
    """No new square seen for more than 100 turns."""
    return view.scene.time - view.memory.discovery > 100


@detects("searched_here")
def searched_here(view: View) -> np.ndarray:
    """At least ten turns of searching were spent on this square."""
    return view.memory.searched[view.scene.rows, view.scene.position] >= 10
