"""On which line of a TOML text a table or a key stands, for errors about their content.

The parser of the standard library does not tell. This scanner knows headers and keys as people
write them; of what is written otherwise (dotted keys, tables in one line) it tells the nearest
line above that it knows.
"""

import re

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[\w-]+)\s*[.=]""")
_TOKEN = re.compile(
    r'"""|\'\'\'|"(?:\\.|[^"\\])*"?|\'[^\']*\'?|#|[\[\]{}]'
)  # what begins or ends something, and strings and comments, in which nothing does


class Lines:
    """Places are (table, key): a table is "" (top level), "conditions", "effects.killed", or
    "rule[3]", the fourth [[rule]]; lines count from 1."""

    def __init__(self, text: str):
        self.lines = text.splitlines()
        self.found: dict[tuple[str, str], int] = {}
        self.counts: dict[str, int] = {}
        table, depth, quotes = "", 0, ""
        for number, line in enumerate(self.lines, start=1):
            if depth == 0 and not quotes:
                table = self._begin(line, number, table)
                if _HEADER.fullmatch(line):
                    continue
            depth, quotes = _after(line, depth, quotes)

    def _begin(self, line: str, number: int, table: str) -> str:
        """Takes in a line that begins a header or a key; the table that it stands in."""
        if header := _HEADER.fullmatch(line):
            name = ".".join(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                count = self.counts.get(name, 0)
                self.counts[name] = count + 1
                name = f"{name}[{count}]"
            self.found.setdefault((name, ""), number)
            return name
        if key := _KEY.match(line):
            self.found.setdefault((table, key[1].strip("\"'")), number)
        return table

    def of(self, table: str, key: str = "", content: str = "") -> int:
        """The line of a key, or of the first line from there on that shows `content`."""
        inside = f"{table}.{key}".strip(".")
        places = ((table, key), (inside, ""), (f"{inside}[0]", ""), (table, ""))
        known = next((self.found[place] for place in places if place in self.found), None)
        start = known or self.found.get(("", table.split("[")[0].split(".")[0])) or 1
        if content and known:
            end = min((n for n in self.found.values() if n > start), default=len(self.lines) + 1)
            for number in range(start, end):
                if content in self.lines[number - 1]:
                    return number
        return start


def _after(line: str, depth: int, quotes: str) -> tuple[int, str]:
    """How many brackets are open after a line, and which quotes of a string of several lines."""
    place = 0
    while place < len(line):
        if quotes:
            end = line.find(quotes, place)
            if end < 0:
                return depth, quotes
            place, quotes = end + len(quotes), ""
            continue
        token = _TOKEN.search(line, place)
        if token is None or token[0] == "#":
            break
        if token[0] in ('"""', "'''"):
            quotes = token[0]
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth = max(depth - 1, 0)
        place = token.end()
    return depth, quotes
