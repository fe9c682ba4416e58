"""Rare situations, staged by editing a real first observation with real glyph numbers."""

from collections.abc import Callable

import numpy as np
from grounded_games import GroundedGames
from nle import nethack

from tedg_fast.hypergraph import ACTIONS, load_hypergraph
from tedg_fast.nethack.actions import COMPASS, KEYS, STEPS
from tedg_fast.nethack.detectors import View
from tedg_fast.nethack.grounding import Grounder

_MONSTERS = [nethack.permonst(i).mname for i in range(nethack.NUMMONS)]
_OBJECTS = [nethack.OBJ_NAME(nethack.objclass(i)) for i in range(nethack.NUM_OBJECTS)]
_SYMBOLS = [nethack.symdef.from_idx(i).explanation for i in range(nethack.MAXPCHARS)]


def monster(name: str) -> int:
    """The glyph of a monster that is no pet."""
    return nethack.GLYPH_MON_OFF + _MONSTERS.index(name)


def symbol(name: str) -> int:
    """The glyph of a map symbol, by NLE's explanation of it."""
    return nethack.GLYPH_CMAP_OFF + _SYMBOLS.index(name)


def thing(name: str) -> int:
    """The glyph of an object."""
    return nethack.GLYPH_OBJ_OFF + _OBJECTS.index(name)


class Stage:
    """One game's observation, to be edited and shown to a Grounder of its own."""

    def __init__(self):
        games = GroundedGames(1, seed=5)
        self.raw = games.raw.copy()
        games.close()
        self.grounder = Grounder(load_hypergraph(), 1)
        self.show(-1)

    def show(self, last_action: int | str = "wait") -> View:
        """What the grounder makes of the observation as it is now."""
        action = ACTIONS.index(last_action) if isinstance(last_action, str) else last_action
        return self.grounder.look(self.raw, np.array([action]))

    def put(self, way: str, glyph: int) -> None:
        """Places a glyph next to the player."""
        row, column = STEPS[COMPASS.index(way)]
        x, y = self.raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_Y]]
        self.raw.glyphs[0, y + row, x + column] = glyph

    def walk(self, way: str) -> None:
        """Moves the player one step, one turn later."""
        row, column = STEPS[COMPASS.index(way)]
        self.raw.blstats[0, nethack.NLE_BL_X] += column
        self.raw.blstats[0, nethack.NLE_BL_Y] += row
        self.raw.blstats[0, nethack.NLE_BL_TIME] += 1

    def stat(self, index: int, value: int) -> None:
        self.raw.blstats[0, index] = value

    def say(self, text: str, prompt: bool = False) -> None:
        """Shows a message, at a one-key prompt if asked."""
        self.raw.message[0] = 0
        self.raw.message[0, : len(text)] = np.frombuffer(text.encode(), dtype=np.uint8)
        self.raw.misc[0, 0] = prompt


def _stats(index: int, value: int) -> Callable[[Stage], None]:
    return lambda stage: stage.stat(index, value)


def _says(text: str, prompt: bool = False) -> Callable[[Stage], None]:
    return lambda stage: stage.say(text, prompt)


def _beside(glyph: int, ways: tuple[str, ...] = ("east",)) -> Callable[[Stage], None]:
    return lambda stage: [stage.put(way, glyph) for way in ways]


def _stand_on(terrain: str) -> Callable[[Stage], None]:
    def edit(stage: Stage) -> None:
        stage.put("east", symbol(terrain))
        stage.show()
        stage.walk("east")

    return edit


def _drop_food(way: str) -> Callable[[Stage], None]:
    def edit(stage: Stage) -> None:
        stage.put(way, symbol("floor of a room"))
        stage.show()
        stage.put(way, thing("food ration"))

    return edit


def _meet_peaceful(stage: Stage) -> None:
    stage.put("east", monster("gnome"))
    stage.say("Really attack the gnome? [yn] (n) ", prompt=True)
    stage.show("east")
    stage.say("")


def _kill(way: str) -> Callable[[Stage], None]:
    def edit(stage: Stage) -> None:
        stage.say("You kill the newt!")
        stage.show(way)
        stage.say("")

    return edit


def _walk_onto_kill(stage: Stage) -> None:
    _kill("east")(stage)
    stage.walk("east")


def _more(stage: Stage) -> None:
    stage.raw.misc[0, 2] = 1


def _ask_for_food(letters: str) -> Callable[[Stage], None]:
    return _says(f"What do you want to eat? [{letters} or ?*] ", prompt=True)


def _hungry(edit: Callable[[Stage], None]) -> Callable[[Stage], None]:
    def both(stage: Stage) -> None:
        stage.stat(nethack.NLE_BL_HUNGER, 2)
        edit(stage)

    return both


_CONDITION = nethack.NLE_BL_CONDITION

# Condition -> the edit of a game's first observation that must make it fire.
STAGED: dict[str, Callable[[Stage], None]] = {
    "hunger_satiated": _stats(nethack.NLE_BL_HUNGER, 0),
    "hunger_hungry": _stats(nethack.NLE_BL_HUNGER, 2),
    "hunger_weak": _stats(nethack.NLE_BL_HUNGER, 3),
    "hunger_fainting": _stats(nethack.NLE_BL_HUNGER, 4),
    "burdened": _stats(nethack.NLE_BL_CAP, 1),
    "experience_medium": _stats(nethack.NLE_BL_XP, 4),
    "experience_high": _stats(nethack.NLE_BL_XP, 8),
    "depth_3_to_4": _stats(nethack.NLE_BL_DEPTH, 4),
    "depth_5_to_9": _stats(nethack.NLE_BL_DEPTH, 7),
    "depth_10_plus": _stats(nethack.NLE_BL_DEPTH, 12),
    "in_gnomish_mines": _stats(nethack.NLE_BL_DNUM, 2),
    "in_sokoban": _stats(nethack.NLE_BL_DNUM, 4),
    "blind": _stats(_CONDITION, nethack.BL_MASK_BLIND),
    "confused": _stats(_CONDITION, nethack.BL_MASK_CONF),
    "stunned": _stats(_CONDITION, nethack.BL_MASK_STUN),
    "hallucinating": _stats(_CONDITION, nethack.BL_MASK_HALLU),
    "dying_of_illness": _stats(_CONDITION, nethack.BL_MASK_FOODPOIS),
    "off_the_ground": _stats(_CONDITION, nethack.BL_MASK_LEV),
    "more_pending": _more,
    "prompt_other": _says("Beware, there will be no return!  Still climb? [yn] (n) ", prompt=True),
    "prompt_eat_here": _says("There is a newt corpse here; eat it? [ynq] (n) ", prompt=True),
    "prompt_attack_peaceful": _says("Really attack the gnome? [yn] (n) ", prompt=True),
    "prompt_direction": _says("In what direction? ", prompt=True),
    "on_kill": _walk_onto_kill,
    "meal_at_hand": _stats(nethack.NLE_BL_HUNGER, 2),
    "meal_underfoot": _hungry(_says("You see here a food ration.")),
    "stale_meal_offered": _says("There is a jackal corpse here; eat it? [ynq] (n) ", prompt=True),
    "food_wanted_in_sight": _hungry(_beside(nethack.GLYPH_BODY_OFF)),
    "peaceful_adjacent": _meet_peaceful,
    "told_deadly_food": _says("There is a cockatrice corpse here; eat it? [ynq] (n) ", prompt=True),
    "told_risky_food": _says("There is a kobold corpse here; eat it? [ynq] (n) ", prompt=True),
    "told_overfull": _says("You're having a hard time getting all of it down."),
    "told_shop": _says('"Hello, Agent!  Welcome to Asidonhopo\'s general store!"'),
    "told_found": _says("You find a hidden passage."),
    "told_door_gave_way": _says("The door opens."),
    "told_door_locked": _says("This door is locked."),
    "told_door_resists": _says("WHAMM!!!"),
    "told_boulder_stuck": _says("You try to move the boulder, but in vain."),
    "told_i_hit": _says("You kick the newt."),
    "told_i_missed": _says("You miss the newt."),
    "told_corpse_here": _says("You see here a jackal corpse."),
    "trapped": _says("You fall into a pit!"),
    "on_stairs_down": _stand_on("staircase down"),
    "on_hole": _stand_on("trap door"),
    "on_furniture": _stand_on("fountain"),
    "on_open_door": _stand_on("open door"),
    "on_unknown_ground": _stats(nethack.NLE_BL_DLEVEL, 2),  # fell through the floor
    "engulfed": _beside(nethack.GLYPH_SWALLOW_OFF),
    "strong_hostile_in_sight": _beside(monster("troll")),
    "strong_hostile_adjacent": _beside(monster("troll")),
    "fast_hostile_adjacent": _beside(monster("soldier ant")),
    "slow_hostile_adjacent": _beside(monster("kobold zombie")),
    "thief_adjacent": _beside(monster("water nymph")),
    "exploder_adjacent": _beside(monster("gas spore")),
    "untouchable_adjacent": _beside(monster("floating eye")),
    "untouchable_in_sight": _beside(monster("floating eye")),
    "cockatrice_adjacent": _beside(monster("cockatrice")),
    "passive_adjacent": _beside(monster("acid blob")),
    "keeper_adjacent": _beside(monster("shopkeeper")),
    "keeper_in_sight": _beside(monster("shopkeeper")),
    "unseen_adjacent": _beside(nethack.GLYPH_INVISIBLE),
    "hostiles_adjacent_two": _beside(monster("jackal"), COMPASS[:2]),
    "hostiles_adjacent_many": _beside(monster("jackal"), COMPASS[:5]),
    "liquid_adjacent": _beside(symbol("water")),
    "trap_adjacent": _beside(symbol("bear trap")),
    **{f"hostile_{way}": _beside(monster("newt"), (way,)) for way in COMPASS},
    **{
        f"meal_key_{way}": _ask_for_food("f" + chr(KEYS[1 + i]))
        for i, way in enumerate(COMPASS)
    },
    **{f"kill_{way}": _kill(way) for way in COMPASS},
    **{f"way_to_meal_{way}": _hungry(_drop_food(way)) for way in COMPASS},
    **{f"closed_door_{way}": _beside(symbol("closed door"), (way,)) for way in COMPASS[:4]},
}
