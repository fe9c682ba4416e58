"""The page is followed as a reader follows it: its text goes into a file, its commands are run."""

import re

import pytest
from page_commands import ENTRIES, ROOT, commands, run_briefly
from page_commands import blocks as blocks_of
from small_rules import rule, small

from tedg_fast.hypergraph import HypergraphError, limits, load_hypergraph
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.hypergraph.schema import EXPERTS
from tedg_fast.nethack.facts.observation import INSTANCES, OBJECTS
from tedg_fast.rules.review import Review

PATH = ROOT / "docs" / "writing_rules.md"
PAGE = PATH.read_text(encoding="utf-8")
OLD = ROOT / "python_tests" / "hypergraph" / "nethack_version_2.json"
COMMANDS = commands(PATH)


def blocks(language):
    return blocks_of(PATH, language)


def edited(path):
    """The file as the tutorial has one edit it: a line below [conditions], the rest at the end."""
    condition, rest, _ = blocks("toml")
    text = path.read_text()
    assert text.count("\n[conditions]\n") == 1
    text = text.replace("\n[conditions]\n", f"\n[conditions]\n{condition}")
    path.write_text(f"{text}\n{rest}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with my.toml as the tutorial makes it."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        run_briefly(patch, f"tedg-rules copy {folder}/my.toml")
    edited(folder / "my.toml")
    (folder / "old.json").write_bytes(OLD.read_bytes())
    return folder


def test_the_page_has_its_commands():
    assert {command.split()[0] for command in COMMANDS} == set(ENTRIES) - {"tedg-report"}
    assert len(COMMANDS) >= 9


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("tedg-rules copy")])
def test_every_command_runs(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    run_briefly(monkeypatch, command)
    shown = capsys.readouterr()
    assert shown.out
    if "check my.toml" in command:
        assert re.search(r"^my\.toml: \d+ rules ", shown.out, re.MULTILINE)
        assert "back_out" not in shown.out, "the rule on the page gets a warning"
    if "--until back_out" in command:
        assert "proposed by back_out (d = " in shown.out
        assert "crowded (count(monster.hostile and monster.adjacent) >= 2)" in shown.out
    if "--rule back_out" in command:
        assert "back_out did not apply:" in shown.out or "back_out applied:" in shown.out


def test_the_rule_on_the_page_is_in_the_file(folder):
    rules = load_hypergraph(folder / "my.toml")
    packaged = load_hypergraph()
    assert rules.num_operators == packaged.num_operators + 1
    assert rules.operators[-1].name == "back_out"
    assert rules.conditions[rules.operators[-1].conditions[0].condition].name == "crowded"


def test_a_mistake_is_answered_as_the_page_shows(folder, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text((folder / "my.toml").read_text().replace('"d.free", "d.thr', '"d.fre", "d.thr'))
    with pytest.raises(HypergraphError) as caught:
        load_hypergraph(path)
    (shown,) = re.findall(r"^my\.toml:\d+: (.*)$", PAGE, re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(str(path))}:\d+: {re.escape(shown)}", str(caught.value))


def test_the_whole_file_on_the_page(tmp_path):
    path = tmp_path / "example.toml"
    path.write_text(blocks("toml")[2])
    rules = load_hypergraph(path)
    assert [rule.name for rule in rules.operators] == ["attack", "back_off", "descend"]
    assert Review(rules, nethack_vocabulary()).remarks() == []


@pytest.mark.parametrize(
    "expression",
    ["danger(m) > 3", "count(weak(monster)) > 1", "weak(nearest(monster.hostile))",
     "count(monster.level > m.level) > 0", "1 <= m.distance < 4",
     'nearest(item.class == "food").distance > 1'],
)  # fmt: skip
def test_expressions_on_the_page(expression, tmp_path):
    named = 'weak = "monster.level < me.level"\ndanger = "monster.damage / me.hp"\n'
    used = [expression, "weak(m)", "danger(m) >= 0"]
    assert small(tmp_path, rule("r", "search", used, ["m: monster"]), conditions=named)
    assert expression.removesuffix(" > 0").removesuffix(" > 1") in PAGE


def test_the_limits_on_the_page_are_those_of_the_code():
    kinds = nethack_vocabulary().kind
    listed = ", ".join(str(kinds[k].limit) for k in ("monster", "item", "corpse", "direction"))
    rule = ", ".join(
        str(n)
        for n in (limits.MAX_VARIABLES, limits.MAX_WHEN, limits.MAX_ACTIONS, limits.MAX_EFFECTS)
    )
    for what in (
        f"| monsters, items, corpses, directions that are listed | {listed}, the nearest;",
        f"| instances of rules in a state | {INSTANCES},",
        f"| objects in an observation of the network | {OBJECTS} |",
        f"| bytes and rules in a file | {limits.MAX_FILE_BYTES // 2**20} MiB, {limits.MAX_RULES} |",
        f"named ones put in | {limits.MAX_CHARACTERS}, {limits.MAX_PARTS} |",
        f"| variables, conditions, actions, effects of a rule | {rule} |",
        f"| a condition, once compiled | {limits.MAX_PROGRAM} instructions |",
        "a number from {} to {}, optional".format(*limits.PRIORITIES),
    ):
        assert what in PAGE, what
    for expert in EXPERTS:
        assert f"`{expert}`" in PAGE
