"""Reads a hypergraph file and refuses, in one precise line, whatever is wrong with it."""

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tedg_fast.hypergraph.schema import (
    ACTIONS,
    CONDITION_KINDS,
    EXPERTS,
    Condition,
    Effect,
    Hypergraph,
    HypergraphError,
    Operator,
)

FORMAT = "tedg-hypergraph"
VERSION = 2
PRIORITIES = (-20, 20)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TOP_KEYS = ("format", "version", "name", "description", "conditions", "effects", "operators")
_OPERATOR_KEYS = (
    "name", "description", "expert", "priority", "conditions", "effects", "actions",
)  # fmt: skip


def load_hypergraph(path: str | Path | None = None) -> Hypergraph:
    """Reads and validates a hypergraph file; `None` means the packaged NetHack hypergraph.

    Raises HypergraphError: unreadable file, malformed JSON, or content that breaks the format.
    """
    if path is None:
        path = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.json")
    where = str(path)
    try:
        text = (Path(path) if isinstance(path, str) else path).read_bytes().decode("utf-8")
    except OSError as error:
        raise HypergraphError(
            f"{where}: cannot read the hypergraph file ({error.strerror or error})"
        ) from None
    except UnicodeDecodeError as error:
        raise HypergraphError(
            f"{where}: byte {error.start} is not UTF-8; a hypergraph file is JSON text in UTF-8"
        ) from None
    return _Validator(where).hypergraph(_parse(text, where))


def _parse(text: str, where: str) -> object:
    if not text.strip():
        raise HypergraphError(f"{where}: the file is empty; expected a JSON object")

    def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise HypergraphError(f"{where}: key '{twice}' appears twice in one JSON object")
        return content

    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise HypergraphError(
            f"{where}: line {error.lineno} column {error.colno}: not valid JSON ({error.msg})"
        ) from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, HypergraphError):
            raise
        raise HypergraphError(
            f"{where}: not usable JSON (nested too deeply or a number too long)"
        ) from None


def _hint(word: str, known: Sequence[str]) -> str:
    """The closest known word as a question, else (when they are few) all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; expected one of {', '.join(known)}" if 0 < len(known) <= 23 else ""


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."


class _Validator:
    """Checks a parsed document from the top down and builds the hypergraph on the way."""

    def __init__(self, where: str):
        self.where = where

    def fail(self, place: str, problem: str) -> None:
        raise HypergraphError(f"{self.where}: {place}: {problem}")

    def hypergraph(self, document: object) -> Hypergraph:
        content = self.object(document, "top level", _TOP_KEYS)
        if content["format"] != FORMAT:
            self.fail("format", f"is {_shown(content['format'])}; expected \"{FORMAT}\"")
        if content["version"] != VERSION or isinstance(content["version"], bool):
            self.fail(
                "version",
                f"is {_shown(content['version'])}; this release reads version {VERSION} only",
            )
        name = self.text(content["name"], "name")
        self.text(content["description"], "description")
        conditions = [self.condition(*entry) for entry in self.entries(content, "conditions")]
        self.unique("conditions", [c.name for c in conditions])
        self.kinds = {c.name: c.kind for c in conditions}
        effects = [self.effect(*entry) for entry in self.entries(content, "effects")]
        self.unique("effects", [e.name for e in effects])
        self.effect_names = [e.name for e in effects]
        operators = [self.operator(*entry) for entry in self.entries(content, "operators")]
        self.unique("operators", [o.name for o in operators])
        self.all_used("conditions", list(self.kinds), [o.conditions for o in operators])
        self.all_used("effects", self.effect_names, [o.effects for o in operators])
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return Hypergraph(
            name=name,
            conditions=tuple(conditions),
            operators=tuple(operators),
            effects=tuple(effects),
            digest=hashlib.sha256(canonical.encode()).hexdigest(),
        )

    def condition(self, entry: object, place: str) -> Condition:
        content = self.object(entry, place, ("name", "kind", "description"))
        kind = self.choice(content["kind"], f"{place}.kind", "kind", CONDITION_KINDS)
        return Condition(*self.named(content, place)[:1], kind, content["description"])

    def effect(self, entry: object, place: str) -> Effect:
        content = self.object(entry, place, ("name", "description", "shown_by"))
        name, description = self.named(content, place)
        where = f"{place} '{name}'.shown_by"
        shown_by = self.labels(content["shown_by"], where, "condition", list(self.kinds))
        return Effect(name, description, shown_by)

    def operator(self, entry: object, place: str) -> Operator:
        content = self.object(entry, place, _OPERATOR_KEYS)
        name, description = self.named(content, place)
        place = f"{place} '{name}'"
        expert = self.choice(content["expert"], f"{place}.expert", "expert", EXPERTS)
        priority = self.number(content["priority"], f"{place}.priority", *PRIORITIES)
        by_kind = self.object(content["conditions"], f"{place}.conditions", CONDITION_KINDS)
        labels = {
            kind: self.conditions_of(by_kind[kind], f"{place}.conditions.{kind}", kind)
            for kind in CONDITION_KINDS
        }
        if not labels["state"] and not labels["scene"]:
            self.fail(f"{place}.conditions", "lists no condition; a rule needs at least one")
        effects = self.labels(content["effects"], f"{place}.effects", "effect", self.effect_names)
        actions = self.labels(content["actions"], f"{place}.actions", "action", ACTIONS)
        for key, values in (("effects", effects), ("actions", actions)):
            if not values:
                self.fail(f"{place}.{key}", "is empty; a rule needs at least one")
        return Operator(
            name, description, expert, priority, **labels, effects=effects, actions=actions
        )

    def conditions_of(self, value: object, place: str, kind: str) -> tuple[str, ...]:
        names = self.labels(value, place, "condition", list(self.kinds))
        for name in names:
            if self.kinds[name] != kind:
                self.fail(
                    place,
                    f"condition '{name}' is declared with kind \"{self.kinds[name]}\"; "
                    f"list it under conditions.{self.kinds[name]}",
                )
        return names

    def labels(
        self, value: object, place: str, what: str, known: Sequence[str]
    ) -> tuple[str, ...]:
        """A list of distinct, known names."""
        names = [
            self.choice(item, f"{place}[{i}]", what, known)
            for i, item in enumerate(self.list(value, place))
        ]
        self.unique(place, names)
        return tuple(names)

    def choice(self, value: object, place: str, what: str, known: Sequence[str]) -> str:
        word = self.text(value, place)
        if word not in known:
            self.fail(place, f"unknown {what} '{word}'{_hint(word, known)}")
        return word

    def named(self, content: dict[str, object], place: str) -> tuple[str, str]:
        name = self.text(content["name"], f"{place}.name")
        if not _NAME.fullmatch(name):
            self.fail(
                f"{place}.name",
                f"is {_shown(name)}; expected lower-case letters, digits and underscores",
            )
        return name, self.text(content["description"], f"{place} '{name}'.description")

    def entries(self, content: dict[str, object], key: str) -> list[tuple[object, str]]:
        values = self.list(content[key], key)
        if not values:
            self.fail(key, "is empty; expected at least one entry")
        return [(value, f"{key}[{i}]") for i, value in enumerate(values)]

    def object(self, value: object, place: str, keys: Sequence[str]) -> dict[str, object]:
        """A JSON object with exactly these keys."""
        if not isinstance(value, dict):
            self.fail(place, f"is {_shown(value)}; expected an object with {', '.join(keys)}")
        for key in value:
            if key not in keys:
                self.fail(place, f"unknown key '{key}'{_hint(key, keys)}")
        for key in keys:
            if key not in value:
                self.fail(place, f"key '{key}' is missing")
        return value

    def list(self, value: object, place: str) -> list[object]:
        if not isinstance(value, list):
            self.fail(place, f"is {_shown(value)}; expected a list")
        return value

    def number(self, value: object, place: str, low: float, high: float) -> float:
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not numeric or not low <= value <= high:
            self.fail(place, f"is {_shown(value)}; expected a number from {low} to {high}")
        return float(value)

    def text(self, value: object, place: str) -> str:
        if not isinstance(value, str) or not value.strip():
            self.fail(place, f"is {_shown(value)}; expected a non-empty string")
        return value

    def unique(self, place: str, names: Sequence[str]) -> None:
        for i, name in enumerate(names):
            if name in names[:i]:
                self.fail(place, f"'{name}' appears twice (entries {names.index(name)} and {i})")

    def all_used(self, place: str, names: Sequence[str], used: Sequence[tuple[str, ...]]) -> None:
        union = {name for group in used for name in group}
        for name in names:
            if name not in union:
                self.fail(place, f"'{name}' is used by no operator; use it or remove it")
