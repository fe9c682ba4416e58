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


FENCED = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
COMMAND = re.compile(
    r"(\S+=\S* )*(\S*/)?(\$|tedg-\w+|pip|pytest|python[\d.]*|torchrun|git|sed|\S+\.sh)\s"
)


def blocks(page: Path, language: str) -> list[str]:
    """The text of each of the page's blocks in a language."""
    return [text for label, text in FENCED.findall(page.read_text("utf-8")) if label == language]


def hidden(text: str) -> list[str]:
    """Lines of a page that show code where none of its readers here would find it."""
    prose = FENCED.sub("", text)
    fences = re.findall(r"^\s*(?:```|~~~).*", prose, re.MULTILINE)
    indented = re.findall(r"(?:\A|\n)\n( {4,}\S.*|\t.*)", prose)
    shown = [
        line for label, code in FENCED.findall(text) if not label for line in code.splitlines()
    ]
    return fences + indented + [line for line in shown if COMMAND.match(line)]


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
