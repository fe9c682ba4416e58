"""Single keys from a terminal."""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

_ARROWS = {
    b"\x1b[C": "right", b"\x1bOC": "right", b"\x1b[D": "left", b"\x1bOD": "left",
}  # fmt: skip


@contextlib.contextmanager
def single_keys() -> Iterator[None]:
    """Keys arrive as they are pressed and are not shown; the terminal is put back afterwards."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def next_key(seconds: float) -> str:
    """The key pressed within ``seconds``, "" if none is, "q" at the end of the input."""
    handle = sys.stdin.fileno()
    if not select.select([handle], [], [], seconds)[0]:
        return ""
    pressed = os.read(handle, 1)
    if not pressed:
        return "q"
    if pressed == b"\x1b" and select.select([handle], [], [], 0)[0]:
        pressed += os.read(handle, 2)  # the rest of what an arrow sends
    return _ARROWS.get(pressed) or pressed.decode("latin-1")
