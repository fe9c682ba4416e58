"""Every fact takes another value in a scene that is about it, or in real games."""

from collections.abc import Callable

import numpy as np
import pytest
from grounded_games import GroundedGames, play
from nle import nethack
from oracle import Look
from oracle.paths import GOALS
from staged_scenes import Stage, corpse, monster, pet, symbol, thing

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.actions import COMPASS, WAIT
from tedg_fast.nethack.facts.tables import ROLES
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.rules.game import GroundedGame

EAST = COMPASS.index("east")


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


def _meet_peaceful(stage: Stage) -> None:
    stage.put("east", monster("gnome"))
    stage.say("Really attack the gnome? [yn] (n) ", prompt=True)
    stage.show("east")
    stage.say("")


def _walk_onto_kill(stage: Stage) -> None:
    stage.say("You kill the newt!")
    stage.show("east")
    stage.say("")
    stage.walk("east")


def _see_the_kill(stage: Stage) -> None:
    stage.put("east", symbol("floor of a room"))
    stage.say("You kill the newt!")
    stage.show("east")
    stage.put("east", corpse("newt"))


def _drop(glyph: int) -> Callable[[Stage], None]:
    def edit(stage: Stage) -> None:
        stage.stat(nethack.NLE_BL_HUNGER, 2)
        stage.put("east", symbol("floor of a room"))
        stage.show()
        stage.put("east", glyph)

    return edit


def _fail_to_move(stage: Stage) -> None:
    stage.put("east", symbol("floor of a room"))
    stage.show("east")


def _ask(letters: str) -> Callable[[Stage], None]:
    return _says(f"What do you want to eat? [{letters} or ?*] ", prompt=True)


def _condition(mask: int) -> Callable[[Stage], None]:
    return _stats(nethack.NLE_BL_CONDITION, mask)


# "kind.attribute" or "kind.attribute=word" -> an edit of a game's first observation after which one
# object of the kind has it (is true, not 0, the word), where none had it before; the observation is
# then shown after the action "wait".
STAGED: dict[str, Callable[[Stage], None]] = {
    **{
        f"me.hunger={word}": _stats(nethack.NLE_BL_HUNGER, i)
        for i, word in enumerate(vocabulary().kind["me"].attribute["hunger"].words)
        if i != 1
    },
    **{
        f"me.dungeon={word}": _stats(nethack.NLE_BL_DNUM, i)
        for i, word in enumerate(vocabulary().kind["me"].attribute["dungeon"].words)
        if i
    },
    "me.burden": _stats(nethack.NLE_BL_CAP, 1),
    "me.blind": _condition(nethack.BL_MASK_BLIND),
    "me.confused": _condition(nethack.BL_MASK_CONF),
    "me.stunned": _condition(nethack.BL_MASK_STUN),
    "me.hallucinating": _condition(nethack.BL_MASK_HALLU),
    "me.levitating": _condition(nethack.BL_MASK_FLY),
    "me.dying": _condition(nethack.BL_MASK_TERMILL),
    "me.trapped": _says("You fall into a pit!"),
    "me.engulfed": _beside(nethack.GLYPH_SWALLOW_OFF),
    "me.on=open_door": _stand_on("open door"),
    "me.on=hole": _stand_on("trap door"),
    "me.on=furniture": _stand_on("fountain"),
    "me.on=stairs_down": _says("There is a staircase down here."),
    "me.on_kill": _walk_onto_kill,
    "me.on_corpse": lambda stage: (_see_the_kill(stage), stage.show(), stage.walk("east")),
    "me.on_meal": lambda stage: (
        _drop(thing("food ration"))(stage),
        stage.show(),
        stage.walk("east"),
    ),
    "me.poison_proof": _stats(nethack.NLE_BL_XP, 3),
    "prompt.kind=more": lambda stage: stage.raw.misc.__setitem__((0, 2), 1),
    "prompt.kind=direction": _says("In what direction? ", prompt=True),
    "prompt.kind=eat_item": _ask("fh"),
    "prompt.kind=eat_here": _says("There is a newt corpse here; eat it? [ynq] (n) ", prompt=True),
    "prompt.kind=attack": _says("Really attack the gnome? [yn] (n) ", prompt=True),
    "prompt.kind=other": _says("Still climb? [yn] (n) ", prompt=True),
    "prompt.food": _ask("h"),
    "told.door_locked": _says("This door is locked."),
    "told.door_gave_way": _says("The door opens."),
    "told.door_resists": _says("WHAMM!!!"),
    "told.no_diagonal": _says("You can't move diagonally out of an intact doorway."),
    "told.boulder_stuck": _says("You try to move the boulder, but in vain."),
    "told.way_occupied": _says("You stop. Your kitten is in the way."),
    "told.killed": _says("You kill the newt!"),
    "told.hit_me": _says("The jackal bites!"),
    "told.missed_me": _says("The jackal misses."),
    "told.i_hit": _says("You kick the newt."),
    "told.i_missed": _says("You miss the newt."),
    "told.object_here": _says("There are several objects here."),
    "told.corpse_here": _says("You see here a jackal corpse."),
    "told.trapped": _says("You are stuck to the web."),
    "told.shop": _says('"Hello, Agent!  Welcome to Asidonhopo\'s general store!"'),
    "told.found": _says("You find a hidden passage."),
    "told.deadly_food": _says("There is a cockatrice corpse here; eat it? [ynq] (n) ", prompt=True),
    "told.risky_food": _says("There is a dog corpse here; eat it? [ynq] (n) ", prompt=True),
    "told.poisonous_food": _says("You see here a kobold corpse."),
    "told.pain": _says("Ouch!  That hurts!"),
    "told.noise": _says("You hear a door open."),
    "told.overfull": _says("You're having a hard time getting all of it down."),
    "told.guard": _says('"Hello stranger, who are you?"'),
    "direction.boulder": _beside(thing("boulder")),
    "direction.terrain=trap": _beside(symbol("bear trap")),
    "direction.terrain=liquid": _beside(symbol("water")),
    "direction.threats": _beside(monster("jackal"), COMPASS[:2]),
    "direction.hostile": _beside(nethack.GLYPH_INVISIBLE),
    "direction.kill": _see_the_kill,
    "monster.peaceful": _meet_peaceful,
    "monster.keeper": _beside(monster("shopkeeper")),
    "monster.unseen": _beside(nethack.GLYPH_INVISIBLE),
    "monster.explodes": _beside(monster("gas spore")),
    "monster.stones": _beside(monster("cockatrice")),
    "monster.steals": _beside(monster("water nymph")),
    "monster.name=jabberwock": _beside(monster("jabberwock")),
    "monster.passive_damage": _beside(monster("acid blob")),
    "monster.paralyzes": _beside(monster("floating eye")),
    "monster.sticks": _beside(monster("lichen")),
    "monster.orc": _beside(pet("hill orc")),
    "item.magic": _beside(thing("identify")),
    "item.keeps": _drop(thing("food ration")),
    "item.class=wand": _beside(thing("opening")),
    "corpse.nutrition": _beside(corpse("newt")),
    "meal.steps": _drop(thing("food ration")),
    "fresh_corpse.steps": _see_the_kill,
}


def holds(facts: dict, name: str) -> bool:
    """Whether an object of the kind has the attribute, as STAGED names it."""
    kind, attribute = name.split("=")[0].split(".")
    described = vocabulary().kind[kind].attribute[attribute]
    wanted = described.words.index(name.split("=")[1]) if "=" in name else None
    values = [thing[attribute] for thing in facts[kind]]
    return any(value == wanted if wanted is not None else value for value in values)


@pytest.mark.parametrize("name", sorted(STAGED))
def test_a_staged_scene_shows_in_its_fact(name):
    stage = Stage()
    stage.send_hostiles_away()
    assert not holds(stage.facts(), name), "it holds before the scene is set"
    STAGED[name](stage)
    assert holds(stage.facts(), name)


def asked(kind: str, name: str) -> str:
    """Kinds of places have their attributes in common."""
    return f"{'place' if kind in GOALS else kind}.{name}"


def test_steps_left_count_down_to_the_step_that_is_cut_off():
    game = GroundedGame(load_hypergraph(), 0, 0, 7, "mon-hum-neu-mal")
    for left in range(7, 0, -1):
        assert game.grounder.facts["me"][0]["steps_left"] == left
        game.step(WAIT)
    assert game.game.truncated
    game.close()


def test_every_other_attribute_varies_in_real_games():
    games, seen = GroundedGames(12, seed=777), {}

    def watch(_: int, look: Look) -> None:
        for kind, objects in look.facts.objects.items():
            for thing_ in objects:
                for name, value in thing_.items():
                    seen.setdefault(asked(kind, name), set()).add(value)

    play(games, 300, np.random.default_rng(0), watch)
    games.close()
    staged = {name.split("=")[0] for name in STAGED}
    # The same for every monk, or of a longer game than this, or with a test of its own below.
    constant = {
        "me.role", "me.speed", "me.alignment", "me.strength", "me.constitution", "me.energy",
        "me.armor_class", "me.may_have_food", "me.max_hp", "me.level", "level.visits",
        "me.can_pray",
    }  # fmt: skip
    silent = {
        asked(kind.name, a.name) for kind in vocabulary().kinds for a in kind.attributes
        if not a.table and len(seen.get(asked(kind.name, a.name), ())) < 2
    } - staged - constant  # fmt: skip
    assert silent == set()


@pytest.mark.parametrize(("character", "role", "speed"), [
    ("mon-hum-neu-mal", "monk", 15), ("val-dwa-law-fem", "valkyrie", 12),
    ("cav-dwa-law-fem", "caveman", 12), ("pri-elf-cha-fem", "priest", 12),
    ("sam-hum-law-mal", "samurai", 15), ("wiz-gno-neu-mal", "wizard", 12),
])  # fmt: skip
def test_the_role_is_read_off_the_map(character, role, speed):
    games = GroundedGames(1, seed=3, characters=[character])
    (me,) = games.look(0).facts.objects["me"]
    games.close()
    assert ROLES[int(me["role"])] == role and me["speed"] == speed


def test_a_failed_step_is_told_from_waiting():
    stage = Stage()
    stage.put("east", symbol("floor of a room"))
    assert not stage.facts()["me"][0]["step_failed"]
    assert stage.facts("east")["me"][0]["step_failed"]
    stage.pass_turns(1)
    assert not stage.facts("east")["me"][0]["step_failed"]


def test_no_meal_is_at_hand_once_no_key_chooses_one():
    stage = Stage()
    assert stage.facts()["me"][0]["may_have_food"]
    stage.say("What do you want to eat? [fgi or ?*] ", prompt=True)
    stage.show("eat")
    stage.say("")
    assert not stage.facts("more")["me"][0]["may_have_food"]


def test_a_meal_is_tried_once():
    stage = Stage()
    STAGED["meal.steps"](stage)
    assert stage.facts()["meal"]
    stage.walk("east")
    stage.show("east")
    stage.show("eat")
    stage.walk("west")
    stage.put("east", thing("food ration"))
    assert not stage.facts("west")["meal"]


def test_only_wise_and_fresh_corpses_are_worth_a_walk():
    for name, wise in (("newt", True), ("kobold", False), ("cockatrice", False)):
        stage = Stage()
        _see_the_kill(stage)
        stage.put("east", corpse(name))
        assert bool(stage.facts()["fresh_corpse"]) == wise, name
    stage.pass_turns(30)
    assert not stage.facts()["fresh_corpse"]


def test_things_are_listed_nearest_first_and_by_rows_where_equally_near():
    stage = Stage()
    stage.room(["........", "...@....", "........", "........"])
    for way, squares in (("south", 2), ("west", 1), ("north", 1), ("east", 2), ("northeast", 1)):
        stage.put(way, monster("newt"), squares)
    found = [(m["distance"], m["south"], m["east"]) for m in stage.facts(-1)["monster"]]
    assert found == [(1, -1, 0), (1, -1, 1), (1, 0, -1), (2, 0, 2), (2, 2, 0)]


def test_how_far_a_run_may_go():
    stage = Stage()
    stage.room(["-------", "|@....|", "|..+..|", "|.....|", "-------"])
    run = {COMPASS[i]: d["run"] for i, d in enumerate(stage.facts(-1)["direction"])}
    assert (run["east"], run["south"], run["southeast"], run["west"]) == (4, 2, 2, 0)
    stage.put("east", monster("newt"), 3)
    assert stage.facts()["direction"][EAST]["run"] == 2
