"""Checkpoint files: everything a run needs to go on, in one file that is whole or refused.

A file is an ordinary ``torch.save`` archive (``torch.load(path, weights_only=True)`` opens it)
followed by a 48-byte trailer: the magic ``TEDG-CHECKPOINT`` and a newline, then the SHA-256 of all
bytes before the trailer.
"""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from tedg_fast.train.files import write_whole

VERSION = 1
_MAGIC = b"TEDG-CHECKPOINT\n"
_TRAILER = len(_MAGIC) + hashlib.sha256().digest_size

State = dict[str, Any]


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which file, why, and what to do."""


def save(path: Path, state: State) -> None:
    """Write ``state`` (tensors, numbers, strings, lists, dicts) to ``path``, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"version": VERSION, **state}, buffer)
    archive = buffer.getvalue()
    write_whole(path, archive + _MAGIC + hashlib.sha256(archive).digest())


def load(path: Path) -> State:
    """The state saved in ``path``, tensors on the CPU; ``CheckpointError`` if it is not whole."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"no checkpoint at {path}: give an existing model_*.pth or a run folder"
        ) from None
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    archive, trailer = content[:-_TRAILER], content[-_TRAILER:]
    if not trailer.startswith(_MAGIC):
        raise CheckpointError(
            f"{path} is no checkpoint of tedg_fast, or it was cut short ({len(content)} bytes): "
            "its closing mark is missing; resume from another file"
        )
    if trailer[len(_MAGIC) :] != hashlib.sha256(archive).digest():
        raise CheckpointError(
            f"checkpoint {path} is damaged: its checksum does not match; resume from another file"
        )
    state = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    if state["version"] != VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format version {state['version']}, this tedg_fast reads "
            f"{VERSION}; use the version that wrote it"
        )
    return state


def newest(run: Path) -> tuple[Path, State, list[str]]:
    """The newest whole checkpoint of a run folder → (file, state, remarks on damaged ones)."""
    folder = run / "checkpoints"
    numbered = sorted(folder.glob("model_*.pth"), key=_number, reverse=True)
    remarks: list[str] = []
    best: tuple[Path, State] | None = None
    for path in numbered:
        if best is not None and _number(path) >= 0:
            break  # numbered files come newest first; model_final.pth, last in order, may be newer
        try:
            state = load(path)
        except CheckpointError as error:
            remarks.append(str(error))
            continue
        if best is None or state["env_steps"] > best[1]["env_steps"]:
            best = path, state
    if best is None:
        damaged = f" ({'; '.join(remarks)})" if remarks else ""
        raise CheckpointError(f"no whole checkpoint in {folder}{damaged}; nothing to resume from")
    return *best, remarks


def _number(path: Path) -> int:
    """N of model_N.pth; −1 for model_final.pth."""
    match = re.fullmatch(r"model_(\d+)\.pth", path.name)
    return int(match[1]) if match else -1
