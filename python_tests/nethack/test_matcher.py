"""Which rules apply and to what, against plain enumeration of all bindings."""

import numpy as np
import pytest
from beside_oracle import Both
from nle import nethack
from odd_observations import RandomWorlds
from plain_rules import PlainRule, applying
from small_rules import small
from staged_scenes import Stage, monster, pet, symbol, thing

from tedg_fast.nethack.facts.observation import INSTANCES, NO_RULE, NOTHING, instances_of
from tedg_fast.nethack.games.game import empty_observations

M, N = ("m", "monster"), ("n", "monster")
D, IT = ("d", "direction"), ("i", "item")
RULES = [
    PlainRule(("search",)),
    PlainRule(("wait",), when=("me.hp > 3", "told.killed"), priority=5),
    PlainRule(("move toward m",), (M,), ("m.hostile", "m.distance < 4"), 2.5),
    PlainRule(("run toward m", "move toward m"), (M,), ("m.adjacent or m.distance > 3",)),
    PlainRule(("move away from m", "search"), (M,), ("m.distance <= 2", "not m.pet"), -1),
    PlainRule(("run away from m",), (M,), ("m.level >= 1", "m.steps < 9"), 2.5),
    PlainRule(("move d",), (D,), ("d.free", "d.threats == 0"), 1),
    PlainRule(("run d", "move d"), (D,), ("d.run > 2",)),
    PlainRule(("move d",), (M, D), ("m.hostile", "d.free", "d.away_from(m)"), 4),
    PlainRule(("move d", "run d"), (D, M), ("d.toward(m)", "m.distance > 1"), 4),
    PlainRule(("move toward n",), (M, N), ("m.level < n.level", "distance(m, n) <= 2")),
    PlainRule(("move toward m", "move toward n"), (M, N), ("m.distance + n.distance < 5",)),
    PlainRule(("move away from m",), (M, N), ("n.hostile and m.pet", "m.distance < n.distance"), 3),
    PlainRule(("move toward i",), (IT, M), ("i.distance < m.distance", "not i.magic", "m.hostile")),
    PlainRule(("move toward i", "kick"), (M, IT), ("distance(m, i) > 1", 'i.class == "food"'), 7),
    PlainRule(("eat",), when=("any(monster.adjacent)", "count(item.distance >= 0) > 0")),
    PlainRule(("run toward f",), (("f", "frontier"),), ("f.steps > 1",), 0.5),
    PlainRule(("move toward s",), (("s", "stairs_down"),), priority=9),
    PlainRule(("move away from s",), (("s", "stairs_up"),), ("s.steps < 5",)),
    PlainRule(("choose food", 'answer "n"'), when=('prompt.kind == "eat_item"',), priority=20),
    PlainRule(("more",), when=('prompt.kind != "none"',), priority=19),
    PlainRule(('answer "y"', "far_northwest"), when=('prompt.kind == "eat_here"',)),
    PlainRule(("down", "up", "kick", "search"), when=("me.depth < 40",), priority=-3),
]  # fmt: skip


def listed(out) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """The instances of an observation's only row."""
    (row,) = instances_of(out)
    return [
        (int(i["rule"]), tuple(o for o in i["objects"].tolist() if o != NOTHING),
         tuple(a for a in i["actions"].tolist() if a != NOTHING))
        for i in row if i["rule"] != NO_RULE
    ]  # fmt: skip


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    texts = [rule.text(f"r{i}") for i, rule in enumerate(RULES)]
    return small(tmp_path_factory.mktemp("rules"), *texts)


def crowd(stage: Stage) -> None:
    """Monsters, a pet and things at several distances, two of them equally near."""
    for way, glyph, squares in (
        ("east", monster("newt"), 1), ("west", monster("jackal"), 2), ("north", pet("kitten"), 1),
        ("southeast", monster("troll"), 2), ("south", thing("food ration"), 2),
        ("northeast", thing("opening"), 1), ("southwest", monster("floating eye"), 1),
    ):  # fmt: skip
        stage.put(way, glyph, squares)


def says(text: str):
    return lambda stage: stage.say(text, prompt=True)


SCENES = {
    "nothing": lambda stage: None,
    "crowd": crowd,
    "kick": lambda stage: (crowd(stage), says("In what direction? ")(stage)),
    "meal": lambda stage: (crowd(stage), says("What do you want to eat? [hk or ?*] ")(stage)),
    "no key": lambda stage: says("What do you want to eat? [x or ?*] ")(stage),
    "corpse": says("There is a newt corpse here; eat it? [ynq] (n) "),
    "more": lambda stage: stage.raw.misc.__setitem__((0, 2), 1),
    "killed": lambda stage: stage.say("You kill the newt!"),
}


@pytest.mark.parametrize("name", SCENES)
def test_instances_in_staged_scenes(graph, name):
    stage = Stage(graph)
    stage.room(["---------", "|.......|", "|...@...|", "|.......|", "|......>|", "---------"])
    stage.show(-1)
    SCENES[name](stage)
    look = stage.show()
    expected = applying(RULES, look)
    assert listed(stage.both.out) == expected[:INSTANCES]
    assert stage.both.native.left_out[1] >= len(expected) - INSTANCES
    rules_found = {rule for rule, _, _ in expected}
    if name == "crowd":
        assert {2, 3, 4, 5, 8, 9, 10, 11, 12, 14, 15} <= rules_found


@pytest.mark.parametrize("seed", range(2))
def test_instances_in_random_worlds(graph, seed):
    """Counts of conditions, too: each holds where some binding of its objects does."""
    rng = np.random.default_rng(50 + seed)
    both, worlds = Both(graph, 3), RandomWorlds(3, rng)
    for _ in range(40):
        for game in range(3):
            (look,) = both(worlds.raw[game : game + 1], worlds.actions[game : game + 1], [game])
            assert listed(both.out) == applying(RULES, look)[:INSTANCES]
        worlds.step()


def test_too_many_instances_leave_the_least_important_out(tmp_path):
    rules = [
        PlainRule(("move toward m",), (M, N), ("m.distance > 0", "n.distance > 0"), 1),
        PlainRule(("search",), (M,), ("m.distance > 0",), 3),
        PlainRule(("wait",), (M,), ("m.distance > 0",), -2),
    ]
    graph = small(tmp_path, *(rule.text(f"r{i}") for i, rule in enumerate(rules)))
    both, raw = Both(graph, 1), empty_observations(1)
    raw.glyphs[:] = monster("newt")
    raw.blstats[0, [nethack.NLE_BL_X, nethack.NLE_BL_Y]] = 40, 10
    (look,) = both(raw, [-1])
    expected = applying(rules, look)
    assert len(expected) == 24 + 24 * 23 + 24
    assert listed(both.out) == expected[:INSTANCES]
    assert both.native.left_out[1] == len(expected) - INSTANCES
    both(raw, [-1])
    assert both.native.left_out[1] == 2 * (len(expected) - INSTANCES)


def test_a_condition_holds_for_each_of_its_objects(tmp_path):
    rule = PlainRule(("search",), (M, D), ("m.level > 1", "d.away_from(m)"))
    graph = small(tmp_path, rule.text("r"))
    stage = Stage(graph)
    stage.room(["-----", "|...|", "|.@.|", "|...|", "-----"])
    stage.put("east", monster("troll"))
    stage.put("west", monster("newt"))
    look = stage.show(-1)
    native = stage.both.native
    levels = [m["level"] for m in look.facts.objects["monster"]]
    strong, away = (
        next(i for i, c in enumerate(graph.conditions) if word in c.text)
        for word in ("level", "away")
    )
    assert [native.holds(strong, (i,)) for i in range(2)] == [level > 1 for level in levels]
    kinds = graph.conditions[away].kinds
    for m in range(2):
        for d in range(8):
            east = look.facts.objects["monster"][m]["east"]
            objects = (m, d) if kinds == ("monster", "direction") else (d, m)
            step = {1: "east", 3: "west"}.get(d)
            if step:
                assert native.holds(away, objects) == ((east > 0) == (step == "west"))


def test_a_file_without_priorities_keeps_its_own_order(tmp_path):
    rules = [PlainRule((action,)) for action in ("search", "wait", "kick")]
    graph = small(tmp_path, *(rule.text(f"r{i}") for i, rule in enumerate(rules)))
    stage = Stage(graph)
    stage.put("north", symbol("floor of a room"))
    stage.show()
    assert [rule for rule, _, _ in listed(stage.both.out)] == [0, 1, 2]
