"""The vocabulary: what is refused of a table, and that its page is current."""

import copy
from pathlib import Path

import pytest
from rule_vocabulary import VOCABULARY, table

from tedg_fast.hypergraph import Vocabulary
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.hypergraph.vocabulary import page

DOCS = Path(__file__).parents[2] / "docs"


def test_numbers_are_places():
    for vocabulary in (VOCABULARY, nethack_vocabulary()):
        assert [kind.number for kind in vocabulary.kinds] == list(range(len(vocabulary.kinds)))
        for kind in vocabulary.kinds:
            assert [a.number for a in kind.attributes] == list(range(len(kind.attributes)))
            assert not kind.singleton or kind.limit == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t[0]["attributes"][0].update(type="int"), "me.hp: unknown type 'int'"),
        (lambda t: t[0]["attributes"][0].update(type="word"), "me.hp: words go with type 'word'"),
        (lambda t: t[0]["attributes"][1].update(name="hp"), "kind me: 'hp' appears twice"),
        (lambda t: t[1].update(kind="me"), "vocabulary: 'me' appears twice"),
    ],
)
def test_what_is_refused(change, problem):
    damaged = copy.deepcopy(table())
    change(damaged)
    with pytest.raises(ValueError, match=problem):
        Vocabulary.from_table(damaged)


def test_the_page_names_everything():
    text = page(VOCABULARY)
    for kind in VOCABULARY.kinds:
        section = text.split(f"\n## {kind.name}\n")[1].split("\n## ")[0]
        for attribute in kind.attributes:
            assert f"| `{attribute.name}` | {attribute.type} |" in section
            assert all(f"`{word}`" in section for word in attribute.words)
        assert ("exactly one" in section) == kind.singleton


def test_the_page_in_docs_is_current():
    written = (DOCS / "vocabulary.md").read_text(encoding="utf-8")
    remedy = "run: tedg-rules vocabulary --markdown > docs/vocabulary.md"
    assert written == page(nethack_vocabulary()), remedy
