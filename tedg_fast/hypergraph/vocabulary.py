"""What rules may speak of: kinds of things, and the attributes of each.

The table itself is part of the compiled facts, so that there is one definition of it; here it
becomes objects that the checker, the compiler and the documentation read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

NUMBER, TRUTH, WORD = "number", "truth", "word"
ATTRIBUTE_TYPES = (NUMBER, TRUTH, WORD)


@dataclass(frozen=True)
class Attribute:
    """One thing that can be asked about an object of a kind.

    `number` is its place among the kind's attributes; `words` lists what a word may be (the first
    is the value where the object is missing). `table` says that it comes from the game's tables
    of monsters and objects, the same for every game.
    """

    name: str
    number: int
    type: str
    unit: str = ""
    meaning: str = ""
    words: tuple[str, ...] = ()
    table: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of thing: a singleton such as `me`, or objects of which a state has 0 to `limit`.

    `number` is its place in the vocabulary. Objects are ordered nearest first; those of a kind
    that is `positioned` stand on a square that one can move toward or away from.
    """

    name: str
    number: int
    limit: int
    singleton: bool
    positioned: bool
    meaning: str
    attributes: tuple[Attribute, ...]

    @cached_property
    def attribute(self) -> Mapping[str, Attribute]:
        """Attribute name -> attribute."""
        return {attribute.name: attribute for attribute in self.attributes}


@dataclass(frozen=True)
class Vocabulary:
    """All kinds, in the order of their numbers."""

    kinds: tuple[Kind, ...]

    @classmethod
    def from_table(cls, table: Sequence[Mapping]) -> "Vocabulary":
        """From the list of dictionaries that the compiled facts give.

        A kind has the keys kind, limit, singleton, positioned, meaning and attributes; an
        attribute has name, type, unit, meaning, words (or None) and table. Raises ValueError: an
        unknown type, a word attribute without words, or a name that appears twice.
        """
        kinds = []
        for number, entry in enumerate(table):
            name = entry["kind"]
            attributes = tuple(
                Attribute(
                    name=line["name"],
                    number=i,
                    type=line["type"],
                    unit=line["unit"] or "",
                    meaning=line["meaning"],
                    words=tuple(line["words"] or ()),
                    table=line["table"],
                )
                for i, line in enumerate(entry["attributes"])
            )
            for attribute in attributes:
                if attribute.type not in ATTRIBUTE_TYPES:
                    raise ValueError(f"{name}.{attribute.name}: unknown type '{attribute.type}'")
                if (attribute.type == WORD) != bool(attribute.words):
                    raise ValueError(f"{name}.{attribute.name}: words go with type '{WORD}'")
            _require_distinct(f"kind {name}", [attribute.name for attribute in attributes])
            kinds.append(
                Kind(
                    name=name,
                    number=number,
                    limit=entry["limit"],
                    singleton=entry["singleton"],
                    positioned=entry["positioned"],
                    meaning=entry["meaning"],
                    attributes=attributes,
                )
            )
        _require_distinct("vocabulary", [kind.name for kind in kinds])
        return cls(tuple(kinds))

    @cached_property
    def kind(self) -> Mapping[str, Kind]:
        """Kind name -> kind."""
        return {kind.name: kind for kind in self.kinds}

    @cached_property
    def objects(self) -> Mapping[str, Kind]:
        """The kinds that a variable or an aggregate may range over."""
        return {name: kind for name, kind in self.kind.items() if not kind.singleton}

    @cached_property
    def singletons(self) -> Mapping[str, Kind]:
        """The kinds of which there is always exactly one."""
        return {name: kind for name, kind in self.kind.items() if kind.singleton}


def _require_distinct(place: str, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"{place}: '{name}' appears twice")


SHOWN_WORDS = 40  # a longer list of words is described by its length and its first few

PAGE = """\
# Vocabulary

What the conditions of a rule may speak of. This page is made from the table that the game's facts
are computed by: `tedg-rules vocabulary` prints it.

A number, a truth or a word is read as `kind.attribute` of a singleton (`me.hp`), or as
`variable.attribute` of the object that a variable of a rule is bound to (`m.hostile` after
`each = "m: monster"`). Objects are ordered nearest first. Of a missing object every number is 0,
every truth false, and every word the first one listed.
"""


def page(vocabulary: Vocabulary) -> str:
    """The vocabulary as Markdown, singletons first."""
    parts = [PAGE]
    kinds = [*vocabulary.singletons.values(), *vocabulary.objects.values()]
    for kind in kinds:
        parts.append(f"## {kind.name}\n\n{kind.meaning} {_number_of(kind)}\n")
        lines = ["| attribute | type | unit | meaning |", "|---|---|---|---|"]
        for attribute in kind.attributes:
            table = " (from the game's tables)" if attribute.table else ""
            lines.append(
                f"| `{attribute.name}` | {attribute.type} | {attribute.unit} "
                f"| {_cell(attribute.meaning)}{table}{_words(attribute)} |"
            )
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _number_of(kind: Kind) -> str:
    if kind.singleton:
        return "There is always exactly one."
    where = "on a square" if kind.positioned else "without a square of its own"
    return f"At most {kind.limit} of them, nearest first; {where}."


def _words(attribute: Attribute) -> str:
    if not attribute.words:
        return ""
    words = [f"`{_cell(word)}`" for word in attribute.words]
    if len(words) <= SHOWN_WORDS:
        return f": {', '.join(words)}"
    return f": {', '.join(words[:3])}, … ({len(words)} words)"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
