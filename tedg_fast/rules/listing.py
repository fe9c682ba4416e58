"""The vocabulary as plain text for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from tedg_fast.hypergraph import Attribute, Kind, Vocabulary

_WIDTH = 100
_SHOWN_WORDS = 12  # of an attribute, unless its kind was asked for


def listing(vocabulary: Vocabulary, chosen: Sequence[str] = ()) -> Iterator[str]:
    """The kinds, singletons first, with their attributes; only those `chosen`, if any, and then
    with every word."""
    kinds = [*vocabulary.singletons.values(), *vocabulary.objects.values()]
    for kind in kinds:
        if not chosen or kind.name in chosen:
            yield _heading(kind)
            width = max(len(attribute.name) for attribute in kind.attributes)
            for attribute in kind.attributes:
                yield from _attribute(attribute, width, all_words=bool(chosen))
            yield ""


def _heading(kind: Kind) -> str:
    if kind.singleton:
        return f"{kind.name}: {kind.meaning} Always exactly one: {kind.name}.attribute"
    return f'{kind.name}: {kind.meaning} At most {kind.limit}, nearest first: "x: {kind.name}"'


def _attribute(attribute: Attribute, width: int, all_words: bool) -> Iterator[str]:
    start = f"  {attribute.name:<{width}}  {attribute.type:<6}  "
    unit = f" ({attribute.unit})" if attribute.unit else ""
    words = list(attribute.words)
    if words and not all_words and len(words) > _SHOWN_WORDS:
        more = len(words) - _SHOWN_WORDS
        words = [*words[:_SHOWN_WORDS], f"… and {more} more words"]
    text = attribute.meaning + unit + (f" Words: {', '.join(words)}" if words else "")
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start),
        break_on_hyphens=False,
    )  # fmt: skip
