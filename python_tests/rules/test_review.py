"""What is legal and surely not meant: rules that never apply, rules that never decide."""

import pytest

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.hypergraph.parse import parse
from tedg_fast.rules.reasoning import Domain, Reasoner, satisfiable
from tedg_fast.rules.review import Review

HEAD = """
format = "tedg-rules"
version = 3
name = "test"
description = "For tests."
[conditions]
hurt = "me.hp < 0.5 * me.max_hp"
close = "monster.hostile and monster.distance <= 2"
[effects.done]
meaning = "Done."
shown_by = ["hurt", "any(close(monster))"]
"""
ONE = 'each = "m: monster"\n'
PAIR = 'each = ["m: monster", "n: monster"]\n'
TURNED = 'each = ["d: direction", "x: monster"]\n'


def rule(name, content, do="search", priority=None):
    do = f"'{do}'" if isinstance(do, str) else do
    stated = f"priority = {priority}\n" if priority is not None else ""
    return (
        f'[[rule]]\nname = "{name}"\nwhy = "Why."\nexpert = "general"\neffects = ["done"]\n'
        f"do = {do}\n{stated}{content}\n"
    )


def remarks_on(tmp_path, *rules):
    path = tmp_path / "rules.toml"
    path.write_text(HEAD + "".join(rules))
    review = Review(load_hypergraph(path), nethack_vocabulary())
    return [(remark.rule, remark.text) for remark in review.remarks()]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (ONE + 'when = ["m.hostile", "not m.hostile"]',
         "'m.hostile' and 'not m.hostile' exclude each other"),
        (ONE + 'when = ["m.pet or m.peaceful", "not (m.pet or m.peaceful)"]',
         "'m.pet or m.peaceful' and 'not (m.pet or m.peaceful)' exclude each other"),
        (ONE + """when = ['m.name == "newt"', "m.name == 'jackal'"]""",
         """'m.name == "newt"' and 'm.name == 'jackal'' exclude each other"""),
        ("""when = ['me.hunger in ("weak", "fainting")', 'me.hunger == "hungry"']""",
         """'me.hunger in ("weak", "fainting")' and 'me.hunger == "hungry"' exclude each other"""),
        (ONE + 'when = ["close(m)", "m.distance > 3"]',
         "'close(m)' and 'm.distance > 3' exclude each other"),
        (ONE + 'when = ["m.level < 3", "m.level > 5"]',
         "'m.level < 3' and 'm.level > 5' exclude each other"),
        (ONE + 'when = ["m.level < me.level", "m.level >= me.level"]',
         "'m.level < me.level' and 'm.level >= me.level' exclude each other"),
        ('when = ["hurt", "me.hp >= 0.7 * me.max_hp"]',
         "'hurt' and 'me.hp >= 0.7 * me.max_hp' exclude each other"),
        ('when = ["hurt", "me.hp == me.max_hp"]',
         "'hurt' and 'me.hp == me.max_hp' exclude each other"),
        ('when = ["any(monster.hostile)", "count(monster.hostile) == 0"]',
         "'any(monster.hostile)' and 'count(monster.hostile) == 0' exclude each other"),
        ('when = ["me.blind or me.stunned", "not me.blind", "not me.stunned"]',
         "its conditions exclude each other"),
        ('when = ["hurt", "false"]', "'false' never holds"),
        ('when = ["3 < me.depth < 2"]', "'3 < me.depth < 2' never holds"),
        ('when = ["count(monster.hostile) < 0"]', "'count(monster.hostile) < 0' never holds"),
        ('each = ["a: gold", "b: gold"]\nwhen = ["a.steps < b.steps"]',
         "there is at most one gold, and it needs two"),
        ('when = [\'prompt.kind == "eat_here"\']',
         "what it does is not sent at the prompt that its conditions ask for"),
    ],
)  # fmt: skip
def test_rules_that_never_apply(content, reason, tmp_path):
    used = rule("uses", ONE + 'when = ["close(m)", "hurt"]', 'answer "y"')
    assert remarks_on(tmp_path, rule("r", content), used) == [(0, f"can never apply: {reason}")]


@pytest.mark.parametrize(
    "content",
    [
        PAIR + 'when = ["m.hostile", "not n.hostile"]',
        ONE + 'when = ["m.level > 3", "m.level < 5"]',
        ONE + 'when = ["m.level >= 3", "m.level <= 3"]',
        ONE + 'when = ["m.hostile", "any(not monster.hostile)"]',
        'when = ["me.hp < 0.5 * me.level", "me.hp > 0.7 * me.level"]',  # a level might be negative
        'when = ["me.blind or hurt", "not me.blind"]',
        'when = ["not (me.blind and hurt)", "me.blind"]',
        'when = ["me.depth != 3", "me.depth != 4", "me.depth > 2"]',
        'when = [\'prompt.kind in ("none", "eat_here")\']',
    ],
)
def test_rules_that_may_apply(content, tmp_path):
    used = rule("uses", ONE + 'when = ["close(m)", "hurt"]', 'answer "y"', -5)
    assert remarks_on(tmp_path, rule("r", content), used) == []


@pytest.mark.parametrize(
    ("weak", "strong", "do", "noticed"),
    [
        # The stronger one asks for less and does the same.
        (ONE + 'when = ["m.hostile", "me.blind"]', ONE + 'when = ["m.hostile"]',
         ("move toward m", "move toward m"), True),
        (TURNED + 'when = ["x.hostile", "d.free"]', ONE + 'when = ["m.hostile"]',
         ("move toward x", ["move toward m", "run toward m"]), True),
        ('when = ["me.blind", "hurt"]', 'when = ["me.blind"]', ("eat", "eat"), True),
        # What it states differently follows all the same.
        (ONE + 'when = ["close(m)"]', ONE + 'when = ["m.distance < 5"]',
         ("move toward m", "move toward m"), True),
        ("""when = ['me.hunger == "weak"']""", """when = ['me.hunger in ("weak", "hungry")']""",
         ("eat", "eat"), True),
        # It does something else that is possible wherever the game waits for a command.
        ('when = ["me.blind", "hurt"]', 'when = ["me.blind"]', ("eat", "search"), True),
        (ONE + """when = ["m.hostile", 'prompt.kind == "none"']""", ONE + 'when = ["m.hostile"]',
         ("move toward m", "search"), True),
        ("""when = ['prompt.kind == "other"']""", """when = ['prompt.kind != "none"']""",
         ('answer "n"', "more"), True),
        # It may have nothing to do.
        (ONE + 'when = ["m.hostile", "me.blind"]', ONE + 'when = ["m.hostile"]',
         ("search", "move away from m"), False),
        (ONE + 'when = ["m.hostile"]', ONE + 'when = ["m.hostile"]',
         ("move toward m", "search"), False),  # a step answers a prompt, a search does not
        # It asks for more, for something else, or for other objects.
        (ONE + 'when = ["m.hostile"]', ONE + 'when = ["m.hostile", "me.blind"]',
         ("search", "search"), False),
        (ONE + 'when = ["m.distance < 5"]', ONE + 'when = ["m.distance < 4"]',
         ("search", "search"), False),
        (ONE + 'when = ["m.hostile"]', TURNED + 'when = ["x.hostile", "d.free"]',
         ("search", "search"), False),
        ('each = "i: item"\nwhen = ["i.adjacent"]', ONE + 'when = ["m.adjacent"]',
         ("search", "search"), False),
    ],
)  # fmt: skip
def test_rules_that_never_decide(weak, strong, do, noticed, tmp_path):
    used = rule("uses", ONE + 'when = ["close(m)", "hurt", "me.turn > 5"]', 'answer "y"', -5)
    said = remarks_on(tmp_path, rule("weak", weak, do[0]), rule("strong", strong, do[1], 2), used)
    expected = (
        0,
        "never decides: wherever it applies, 'strong' of priority 2 applies too and comes first",
    )
    assert said == [expected] * noticed


def test_equal_priorities_outweigh_nothing(tmp_path):
    one = rule("one", 'when = ["me.blind", "hurt"]')
    two = rule("two", 'when = ["me.blind"]')
    used = rule("uses", ONE + 'when = ["close(m)"]', 'answer "y"', -5)
    assert remarks_on(tmp_path, one, two, used) == []


def test_the_packaged_rules_all_may_apply():
    remarks = Review(load_hypergraph(), nethack_vocabulary()).remarks()
    assert [remark.text for remark in remarks if "never apply" in remark.text] == []


def test_many_rules_are_reviewed_quickly(tmp_path):
    used = rule("uses", ONE + 'when = ["close(m)", "hurt"]', 'answer "y"', -5)
    rules = [
        rule(f"r{i}", ONE + f'when = ["m.level == {i}", "m.hostile"]', "search", i % 20)
        for i in range(300)
    ]
    assert remarks_on(tmp_path, *rules, used) == []


@pytest.mark.parametrize(
    ("texts", "possible"),
    [
        (["me.hp < 3", "me.hp > 2"], True),
        (["me.hp <= 2", "me.hp >= 2", "me.hp != 2"], False),
        (["me.hp not in (1, 2)", "me.hp in (1, 2)"], False),
        (["-2 < me.alignment", "me.alignment < -2"], False),
        (["not (me.hp < 3 and me.gold > 5)", "me.hp < 2", "me.gold > 6"], False),
        (["me.hp < me.gold", "me.gold < me.hp"], False),
        (["me.hp <= me.gold", "me.gold <= me.hp"], True),
        (["me.hp < me.max_hp", "2 * me.max_hp < me.hp"], False),
        (["true", "not false"], True),
    ],
)
def test_what_can_hold_together(texts, possible):
    reasoner = Reasoner(nethack_vocabulary())
    assert satisfiable([reasoner.cases(parse(text)) for text in texts]) == possible


def test_meeting_domains():
    low, high = Domain(low=1.0), Domain(high=1.0)
    assert not low.meet(high).empty()
    assert low.meet(Domain(high=1.0, high_open=True)).empty()
    assert low.meet(high).meet(Domain(without=frozenset((1.0,)))).empty()
    assert Domain(frozenset((3.0, 4.0))).meet(high).empty()
