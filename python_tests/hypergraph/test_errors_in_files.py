"""Whatever is wrong with a file, its conditions or effects is told in one line."""

import re

import pytest
from malformed_rules import GOOD, load, refusal, refusal_of_changed
from rule_vocabulary import rules

from tedg_fast.hypergraph import HypergraphError
from tedg_fast.hypergraph.limits import MAX_FILE_BYTES, MAX_RULES

# What is replaced in the good file, by what, and what is said of it.
CHANGED = {
    "wrong format": ('"tedg-rules"', '"tedg"', '1: format: is "tedg"; expected "tedg-rules"'),
    "wrong version": (
        "version = 3",
        "version = 4",
        "2: version: is 4; this release reads version 3",
    ),
    "version as truth": (
        "version = 3",
        "version = true",
        "2: version: is true; this release reads version 3",
    ),
    "version in words": (
        "version = 3",
        'version = "3"',
        '2: version: is "3"; this release reads version 3',
    ),
    "no rule file": (
        'format = "tedg-rules"\nversion = 3',
        'title = "x"',
        '1: top level: is no rule file; it begins with format = "tedg-rules"',
    ),
    "missing name": ('name = "example"\n', "\n", "1: top level: key 'name' is missing"),
    "unknown top key": (
        'description = "Two rules."',
        'description = "Two rules."\nrules = 3',
        "5: top level: unknown key 'rules'; did you mean 'rule'?",
    ),
    "empty description": (
        '"Two rules."',
        '" "',
        '4: description: is " "; expected a non-empty string',
    ),
    "name of several lines": (
        'name = "example"',
        'name = """ex\nample"""',
        "3: name: has several lines; write one",
    ),
    "conditions no table": (
        "[conditions]\n",
        "[conditions.deeper]\n",
        '6: conditions, deeper: is {"hurt": "me.hp < 0.4 * me.max_hp", "dangerous": '
        '"monster...; expected a non-empty string',
    ),
    "condition no text": (
        '"me.hp < 0.4 * me.max_hp"',
        "3",
        "7: conditions, hurt: is 3; expected a non-empty string",
    ),
    "condition name with meaning": (
        "hurt      =",
        'count = "me.blind"\nhurt =',
        "7: condition 'count': the name is part of the language; choose another",
    ),
    "condition named as a kind": (
        "hurt      =",
        'monster = "me.blind"\nhurt =',
        "7: condition 'monster': the name is part of the language; choose another",
    ),
    "condition with a bad name": (
        "hurt      =",
        'Hurt-ed = "me.blind"\nhurt =',
        '7: condition "Hurt-ed": a name consists of lower-case letters, digits and underscores',
    ),
    "unused condition": (
        "hurt      =",
        'spare = "me.blind"\nhurt =',
        "7: condition 'spare': is used by no rule; use it or remove it",
    ),
    "conditions in a circle": (
        "hurt      =",
        'a = "b or me.blind"\nb = "not a"\nhurt =',
        "7: condition 'a': refers to itself: a -> b -> a; end the circle",
    ),
    "condition of itself": (
        '"me.hp < 0.4 * me.max_hp"',
        '"hurt and me.blind"',
        "7: condition 'hurt': refers to itself: hurt -> hurt; end the circle",
    ),
    "condition about three kinds": (
        '"me.hp < 0.4 * me.max_hp"',
        '"monster.adjacent and item.adjacent and direction.free"',
        "7: condition 'hurt': is about 'monster', 'item' and 'direction'; at most 2 kinds",
    ),
    "condition with a wrong attribute": (
        "monster.damage * 3",
        "monster.damge * 3",
        "8: condition 'dangerous': unknown attribute 'damge' of monster; did you mean 'damage'?",
    ),
    "condition with a wrong type": (
        '"me.hp < 0.4 * me.max_hp"',
        '"me.hp and me.blind"',
        "7: condition 'hurt': and needs a truth; 'me.hp' is a number; compare it: … > 0",
    ),
    "effects missing": (
        "[effects.killed]",
        "[effects.kiled]",
        "25: rule 'attack', effects[0]: unknown effect 'killed'; did you mean 'kiled'?",
    ),
    "effect without meaning": (
        'meaning  = "A monster died."\n',
        'purpose = "x"\n',
        "11: effect 'killed': unknown key 'purpose'; expected one of meaning, shown_by",
    ),
    "effect without shown_by": (
        "shown_by = []\n",
        "\n",
        "14: effect 'moved': key 'shown_by' is missing",
    ),
    "effect shown by a free kind": (
        '["told.killed"]',
        '["monster.adjacent"]',
        "12: effect 'killed', shown_by[0]: 'monster' is a kind, of which there may be "
        'many; declare a variable (each = "x: monster") or use count, any, total, most, nearest',
    ),
    "effect shown by nothing known": (
        '["told.killed"]',
        '["told.kiled"]',
        "12: effect 'killed', shown_by[0]: unknown attribute 'kiled' of told; did you mean "
        "'killed'?",
    ),
    "effect shown by a number": (
        '["told.killed"]',
        '["told.killed", "me.hp"]',
        "12: effect 'killed', shown_by[1]: is a number, not a truth; compare it with something",
    ),
    "shown_by no list": (
        '["told.killed"]',
        '"told.killed"',
        "12: effect 'killed', shown_by: is \"told.killed\"; expected a list of strings",
    ),
    "unused effect": (
        'effects  = ["moved"]',
        'effects  = ["killed"]',
        "14: effect 'moved': is used by no rule; use it or remove it",
    ),
    "unknown effect": (
        'effects  = ["killed"]',
        'effects  = ["kiled"]',
        "25: rule 'attack', effects[0]: unknown effect 'kiled'; did you mean 'killed'?",
    ),
    "no effect": (
        'effects  = ["killed"]',
        "effects  = []",
        "25: rule 'attack', effects: is empty; a rule needs at least one",
    ),
    "effect with a bad name": (
        "[effects.moved]",
        "[effects.Moved]",
        '14: effect "Moved": a name consists of lower-case letters, digits and underscores',
    ),
    "toml: no value": ("version = 3", "version =", "2: column 10: not valid TOML (Invalid value)"),
    "toml: key twice": (
        "version = 3",
        "version = 3\nversion = 3",
        "3: column 12: not valid TOML (Cannot overwrite a value)",
    ),
    "toml: open string": (
        '"Two rules."',
        '"Two rules.',
        "4: column 26: not valid TOML (Illegal character '\\n')",
    ),
    "toml: table twice": (
        "[effects.moved]",
        "[effects.killed]",
        "14: column 16: not valid TOML (Cannot declare ('effects', 'killed') twice)",
    ),
    "rule is text": (
        '[[rule]]\nname     = "attack"',
        '[[rules]]\nname     = "attack"',
        "18: top level: unknown key 'rules'; did you mean 'rule'?",
    ),
}


def test_the_good_file_is_good(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    graph = load(path)
    assert (graph.num_operators, graph.num_effects) == (2, 2)


@pytest.mark.parametrize("name", CHANGED)
def test_changed_files(name, tmp_path):
    old, new, expected = CHANGED[name]
    assert refusal_of_changed(tmp_path / "rules.toml", old, new) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty; expected rules in TOML"),
        (b" \n ", "the file is empty; expected rules in TOML"),
        (b"\xff\xfe", "1: byte 0 is not UTF-8; a rule file is TOML in UTF-8"),
        (b'a = 1\nb = "\xff"', "2: byte 11 is not UTF-8; a rule file is TOML in UTF-8"),
        (b"[]", "1: column 2: not valid TOML (Invalid initial character for a key part)"),
        (b"{}", "1: column 1: not valid TOML (Invalid statement)"),
        (b"\xef\xbb\xbfa = 1", "1: column 1: not valid TOML (Invalid statement)"),
        (b'a = "\x00"', "1: column 6: not valid TOML (Illegal character '\\x00')"),
        (b"a = [1,\n", "1: column 8: not valid TOML (Invalid value)"),
        (b"a = " + b"[" * 100_000, "not usable TOML (nested too deeply)"),
        (b"a = " + b"9" * 10_000, "not usable TOML (a number too long)"),
        (b"a = 1", '1: top level: is no rule file; it begins with format = "tedg-rules"'),
        (rules().encode(), "1: top level: key 'rule' is missing"),
        (rules().encode() + b"[rule]", "9: rule: expected rules, each beginning with [[rule]]"),
    ],
)
def test_broken_files(content, expected, tmp_path):
    assert refusal(tmp_path / "rules.toml", content) == expected


def test_a_version_2_file(tmp_path):
    path = tmp_path / "old.json"
    said = refusal(path, '{"format": "tedg-hypergraph", "version": 2}')
    assert said == f"is a version-2 file; convert it with `tedg-rules convert {path}`"


def test_missing_file_and_folder(tmp_path):
    for path, problem in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(
            HypergraphError, match=re.escape(f"{path}: cannot read the rule file ({problem}")
        ):
            load(path)


def test_too_large(tmp_path):
    path = tmp_path / "rules.toml"
    size = MAX_FILE_BYTES + 1
    said = refusal(path, GOOD + "#" * (size - len(GOOD)))
    assert said == f"has {size} bytes; a rule file has at most {MAX_FILE_BYTES}"
    rule = 'when = ["me.blind"]'
    said = refusal(path, rules(*[rule] * (MAX_RULES + 1)))
    assert said == f"9: rule: there are {MAX_RULES + 1} rules; at most {MAX_RULES}"
