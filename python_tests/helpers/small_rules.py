"""Small rule files for tests, over NetHack's own vocabulary."""

import json
from pathlib import Path

from tedg_fast.hypergraph import Hypergraph, load_hypergraph

_HEAD = """\
format = "tedg-rules"
version = 3
name = "small"
description = "For tests."

[effects.done]
meaning = "Done."
shown_by = ["me.still == 0"]
"""


def rule(name: str, do: str | list[str], when: list[str] = (), each: list[str] = (),
         priority: float | None = None, expert: str = "general") -> str:  # fmt: skip
    """One rule's text. TOML writes strings and lists of them as JSON does."""
    lines = [f"[[rule]]\nname = '{name}'\nwhy = 'For tests.'\nexpert = '{expert}'",
             f"when = {json.dumps(list(when))}", f"do = {json.dumps(do)}",
             "effects = ['done']"]  # fmt: skip
    if each:
        lines.append(f"each = {json.dumps(list(each))}")
    if priority is not None:
        lines.append(f"priority = {priority}")
    return "\n".join(lines) + "\n"


def written(folder: Path, *rules: str, conditions: str = "") -> Path:
    """A file of these rules in a folder; `conditions` are lines of its table of conditions."""
    path = folder / "small.toml"
    shared = f"\n[conditions]\n{conditions}\n" if conditions else ""
    path.write_text(_HEAD + shared + "\n" + "\n".join(rules))
    return path


def small(folder: Path, *rules: str, conditions: str = "") -> Hypergraph:
    """The hypergraph of these rules."""
    return load_hypergraph(written(folder, *rules, conditions=conditions))
