"""From the text of an expression to Python's tree of it.

Python's own parser reads the text; nothing is ever evaluated as Python.
"""

import ast
import keyword
import re
import tokenize
import warnings
from io import StringIO

from tedg_fast.hypergraph.limits import MAX_CHARACTERS

# An attribute may have a name that Python keeps for itself: item.class. Strings stay as they are.
_KEYWORD_ATTRIBUTE = re.compile(rf"""'[^']*'|"[^"]*"|\.(?:{"|".join(keyword.kwlist)})\b""")


class ExpressionError(ValueError):
    """What is wrong with one expression, without the place; one line."""


_FOREIGN = (
    (re.compile(r"&&"), "and"),
    (re.compile(r"\|\|"), "or"),
    (re.compile(r"!(?!=)"), "not"),
    (re.compile(r"(?<![<>=!])=(?!=)"), "=="),
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def _remedy(text: str) -> str:
    """What to write in place of another language's operator, if there is one in `text`."""
    bare = _QUOTED.sub("", text)
    for pattern, ours in _FOREIGN:
        if found := pattern.search(bare):
            return f"; write '{ours}' for '{found.group()}'"
    return ""


def parse(text: str) -> ast.expr:
    """The tree of an expression. Raises ExpressionError: too long, or no expression."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            f"is longer than {MAX_CHARACTERS} characters; name parts of it under [conditions]"
        )
    if "\n" in text or "\r" in text:
        raise ExpressionError("is broken over several lines; write an expression on one line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_KEYWORD_ATTRIBUTE.sub(_spared, text), mode="eval").body
        if "#" in text and _has_comment(text):
            raise ExpressionError("contains a comment; comments stand outside of the quotes")
    except SyntaxError as error:
        column = f" at column {error.offset}" if error.offset else ""
        raise ExpressionError(f"is no expression{column} ({error.msg}){_remedy(text)}") from None
    except (RecursionError, MemoryError):
        raise ExpressionError("is nested too deeply; name parts of it") from None
    except ExpressionError:
        raise
    except ValueError as error:  # a null character, or a number too long
        raise ExpressionError(f"is no expression ({str(error).split(';')[0]})") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and keyword.iskeyword(node.attr.removesuffix("_")):
            node.attr = node.attr.removesuffix("_")
    return tree


def _spared(match: re.Match) -> str:
    return f"{match[0]}_" if match[0].startswith(".") else match[0]


def _has_comment(text: str) -> bool:
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    return any(token.type == tokenize.COMMENT for token in tokens)
