"""What every recorded result begins with, and where results go."""

import datetime
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PACKAGES = ("torch", "torch-geometric", "torch-scatter", "entmax", "numpy", "nle", "gymnasium")


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def commit() -> str:
    """What git calls the sources; "unknown" without git, or outside a repository."""
    if shutil.which("git") is None:
        return "unknown"
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def kernels() -> str:
    from tedg_fast.info import vector_level  # here, for environments without this package

    return f"{vector_level()} kernels"


def header(packages: Sequence[str] = PACKAGES, ours: bool = True) -> list[str]:
    """``ours``: this package is what runs, and so its kernels are named."""
    machine = [processor(), f"{len(cores())} cores", *([kernels()] if ours else [])]
    load = os.getloadavg()[0]
    return [
        f"- machine: {', '.join(machine)}; load before the run {load:.1f}",
        f"- versions: python {platform.python_version()}, "
        + ", ".join(installed(package) for package in packages),
        f"- commit: {commit()}",
        f"- date: {datetime.date.today()}",
    ]


def interval(values: Sequence[float], digits: int = 1) -> str:
    """Mean of independent values ± half of its 95 % interval; the mean alone of a single one."""
    from tedg_fast.report.statistics import mean_interval  # as in kernels

    mean, half_width = mean_interval(values)
    shown = f"{mean:.{digits}f}"
    return shown if len(values) < 2 else f"{shown} ± {half_width:.{digits}f}"


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [names, ["---"] * len(names), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def write(name: str, lines: list[str], data: Any) -> None:
    """Print the lines and keep them, and the numbers behind them, as ``name``.md and .json."""
    text = "\n".join(lines) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    print(f"written to {RESULTS / name}.md and .json")
