"""The commands as tests call them: in this process, leaving its settings as they were."""

import signal
import sys

import pytest
import torch

from tedg_fast import cli
from tedg_fast.errors import STOPPING

SHORT = [
    "--max-steps", "40", "--num-envs", "4", "--save-every", "6", "--threads", "1",
    "--ppo.rollout-decisions", "8", "--ppo.minibatch-size", "16", "--policy.hidden-size", "32",
]  # fmt: skip
"""Flags of a run that takes seconds."""


def tedg_train(monkeypatch, *arguments):
    """Run ``tedg-train`` to its end."""
    run(monkeypatch, cli.train, *arguments)


def run(monkeypatch, entry, *arguments):
    """Run a command by its ``entry`` point to its end."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    threads = torch.get_num_threads()
    try:
        entry()
    finally:
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def refused(monkeypatch, capsys, *arguments, entry=cli.train):
    """The one line with which ``tedg-train``, or another command, refuses its input."""
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, entry, *arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]
