"""What ends a command early: input that it refuses, a machine that fails, requests to stop."""

import signal


class BadInput(ValueError):
    """Something that cannot be used; the message, one line, says what, why, and what to do."""


class Failed(RuntimeError):
    """The machine took away what a command needs to go on; the message, one line, says what."""


class Stopped(KeyboardInterrupt):
    """A signal asked the command to stop, or nobody reads its output any more (SIGPIPE)."""

    def __init__(self, number: int = signal.SIGINT):
        self.number = number
        self.words = OUTPUT_CLOSED if number == signal.SIGPIPE else "stopped"

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: no other end has such a code."""
        return 128 + self.number


OUTPUT_CLOSED = "stopped, as its output is not read any more"
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C; kill, and a machine that shuts down; a closed terminal; Slurm's warning."""
