"""The nearest known name, for errors that say what was probably meant."""

import difflib
from collections.abc import Sequence

FEW = 23  # names that an error still lists in full


def hint(word: str, known: Sequence[str]) -> str:
    """The closest known name as a question, else, when they are few, all of them; or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    if len(known) == 1:
        return f"; expected '{known[0]}'"
    return f"; expected one of {', '.join(known)}" if 0 < len(known) <= FEW else ""


def listed(names: Sequence[str]) -> str:
    """'a', 'b' and 'c'."""
    quoted = [f"'{name}'" for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), *quoted[-1:])))
