"""Turns a version-2 file of rules into a version-3 one, which a person can go on from.

Rules that are copies of each other for several directions become one rule with a variable.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tedg_fast.hypergraph.convert_table import EXPRESSIONS, FAMILIES, STRAIGHT_FAMILIES
from tedg_fast.hypergraph.document import OLD_FORMAT
from tedg_fast.hypergraph.limits import MAX_ACTIONS
from tedg_fast.hypergraph.loader import FORMAT, VERSION
from tedg_fast.hypergraph.schema import ACTIONS, HypergraphError

_COMPASS = ACTIONS[1:9]
_WAY = re.compile(rf"_({'|'.join(sorted(_COMPASS, key=len, reverse=True))})$")
_OLD_VERSION = 2
# What the old rules' keys meant at a prompt.
_ANSWERS = {"northwest": 'answer "y"', "southeast": 'answer "n"'}
_PROMPTS = ("prompt_", "stale_meal_offered", "told_overfull")


def convert(path: str | Path) -> str:
    """The TOML text of a version-3 file with the rules of the version-2 file at `path`.

    Raises HypergraphError: an unreadable or damaged file, or rules that the new language cannot
    say; these are all listed.
    """
    content = _read(path)
    rules = _lifted(content["operators"])
    problems = []
    converted = []
    for rule in rules:
        try:
            converted.append(rule.converted())
        except _CannotSay as error:
            problems.append(f"rule '{rule.name}' ({error})")
    named: dict[str, str] = {}
    effects = [_effect(entry, named, problems) for entry in _merged(content["effects"])]
    if problems:
        raise HypergraphError(f"{path}: cannot be converted: {'; '.join(problems)}")
    for result in converted:
        named |= result.named
    return "\n".join(_lines(content, named, effects, converted))


def _read(path: str | Path) -> dict:
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise HypergraphError(f"{path}: cannot read the file ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        raise HypergraphError(f"{path}: is no JSON; version-2 files are") from None
    if not isinstance(content, dict) or content.get("format") != OLD_FORMAT:
        raise HypergraphError(f"{path}: is no version-2 file; only those can be converted")
    if content.get("version") != _OLD_VERSION:
        raise HypergraphError(f"{path}: has version {content.get('version')!r}, not {_OLD_VERSION}")
    try:
        for rule in content["operators"]:
            _ = rule["conditions"]["state"], rule["conditions"]["scene"], rule["actions"]
            _ = rule["name"], rule["description"], rule["expert"], rule["effects"]
            _ = rule["priority"]
        for effect in content["effects"]:
            _ = effect["name"], effect["description"], effect["shown_by"]
    except (KeyError, TypeError) as error:
        raise HypergraphError(f"{path}: is damaged: {error}") from None
    return content


class _CannotSay(Exception):
    """Why a rule has no equivalent."""


@dataclass
class _Converted:
    """A version-3 rule, and the named conditions that it uses."""

    name: str
    why: str
    expert: str
    priority: float
    each: str | None
    when: list[str]
    do: list[str]
    effects: list[str]
    named: dict[str, str] = field(default_factory=dict)


@dataclass
class _Rule:
    """Old rules that differ in the direction only, with {} in its place; `ways` lists those."""

    name: str
    why: str
    expert: str
    priority: float
    conditions: tuple[str, ...]
    actions: tuple[str, ...]
    effects: tuple[str, ...]
    ways: list[str]

    def converted(self) -> _Converted:
        """Raises _CannotSay."""
        rule = _Converted(
            name=self.name.replace("_{}", ""),
            why=self.why,
            expert=self.expert,
            priority=self.priority,
            each=None,
            when=[],
            do=[],
            effects=list(dict.fromkeys(_WAY.sub("", e).replace("_{}", "") for e in self.effects)),
        )
        step = run = None
        for condition in self.conditions:
            if not condition.endswith("_{}"):
                rule.when.append(_stated(condition, rule.named))
                continue
            each, when, (step, run) = _family(condition)
            if rule.each not in (None, each):
                raise _CannotSay("is about several directions at once")
            rule.each = each
            rule.when += when
            self.name_ways(rule, condition)
        self.act(rule, step, run)
        rule.when = list(dict.fromkeys(rule.when))
        return rule

    def name_ways(self, rule: _Converted, condition: str) -> None:
        """Where only some of a family's directions have the rule, says which."""
        straight = condition.removesuffix("_{}") in STRAIGHT_FAMILIES
        if set(self.ways) == set(_COMPASS[: 4 if straight else 8]):
            return
        if rule.each != "d: direction":
            raise _CannotSay(f"exists for {', '.join(self.ways)} only")
        rule.when.append(_among(self.ways))

    def act(self, rule: _Converted, step: str | None, run: str | None) -> None:
        """Fills in `do` (and a variable over directions, where the actions name many)."""
        moves = {a for a in self.actions if a in _COMPASS}
        runs = {a.removeprefix("far_") for a in self.actions if a.startswith("far_")} - {"{}"}
        plain = "d: direction"
        if len(moves | runs) > 2:
            if rule.each is not None or (moves and runs and moves != runs):
                raise _CannotSay("its actions name directions that its conditions do not")
            rule.each, step, run = plain, "move d", "run d"
            ways = moves | runs
            if ways == set(_COMPASS[:4]):
                rule.when.append("not d.diagonal")
            elif ways != set(_COMPASS):
                rule.when.append(_among([way for way in _COMPASS if way in ways]))
            moves, runs = set(), set()
        at_prompt = any(condition.startswith(_PROMPTS) for condition in self.conditions)
        for action in self.actions:
            way = action.removeprefix("far_")
            if way == "{}" or (way in _COMPASS and way not in moves | runs):
                said = run if action.startswith("far_") else step
                if said is None:
                    raise _CannotSay("its action depends on a direction, its conditions do not")
            elif at_prompt and action in _ANSWERS:
                said = _ANSWERS[action]
            else:
                said = action
            if said not in rule.do:
                rule.do.append(said)
        if len(rule.do) > MAX_ACTIONS:
            raise _CannotSay(f"has more than {MAX_ACTIONS} actions")


def _lifted(operators: Iterable[Mapping]) -> list[_Rule]:
    """The rules, with copies for several directions put together, in order of appearance."""
    rules: dict[tuple, _Rule] = {}
    for old in operators:
        conditions = (*old["conditions"]["state"], *old["conditions"]["scene"])
        way = next((m[1] for c in conditions if (m := _WAY.search(c))), None)

        def general(names: Sequence[str], way: str | None = way) -> tuple[str, ...]:
            return tuple(
                re.sub(rf"(^|_){way}$", r"\1{}", n) if way else n for n in names
            )

        (name,) = general((old["name"],))
        parts = general(conditions), general(old["actions"]), general(old["effects"])
        key = (name, old["expert"], old["priority"], parts)
        if key not in rules:
            rules[key] = _Rule(name, old["description"], old["expert"], old["priority"], *parts, [])
        if way:
            rules[key].ways.append(way)
    return _with_distinct_names(list(rules.values()))


def _with_distinct_names(rules: list[_Rule]) -> list[_Rule]:
    for rule in rules:
        if len(rule.ways) > 1:  # what was said of one direction is said of all
            way = rule.ways[0]
            rule.why = re.sub(rf"\b{way}\b|\b{way.replace('th', 'th-', 1)}\b", "there", rule.why)
            rule.why = rule.why.replace("to the there", "there").replace("here there", "there")
        elif rule.ways:
            rule.name = rule.name.format(rule.ways[0])
    taken: set[str] = set()
    for rule in rules:
        base, number = rule.name, 2
        while rule.name.replace("_{}", "") in taken:
            rule.name, number = f"{base.replace('_{}', '')}_{number}", number + 1
        taken.add(rule.name.replace("_{}", ""))
    return rules


def _family(condition: str) -> tuple[str | None, tuple[str, ...], tuple[str, str]]:
    name = condition.removesuffix("_{}")
    if name not in FAMILIES:
        raise _CannotSay(f"condition '{condition}' is unknown")
    return FAMILIES[name]


def _stated(condition: str, named: dict[str, str]) -> str:
    """How a rule states an old condition: by its old name, or where that is short, directly."""
    if condition not in EXPRESSIONS:
        raise _CannotSay(f"condition '{condition}' is unknown")
    expression = EXPRESSIONS[condition]
    if " " not in expression.removeprefix("not "):
        return expression
    named[condition] = expression
    return condition


def _among(ways: Sequence[str]) -> str:
    words = ", ".join(f'"{way}"' for way in ways)
    return f"d.name in ({words})" if len(ways) > 1 else f"d.name == {words}"


def _merged(effects: Iterable[Mapping]) -> list[Mapping]:
    """The effects, those for several directions put together."""
    merged: dict[str, Mapping] = {}
    for effect in effects:
        name = _WAY.sub("", effect["name"])
        if name not in merged:
            meaning = effect["description"]
            if name != effect["name"]:
                meaning = f"{meaning.rstrip('.')}, or likewise in another direction."
            merged[name] = {**effect, "name": name, "description": meaning}
    return list(merged.values())


def _effect(entry: Mapping, named: dict[str, str], problems: list[str]) -> Mapping:
    shown_by = []
    for condition in entry["shown_by"]:
        try:
            shown_by.append(_stated(condition, named))
        except _CannotSay as error:
            problems.append(f"effect '{entry['name']}' ({error})")
    return {**entry, "shown_by": shown_by}


def _lines(
    content: Mapping,
    named: Mapping[str, str],
    effects: Sequence[Mapping],
    rules: Sequence[_Converted],
) -> Iterable[str]:
    yield f'format = "{FORMAT}"'
    yield f"version = {VERSION}"
    yield f"name = {_quoted(content['name'])}"
    yield f"description = {_quoted(content['description'])}"
    if named:
        yield "\n[conditions]"
        width = max(map(len, named))
        for name in EXPRESSIONS:
            if name in named:
                yield f"{name:<{width}} = {_quoted(named[name])}"
    for effect in effects:
        yield f"\n[effects.{effect['name']}]"
        yield f"meaning  = {_quoted(effect['description'])}"
        yield f"shown_by = {_list(effect['shown_by'])}"
    for rule in rules:
        yield "\n[[rule]]"
        yield f"name     = {_quoted(rule.name)}"
        yield f"why      = {_quoted(rule.why)}"
        yield f"expert   = {_quoted(rule.expert)}"
        if rule.each:
            yield f"each     = {_quoted(rule.each)}"
        yield f"when     = {_list(rule.when)}"
        yield f"do       = {_quoted(rule.do[0]) if len(rule.do) == 1 else _list(rule.do)}"
        yield f"effects  = {_list(rule.effects)}"
        yield f"priority = {rule.priority:g}"
    yield ""


def _list(texts: Sequence[str]) -> str:
    line = f"[{', '.join(map(_quoted, texts))}]"
    if len(line) <= 88:
        return line
    return "[\n" + "".join(f"    {_quoted(text)},\n" for text in texts) + "]"


def _quoted(text: str) -> str:
    """A TOML string, in the quotes that need no escapes if there are such."""
    plain = '"' in text and "'" not in text and text.isprintable()
    return f"'{text}'" if plain else json.dumps(text, ensure_ascii=False)
