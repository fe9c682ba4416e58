"""Whatever a file holds, loading it gives rules or one line; and the line is where it should be."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_rules import GOOD, load
from rule_vocabulary import HEAD, rules

from tedg_fast.hypergraph import Hypergraph, HypergraphError
from tedg_fast.hypergraph.lines import Lines

TOKENS = (
    "m d me monster item direction hurt dangerous told m.hostile m.level m.name me.hp item.class "
    "monster.adjacent and or not in == != < <= > >= + - * / ** % ( ) [ ] , . : = 1 2.5 -3 1e9 "
    "1e400 0x1F 1_0 'newt' 'x' true false True None count any total most nearest distance abs min "
    "max away_from toward .away_from( .toward( if else lambda for x is ; # \\\\ \\u00e9 \\t @ ~ { } f''"
).split(" ")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "rules.toml"


def loads_or_tells(path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        assert isinstance(load(path), Hypergraph)
    except HypergraphError as error:
        message = str(error)
        assert message.startswith(f"{path}:") and "\n" not in message
        assert len(message) < 1500


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(path, content):
    loads_or_tells(path, content)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage(path, data):
    content = GOOD.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 30, len(content))))
        place = data.draw(st.integers(0, len(content)))
        new = data.draw(st.one_of(st.binary(max_size=4), st.just(content[place : place + 40])))
        content = content[:start] + new + content[end:]
    loads_or_tells(path, content)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=14))
def test_any_words(path, words):
    expression = " ".join(words)
    loads_or_tells(path, GOOD.replace('"m.hostile"', f'"{expression}"').encode())
    loads_or_tells(path, GOOD.replace('"move toward m"', f'"{expression}"').encode())
    loads_or_tells(path, GOOD.replace('"me.hp < 0.4 * me.max_hp"', f'"{expression}"').encode())


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("a = 1\n[t]\nb = 2\n", ("t", "b"), 3),
        ("a = 1\n[t]\nb = 2\n", ("", "a"), 1),
        ("[t]\nb = 2\n[[rule]]\nb = 3\n[[rule]]\nb = 4\n", ("rule[1]", "b"), 6),
        ('a = """\n[[rule]]\n"""\n[[rule]]\nb = 1\n', ("rule[0]", "b"), 5),
        ("a = '''\n[[rule]]\n''' # '''\n[[rule]]\nb = 1\n", ("rule[0]", "b"), 5),
        ('a = [\n  "[t]",\n  "b = 1", # ]\n]\n[t]\nb = 2\n', ("t", "b"), 6),
        ('a = "\\"["\n[t]\nb = 2\n', ("t", "b"), 3),
        ("[ t . 'u' ] # here\n\nb = 2\n", ("t.u", "b"), 3),
        ('[t]\n"b" = 2\n', ("t", "b"), 2),
        ("x = 1\nt.b = 2\n", ("t", "b"), 2),
        ("x = 1\nt = {b = 2}\n", ("t", "b"), 2),
        ("x = 1\n", ("t", "b"), 1),
    ],
)
def test_lines(text, place, line):
    assert Lines(text).of(*place) == line


def test_the_line_of_one_element_of_many(path):
    text = rules('when = [\n"me.blind",\n# "m.hp > 1"\n"me.depth > 1",\n"me.hpp > 1",\n]')
    path.write_text(text)
    with pytest.raises(HypergraphError, match=re.escape(f"{path}:18: rule 'rule_0', when[2]: ")):
        load(path)
    assert HEAD in text and text.splitlines()[17] == '"me.hpp > 1",'
