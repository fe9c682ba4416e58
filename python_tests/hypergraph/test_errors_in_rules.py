"""Whatever is wrong with a rule is told in one line: place, problem, remedy."""

import pytest
from malformed_rules import refusal_of_changed

# What is replaced in the good file, by what, and what is said of it.
CHANGED = {
    "unknown key of a rule": (
        "priority = 10",
        "priorty = 10",
        "26: rule 'attack': unknown key 'priorty'; did you mean 'priority'?",
    ),
    "missing why": (
        'why      = "Fights bring experience."\n',
        "\n",
        "18: rule 'attack': key 'why' is missing",
    ),
    "missing when": (
        'when     = ["m.hostile", "m.adjacent", "not hurt", "not dangerous(m)"]',
        "\n",
        "18: rule 'attack': key 'when' is missing",
    ),
    "rule without a name": ('name     = "attack"\n', "\n", "18: rule[0]: key 'name' is missing"),
    "rule with a bad name": (
        'name     = "attack"',
        'name     = "Attack!"',
        '19: rule[0], name: is "Attack!"; expected lower-case letters, digits and underscores',
    ),
    "two rules of one name": (
        'name     = "back_off"',
        'name     = "attack"',
        "30: rule 'attack', name: is taken by the rule on line 19; choose another",
    ),
    "unknown expert": (
        '"combat"',
        '"combatant"',
        "21: rule 'attack', expert: unknown expert 'combatant'; did you mean 'combat'?",
    ),
    "unknown expert, far off": (
        '"combat"',
        '"wizard"',
        "21: rule 'attack', expert: unknown expert 'wizard'; expected one of survival, "
        "combat, exploration, general",
    ),
    "priority out of range": (
        "priority = 10",
        "priority = 21",
        "26: rule 'attack', priority: is 21; expected a number from -20 to 20",
    ),
    "priority in words": (
        "priority = 10",
        'priority = "high"',
        "26: rule 'attack', priority: is \"high\"; expected a number from -20 to 20",
    ),
    "priority not a number": (
        "priority = 10",
        "priority = nan",
        "26: rule 'attack', priority: is NaN; expected a number from -20 to 20",
    ),
    "decide in words": (
        "decide   = true",
        'decide   = "yes"',
        "27: rule 'attack', decide: is \"yes\"; expected true or false",
    ),
    "each without a kind": (
        '"m: monster"\nwhen',
        '"m"\nwhen',
        "22: rule 'attack', each: is 'm'; expected a variable and its kind: m: monster",
    ),
    "each of an unknown kind": (
        '"m: monster"\nwhen',
        '"m: monstre"\nwhen',
        "22: rule 'attack', each: unknown kind 'monstre'; did you mean 'monster'?",
    ),
    "each of a singleton": (
        '"m: monster"\nwhen',
        '"m: me"\nwhen',
        "22: rule 'attack', each: there is one 'me' only; write me.… without a variable",
    ),
    "three variables": (
        '["m: monster", "d: direction"]',
        '["m: monster", "d: direction", "i: item"]',
        "33: rule 'back_off', each: has 3 entries; at most 2",
    ),
    "variable declared twice": (
        '["m: monster", "d: direction"]',
        '["d: monster", "d: direction"]',
        "33: rule 'back_off', each: variable 'd' is declared twice; rename one",
    ),
    "variable with a taken name": (
        '"m: monster"\nwhen',
        '"hurt: monster"\nwhen',
        "22: rule 'attack', each: variable 'hurt' has a name with a meaning; rename it",
    ),
    "variable named as a kind": (
        '"m: monster"\nwhen',
        '"monster: monster"\nwhen',
        "22: rule 'attack', each: variable 'monster' has a name with a meaning; rename it",
    ),
    "variable never used": (
        '["m: monster", "d: direction"]',
        '["n: monster", "d: direction"]',
        "35: rule 'back_off', when[0]: unknown name 'm'; declare it, as in each = \"m: monster\"",
    ),
    "each is a number": (
        '"m: monster"\nwhen',
        "3\nwhen",
        "22: rule 'attack', each: is 3; expected a string or a list of strings",
    ),
    "unused variable": (
        '"m: monster"\nwhen',
        '["m: monster", "i: item"]\nwhen',
        "22: rule 'attack', each: variable 'i' is never used; use it or remove it",
    ),
    "no variable declared": (
        'each     = "m: monster"\n',
        "\n",
        "23: rule 'attack', when[0]: unknown name 'm'; declare it, as in each = \"m: monster\"",
    ),
    "when is text": (
        'when     = ["m.hostile", "m.adjacent", "not hurt", "not dangerous(m)"]',
        'when = "m.hostile"',
        "23: rule 'attack', when: is \"m.hostile\"; expected a list of strings",
    ),
    "when is empty": (
        'when     = ["m.hostile", "m.adjacent", "not hurt", "not dangerous(m)"]',
        "when = []",
        "23: rule 'attack', when: is empty; a rule needs at least one",
    ),
    "when holds a number": (
        '"m.hostile", "m.adjacent"',
        '3, "m.adjacent"',
        "23: rule 'attack', when[0]: is 3; expected a non-empty string",
    ),
    "when twice the same": (
        '"m.hostile", "m.adjacent"',
        '"m.adjacent", "m.adjacent"',
        "23: rule 'attack', when: 'm.adjacent' appears twice (entries 0 and 1)",
    ),
    "when twice the same meaning": (
        '"m.hostile", "m.adjacent"',
        '"not (hurt)", "m.adjacent"',
        "23: rule 'attack', when[2]: says the same as when[0]; remove one",
    ),
    "unknown attribute": (
        '"d.free",',
        '"d.fre",',
        "36: rule 'back_off', when[1]: unknown attribute 'fre' of direction; did you mean 'free'?",
    ),
    "several lines": (
        '"m.hostile"',
        '"""m.hostile\nand m.adjacent"""',
        "23: rule 'attack', when[0]: is broken over several lines; write an expression on one line",
    ),
    "named condition without its object": (
        '"not dangerous(m)"',
        '"not dangerous"',
        "23: rule 'attack', when[3]: 'dangerous': write dangerous(monster)",
    ),
    "named condition with too many": (
        '"not dangerous(m)"',
        '"not dangerous(m, m)"',
        "23: rule 'attack', when[3]: 'dangerous(m, m)': write dangerous(monster)",
    ),
    "named condition with brackets": (
        '"not hurt"',
        '"not hurt()"',
        "23: rule 'attack', when[2]: 'hurt()': write hurt",
    ),
    "named condition of a number": (
        '"not dangerous(m)"',
        '"not dangerous(3)"',
        "23: rule 'attack', when[3]: '3' is no object; name a variable",
    ),
    "do unknown": (
        '"move toward m"',
        '"serach"',
        "24: rule 'attack', do: unknown action 'serach'; did you mean 'search'?",
    ),
    "do nonsense": (
        '"move toward m"',
        '"dance wildly tonight"',
        "24: rule 'attack', do: unknown action 'dance wildly tonight'; expected one of "
        "move toward x, run toward x, move away from x, run away from x, move d, run d, "
        'answer "y", choose food, more, north, south, down, search',
    ),
    "do with an unknown variable": (
        '"move toward m"',
        '"move toward n"',
        "24: rule 'attack', do: unknown variable 'n'; expected 'm'",
    ),
    "do toward a direction": (
        '["move d", "run d"]',
        '["move toward d", "run d"]',
        "39: rule 'back_off', do[0]: 'd' is a direction, which has no position; write 'move d'",
    ),
    "do along a monster": (
        '"move toward m"',
        '"move m"',
        "24: rule 'attack', do: 'm' is a monster; write 'move toward m' or 'away from'",
    ),
    "do answer an unknown key": (
        '"move toward m"',
        "'answer \"y\"'",
        "24: rule 'attack', do: no action sends the key 'y'; the keys are k j > s",
    ),
    "do answer a word": (
        '"move toward m"',
        "'answer \"yes\"'",
        "24: rule 'attack', do: unknown action 'answer \"yes\"'; did you mean 'answer \"y\"'?",
    ),
    "do nothing": (
        '["move d", "run d"]',
        "[]",
        "39: rule 'back_off', do: is empty; a rule needs at least one",
    ),
    "do too much": (
        '["move d", "run d"]',
        '["move d", "run d", "search", "down", "more"]',
        "39: rule 'back_off', do: has 5 entries; at most 4",
    ),
    "do a number": (
        '"move toward m"',
        "3",
        "24: rule 'attack', do: is 3; expected a string or a list of strings",
    ),
    "do twice": (
        '["move d", "run d"]',
        '["move d", "move d"]',
        "39: rule 'back_off', do: 'move d' appears twice (entries 0 and 1)",
    ),
    "do toward what has no variable": (
        '"move toward m"',
        '"move toward stairs_down"',
        "24: rule 'attack', do: 'stairs_down' is a kind; declare a variable: each = \"x: "
        'stairs_down"',
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_changed_rules(name, tmp_path):
    old, new, expected = CHANGED[name]
    assert refusal_of_changed(tmp_path / "rules.toml", old, new) == expected
