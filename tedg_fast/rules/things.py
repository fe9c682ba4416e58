"""What a person calls the objects of one moment: "newt, 1 east"; "stairs down, 7 steps"."""

from collections.abc import Iterator, Mapping, Sequence

from tedg_fast.hypergraph import Vocabulary
from tedg_fast.hypergraph.vocabulary import TRUTH, WORD, Attribute

Facts = Mapping[str, Sequence[Mapping[str, float]]]
"""Kind -> its objects, nearest first; attribute -> value (`Grounder.facts`)."""


class Things:
    """The objects of one moment, by kind and by place among those of their kind."""

    def __init__(self, facts: Facts, vocabulary: Vocabulary):
        self.facts, self.vocabulary = facts, vocabulary

    def count(self, kind: str) -> int:
        """How many objects of this kind there are."""
        return len(self.facts[kind])

    def word(self, kind: str, attribute: str, place: int = 0) -> str:
        """The value of an attribute as a person reads it."""
        value = self.facts[kind][place][attribute]
        return shown(value, self.vocabulary.kind[kind].attribute[attribute])

    def name(self, kind: str, place: int) -> str:
        """What the object is, and where it is as seen by the player."""
        facts = self.facts[kind][place]
        if kind == "direction":
            return self.word(kind, "name", place)
        if "east" in facts:
            return f"{self._what(kind, place)}, {_where(facts)}"
        steps = int(facts["steps"])
        where = "here" if steps == 0 else f"{steps} step{'s' * (steps > 1)}"
        return f"{kind.replace('_', ' ')}, {where}"

    def _what(self, kind: str, place: int) -> str:
        facts = self.facts[kind][place]
        if kind == "monster":
            return "something unseen" if facts["unseen"] else self.word(kind, "name", place)
        if kind == "corpse":
            return f"{self.word(kind, 'name', place)} corpse"
        word = self.word(kind, "class", place)
        return "thing" if word == "other" else word

    def positioned(self) -> Iterator[tuple[str, int]]:
        """Everything that has a place on the map: kind, and place among those of the kind."""
        for name, kind in self.vocabulary.objects.items():
            if kind.positioned:
                yield from ((name, place) for place in range(self.count(name)))


def shown(value: float, attribute: Attribute) -> str:
    """A value of an attribute: yes or no, its word, or the number."""
    if attribute.type == WORD:
        return attribute.words[int(value)].replace("_", " ")
    return truth(value) if attribute.type == TRUTH else f"{value:.6g}"


def truth(value: float) -> str:
    return "yes" if value else "no"


def _where(facts: Mapping[str, float]) -> str:
    """ "2 north, 3 east": squares from the player; at equal numbers "3 northeast"."""
    south, east = int(facts["south"]), int(facts["east"])
    rows, columns = ("south" if south > 0 else "north"), ("east" if east > 0 else "west")
    if abs(south) == abs(east):
        return f"{abs(south)} {rows}{columns}" if south else "here"
    parts = [f"{abs(n)} {way}" for n, way in ((south, rows), (east, columns)) if n]
    return " ".join(parts)
