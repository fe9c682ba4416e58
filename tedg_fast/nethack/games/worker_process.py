"""The trainer's end of one game worker: start it, command it, notice when it is lost."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from tedg_fast.errors import Failed
from tedg_fast.nethack.games.worker import DONE, FAILED

_SECONDS_TO_EXIT = 5.0
_MAX_MESSAGE = 1 << 16


class WorkerError(Failed):
    """The games cannot go on: a worker raised an exception, or dies each time it is started."""


class WorkerProcess:
    """A worker that plays the environments `shares`, a range for each group, possibly empty.

    Not made with `multiprocessing`: that would import the caller's main module, and with it
    torch, in every worker, and could not run from an interactive session.

    Parameters
    ----------
    memory, setup : file descriptors of the shared memory and of the pickled WorkerSetup.
    directory : an empty folder for the temporary files of the worker's games; it is removed
        when the worker ends.
    """

    def __init__(self, memory: int, setup: int, shares: Sequence[range], directory: Path) -> None:
        self.shares = tuple(shares)
        self._directory = directory
        self._reason: str | None = None
        self._unanswered: deque[bytes] = deque()
        self._connection, theirs = socket.socketpair()
        inherited = (theirs.fileno(), memory, setup)
        blocks = [number for rows in shares for number in (rows.start, len(rows))]
        arguments = [str(number) for number in (*inherited, *blocks)]
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from tedg_fast.nethack.games.worker import main; main()"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=inherited,
                # Grounding works on a few rows at a time; threads would only compete.
                env={
                    **os.environ,
                    "TMPDIR": str(directory),
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
                start_new_session=True,  # out of the reach of the terminal's Ctrl-C
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def rows(self) -> list[int]:
        """The environments of all its shares, in order."""
        return [row for rows in self.shares for row in rows]

    def send(self, command: bytes) -> None:
        """Give a command; that a worker is lost is noticed by the `receive` that must follow."""
        self._unanswered.append(command)
        with contextlib.suppress(OSError):
            self._connection.send(command)

    def receive(self, command: bytes, deadline: float) -> str | None:
        """Wait for the answer to a command until `deadline` (on time.monotonic's clock).

        Commands are answered in the order they were given; a later `receive` of one whose answer
        came on the way returns at once.

        Returns None when the command was carried out, else why the worker is lost; a worker that
        did not answer in time is killed. Raises WorkerError if it raised an exception.
        """
        while not self.settled(command):
            if not ready([self], deadline):
                self.give_up()
            else:
                self.take_answer()
        return self._reason

    def settled(self, command: bytes) -> bool:
        """Whether there is nothing to wait for: it was carried out, or the worker is lost."""
        return self._reason is not None or command not in self._unanswered

    @property
    def owes(self) -> bool:
        """Whether there is an answer to wait for."""
        return self._reason is None and bool(self._unanswered)

    def fileno(self) -> int:
        """Of what becomes readable with an answer."""
        return self._connection.fileno()

    def give_up(self) -> None:
        """Kill a worker that did not answer in time: it is lost."""
        self.kill()
        self._reason = "did not answer in time and was killed"

    def take_answer(self) -> None:
        """Wait for the next answer and take it in, or find that the worker is lost."""
        answer = self._read(1)
        if answer == DONE:
            self._unanswered.popleft()
            return
        if answer == FAILED:
            text = b"".join(iter(lambda: self._read(_MAX_MESSAGE), b"")).decode().strip()
            self.kill()
            raise WorkerError(
                f"a game worker, with its files in {self._directory}, failed: "
                f"{text.splitlines()[-1]}"
            ) from RuntimeError(text)
        self.kill()
        code = self._process.returncode
        self._reason = f"exited with code {code}"
        if code < 0:
            self._reason = f"was killed by {signal.Signals(-code).name}"

    def _read(self, size: int) -> bytes:
        try:
            return self._connection.recv(size)
        except ConnectionResetError:  # it died before it read our last command
            return b""

    def hang_up(self) -> None:
        """Ask the worker to end."""
        self._connection.close()

    def join(self) -> None:
        """Wait a few seconds for a worker that was hung up on to end, then kill it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_EXIT)
        self.kill()

    def kill(self) -> None:
        """End the worker now and remove its files. What already ended it is kept as its cause."""
        # After the socket's end of file the process may still be on its way out.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)
        self._process.kill()
        self._process.wait()
        self._connection.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def ready(workers: Iterable[WorkerProcess], deadline: float) -> list[WorkerProcess]:
    """Wait until some of `workers` have an answer to take, or are lost; none where the time is out.

    `deadline` is on time.monotonic's clock.
    """
    poll = select.poll()
    by_descriptor = {worker.fileno(): worker for worker in workers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    remaining = max(0.0, deadline - time.monotonic())
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll(remaining * 1000)]
