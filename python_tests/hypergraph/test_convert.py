"""Version-2 files become version-3 ones that load and say the same."""

import json
from pathlib import Path

import pytest

from tedg_fast.hypergraph import ACTIONS, HypergraphError, load_hypergraph
from tedg_fast.hypergraph.convert import convert

OLD = Path(__file__).parent / "nethack_version_2.json"  # the rules that were once packaged


def old_file(tmp_path, *operators, effects=()):
    """A version-2 file; an operator is given by what differs from a plain one."""
    conditions = {c["name"]: c for c in json.loads(OLD.read_text())["conditions"]}
    plain = {
        "name": "rule", "description": "Why.", "expert": "combat", "priority": 1,
        "conditions": {"state": ["hp_good"], "scene": []}, "effects": ["done"],
        "actions": ["search"],
    }  # fmt: skip
    content = {
        "format": "tedg-hypergraph", "version": 2, "name": "old", "description": 'An "old" one.',
        "conditions": list(conditions.values()),
        "effects": [{"name": "done", "description": "Done.", "shown_by": []}, *effects],
        "operators": [plain | operator for operator in operators],
    }  # fmt: skip
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    return path


def converted(tmp_path, *operators, **others):
    path = tmp_path / "new.toml"
    path.write_text(convert(old_file(tmp_path, *operators, **others)))
    return load_hypergraph(path)


def copies(ways, **parts):
    """Operators that differ in the direction only; {} stands for it."""
    return [json.loads(json.dumps(parts).replace("{}", way)) for way in ways]


def test_the_rules_once_packaged(tmp_path):
    path = tmp_path / "new.toml"
    path.write_text(convert(OLD))
    graph = load_hypergraph(path)
    old = json.loads(OLD.read_text())["operators"]
    assert graph.num_operators == 161 < len(old) == 303
    ways = ACTIONS[1:9]
    plain = [rule for rule in old if not rule["name"].endswith(tuple(f"_{way}" for way in ways))]
    rules = {rule.name: rule for rule in graph.operators}
    assert {rule["name"] for rule in plain} <= set(rules)
    for rule in plain:
        new = rules[rule["name"]]
        assert (new.expert, new.priority) == (rule["expert"], rule["priority"])
        assert new.why == rule["description"]
    assert rules["attack"].variables == ("monster",)
    assert rules["flee"].variables == ("direction",)
    assert [do.text for do in rules["run_to_gold"].actions] == ["run toward p", "move toward p"]
    assert [do.text for do in rules["choose_meal"].actions] == ["choose food"]
    assert [do.text for do in rules["refuse_deadly_meal"].actions] == ['answer "n"', "more"]


def test_eight_directions_become_one_rule(tmp_path):
    flee = dict(
        name="flee_{}", conditions={"state": ["hp_low"], "scene": ["escape_{}"]},
        actions=["{}", "far_{}"], description="Away to the {}.",
    )  # fmt: skip
    (rule,) = converted(tmp_path, *copies(ACTIONS[1:9], **flee)).operators
    assert rule.name == "flee" and rule.why == "Away there."
    assert [do.text for do in rule.actions] == ["move d", "run d"]


def test_some_directions_are_named(tmp_path):
    flee = dict(name="flee_{}", conditions={"state": [], "scene": ["escape_{}"]}, actions=["{}"])
    graph = converted(tmp_path, *copies(("north", "west"), **flee))
    assert 'direction.name in ("north", "west")' in [c.text for c in graph.conditions]
    graph = converted(tmp_path, *copies(("east",), **flee))
    assert graph.operators[0].name == "flee_east"
    assert 'direction.name == "east"' in [c.text for c in graph.conditions]


def test_actions_that_name_many_directions(tmp_path):
    straight = {"name": "a", "actions": [*ACTIONS[1:5], "kick"]}
    graph = converted(tmp_path, straight, {"name": "b", "actions": list(ACTIONS[9:17])})
    first, second = graph.operators
    assert [do.text for do in first.actions] == ["move d", "kick"]
    assert [do.text for do in second.actions] == ["run d"]
    listed = [[graph.conditions[use.condition].text for use in r.conditions]
              for r in graph.operators]  # fmt: skip
    assert [("not direction.diagonal" in texts) for texts in listed] == [True, False]


def test_effects_keep_what_shows_them(tmp_path):
    shown = {"name": "seen", "description": "Seen.", "shown_by": ["hp_low", "told_found"]}
    graph = converted(tmp_path, {"effects": ["done", "seen"]}, effects=[shown])
    names = [graph.conditions[number].name for number in graph.effects[1].shown_by]
    assert names == ["hp_low", "told.found"]


def test_all_rules_that_cannot_be_said_are_listed(tmp_path):
    lost = [
        {"name": "a", "conditions": {"state": ["my_own"], "scene": []}},
        {"name": "b", "conditions": {"state": [], "scene": ["way_to_gold_east"]},
         "actions": ["east"]},
        {"name": "c", "actions": ["more", "up", "down", "kick", "eat"]},
        {"name": "d", "conditions": {"state": [], "scene": ["escape_east"]},
         "actions": list(ACTIONS[9:17])},
    ]  # fmt: skip
    path = old_file(tmp_path, {}, *lost)
    with pytest.raises(HypergraphError) as caught:
        convert(path)
    assert str(caught.value) == (
        f"{path}: cannot be converted: rule 'a' (condition 'my_own' is unknown);"
        " rule 'b' (exists for east only); rule 'c' (has more than 4 actions);"
        " rule 'd' (its actions name directions that its conditions do not)"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[", "is no JSON; version-2 files are"),
        ("[]", "is no version-2 file; only those can be converted"),
        ('{"format": "tedg-hypergraph", "version": 1}', "has version 1, not 2"),
        ('{"format": "tedg-hypergraph", "version": 2}', "is damaged: 'operators'"),
    ],
)
def test_other_files(content, problem, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(HypergraphError) as caught:
        convert(path)
    assert str(caught.value) == f"{path}: {problem}"
