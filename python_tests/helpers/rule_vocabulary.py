"""A small vocabulary and keyboard for tests of the rule language, which is not NetHack's alone."""

from tedg_fast.hypergraph import Keyboard, Vocabulary

_WORDS = {
    "me.hunger": ("not_hungry", "hungry", "weak"),
    "prompt.kind": ("none", "more", "direction"),
    "direction.name": ("north", "east", "south", "west"),
    "monster.name": ("newt", "jackal", "floating eye"),
    "item.class": ("other", "wand", "food"),
}
# Kind -> (most objects, or 0 for a singleton; whether it has a position; its attributes).
# An attribute is a truth where it ends in ?, a word where _WORDS has its list, else a number.
_KINDS = {
    "me": (0, False, "hp max_hp depth blind? hunger"),
    "told": (0, False, "killed? found?"),
    "prompt": (0, False, "kind"),
    "direction": (4, False, "name free? diagonal? threats"),
    "monster": (6, True, "distance adjacent? hostile? level damage name"),
    "item": (3, True, "distance adjacent? class"),
    "stairs_down": (1, True, "steps"),
}


def table() -> list[dict]:
    """As the compiled facts give theirs."""
    return [
        {
            "kind": kind,
            "limit": limit or 1,
            "singleton": limit == 0,
            "positioned": positioned,
            "meaning": f"The meaning of {kind}.",
            "attributes": [_attribute(kind, name) for name in attributes.split()],
        }
        for kind, (limit, positioned, attributes) in _KINDS.items()
    ]


def _attribute(kind: str, name: str) -> dict:
    words = _WORDS.get(f"{kind}.{name}")
    type = "word" if words else "truth" if name.endswith("?") else "number"
    return {
        "name": name.removesuffix("?"),
        "type": type,
        "unit": "points" if type == "number" else None,
        "meaning": f"The {name.removesuffix('?')}.",
        "words": list(words) if words else None,
        "table": (kind, name) == ("monster", "damage"),
    }


VOCABULARY = Vocabulary.from_table(table())
KEYBOARD = Keyboard(("more", "north", "south", "down", "search"), b"\rkj>s")

HEAD = """\
format = "tedg-rules"
version = 3
name = "test"
description = "For tests."
"""


def rules(*rules: str, conditions: str = "", effects: str = "") -> str:
    """A rule file's text; each rule is TOML, to which what every rule needs is added."""
    parts = [HEAD]
    if conditions:
        parts.append(f"[conditions]\n{conditions}\n")
    parts.append(f'[effects.done]\nmeaning = "Done."\nshown_by = []\n{effects}\n')
    for i, rule in enumerate(rules):
        parts.append(
            f'[[rule]]\nname = "rule_{i}"\nwhy = "For tests."\nexpert = "general"\n'
            f'effects = ["done"]\n{rule}\n'
        )
        if not any(line.startswith("do ") for line in rule.splitlines()):
            parts.append('do = "search"\n')
    return "".join(parts)
