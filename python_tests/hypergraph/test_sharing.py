"""Rules share conditions that say the same; what a digest covers; the graph that follows."""

import numpy as np
import pytest
from rule_vocabulary import KEYBOARD, VOCABULARY, rules

from tedg_fast.hypergraph import RELATIONS, Do, Use, load_hypergraph


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "rules.toml"
        path.write_text(text)
        return load_hypergraph(path, vocabulary=VOCABULARY, keyboard=KEYBOARD)

    return load


def texts(graph):
    return [condition.text for condition in graph.conditions]


def names(graph):
    return [condition.name for condition in graph.conditions]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("((m.hostile))", "monster.hostile"),
        ("m.hostile  and(m.adjacent)", "monster.hostile and monster.adjacent"),
        ("m.hostile and (m.adjacent or me.blind)",
         "monster.hostile and (monster.adjacent or me.blind)"),
        ("me.hp-(me.depth-1)>0", "me.hp - (me.depth - 1) > 0"),
        ("(me.hp-me.depth)-1>0", "me.hp - me.depth - 1 > 0"),
        ("me.hp/(me.depth*2)==-3", "me.hp / (me.depth * 2) == -3"),
        ("not (m.hostile and True)", "not (monster.hostile and true)"),
        ("(not m.hostile) == m.adjacent", "(not monster.hostile) == monster.adjacent"),
        ("m.level < 10.0", "monster.level < 10"),
        ("m.name in ['newt','jackal']", 'monster.name in ("newt", "jackal")'),
        ("m.name not in ('newt',)", 'monster.name not in ("newt",)'),
        ("distance(n,m) < 3", "distance(monster, monster_2) < 3"),
        ("n.level < m.level", "monster.level < monster_2.level"),
        ("m.level >= most(monster.hostile, monster.level)",
         "monster.level >= most(monster.hostile, monster.level)"),
        ("count(monster.level > m.level) > 2", "count(monster.level > monster_1.level) > 2"),
        ("weak(m)", "monster.level < 3"),
        ("not weak(n) or me.blind", "not monster.level < 3 or me.blind"),
        ("count(weak(monster)) > 1", "count(monster.level < 3) > 1"),
        ("weak(nearest(monster.hostile))", "nearest(monster.hostile).level < 3"),
        ("strength(m) * 2 > 9", "(monster.level + 1) * 2 > 9"),
        ("any(item.class == 'wand')", 'any(item.class == "wand")'),
    ],
)  # fmt: skip
def test_canonical_text(written, text, load):
    conditions = 'weak = "monster.level < 3"\nstrength = "monster.level + 1"'
    rule = f'each = ["m: monster", "n: monster"]\nwhen = ["{written}", "m.adjacent or n.adjacent",'
    graph = load(rules(rule + ' "weak(m) or strength(m) > 2"]', conditions=conditions))
    assert texts(graph)[0] == text


def test_rules_share_what_says_the_same(load):
    graph = load(
        rules(
            'each = "m: monster"\nwhen = ["m.adjacent", "m.hostile"]',
            'each = "x: monster"\nwhen = ["x.hostile", "(x.adjacent)", "me.blind"]',
            'each = ["i: item", "y: monster"]\nwhen = ["y.adjacent", "i.adjacent"]',
        )
    )
    assert texts(graph) == ["monster.adjacent", "monster.hostile", "me.blind", "item.adjacent"]
    uses = [operator.conditions for operator in graph.operators]
    assert uses[0] == (Use(0, (0,)), Use(1, (0,)))
    assert uses[1] == (Use(1, (0,)), Use(0, (0,)), Use(2, ()))
    assert uses[2] == (Use(0, (1,)), Use(3, (0,)))
    assert np.array_equal(graph.operator_conditions, [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]])


def test_slots_follow_the_condition_not_the_rule(load):
    graph = load(
        rules(
            'each = ["m: monster", "n: monster"]\n'
            'when = ["m.level < n.level", "n.level < m.level", "m.adjacent", "n.adjacent"]'
        )
    )
    assert [condition.kinds for condition in graph.conditions] == [("monster",) * 2, ("monster",)]
    assert graph.operators[0].conditions == (
        Use(0, (0, 1)), Use(0, (1, 0)), Use(1, (0,)), Use(1, (1,)),
    )  # fmt: skip
    assert graph.edges()[0].shape == (2, 2 * (2 + 1)), "one edge a condition"


def test_named_conditions_are_shown_by_their_names(load):
    graph = load(
        rules(
            'each = "m: monster"\nwhen = ["m.level < 3", "not weak(m)", "hurt"]',
            'each = "m: monster"\nwhen = ["weak(m)", "not hurt", "m.adjacent"]',
            conditions='weak = "monster.level < 3"\nhurt = "me.hp < 0.5 * me.max_hp"',
        )
    )
    assert names(graph) == ["weak", "not weak(monster)", "hurt", "not hurt", "monster.adjacent"]
    assert texts(graph)[3] == "not me.hp < 0.5 * me.max_hp"
    assert graph.condition_index["weak"] == 0
    assert [condition.kind for condition in graph.conditions] == [
        "scene", "scene", "state", "state", "scene",
    ]  # fmt: skip


def test_templates(load):
    graph = load(
        rules(
            'each = ["m: monster", "d: direction"]\nwhen = ["m.adjacent"]\n'
            'do = ["move toward m", "run away from m", "run d", "search"]',
            'when = ["me.blind"]\ndo = ["more", "answer \\"k\\"", "choose food"]',
        )
    )
    first, second = graph.operators
    assert [(do.kind, do.variable, do.action) for do in first.actions] == [
        (Do.MOVE_TOWARD, 0, -1), (Do.RUN_AWAY, 0, -1), (Do.RUN, 1, -1), (Do.PRESS, -1, 4),
    ]  # fmt: skip
    assert [(do.kind, do.variable, do.action) for do in second.actions] == [
        (Do.ANSWER, -1, 0), (Do.ANSWER, -1, 1), (Do.CHOOSE_FOOD, -1, -1),
    ]  # fmt: skip
    assert first.variables == ("monster", "direction") and first.variable_names == ("m", "d")
    assert first.priority is None and graph.operator_priority[0] == 0


def test_edges(load):
    graph = load(
        rules(
            'when = ["me.blind", "any(monster.hostile)"]',
            effects='[effects.seen]\nmeaning = "Seen."\nshown_by = ["not me.blind", "told.found"]',
        ).replace('["done"]', '["done", "seen"]')
    )
    assert graph.effects[1].shown_by == (2, 3)
    assert np.array_equal(graph.effect_conditions, [[0, 0, 0, 0], [0, 0, 1, 1]])
    edge_index, relation = graph.edges()
    forward = [
        (int(source), int(target), RELATIONS[kind])
        for source, target, kind in zip(*edge_index, relation, strict=True)
        if not RELATIONS[kind].endswith("_reverse")
    ]
    assert forward == [
        (0, 4, "requires"), (1, 4, "context"), (4, 5, "causes"), (4, 6, "causes"),
    ]  # fmt: skip


BASE = rules(
    'each = "m: monster"\nwhen = ["weak(m)", "m.adjacent"]\npriority = 3',
    conditions='weak = "monster.level < 3"',
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"For tests."', '"For other tests."'),
        ('meaning = "Done."', 'meaning = "Well done."'),
        ('name = "test"', 'name = "another"'),
        ('"rule_0"', '"rule_one"'),
        ("weak", "feeble"),
        ("m: monster", "monstrous: monster"),
        ('"weak(m)"', '"m.level < 3.0"'),
        ("priority = 3", "decide = false\npriority = 3.0 # of twenty"),
    ],
)
def test_digests_ignore(old, new, load):
    changed = BASE.replace(old, new)
    if new == "monstrous: monster":
        changed = changed.replace("(m)", "(monstrous)").replace("m.adj", "monstrous.adj")
    if "3.0" in new and "weak" in old:
        changed = changed.replace('[conditions]\nweak = "monster.level < 3"\n', "")
    assert changed != BASE
    assert load(changed).digest == load(BASE).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("monster.level < 3", "monster.level < 4"),
        ("monster.level < 3", "monster.level <= 3"),
        ('"m.adjacent"', '"not m.adjacent"'),
        ("priority = 3", "priority = 4"),
        ("priority = 3", ""),
        ("priority = 3", "priority = 3\ndecide = true"),
        ('"general"', '"combat"'),
        ('"search"', '"down"'),
        ("shown_by = []", 'shown_by = ["told.found"]'),
    ],
)
def test_digests_notice(old, new, load):
    assert load(BASE.replace(old, new)).digest != load(BASE).digest


def test_no_priority_is_not_priority_zero(load):
    none = BASE.replace("priority = 3", "")
    assert load(none).digest != load(none + "priority = 0\n").digest


def test_a_thousand_rules(load):
    many = [
        f'each = "m: monster"\nwhen = ["m.level == {i % 50}", "m.damage > {i}"]'
        for i in range(1000)
    ]
    graph = load(rules(*many))
    assert graph.num_operators == 1000 and graph.num_conditions == 1050
