"""The commands on a documentation page, and each of them in seconds."""

import re
import shlex
from pathlib import Path

from command import SHORT, run

from tedg_fast import cli

ROOT = Path(__file__).parents[2]
ENTRIES = {
    "tedg-eval": cli.eval_, "tedg-report": cli.report, "tedg-rules": cli.rules,
    "tedg-train": cli.train, "tedg-watch": cli.watch,
}  # fmt: skip
BRIEF = {
    "tedg-eval": ["--episodes", "2", "--max-steps", "30", "--num-envs", "2"],
    "tedg-train": ["--episodes", "8", *SHORT],
    "tedg-watch": ["--steps", "3"],
}
"""Flags that make a command short, in place of those on the page."""


def blocks(page: Path, language: str) -> list[str]:
    """The text of each of the page's blocks in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The page's commands with their comments, each on one line."""
    text = "".join(blocks(page, "sh")).replace("\\\n", "")
    return [line for line in text.splitlines() if line.strip()]


def run_briefly(monkeypatch, command: str) -> None:
    """Run one of the package's commands, shortened."""
    program, *arguments = shlex.split(command, comments=True)
    program = Path(program).name
    brief = BRIEF.get(program, [])
    for flag in brief[::2]:
        if flag in arguments:
            place = arguments.index(flag)
            del arguments[place : place + 2]
    run(monkeypatch, ENTRIES[program], *arguments, *brief)
