"""A good rule file, and how what is wrong with a changed one is told."""

from pathlib import Path

import pytest
from rule_vocabulary import KEYBOARD, VOCABULARY

from tedg_fast.hypergraph import Hypergraph, HypergraphError, load_hypergraph

GOOD = """\
format = "tedg-rules"
version = 3
name = "example"
description = "Two rules."

[conditions]
hurt      = "me.hp < 0.4 * me.max_hp"
dangerous = "monster.damage * 3 > me.hp"

[effects.killed]
meaning  = "A monster died."
shown_by = ["told.killed"]

[effects.moved]
meaning  = "The player moved."
shown_by = []

[[rule]]
name     = "attack"
why      = "Fights bring experience."
expert   = "combat"
each     = "m: monster"
when     = ["m.hostile", "m.adjacent", "not hurt", "not dangerous(m)"]
do       = "move toward m"
effects  = ["killed"]
priority = 10
decide   = true

[[rule]]
name     = "back_off"
why      = "The dead win nothing."
expert   = "survival"
each     = ["m: monster", "d: direction"]
when     = [
    "hurt and m.adjacent",
    "d.free",
    "d.away_from(m)",
]
do       = ["move d", "run d"]
effects  = ["moved"]
"""


def load(path: Path) -> Hypergraph:
    """The rules of a file, in the small vocabulary of the tests."""
    return load_hypergraph(path, vocabulary=VOCABULARY, keyboard=KEYBOARD)


def refusal(path: Path, content: str | bytes) -> str:
    """What the one line says when a file with this content is loaded, after the file's name."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(HypergraphError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:") and "\n" not in message
    return message.removeprefix(f"{path}:").strip()


def refusal_of_changed(path: Path, old: str, new: str) -> str:
    """The same for GOOD with the first `old` replaced."""
    assert old in GOOD
    return refusal(path, GOOD.replace(old, new, 1))
