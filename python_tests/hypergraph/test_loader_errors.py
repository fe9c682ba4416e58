"""Whatever is wrong with a hypergraph file is told in one line: file, place, problem, remedy."""

import copy
import json

import pytest

from tedg_fast.hypergraph import HypergraphError, load_hypergraph

GOOD = {
    "format": "tedg-hypergraph",
    "version": 2,
    "name": "example",
    "description": "Two rules.",
    "conditions": [
        {"name": "hp_low", "kind": "state", "description": "HP is low."},
        {"name": "on_stairs_down", "kind": "scene", "description": "On stairs down."},
    ],
    "effects": [{"name": "deeper", "description": "The level number rose.", "shown_by": []}],
    "operators": [
        {
            "name": "flee_down",
            "description": "Flee.",
            "expert": "survival",
            "priority": 3,
            "conditions": {"state": ["hp_low"], "scene": ["on_stairs_down"]},
            "effects": ["deeper"],
            "actions": ["down"],
        }
    ],
}


def operator(key, value):
    def change(content):
        content["operators"][0][key] = value

    return change


def top(key, value):
    return lambda content: content.update({key: value})


def conditions(state=("hp_low",), scene=("on_stairs_down",)):
    return operator("conditions", {"state": list(state), "scene": list(scene)})


def twice(key):
    return lambda content: content[key].append(copy.deepcopy(content[key][0]))


def without(key):
    return lambda content: content.pop(key)


def unused(key, **entry):
    return lambda content: content[key].append(
        {"name": "extra", "description": "Unused.", **entry}
    )


BROKEN = {
    "wrong format": (top("format", "tedg"), "format: is \"tedg\"; expected \"tedg-hypergraph\""),
    "wrong version": (top("version", 1), "version: is 1; this release reads version 2 only"),
    "missing key": (without("effects"), "top level: key 'effects' is missing"),
    "unknown key": (
        top("operator", []), "top level: unknown key 'operator'; did you mean 'operators'?"
    ),
    "no operators": (top("operators", []), "operators: is empty; expected at least one entry"),
    "not a list": (top("conditions", "hp_low"), "conditions: is \"hp_low\"; expected a list"),
    "not an object": (
        top("effects", [3]), "effects[0]: is 3; expected an object with name, description"
    ),
    "unknown condition": (
        conditions(state=["hp_lo"]),
        "operators[0] 'flee_down'.conditions.state[0]: unknown condition 'hp_lo';"
        " did you mean 'hp_low'?",
    ),
    "condition under the wrong kind": (
        conditions(state=["hp_low", "on_stairs_down"], scene=[]),
        "operators[0] 'flee_down'.conditions.state: condition 'on_stairs_down' is declared with"
        " kind \"scene\"; list it under conditions.scene",
    ),
    "unknown kind of conditions": (
        operator("conditions", {"state": [], "place": []}),
        "operators[0] 'flee_down'.conditions: unknown key 'place'; expected one of state, scene",
    ),
    "no condition": (conditions((), ()), "lists no condition; a rule needs at least one"),
    "condition listed twice": (
        conditions(state=["hp_low", "hp_low"]), "'hp_low' appears twice (entries 0 and 1)"
    ),
    "condition declared twice": (twice("conditions"), "conditions: 'hp_low' appears twice"),
    "operator twice": (twice("operators"), "operators: 'flee_down' appears twice"),
    "unknown effect": (
        operator("effects", ["deper"]),
        "operators[0] 'flee_down'.effects[0]: unknown effect 'deper'; did you mean 'deeper'?",
    ),
    "no effect": (operator("effects", []), "'flee_down'.effects: is empty"),
    "unknown action": (
        operator("actions", ["far_nort"]),
        "operators[0] 'flee_down'.actions[0]: unknown action 'far_nort'; did you mean 'far_north'?",
    ),
    "no action": (operator("actions", []), "'flee_down'.actions: is empty"),
    "unknown expert": (
        operator("expert", "wizard"),
        "operators[0] 'flee_down'.expert: unknown expert 'wizard'; expected one of survival,"
        " combat, exploration, general",
    ),
    "priority in words": (
        operator("priority", "high"),
        "operators[0] 'flee_down'.priority: is \"high\"; expected a number from -20 to 20",
    ),
    "priority out of range": (operator("priority", 1e9), "expected a number from -20 to 20"),
    "priority not a number": (operator("priority", float("nan")), "is NaN; expected a number"),
    "bad name": (operator("name", "Flee!"), "operators[0].name: is \"Flee!\"; expected lower-case"),
    "empty text": (operator("description", " "), "expected a non-empty string"),
    "unused condition": (
        unused("conditions", kind="state"),
        "conditions: 'extra' is used by no operator; use it or remove it",
    ),
    "effect shown by nothing known": (
        lambda content: content["effects"][0].update(shown_by=["hp_lo"]),
        "effects[0] 'deeper'.shown_by[0]: unknown condition 'hp_lo'; did you mean 'hp_low'?",
    ),
    "unused effect": (
        unused("effects", shown_by=[]), "effects: 'extra' is used by no operator; use it or remove it"
    ),
}  # fmt: skip


def refusal(path) -> str:
    with pytest.raises(HypergraphError) as caught:
        load_hypergraph(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_the_example_is_good(tmp_path):
    path = tmp_path / "good.json"
    path.write_text(json.dumps(GOOD))
    graph = load_hypergraph(path)
    assert (graph.num_conditions, graph.num_operators, graph.num_effects) == (2, 1, 1)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_content(name, tmp_path):
    change, expected = BROKEN[name]
    content = copy.deepcopy(GOOD)
    change(content)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(content))
    assert expected in refusal(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty"),
        (b" \n ", "the file is empty"),
        (b'{"format": "tedg-hypergraph",\n  "version" 1}', "line 2 column 13: not valid JSON"),
        (b'{"name": "a", "name": "b"}', "key 'name' appears twice in one JSON object"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 10_000, "a number too long"),
        (b"[]", "top level: is []; expected an object with format, version"),
        (b"null", "top level: is null"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
    ],
)
def test_broken_files(data, expected, tmp_path):
    path = tmp_path / "broken.json"
    path.write_bytes(data)
    assert expected in refusal(path)


def test_missing_file_and_folder(tmp_path):
    assert "cannot read the hypergraph file (No such file" in refusal(tmp_path / "none.json")
    assert "cannot read the hypergraph file (Is a directory" in refusal(tmp_path)
