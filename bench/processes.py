"""What a process and its descendants use, as Linux counts it."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Of all processes together: ``memory`` in bytes, memory that several share counted once
    (Pss), file descriptors, and how many processes there are."""

    memory: int
    descriptors: int
    processes: int


def descendants(pid: int) -> list[int]:
    """``pid`` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may just have ended
            children.setdefault(int(_stat(int(path.name))[1]), []).append(int(path.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def usage(pid: int) -> Usage:
    """What ``pid`` and its descendants use now; those that end meanwhile count as nothing."""
    memory = descriptors = count = 0
    for process in descendants(pid):
        with contextlib.suppress(OSError):
            folder = Path("/proc") / str(process)
            lines = (folder / "smaps_rollup").read_text().splitlines()
            held = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            descriptors += len(list((folder / "fd").iterdir()))
            memory, count = memory + 1024 * held, count + 1
    return Usage(memory, descriptors, count)


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that the processes used so far, children that ended not counted."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything: state first."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
