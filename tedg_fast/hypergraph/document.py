"""Reads a TOML rule file into plain values of the right types, each with its place for errors."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tedg_fast.hypergraph.limits import MAX_FILE_BYTES
from tedg_fast.hypergraph.lines import Lines
from tedg_fast.hypergraph.names import hint
from tedg_fast.hypergraph.schema import HypergraphError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
OLD_FORMAT = "tedg-hypergraph"


class Document:
    """The content of a rule file and the lines of its parts."""

    def __init__(self, path: Path, shown: str):
        self.where = shown
        try:
            data = path.read_bytes()
        except OSError as error:
            raise HypergraphError(
                f"{shown}: cannot read the rule file ({error.strerror or error})"
            ) from None
        if len(data) > MAX_FILE_BYTES:
            raise HypergraphError(
                f"{shown}: has {len(data)} bytes; a rule file has at most {MAX_FILE_BYTES}"
            )
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise HypergraphError(
                f"{shown}:{line}: byte {error.start} is not UTF-8; a rule file is TOML in UTF-8"
            ) from None
        if not self.text.strip():
            raise HypergraphError(f"{shown}: the file is empty; expected rules in TOML")
        self.content = self._parsed()
        self.lines = Lines(self.text)

    def _parsed(self) -> dict[str, object]:
        if self.text.lstrip().startswith("{") and _is_old(self.text):
            raise HypergraphError(
                f"{self.where}: is a version-2 file; convert it with"
                f" `tedg-rules convert {self.where}`"
            )
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message, line, column = _placed(str(error), self.text)
            raise HypergraphError(
                f"{self.where}:{line}: column {column}: not valid TOML ({message})"
            ) from None
        except RecursionError:
            raise HypergraphError(f"{self.where}: not usable TOML (nested too deeply)") from None
        except ValueError:
            raise HypergraphError(f"{self.where}: not usable TOML (a number too long)") from None

    def fail(self, line: int, place: str, problem: str) -> NoReturn:
        """Raises HypergraphError. Where the problem reads on, as in "is 3", no colon divides it."""
        raise HypergraphError(f"{self.where}:{line}: {place}: {problem}")


def _is_old(text: str) -> bool:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == OLD_FORMAT


def _placed(message: str, text: str) -> tuple[str, int, int]:
    """The parser's message without its place, and that place."""
    if match := re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL):
        return match[1].replace("\n", " "), int(match[2]), int(match[3])
    lines = text.splitlines()
    return message.removesuffix(" (at end of document)"), len(lines), len(lines[-1]) + 1


class Table:
    """One table of the document: hands out its values, checked; whatever is wrong is an error.

    `name` is as in `Lines`; `shown` is how errors call it.
    """

    def __init__(self, document: Document, content: object, name: str, shown: str):
        self.document, self.name, self.shown = document, name, shown
        if not isinstance(content, dict):
            self.fail("", f"is {shown_value(content)}; expected a table")
        self.content: Mapping[str, object] = content

    def fail(self, key: str, problem: str, content: str = "", place: str = "") -> NoReturn:
        """Raises HypergraphError about a key, or about the table itself where the key is ""."""
        where = ", ".join(filter(None, (self.shown, place or key)))
        self.document.fail(self.document.lines.of(self.name, key, content), where, problem)

    def only(self, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Refuses other keys, and the lack of required ones."""
        known = (*required, *optional)
        for key in self.content:
            if key not in known:
                line = self.document.lines.of(self.name, key)
                place = self.shown or "top level"
                self.document.fail(line, place, f"unknown key '{key}'{hint(key, known)}")
        for key in required:
            if key not in self.content:
                self.fail("", f"key '{key}' is missing", place="" if self.shown else "top level")

    def text(self, key: str) -> str:
        value = self.content[key]
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"is {shown_value(value)}; expected a non-empty string")
        return value

    def line_of_text(self, key: str) -> str:
        text = self.text(key)
        if "\n" in text.strip():
            self.fail(key, "has several lines; write one")
        return text.strip()

    def choice(self, key: str, what: str, known: Sequence[str]) -> str:
        word = self.text(key)
        if word not in known:
            self.fail(key, f"unknown {what} '{word}'{hint(word, known)}")
        return word

    def number(self, key: str, low: float, high: float) -> float:
        value: Any = self.content[key]
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not low <= float(value) <= high:
            self.fail(key, f"is {shown_value(value)}; expected a number from {low} to {high}")
        return float(value)

    def truth(self, key: str) -> bool:
        value = self.content[key]
        if not isinstance(value, bool):
            self.fail(key, f"is {shown_value(value)}; expected true or false")
        return value

    def texts(self, key: str, most: int, single: bool = False) -> list[str]:
        """A list of distinct non-empty strings; with `single`, one string stands for a list."""
        value = self.content[key]
        if single and isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            expected = "a string or a list of strings" if single else "a list of strings"
            self.fail(key, f"is {shown_value(value)}; expected {expected}")
        for i, text in enumerate(value):
            if not isinstance(text, str) or not text.strip():
                self.fail(
                    key, f"is {shown_value(text)}; expected a non-empty string",
                    place=f"{key}[{i}]",
                )  # fmt: skip
            if text in value[:i]:
                self.fail(
                    key, f"'{text}' appears twice (entries {value.index(text)} and {i})", text
                )
        if len(value) > most:
            self.fail(key, f"has {len(value)} entries; at most {most}")
        return value

    def table(self, key: str, shown: str) -> "Table":
        return Table(self.document, self.content[key], f"{self.name}.{key}".strip("."), shown)


def is_name(text: str) -> bool:
    """Whether it consists of lower-case letters, digits and underscores, a letter first."""
    return bool(_NAME.fullmatch(text))


def shown_value(value: object) -> str:
    """A value as an error shows it: in JSON, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
