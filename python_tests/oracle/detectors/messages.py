"""Conditions that the message line tells."""

import numpy as np

from tedg_fast.nethack.detectors.registry import detects_each
from tedg_fast.nethack.detectors.view import View
from tedg_fast.nethack.messages import Said

# Condition -> (bits of which one must be said, when it fires).
_TOLD = {
    "told_door_locked": (Said.DOOR_LOCKED, "The game says that a door is locked."),
    "told_door_resists": (Said.DOOR_RESISTS, "A door is stuck, or withstood a kick."),
    "told_door_gave_way": (Said.DOOR_OPENED | Said.DOOR_BROKEN, "A door opened or broke."),
    "told_no_diagonal": (Said.NO_DIAGONAL, "A diagonal step was refused, at a door for instance."),
    "told_boulder_stuck": (Said.BOULDER_STUCK, "A boulder would not move."),
    "told_way_occupied": (Said.IN_THE_WAY, "A monster stands in the way and was not attacked."),
    "told_killed": (Said.KILLED, "A monster was killed."),
    "told_hit_me": (Said.HIT_ME, "A monster's attack hit."),
    "told_missed_me": (Said.MISSED_ME, "A monster's attack missed."),
    "told_i_hit": (Said.I_HIT, "The player's own attack hit."),
    "told_i_missed": (Said.I_MISSED, "The player's own attack missed."),
    "told_object_here": (Said.OBJECT_HERE, "Something lies on this square."),
    "told_corpse_here": (Said.CORPSE_HERE, "A corpse lies on this square."),
    "told_shop": (Said.SHOP, "A shopkeeper speaks, or a price is named."),
    "told_found": (Said.FOUND, "A search found something hidden."),
    "told_deadly_food": (Said.DEADLY_FOOD, "The message names something that kills who eats it."),
    "told_risky_food": (Said.RISKY_FOOD, "The message names something unwise to eat."),
    "told_pain": (Said.PAIN, "The player hurt himself, by kicking something solid for instance."),
    "told_noise": (Said.NOISE, "A noise was heard from elsewhere on the level."),
    "told_overfull": (Said.OVERFULL, "Eating on would choke the player."),
}
_BITS = np.array([bits for bits, _ in _TOLD.values()])


@detects_each({name: text for name, (_, text) in _TOLD.items()})
def told(view: View) -> np.ndarray:
    """bool [G, len(_TOLD)]."""
    return view.scene.said[:, None] & _BITS != 0
