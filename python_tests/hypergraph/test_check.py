"""`tedg-rules` and what it notices about rules that can do nothing."""

import sys
from pathlib import Path

import pytest
from rule_vocabulary import KEYBOARD, VOCABULARY, rules

from tedg_fast import cli
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.hypergraph.check import remarks

OLD = Path(__file__).parent / "nethack_version_2.json"


def remarks_on(tmp_path, *texts):
    path = tmp_path / "rules.toml"
    path.write_text(rules(*texts))
    return remarks(load_hypergraph(path, vocabulary=VOCABULARY, keyboard=KEYBOARD))


ONE = 'each = "m: monster"\nwhen = '
TWO = 'each = ["d: direction", "x: monster"]\nwhen = '


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ('["m.hostile", "not m.hostile"]', "'monster.hostile' and 'not monster.hostile'"),
        ('["not (m.hostile or me.blind)", "m.hostile or me.blind"]',
         "'monster.hostile or me.blind' and 'not (monster.hostile or me.blind)'"),
        ('["m.hostile", "false"]', "'false'"),
        ("""["m.name == 'newt'", "m.name == 'jackal'"]""",
         """'monster.name == "jackal"' and 'monster.name == "newt"'"""),
        ("""["m.name in ('newt', 'jackal')", "m.name not in ('jackal', 'newt')"]""",
         """'monster.name in ("newt", "jackal")' and 'monster.name not in ("jackal", "newt")'"""),
        ('["m.level > 5", "m.level <= 5"]', "'monster.level <= 5' and 'monster.level > 5'"),
        ('["m.level > 5", "1 < m.level < 3"]',
         "'1 < monster.level < 3' and 'monster.level > 5'"),
        ('["me.hp == 3", "me.hp != 3", "m.hostile"]', "'me.hp != 3' and 'me.hp == 3'"),
    ],
)  # fmt: skip
def test_rules_that_never_apply(when, reason, tmp_path):
    (said,) = remarks_on(tmp_path, ONE + when)
    assert said == f"rule 'rule_0' never applies: it requires {reason}"


@pytest.mark.parametrize(
    "when",
    [
        '["m.hostile", "not n.hostile"]',
        '["m.level > 5", "n.level < 5"]',
        '["m.level >= 5", "m.level <= 5", "n.hostile"]',
        '["m.level > 5", "m.level < 6", "n.hostile"]',
        '["m.level > n.level", "m.level < 6"]',
        '["m.level != 5", "m.level != 6", "n.hostile"]',
        """["m.name != 'newt'", "m.name != 'jackal'", "n.hostile"]""",
        """["m.name in ('newt', 'jackal')", "m.name != 'jackal'", "n.hostile"]""",
    ],
)
def test_rules_that_may_apply(when, tmp_path):
    assert remarks_on(tmp_path, f'each = ["m: monster", "n: monster"]\nwhen = {when}') == []


@pytest.mark.parametrize(
    ("weak", "strong", "noticed"),
    [
        (ONE + '["m.hostile", "me.blind"]', ONE + '["m.hostile"]\npriority = 2', True),
        (ONE + '["m.hostile", "me.blind"]', 'when = ["me.blind"]\npriority = 2', True),
        (TWO + '["x.hostile", "d.free"]', ONE + '["m.hostile"]\npriority = 2', True),
        (ONE + '["m.hostile"]\npriority = -3', ONE + '["m.hostile"]', True),
        (ONE + '["m.hostile", "me.blind"]', ONE + '["m.hostile"]', False),
        (ONE + '["m.hostile"]', ONE + '["m.hostile", "me.blind"]\npriority = 2', False),
        (ONE + '["m.hostile"]', TWO + '["x.hostile", "d.free"]\npriority = 2', False),
        ('each = "i: item"\nwhen = ["i.adjacent"]', ONE + '["m.adjacent"]\npriority = 2', False),
    ],
)
def test_rules_that_never_decide(weak, strong, noticed, tmp_path):
    said = remarks_on(tmp_path, weak, strong)
    assert [line.startswith("rule 'rule_0' (") for line in said] == [True] * noticed
    assert all("never decides: rule 'rule_1' (" in line for line in said)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["tedg-rules", *map(str, arguments)])
    cli.rules()


def test_the_command(tmp_path, monkeypatch, capsys):
    new = tmp_path / "new.toml"
    run(monkeypatch, "convert", OLD, "--to", new)
    assert capsys.readouterr().out == f"{new}: 161 rules, 147 conditions\n"
    run(monkeypatch, "check", new)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "nethack-monk: 161 rules, 147 conditions, 62 effects"
    assert said[0].startswith("rule 'rest_after_ambush' (0) never decides: ")
    run(monkeypatch, "check")
    assert capsys.readouterr().out.splitlines()[-1].startswith("nethack: ")
    run(monkeypatch, "vocabulary")
    assert capsys.readouterr().out.startswith("# Vocabulary\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["check", OLD], f"is a version-2 file; convert it with `tedg-rules convert {OLD}`"),
        (["convert", OLD, "--to", OLD], "exists already; name another with --to"),
        (["convert", OLD, "--to", "/nowhere/new.toml"], "No such file or directory"),
    ],
)
def test_bad_input_is_one_line(arguments, problem, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said == f"tedg-rules: {arguments[-1]}: {problem}\n"
