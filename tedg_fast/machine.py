"""What of this machine we may use: processors, memory and files, less what it forbids us."""

import math
import os
import resource
from pathlib import Path

from tedg_fast.errors import BadInput

# Of a process that plays games, besides one for each: 16, a few at the start of a game, and some
# to spare.
_FILES = 32
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")


def cores() -> int:
    """Processors that this process may keep busy, at least 1."""
    quota = min(map(_quota, groups("cpu")), default=math.inf)
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), quota)))


def free_memory() -> float:
    """Bytes that can still be used before the kernel ends a process; infinite if it does not
    say."""
    free = [_left(group) for group in groups("memory")]
    for line in _lines(_MEMORY):
        if line.startswith("MemAvailable:"):
            free.append(1024.0 * int(line.split()[1]))
    return min(free, default=math.inf)


def allow_files(games: int) -> None:
    """See to it that a process may open the files of so many ``games``, one for each.

    A limit that may be raised is raised. Raises ``BadInput`` where it may not.
    """
    needed = games + _FILES
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= limit or limit == resource.RLIM_INFINITY:
        return
    if most != resource.RLIM_INFINITY and needed > most:
        raise BadInput(
            f"{games} games in one process need {needed} open files and only {most} are allowed: "
            "raise ulimit -n, play fewer games (--num-envs) or take more processes (--num-workers)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def groups(controller: str) -> list[Path]:
    """The folders of this process's control groups, from its own to the outermost."""
    folders = []
    for line in _lines(_OWN):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _GROUPS / controllers if controllers else _GROUPS
        own = root / path.lstrip("/")
        folders += [folder for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return folders


def _quota(group: Path) -> float:
    """Processors that a group may keep busy; version 2, then version 1 of control groups."""
    words = " ".join(_lines(group / "cpu.max")).split() or [
        word for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for word in _lines(group / name)
    ]
    if len(words) != 2 or not words[0].isdigit():  # "max", or -1
        return math.inf
    return int(words[0]) / int(words[1])


def _left(group: Path) -> float:
    """Bytes that a group may still use."""
    for limit, used in (
        ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):  # fmt: skip
        words = _lines(group / limit) + _lines(group / used)
        if len(words) == 2 and words[0].isdigit():
            return float(int(words[0]) - int(words[1]))
    return math.inf


def _lines(path: Path) -> list[str]:
    """The lines of a file; none where it cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
