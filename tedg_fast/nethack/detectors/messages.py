"""Conditions that the message line tells."""

import numpy as np

from tedg_fast.nethack.detectors.registry import detects
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.messages import Said


def _said(view: View, what: Said) -> np.ndarray:
    return view.scene.said & what != 0


@detects("told_door_locked")
def told_door_locked(view: View) -> np.ndarray:
    """The game says that a door is locked."""
    return _said(view, Said.DOOR_LOCKED)


@detects("told_door_resists")
def told_door_resists(view: View) -> np.ndarray:
    """A door is stuck, or withstood a kick."""
    return _said(view, Said.DOOR_RESISTS)


@detects("told_door_gave_way")
def told_door_gave_way(view: View) -> np.ndarray:
    """A door opened or broke."""
    return _said(view, Said.DOOR_OPENED | Said.DOOR_BROKEN)


@detects("told_no_diagonal")
def told_no_diagonal(view: View) -> np.ndarray:
    """A diagonal step was refused (doorway or tight squeeze)."""
    return _said(view, Said.NO_DIAGONAL)


@detects("told_boulder_stuck")
def told_boulder_stuck(view: View) -> np.ndarray:
    """A boulder would not move."""
    return _said(view, Said.BOULDER_STUCK)


@detects("told_way_occupied")
def told_way_occupied(view: View) -> np.ndarray:
    """A monster stands in the way and was not attacked."""
    return _said(view, Said.IN_THE_WAY)


@detects("told_bumped")
def told_bumped(view: View) -> np.ndarray:
    """The move ran into a wall or solid stone."""
    return _said(view, Said.BUMPED)


@detects("told_useless")
def told_useless(view: View) -> np.ndarray:
    """The last command made no sense here."""
    return _said(view, Said.USELESS)


@detects("told_killed")
def told_killed(view: View) -> np.ndarray:
    """A monster was killed."""
    return _said(view, Said.KILLED)


@detects("told_hit_me")
def told_hit_me(view: View) -> np.ndarray:
    """A monster's attack hit."""
    return _said(view, Said.HIT_ME)


@detects("told_missed_me")
def told_missed_me(view: View) -> np.ndarray:
    """A monster's attack missed."""
    return _said(view, Said.MISSED_ME)


@detects("told_i_hit")
def told_i_hit(view: View) -> np.ndarray:
    """The player's own attack hit."""
    return _said(view, Said.I_HIT)


@detects("told_i_missed")
def told_i_missed(view: View) -> np.ndarray:
    """The player's own attack missed."""
    return _said(view, Said.I_MISSED)


@detects("told_object_here")
def told_object_here(view: View) -> np.ndarray:
    """Something lies on this square."""
    return _said(view, Said.OBJECT_HERE)


@detects("told_corpse_here")
def told_corpse_here(view: View) -> np.ndarray:
    """A corpse lies on this square."""
    return _said(view, Said.CORPSE_HERE)


@detects("told_shop")
def told_shop(view: View) -> np.ndarray:
    """A shopkeeper speaks, or a price is named."""
    return _said(view, Said.SHOP)


@detects("told_found")
def told_found(view: View) -> np.ndarray:
    """A search found something hidden."""
    return _said(view, Said.FOUND)


@detects("told_deadly_food")
def told_deadly_food(view: View) -> np.ndarray:
    """The message names something that kills who eats it."""
    return _said(view, Said.DEADLY_FOOD)


@detects("told_risky_food")
def told_risky_food(view: View) -> np.ndarray:
    """The message names something poisonous or otherwise unwise to eat."""
    return _said(view, Said.RISKY_FOOD)


@detects("told_pain")
def told_pain(view: View) -> np.ndarray:
    """The player hurt himself, by kicking something solid for instance."""
    return _said(view, Said.PAIN)


@detects("told_noise")
def told_noise(view: View) -> np.ndarray:
    """A noise was heard from elsewhere on the level."""
    return _said(view, Said.NOISE)


@detects("told_overfull")
def told_overfull(view: View) -> np.ndarray:
    """Eating on would choke the player."""
    return _said(view, Said.OVERFULL)
