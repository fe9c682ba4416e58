"""Files that appear whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

TEMPORARY = ".writing-"
"""Temporary files begin with this; one that is left over was being written when a run died."""


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically and durably.

    The bytes go to a hidden temporary file in the same folder, which takes the name ``path`` only
    when they are on the disk. On a failure raises ``OSError``; ``path`` is then what it was, or,
    where only the folder could not be brought to the disk, the whole new file.
    """
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # a failing disk may refuse this, too
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk; ``OSError`` where that fails."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of runs that died; nobody else may be writing to ``folder``."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            path.unlink()
