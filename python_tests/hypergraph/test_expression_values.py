"""Any expression of the language, compiled and run in C++, equals plain Python's evaluation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_evaluation import Evaluation, Facts

from tedg_fast.hypergraph.compiler import Constants, compile_expression
from tedg_fast.hypergraph.expander import Expander, Object
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.hypergraph.parse import parse
from tedg_fast.hypergraph.printer import printed
from tedg_fast.hypergraph.vocabulary import NUMBER, TRUTH, WORD, Kind
from tedg_fast.nethack import _native_grounding

VOCABULARY = nethack_vocabulary()
KINDS = ("direction", "monster", "item", "corpse")
SINGLETONS = tuple(VOCABULARY.singletons.values())
# The variables of a rule, by their kinds.
VARIABLES = (
    {"m": "monster", "n": "monster"},
    {"m": "monster", "d": "direction"},
    {"d": "direction", "i": "item"},
    {"c": "corpse"},
)
MONSTERS = 5
NAMES = VOCABULARY.kind["monster"].attribute["name"].words


class Grammar:
    """Draws expressions: `scope` maps what names an object to its kind; `free` is how many
    aggregates may still stand inside each other; `size` bounds the depth."""

    def __init__(self, draw):
        self.draw = draw

    def one_of(self, *choices):
        return self.draw(st.sampled_from(choices))

    def attribute(self, kind: Kind, type: str):
        fitting = [a for a in kind.attributes if a.type == type]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def owner(self, scope: dict[str, str], free: int, size: int) -> tuple[str, Kind]:
        """Something with attributes: a singleton, an object in scope, the nearest of a kind."""
        if size > 0 and free and self.one_of(False, False, True):
            kind = self.one_of(*KINDS)
            body = self.body(kind, scope, free, size - 1)
            return f"nearest({body})", VOCABULARY.kind[kind]
        names = [*(kind.name for kind in SINGLETONS), *scope, *scope]
        name = self.draw(st.sampled_from(names))
        return name, VOCABULARY.kind[scope.get(name, name)]

    def body(self, kind: str, scope: dict[str, str], free: int, size: int) -> str:
        """A condition that names `kind` directly, for an aggregate over it."""
        inner = {name: k for name, k in scope.items() if name != kind} | {kind: kind}
        name = self.attribute(VOCABULARY.kind[kind], TRUTH).name
        joined = self.one_of("and", "or")
        return f"{kind}.{name} {joined} {self.atom(inner, free - 1, size)}"

    def atom(self, scope: dict[str, str], free: int, size: int) -> str:
        return f"({self.truth(scope, free, size)})"

    def number(self, scope: dict[str, str], free: int, size: int) -> str:
        if size <= 0:
            return self.one_of("0", "1", "2.5", "12", "-3", "0.1")
        form = self.one_of("fact", "fact", "sum", "function", "aggregate", "distance")
        parts = [f"({self.number(scope, free, size - 2)})" for _ in range(2)]
        if form == "sum":
            return self.one_of(" + ", " - ", " * ", " / ").join(parts)
        if form == "function":
            return self.one_of(f"abs({parts[0]})", f"min({', '.join(parts)})", f"-{parts[0]}",
                               f"max({', '.join(parts)}, 1)")  # fmt: skip
        if form == "aggregate" and free:
            kind = self.one_of(*KINDS)
            inner = {name: k for name, k in scope.items() if name != kind} | {kind: kind}
            body = self.body(kind, scope, free, size - 1)
            number = self.number(inner, free - 1, size - 1)
            name = self.one_of("count", "total", "most")
            return f"count({body})" if name == "count" else f"{name}({body}, {number})"
        placed = [name for name, kind in scope.items() if VOCABULARY.kind[kind].positioned]
        if form == "distance" and placed:
            return f"distance({self.one_of(*placed)}, {self.one_of(*placed)})"
        name, kind = self.owner(scope, free, size)
        attribute = self.attribute(kind, NUMBER)
        return f"{name}.{attribute.name}" if attribute else parts[0]

    def truth(self, scope: dict[str, str], free: int, size: int) -> str:
        form = self.one_of("fact", "not", "join", "size", "chain", "equal", "word", "any", "away")
        if size <= 0:
            return self.one_of("true", "false", "me.blind", "told.killed")
        if form == "not":
            return f"not {self.atom(scope, free, size - 1)}"
        if form == "join":
            parts = [self.atom(scope, free, size - 1) for _ in range(2)]
            return self.one_of(" and ", " or ", " == ", " != ").join(parts)
        if form in ("size", "chain"):
            numbers = [f"({self.number(scope, free, size - 1)})" for _ in range(3)]
            relations = [self.one_of("<", "<=", ">", ">=", "==", "!=") for _ in range(2)]
            text = f"{numbers[0]} {relations[0]} {numbers[1]}"
            return text if form == "size" else f"{text} {relations[1]} {numbers[2]}"
        if form == "equal":
            number = self.number(scope, free, size - 1)
            return f"({number}) {self.one_of('in', 'not in')} (0, 1, -3, 2.5)"
        if form == "any" and free:
            return f"any({self.body(self.one_of(*KINDS), scope, free, size - 1)})"
        ways = [name for name, kind in scope.items() if kind == "direction"]
        placed = [name for name, kind in scope.items() if VOCABULARY.kind[kind].positioned]
        if form == "away" and ways:
            target = self.one_of(*placed) if placed else None
            if target is None and free:
                target = f"nearest({self.body('monster', scope, free, size - 1)})"
            if target:
                return f"{self.one_of(*ways)}.{self.one_of('away_from', 'toward')}({target})"
        name, kind = self.owner(scope, free, size)
        if form == "word" and (attribute := self.attribute(kind, WORD)):
            words = [self.draw(st.sampled_from(attribute.words[:6])) for _ in range(2)]
            listed = ", ".join(f'"{word}"' for word in dict.fromkeys(words))
            test = self.one_of(f'== "{words[0]}"', f'!= "{words[0]}"', f"in ({listed},)")
            return f"{name}.{attribute.name} {test}"
        attribute = self.attribute(kind, TRUTH)
        return f"{name}.{attribute.name}" if attribute else "true"


@st.composite
def expressions(draw) -> tuple[str, dict[str, str]]:
    """An expression and the variables in it."""
    variables = draw(st.sampled_from(VARIABLES))
    grammar = Grammar(draw)
    form = draw(st.sampled_from((grammar.truth, grammar.number)))
    return form(variables, 2, draw(st.integers(1, 4))), variables


class RandomFacts:
    """The same facts for C++ (arrays) and for Python (`objects`)."""

    def __init__(self, rng: np.random.Generator):
        table = [a for a in VOCABULARY.kind["monster"].attributes if a.table]
        self.monsters = np.stack([self.values(table, rng) for _ in range(MONSTERS)])
        unknown = np.zeros(len(table))
        self.arrays, self.subjects = {}, {}
        objects = {}
        for kind in (*SINGLETONS, *(VOCABULARY.kind[name] for name in KINDS)):
            own = [a for a in kind.attributes if not a.table]
            looked_up = [a for a in kind.attributes if a.table]
            count = 1 if kind.singleton else 8 if kind.name == "direction" else rng.integers(5)
            rows = [self.values(own, rng) for _ in range(count)]
            self.arrays[kind.number] = np.array(rows).reshape(count, len(own))
            plain = [self.plain(own, row) for row in rows]
            objects[kind.name] = [{"number": i} | thing for i, thing in enumerate(plain)]
            if looked_up:
                subjects = [int(rng.integers(MONSTERS + 1)) for _ in rows]
                self.subjects[kind.number] = subjects
                for thing, subject in zip(objects[kind.name], subjects, strict=True):
                    row = self.monsters[subject] if subject < MONSTERS else unknown
                    thing |= self.plain(looked_up, row)
        self.facts = Facts(VOCABULARY, objects)

    @staticmethod
    def values(attributes, rng) -> np.ndarray:
        return np.array(
            [
                rng.integers(2) if a.type == TRUTH
                else rng.integers(min(len(a.words), 7)) if a.type == WORD
                else rng.integers(-4, 5) if a.name in ("east", "south")
                else rng.choice((0, 1, 2, 3, 5, 12, 0.5, -2, 1e6))
                for a in attributes
            ],
            dtype=np.float64,
        )  # fmt: skip

    @staticmethod
    def plain(attributes, row) -> dict[str, object]:
        return {
            a.name: bool(value) if a.type == TRUTH else a.words[int(value)] if a.type == WORD
            else float(value)
            for a, value in zip(attributes, row, strict=True)
        }  # fmt: skip

    def bound(self, variables: dict[str, str], rng) -> tuple[list[int], dict[str, tuple]]:
        """Random objects for the variables: their places, and a scope for plain evaluation."""
        places, scope = [], {}
        for name, kind in variables.items():
            objects = self.facts.objects[kind]
            places.append(int(rng.integers(-1 if not objects else 0, max(len(objects), 1))))
            scope[name] = (kind, objects[places[-1]] if objects else None)
        return places, scope


def compiled_value(text: str, variables: dict[str, str], facts: RandomFacts, places: list[int]):
    objects = {name: Object(kind, i, i) for i, (name, kind) in enumerate(variables.items())}
    tree = Expander(VOCABULARY, {}).expand(parse(text), objects)
    constants = Constants()
    _, code = compile_expression(tree, VOCABULARY, constants)
    numbers = [VOCABULARY.kind[kind].number for kind in variables.values()]
    padding = [-1] * (2 - len(numbers))
    return tree, _native_grounding.evaluate(
        code,
        np.array(constants.values, dtype=np.float64),
        [*numbers, *padding],
        [*places, *padding],
        facts.arrays,
        facts.subjects,
        facts.monsters,
    )


def check(text: str, variables: dict[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    facts = RandomFacts(rng)
    places, scope = facts.bound(variables, rng)
    tree, value = compiled_value(text, variables, facts, places)
    expected = float(Evaluation(facts.facts).of(text, scope))
    assert value == expected or (math.isnan(value) and math.isnan(expected)), text
    again = compiled_value(printed(tree), variables, facts, places)
    assert again[1] == value or math.isnan(value), "the printed text means something else"
    assert printed(again[0]) == printed(tree)


@settings(max_examples=400, deadline=None)
@given(expressions(), st.integers(0, 2**32))
def test_compiled_expressions_equal_plain_python(expression, seed):
    check(*expression, seed)


@pytest.mark.parametrize(
    "text",
    [
        "m.level / (m.level - m.level) == 0",
        "count(monster.level > m.level and any(direction.away_from(monster))) + 0.5",
        "most(monster.hostile, monster.level) - total(monster.hostile, monster.level)",
        "most(monster.level < 0, monster.level)",
        "nearest(monster.level > 1e6).level",
        f'nearest(monster.level > 1e6).name == "{NAMES[0]}"',
        "distance(nearest(monster.hostile), nearest(item.magic))",
        "distance(m, nearest(monster.hostile and any(item.magic)))",
        "any(direction.away_from(nearest(monster.hostile)))",
        "count(direction.free and direction.toward(m)) >= 2",
        "0 < m.level <= m.speed != 12",
    ],
)
def test_these_expressions(text):
    for seed in range(100):
        check(text, {"m": "monster"}, seed)
