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


MOST_WORDS_IN_A_CELL = 40  # longer lists stand at the end of the page

PAGE = """\
# Vocabulary

What the conditions of a rule may speak of. This page is made from the table that the game's facts
are computed by: `tedg-rules vocabulary --markdown` prints it.

A number, a truth or a word is read as `kind.attribute` of what there is one of (`me.hp`), or as
`variable.attribute` of the object that a variable of a rule is bound to (`m.hostile` after
`each = "m: monster"`). Objects are ordered nearest first; those beyond the given number are left
out. Of a missing object every number is 0, every truth false, and every word the first one listed.
"""


def page(vocabulary: Vocabulary) -> str:
    """The vocabulary as Markdown: what there is one of first, then the objects, then long lists."""
    parts = [PAGE]
    long_lists: dict[tuple[str, ...], list[str]] = {}
    for kind in (*vocabulary.singletons.values(), *vocabulary.objects.values()):
        parts.append(f"## {kind.name}\n\n{kind.meaning} {_number_of(kind)}\n")
        lines = ["| attribute | type | unit | meaning |", "|---|---|---|---|"]
        for attribute in kind.attributes:
            if len(attribute.words) > MOST_WORDS_IN_A_CELL:
                long_lists.setdefault(attribute.words, []).append(f"{kind.name}.{attribute.name}")
            cells = (f"`{attribute.name}`", attribute.type, attribute.unit, _meaning(attribute))
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    for words, attributes in long_lists.items():
        parts.append(f"## Words of {' and '.join(attributes)}\n\n{_listed(words)}\n")
    return "\n".join(parts)


def _number_of(kind: Kind) -> str:
    if kind.singleton:
        return "There is always exactly one."
    where = "each on a square" if kind.positioned else "which have no square of their own"
    return f"At most {kind.limit}, nearest first, {where}."


def _meaning(attribute: Attribute) -> str:
    """A cell: the meaning, where it comes from, and what a word may be."""
    meaning = attribute.meaning.replace("|", "\\|").rstrip(".")
    if attribute.table:
        meaning += " (from the game's table of monsters)"
    if not attribute.words:
        return f"{meaning}."
    if len(attribute.words) > MOST_WORDS_IN_A_CELL:
        return f"{meaning}; the words are listed below."
    return f"{meaning}: {_listed(attribute.words)}."


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words).replace("|", "\\|")
