"""What every recorded result begins with, and where results go."""

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
UNCOMMITTED = "the sources have changes that are not committed"
PACKAGES = ("torch", "torch-geometric", "torch-scatter", "entmax", "numpy", "nle", "gymnasium")


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def commit() -> str:
    """What git calls the sources, with "-dirty" where they have changes that are not committed;
    "unknown" without git, or outside a repository. Recorded results are no sources."""
    name = _git("describe", "--always") or "unknown"
    sources = ("--", ":/", f":(exclude,top){RESULTS.relative_to(HERE.parent)}")
    changed = _git("status", "--porcelain", "--untracked-files=no", *sources)
    return f"{name}-dirty" if changed else name


def _git(*arguments: str) -> str:
    """What a git command prints; nothing where there is no git, or no repository."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def command() -> str:
    """The command line that this process was started by, as one writes it in the repository."""
    script = Path(sys.argv[0]).resolve()
    place = script.relative_to(HERE.parent) if script.is_relative_to(HERE.parent) else script
    return shlex.join(["python", str(place), *sys.argv[1:]])


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


def header(
    packages: Sequence[str] = PACKAGES,
    ours: bool = True,
    runs: Sequence[Path] = (),
    after: Sequence[str] = (),
) -> list[str]:
    """What a record begins with, as it is now; ask before anything is measured.

    ``ours``: this package is what runs, and so its kernels are named. ``runs``: folders of the runs
    that are looked at; the commands that made them come before the record's own, and so do those
    that ``after`` names.
    """
    if commit().endswith("-dirty"):
        print(f"{UNCOMMITTED}: the result will be shown, not recorded", file=sys.stderr)
    machine = [processor(), f"{len(cores())} cores", *([kernels()] if ours else [])]
    load = os.getloadavg()[0]
    return [
        f"- machine: {', '.join(machine)}; load before the run {load:.1f}",
        f"- versions: python {platform.python_version()}, "
        + ", ".join(installed(package) for package in packages),
        f"- commit: {commit()}",
        f"- date: {datetime.date.today()}",
        *(f"- command: `{earlier}`" for earlier in [*map(training_command, runs), *after]),
        f"- command: `{command()}`",
    ]


def add_after(parser: argparse.ArgumentParser) -> None:
    """The flag of scripts that read files: which commands made them, for the record to name."""
    help = "a command that made a file which this one reads; may be given several times"
    parser.add_argument("--after", action="append", default=[], metavar="COMMAND", help=help)


def training_command(run: Path) -> str:
    """The ``tedg-train`` that made the folder ``run``: its settings that are not the defaults, but
    for the folder of results and the number of processes, which change nothing."""
    from tedg_fast.runs.config import TrainConfig, flat_settings, to_dict  # as in kernels
    from tedg_fast.runs.limits import flag

    log = json.loads((run / "logs" / "training_log.json").read_text())
    words = ["tedg-train"]
    # Through JSON, as the log: tuples are lists there.
    defaults = flat_settings(json.loads(json.dumps(to_dict(TrainConfig()))))
    for name, value in flat_settings(log["config"]).items():
        if name in ("results", "num_workers"):
            continue
        if value == defaults[name] and name not in ("exp_name", "episodes"):
            continue
        if isinstance(value, bool):
            *parents, last = name.split(".")
            words.append(flag(".".join([*parents, last if value else f"no_{last}"])))
        else:
            words += [flag(name), *map(str, value if isinstance(value, list) else [value])]
    return " ".join(words)


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


def write(name: str, lines: list[str], data: Any = None) -> None:
    """Print the lines and keep them, and the numbers behind them if given, as ``name``.md and
    .json in ``RESULTS``.

    A record names the commit that gives it again, so from changed sources nothing is kept.
    """
    text = "\n".join(lines) + "\n"
    print(text)
    if commit().endswith("-dirty"):
        print(f"{UNCOMMITTED}: nothing is recorded; commit them and measure again", file=sys.stderr)
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    if data is not None:
        (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    print(f"written to {RESULTS / name}.md; python bench/index.py lists it")
