"""Whatever is wrong with an expression is told in one line: place, problem, remedy."""

import pytest
from malformed_rules import refusal, refusal_of_changed
from rule_vocabulary import rules

# An expression about a monster m, and what is said of it.
ABOUT_A_MONSTER = {
    "unknown attribute of a word-like one": (
        "m.hostil",
        "unknown attribute 'hostil' of monster; did you mean 'hostile'?",
    ),
    "no expression": ("m.hostile and", "is no expression (invalid syntax)"),
    "two expressions": ("m.hostile; m.adjacent", "is no expression at column 10 (invalid syntax)"),
    "one equals sign": (
        "m.level = 3",
        "is no expression at column 9 (invalid syntax); write '==' for '='",
    ),
    "and of another language": (
        "m.hostile && m.adjacent",
        "is no expression at column 12 (invalid syntax); write 'and' for '&&'",
    ),
    "not of another language": (
        "!m.hostile",
        "is no expression at column 1 (invalid syntax); write 'not' for '!'",
    ),
    "unbalanced": ("(m.hostile", "is no expression at column 1 ('(' was never closed)"),
    "a comment inside": (
        "m.hostile # really",
        "contains a comment; comments stand outside of the quotes",
    ),
    "a number for a truth": ("m.level", "is a number, not a truth; compare it with something"),
    "a word for a truth": ("m.name", "is a word, not a truth; compare it with something"),
    "truth plus one": (
        "m.hostile + 1 > 0",
        "arithmetic needs a number; 'm.hostile' is a truth; a truth is combined by and, or, not",
    ),
    "truth compared by size": (
        "m.hostile > m.adjacent",
        "a comparison of size needs a number; 'm.adjacent' is a truth; a truth is combined "
        "by and, or, not",
    ),
    "truth equal to a number": (
        "m.hostile == m.level",
        "cannot be equal: 'm.hostile' is a truth and 'm.level' is a number",
    ),
    "number and truth": (
        "m.level and m.adjacent",
        "and needs a truth; 'm.level' is a number; compare it: … > 0",
    ),
    "not a number": ("not m.level", "not needs a truth; 'm.level' is a number; compare it: … > 0"),
    "unlisted word": (
        "m.name == 'newtt'",
        "'newtt' is no word of monster.name; did you mean 'newt'?",
    ),
    "words in order": (
        "m.name < 'newt'",
        "a comparison of size needs a number; 'm.name' is a word; compare it with == or in",
    ),
    "string for a number": (
        "m.level == 'newt'",
        "compares 'm.level', a number, with 'newt'; write a number",
    ),
    "string alone": (
        "'newt'",
        "the string 'newt' stands alone; compare a word with it: x.name == \"newt\"",
    ),
    "word of another list": (
        "m.name == me.hunger",
        "cannot be equal: 'm.name' is a word of monster.name and 'me.hunger' is a word of "
        "me.hunger",
    ),
    "number among words": (
        "m.name in ('newt', 3)",
        "'m.name' is a word; 3 in its list is a number",
    ),
    "word among numbers": (
        "m.level in ('newt', 'jackal')",
        "compares 'm.level', a number, with 'newt'; write a number",
    ),
    "in without a list": (
        "m.name in 'newt'",
        '\'newt\' after in is no list; write in ("a", "b") with words, or numbers',
    ),
    "in an empty list": (
        "m.name in ()",
        'the list after in is empty; write in ("a", "b") with words, or numbers',
    ),
    "in a list of attributes": (
        "m.level in (1, m.damage)",
        '\'m.damage\' is no word and no number; write in ("a", "b") with words, or numbers',
    ),
    "in a list with a repetition": (
        "m.level in (1, 2, 1)",
        "the list (1, 2, 1) names something twice",
    ),
    "truth in a list": (
        "m.hostile in (0, 1)",
        "compares 'm.hostile', a truth, with 0; write x or not x",
    ),
    "power": (
        "m.level ** 2 > 3",
        "'m.level ** 2' uses an operator that is not part of the language; there are + - * "
        "/ == != < <= > >= in, and, or, not",
    ),
    "remainder": (
        "m.level % 2 == 0",
        "'m.level % 2' uses an operator that is not part of the language; there are + - * "
        "/ == != < <= > >= in, and, or, not",
    ),
    "plus sign": (
        "m.level > +2",
        "'+2' uses an operator that is not part of the language; there are + - * / == != < "
        "<= > >= in, and, or, not",
    ),
    "is": (
        "m.hostile is true",
        "'m.hostile is true' uses an operator that is not part of the language; there are "
        "+ - * / == != < <= > >= in, and, or, not",
    ),
    "conditional expression": (
        "m.hostile if me.blind else m.adjacent",
        "'m.hostile if me.blind else m.adjacent' is not part of the language; write two "
        "rules, or (a and b) or (not a and c)",
    ),
    "lambda": ("(lambda: m.hostile)()", "'(lambda: m.hostile)()' is not part of the language"),
    "a comprehension": (
        "[x for x in (1, 2)]",
        "'[x for x in (1, 2)]' is not part of the language",
    ),
    "an assignment": (
        "(x := m.hostile)",
        "'(x := m.hostile)' is not part of the language; name it under [conditions]",
    ),
    "a subscript": ("m[0].hostile", "'m[0]' is no object; name a variable"),
    "an f-string": ("m.name == f'newt'", "'f'newt'' is not part of the language"),
    "None": ("m.hostile == None", "'None' is not part of the language"),
    "a complex number": ("m.level > 1j", "'1j' is not part of the language"),
    "import": (
        "__import__('os').system('true')",
        "unknown relation 'system'; expected one of away_from, toward",
    ),
    "dunder": (
        "m.__class__",
        "unknown attribute '__class__' of monster; expected one of distance, adjacent, "
        "hostile, level, damage, name",
    ),
    "unknown name": ("hrt", "unknown name 'hrt'; did you mean 'hurt'?"),
    "unknown function": (
        "cout(monster.hostile) > 1",
        "unknown function or named condition 'cout'; did you mean 'count'?",
    ),
    "object alone": ("m", "'m' is an object; name an attribute of it: m.…"),
    "kind alone": ("me", "'me' is an object; name an attribute of it: me.…"),
    "free kind in a rule": (
        "monster.hostile",
        "'monster' is a kind, of which there may be many; declare a variable (each = \"x: "
        'monster") or use count, any, total, most, nearest',
    ),
    "unknown object": ("mm.hostile", "unknown name 'mm'; did you mean 'm'?"),
    "count over nothing": (
        "count(m.hostile) > 1",
        "'count(m.hostile)' names no kind of objects; it ranges over the one kind named "
        "inside of it, as in count(monster.adjacent)",
    ),
    "count over two kinds": (
        "count(monster.hostile and item.adjacent) > 1",
        "'count(monster.hostile and item.adjacent)' names the kinds 'monster' and 'item'; "
        "it ranges over the one kind named inside of it, as in count(monster.adjacent)",
    ),
    "count of a number": (
        "count(monster.level) > 1",
        "count needs a truth; 'monster.level' is a number; compare it: … > 0",
    ),
    "most without a number": (
        "most(monster.hostile) > 1",
        "'most(monster.hostile)': write most(condition, number)",
    ),
    "total of a truth": (
        "total(monster.hostile, monster.adjacent) > 1",
        "total needs a number; 'monster.adjacent' is a truth; a truth is combined by and, or, not",
    ),
    "nearest alone": (
        "nearest(monster.hostile)",
        "'nearest(monster.hostile)' is an object; name an attribute: nearest(…).distance",
    ),
    "nested three times": (
        "any(monster.hostile and any(item.adjacent and any(direction.free)))",
        "'any(direction.free)' is inside of too many count, any, total, most, nearest; at "
        "most 2 stand inside each other",
    ),
    "abs of two": ("abs(m.level, 1) > 1", "'abs(m.level, 1)': write abs(number)"),
    "min of one": ("min(m.level) > 1", "'min(m.level)' needs two numbers or more"),
    "a keyword argument": (
        "min(m.level, key=3) > 1",
        "'min(m.level, key=3)': arguments have neither names nor stars",
    ),
    "huge number": ("m.level < 1e12", "a number is beyond ±1e+09; write a smaller one"),
    "number beyond doubles": ("m.level < 1e999", "a number is beyond ±1e+09; write a smaller one"),
}
# The same about a monster m and a direction d.
ABOUT_TWO = {
    "away from a singleton": ("d.away_from(me)", "'me' has no position; relations join objects"),
    "away from a direction": (
        "d.away_from(d)",
        "away_from needs something with a position; 'd' is a direction",
    ),
    "monster away from": ("m.away_from(m)", "only a direction has away_from; 'm' is a monster"),
    "unknown relation": ("d.away(m)", "unknown relation 'away'; did you mean 'away_from'?"),
    "away from two": (
        "d.away_from(m, m)",
        "'d.away_from(m, m)': write direction.away_from(object)",
    ),
    "distance to a direction": (
        "distance(d, m) > 1",
        "distance needs something with a position; 'd' is a direction",
    ),
    "distance of one": ("distance(m) > 1", "'distance(m)': write distance(object, object)"),
    "named condition of another kind": (
        "dangerous(d)",
        "'dangerous(d)': 'd' is a direction; dangerous(monster) takes a monster",
    ),
}


def quoted(expression: str) -> str:
    return f'"{expression}"'


@pytest.mark.parametrize("name", ABOUT_A_MONSTER)
def test_expressions_about_one_object(name, tmp_path):
    expression, expected = ABOUT_A_MONSTER[name]
    said = refusal_of_changed(tmp_path / "rules.toml", '"m.hostile"', quoted(expression))
    assert said == f"23: rule 'attack', when[0]: {expected}"


@pytest.mark.parametrize("name", ABOUT_TWO)
def test_expressions_about_two_objects(name, tmp_path):
    expression, expected = ABOUT_TWO[name]
    said = refusal_of_changed(tmp_path / "rules.toml", '"d.away_from(m)"', quoted(expression))
    assert said == f"37: rule 'back_off', when[2]: {expected}"


def nested(levels: int) -> str:
    return "me.hp - (" * levels + "me.hp" + ")" * levels + " > 0"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            "me.hp > 0 or " * 90 + "me.blind",
            "is longer than 1000 characters; name parts of it under [conditions]",
        ),
        ("(" * 300 + "me.blind" + ")" * 300, "is no expression at column 201"),
        ("not " * 200 + "me.blind", "is nested more than 40 levels deep; simplify it"),
        (nested(30), "needs more than 512 instructions or 16 values at once; simplify it"),
    ],
)
def test_too_large_expressions(expression, expected, tmp_path):
    said = refusal(tmp_path / "rules.toml", rules(f'when = ["{expression}"]'))
    assert said.startswith(f"14: rule 'rule_0', when[0]: {expected}")


def test_conditions_that_grow(tmp_path):
    doubled = 'a0 = "me.blind or me.hp > 3"\n'
    doubled += "".join(f'a{i} = "not a{i - 1} or a{i - 1}"\n' for i in range(1, 30))
    said = refusal(tmp_path / "rules.toml", rules('when = ["a29"]', conditions=doubled))
    assert said == (
        "12: condition 'a6': has more than 500 parts with the named conditions put in; simplify it"
    )
