"""Loads a rule file and refuses, in one precise line, whatever is wrong with it."""

import hashlib
import json
import keyword
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NoReturn

from tedg_fast.hypergraph.conditions import Conditions
from tedg_fast.hypergraph.document import Document, Table, is_name, shown_value
from tedg_fast.hypergraph.expander import RESERVED
from tedg_fast.hypergraph.limits import (
    MAX_ACTIONS,
    MAX_EFFECTS,
    MAX_RULES,
    MAX_VARIABLES,
    MAX_WHEN,
    PRIORITIES,
)
from tedg_fast.hypergraph.names import hint
from tedg_fast.hypergraph.parse import ExpressionError
from tedg_fast.hypergraph.schema import (
    ACTIONS,
    EXPERTS,
    Condition,
    Effect,
    Hypergraph,
    Operator,
    Use,
)
from tedg_fast.hypergraph.templates import Keyboard, TemplateError, parse_template
from tedg_fast.hypergraph.vocabulary import Vocabulary

FORMAT = "tedg-rules"
VERSION = 3

_TOP_KEYS = ("format", "version", "name", "description", "effects", "rule")
_RULE_KEYS = ("name", "why", "expert", "when", "do", "effects")
_RULE_OPTIONS = ("each", "priority", "decide")


def load_hypergraph(
    path: str | Path | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    keyboard: Keyboard | None = None,
) -> Hypergraph:
    """Reads and checks a rule file; `None` means the packaged NetHack rules.

    `vocabulary` and `keyboard` are NetHack's by default. Raises HypergraphError: unreadable file,
    malformed TOML, or content that breaks the format; one line with file, line, place, remedy.
    """
    packaged = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.toml")
    path = Path(str(packaged) if path is None else path)
    document = Document(path, str(path))
    loader = _Loader(document, vocabulary or nethack_vocabulary(), keyboard or nethack_keyboard())
    return loader.hypergraph()


def nethack_vocabulary() -> Vocabulary:
    """The vocabulary of the compiled facts."""
    from tedg_fast.nethack.facts.vocabulary import vocabulary

    return vocabulary()


def nethack_keyboard() -> Keyboard:
    """NetHackScore-v0's actions and their keys."""
    from tedg_fast.nethack.actions import KEYS

    return Keyboard(ACTIONS, KEYS)


class _Loader:
    """Checks a document from the top down and builds the hypergraph on the way."""

    def __init__(self, document: Document, vocabulary: Vocabulary, keyboard: Keyboard):
        self.document, self.vocabulary, self.keyboard = document, vocabulary, keyboard
        self.conditions = Conditions(vocabulary)

    def hypergraph(self) -> Hypergraph:
        top = Table(self.document, self.document.content, "", "")
        if "format" not in top.content and "version" not in top.content:
            top.fail("", f'is no rule file; it begins with format = "{FORMAT}"', place="top level")
        top.only(_TOP_KEYS, ("conditions",))
        if top.content["format"] != FORMAT:
            top.fail("format", f'is {shown_value(top.content["format"])}; expected "{FORMAT}"')
        version = top.content["version"]
        if version != VERSION or isinstance(version, bool):
            top.fail("version", f"is {shown_value(version)}; this release reads version {VERSION}")
        name = top.line_of_text("name")
        top.text("description")
        self.name_conditions(top)
        effects = self.effect_tables(top)
        operators = self.operators(top, list(effects))
        shown = tuple(self.effect(name, table) for name, table in effects.items())
        self.require_used(top, effects, operators)
        conditions = tuple(self.conditions.listed)
        return Hypergraph(
            name=name,
            conditions=conditions,
            operators=operators,
            effects=shown,
            digest=_digest(conditions, operators, shown),
            constants=self.conditions.table(),
            text=self.document.text,
        )

    def name_conditions(self, top: Table) -> None:
        if "conditions" not in top.content:
            return
        table = top.table("conditions", "conditions")
        for name in table.content:
            self.require_name(table, name, "condition", f"condition '{name}'")
            if not isinstance(table.content[name], str) or not table.text(name):
                table.text(name)
        self.condition_table = table

        def fail(name: str, problem: str) -> NoReturn:
            line = self.document.lines.of("conditions", name)
            self.document.fail(line, f"condition '{name}'", problem)

        self.conditions.name_all({name: str(text) for name, text in table.content.items()}, fail)

    def require_name(self, table: Table, name: str, what: str, shown: str) -> None:
        line = self.document.lines.of(table.name, name)
        if not is_name(name):
            self.document.fail(
                line, f"{what} {shown_value(name)}",
                "a name consists of lower-case letters, digits and underscores",
            )  # fmt: skip
        if what == "condition" and self.is_taken(name):
            self.document.fail(line, shown, "the name is part of the language; choose another")

    def is_taken(self, name: str) -> bool:
        return name in RESERVED or name in self.vocabulary.kind or keyword.iskeyword(name)

    def effect_tables(self, top: Table) -> dict[str, Table]:
        effects = top.table("effects", "effects")
        if not effects.content:
            effects.fail("", "is empty; expected at least one effect")
        for name in effects.content:
            self.require_name(effects, name, "effect", f"effect '{name}'")
        return {name: effects.table(name, f"effect '{name}'") for name in effects.content}

    def effect(self, name: str, table: Table) -> Effect:
        table.only(("meaning", "shown_by"))
        meaning = table.line_of_text("meaning")
        shown_by = []
        for i, text in enumerate(table.texts("shown_by", MAX_WHEN)):
            place = f"shown_by[{i}]"
            try:
                use, _ = self.conditions.use(text, {})
            except ExpressionError as error:
                table.fail("shown_by", str(error), text, place)
            shown_by.append(use.condition)
        return Effect(name, meaning, tuple(dict.fromkeys(shown_by)))

    def operators(self, top: Table, effects: Sequence[str]) -> tuple[Operator, ...]:
        rules = top.content["rule"]
        if not isinstance(rules, list) or not rules:
            top.fail("rule", "expected rules, each beginning with [[rule]]")
        if len(rules) > MAX_RULES:
            top.fail("rule", f"there are {len(rules)} rules; at most {MAX_RULES}")
        operators: dict[str, Operator] = {}
        for i, content in enumerate(rules):
            table = Table(self.document, content, f"rule[{i}]", f"rule[{i}]")
            if "name" in table.content:
                name = table.line_of_text("name")
                if not is_name(name):
                    table.fail(
                        "name", f"is {shown_value(name)}; expected lower-case letters, digits"
                        " and underscores",
                    )  # fmt: skip
                table.shown = f"rule '{name}'"
            table.only(_RULE_KEYS, _RULE_OPTIONS)
            if name in operators:
                first = self.document.lines.of(f"rule[{list(operators).index(name)}]", "name")
                table.fail("name", f"is taken by the rule on line {first}; choose another")
            operators[name] = self.operator(name, table, effects)
        return tuple(operators.values())

    def operator(self, name: str, table: Table, effects: Sequence[str]) -> Operator:
        variables = self.variables(table)
        used: set[str] = set()
        uses: list[Use] = []
        why, expert = table.line_of_text("why"), table.choice("expert", "expert", EXPERTS)
        for i, text in enumerate(self.at_least_one(table, "when", MAX_WHEN)):
            try:
                use, names = self.conditions.use(text, variables)
            except ExpressionError as error:
                table.fail("when", str(error), text, f"when[{i}]")
            if use in uses:
                problem = f"says the same as when[{uses.index(use)}]; remove one"
                table.fail("when", problem, text, f"when[{i}]")
            uses.append(use)
            used |= names
        actions = []
        for i, text in enumerate(self.at_least_one(table, "do", MAX_ACTIONS, single=True)):
            try:
                template = parse_template(text, variables, self.vocabulary, self.keyboard)
            except TemplateError as error:
                place = f"do[{i}]" if isinstance(table.content["do"], list) else "do"
                table.fail("do", str(error), text, place)
            actions.append(template)
            if template.variable >= 0:
                used.add(list(variables)[template.variable])
        for variable in variables:
            if variable not in used:
                table.fail("each", f"variable '{variable}' is never used; use it or remove it")
        caused = self.at_least_one(table, "effects", MAX_EFFECTS)
        for i, effect in enumerate(caused):
            if effect not in effects:
                problem = f"unknown effect '{effect}'{hint(effect, effects)}"
                table.fail("effects", problem, effect, f"effects[{i}]")
        return Operator(
            name=name,
            why=why,
            expert=expert,
            conditions=tuple(uses),
            effects=tuple(caused),
            actions=tuple(actions),
            priority=table.number("priority", *PRIORITIES) if "priority" in table.content else None,
            variables=tuple(variables.values()),
            variable_names=tuple(variables),
            decide=table.truth("decide") if "decide" in table.content else False,
        )

    def at_least_one(self, table: Table, key: str, most: int, single: bool = False) -> list[str]:
        values = table.texts(key, most, single)
        if not values:
            table.fail(key, "is empty; a rule needs at least one")
        return values

    def variables(self, table: Table) -> dict[str, str]:
        """The rule's variables: name -> kind."""
        if "each" not in table.content:
            return {}
        variables: dict[str, str] = {}
        for text in table.texts("each", MAX_VARIABLES, single=True):
            name, colon, kind = (part.strip() for part in text.partition(":"))
            if not colon or not is_name(name) or not kind:
                problem = f"is '{text}'; expected a variable and its kind: m: monster"
                table.fail("each", problem, text)
            if self.is_taken(name) or name in self.conditions.named:
                table.fail("each", f"variable '{name}' has a name with a meaning; rename it", text)
            if name in variables:
                table.fail("each", f"variable '{name}' is declared twice; rename one", text)
            if kind in self.vocabulary.singletons:
                table.fail("each", f"there is one '{kind}' only; write {kind}.… without a variable")
            if kind not in self.vocabulary.objects:
                known = tuple(self.vocabulary.objects)
                table.fail("each", f"unknown kind '{kind}'{hint(kind, known)}", text)
            variables[name] = kind
        return variables

    def require_used(
        self, top: Table, effects: dict[str, Table], operators: Sequence[Operator]
    ) -> None:
        for name in self.conditions.unused():
            line = self.document.lines.of("conditions", name)
            self.document.fail(
                line, f"condition '{name}'", "is used by no rule; use it or remove it"
            )
        caused = {effect for operator in operators for effect in operator.effects}
        for name, table in effects.items():
            if name not in caused:
                table.fail("", "is used by no rule; use it or remove it")


def _digest(
    conditions: Sequence[Condition], operators: Sequence[Operator], effects: Sequence[Effect]
) -> str:
    """SHA-256 (hex) of the rules themselves, not of their names, explanations and layout."""
    numbers = {effect.name: i for i, effect in enumerate(effects)}
    content = {
        "version": VERSION,
        "conditions": [[c.text, c.kinds] for c in conditions],
        "rules": [
            [
                EXPERTS.index(rule.expert),
                rule.priority,
                rule.variables,
                [[use.condition, use.variables] for use in rule.conditions],
                [numbers[effect] for effect in rule.effects],
                [[int(do.kind), do.variable, do.action] for do in rule.actions],
                rule.decide,
            ]
            for rule in operators
        ],
        "effects": [effect.shown_by for effect in effects],
    }
    canonical = json.dumps(content, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
