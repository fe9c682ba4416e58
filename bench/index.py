"""The page that lists all records: ``python bench/index.py`` writes bench/results/README.md anew.

A record says with its first lines what it is, from which commit, when, and by which commands; a
record that does not is refused with a line that names it. A test holds the page against the
records.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from record import RESULTS, table

PAGE = RESULTS / "README.md"
PARTS = {
    "": "Of the package as it is.",
    "earlier_rules": "With the package's earlier rules (303 operators, version 2 of the format) "
    "and a network that was asked at every step. What they showed is told in "
    "[What the earlier rules taught](../../docs/earlier_rules.md).",
}
"""Folder of records → what they have in common."""
INTRODUCTION = """\
# Records

Every table that the package's pages quote a number of, with the commands that make it again, from
a checkout of its commit, on an idle machine. The tables are written by scripts in `bench/`, and by
them alone; the numbers behind most lie beside them as JSON or CSV. This page is made from the
records' first lines by `python bench/index.py`.
"""


class Record(NamedTuple):
    """What the first lines of a record say of it; ``path`` from ``RESULTS``."""

    path: Path
    title: str
    date: str
    commit: str
    commands: list[str]


class Incomplete(ValueError):
    """A record whose first lines do not say what they must; the message is one line."""


def read(path: Path) -> Record:
    """The record at ``path``. Raises ``Incomplete``."""
    text = path.read_text(encoding="utf-8")
    title = re.match(r"# (.+)\n\n(?=- )", text)
    if title is None:
        raise Incomplete(f'{path}: a record begins with "# Title", an empty line, "- key: value"')
    head = text[title.end() :].split("\n\n", 1)[0]
    found = {
        key: re.findall(rf"^- {key}: (.+)$", head, re.M) for key in ("date", "commit", "command")
    }
    for key, values in found.items():
        if not values:
            raise Incomplete(f'{path}: no line "- {key}: …" below the title; see bench/record.py')
    if re.match(r"\d", path.name):
        raise Incomplete(f"{path}: name it by its subject; its date and commit stand in it")
    (date, *_), (commit, *_), commands = found.values()
    if commit.endswith("-dirty") and path.parent == RESULTS:
        raise Incomplete(f"{path}: measured from sources that no commit holds; measure again")
    return Record(path.relative_to(RESULTS), title[1], date, commit, commands)


def page() -> str:
    """The whole page. Raises ``Incomplete``."""
    lines = [INTRODUCTION]
    for part, about in PARTS.items():
        records = [read(path) for path in sorted((RESULTS / part).glob("*.md")) if path != PAGE]
        rows = [
            [f"[{record.title}]({record.path})", record.date, record.commit,
             "<br>".join(record.commands)]
            for record in records
        ]  # fmt: skip
        title = part.replace("_", " ").capitalize() or "The present package"
        lines += [f"## {title}", "", about, ""]
        lines += [*table(["record", "date", "commit", "commands"], rows), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except Incomplete as error:
        sys.exit(f"bench/index.py: {error}")
