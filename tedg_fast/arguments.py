"""Command lines as configurations: tyro reads them, its errors are one line like all others."""

import contextlib
import io
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tyro

from tedg_fast.errors import BadInput, Stopped

T = TypeVar("T")


def parsed(kind: type[T], arguments: Sequence[str], program: str, **further: Any) -> T:
    """The configuration that ``arguments`` give. Raises ``BadInput``; --help ends the program."""
    return _read(lambda: tyro.cli(kind, args=list(arguments), prog=program, **further), program)


def parsed_command(
    kinds: Mapping[str, Callable[..., Any]],
    arguments: Sequence[str],
    program: str,
    description: str,
) -> Any:
    """The configuration of the command that the first of ``arguments`` names; as ``parsed``."""
    cli = tyro.extras.subcommand_cli_from_dict
    return _read(
        lambda: cli(dict(kinds), prog=program, args=list(arguments), description=description),
        program,
    )


def _read(read: Callable[[], T], program: str) -> T:
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            return read()
    except BrokenPipeError:  # who reads --help may have read enough of it: nothing to speak of
        sys.exit(Stopped(signal.SIGPIPE).exit_code)
    except SystemExit as end:
        if not end.code:
            raise
    raise BadInput(f"{_one_line(written.getvalue())}; see {program} --help")


def _one_line(box: str) -> str:
    """What tyro says between its title and the next rule, whatever its box is drawn with, and the
    first flag that it thinks was meant."""
    parts: list[list[str]] = [[]]
    for line in box.splitlines():
        inner = line.strip("│ ")
        if inner and not inner.strip("─-"):
            parts.append([])
        elif not inner.startswith(("╭", "╰")):
            parts[-1].append(inner)
    words = parts[0] if "╭" in box or len(parts) == 1 else parts[1]
    said = re.sub(r"\s+", " ", " ".join(words)).strip(" .")
    meant = re.search(r"Perhaps you meant.*?(--\w[\w.-]*)", box, re.DOTALL)
    return f"{said}; did you mean {meant[1]}?" if meant else said
