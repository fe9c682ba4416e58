"""The vocabulary of facts, with NLE's words for monsters filled in."""

from functools import cache

from tedg_fast.hypergraph.vocabulary import Vocabulary
from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.facts.tables import monster_tables


@cache
def vocabulary() -> Vocabulary:
    """Every kind and attribute that a rule may name (csrc/nethack/facts/vocabulary.h)."""
    kinds = _native_grounding.vocabulary()
    tables = monster_tables()
    words = {"name": tables.names, "letter": tables.letters}
    for kind in kinds:
        for attribute in kind["attributes"]:
            if attribute["type"] == "word" and not attribute["words"]:
                attribute["words"] = list(words[attribute["name"]])
    return Vocabulary.from_table(kinds)
