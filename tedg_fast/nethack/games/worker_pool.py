"""The processes that play the games: who plays which, and what takes the place of a lost one."""

import os
import pickle
import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from tedg_fast.machine import allow_files
from tedg_fast.nethack.games.worker import WorkerSetup
from tedg_fast.nethack.games.worker_process import WorkerProcess, ready


class WorkerPool:
    """`num_workers` processes that share out the groups of environments.

    Parameters
    ----------
    memory : file descriptor of the shared memory; it is closed with the pool.
    groups : the environments of each group.
    timeout : seconds after which a worker that does not answer counts as lost.

    Attributes: `workers`, and `losses`, the number of those replaced so far.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        memory: int,
        groups: Sequence[range],
        num_workers: int,
        timeout: float,
    ) -> None:
        played = share_out(groups, num_workers)
        allow_files(max(sum(map(len, shares)) for shares in played))
        self.workers: list[WorkerProcess] = []
        self.losses = 0
        self._timeout = timeout
        self._memory = memory
        self._setup = os.memfd_create("tedg-setup")
        os.write(self._setup, pickle.dumps(setup))
        self._directory = Path(tempfile.mkdtemp(prefix="tedg-games-"))
        self._release = weakref.finalize(
            self, _release, self.workers, [memory, self._setup], self._directory
        )
        for shares in played:
            self.workers.append(self._start(shares))

    def _start(self, shares: Sequence[range]) -> WorkerProcess:
        self._directory.mkdir(parents=True, exist_ok=True)  # /tmp may have been cleaned
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        return WorkerProcess(self._memory, self._setup, shares, directory)

    @property
    def closed(self) -> bool:
        return not self._release.alive

    def close(self) -> None:
        """End the workers and free everything they held. May be called twice."""
        self._release()

    def receive(
        self, command: bytes, workers: Sequence[WorkerProcess], extra_seconds: float = 0.0
    ) -> dict[WorkerProcess, str]:
        """Wait until `workers` have carried out a command they were given.

        Returns those that are lost, each with its cause.
        """
        deadline = time.monotonic() + self._timeout + extra_seconds
        lost = {}
        for worker in workers:
            cause = worker.receive(command, deadline)
            if cause is not None:
                lost[worker] = cause
        return lost

    def first_done(self, waiting: dict[bytes, Sequence[WorkerProcess]]) -> bytes:
        """Wait until one of several commands was carried out by all workers that were given it, or
        until one of those is lost. Returns that command; `receive` then takes it in at once."""
        deadline = time.monotonic() + self._timeout
        while True:
            for command, workers in waiting.items():
                if all(worker.settled(command) for worker in workers):
                    return command
            owing = {worker for workers in waiting.values() for worker in workers if worker.owes}
            answering = ready(owing, deadline)
            for worker in answering:
                worker.take_answer()
            for worker in owing if not answering else ():
                worker.give_up()

    def exchange(
        self, command: bytes, workers: Sequence[WorkerProcess], extra_seconds: float = 0.0
    ) -> dict[WorkerProcess, str]:
        """Have `workers` carry out a command; returns as `receive`."""
        for worker in workers:
            worker.send(command)
        return self.receive(command, workers, extra_seconds)

    def replace(self, worker: WorkerProcess) -> None:
        """Start a new worker, without games yet, for a lost one."""
        self.workers[self.workers.index(worker)] = self._start(worker.shares)
        self.losses += 1


def share_out(groups: Sequence[range], num_workers: int) -> list[list[range]]:
    """For each worker its part of every group, which may be empty.

    Where the groups divide evenly, each is played by one worker, and waits for no other. Else all
    have part of every group: contiguous, and nearly equal in number. What does not divide evenly is
    dealt to the workers in turn across the groups, so none is left without a game if there are as
    many games as workers.
    """
    if len(groups) % num_workers == 0:
        return [
            [rows if place % num_workers == own else rows[:0] for place, rows in enumerate(groups)]
            for own in range(num_workers)
        ]
    shares: list[list[range]] = [[] for _ in range(num_workers)]
    turn = 0
    for group in groups:
        size, extra = divmod(len(group), num_workers)
        start = group.start
        for number, share in enumerate(shares):
            stop = start + size + ((number - turn) % num_workers < extra)
            share.append(range(start, stop))
            start = stop
        turn += extra
    return shares


def _release(workers: list[WorkerProcess], descriptors: list[int], directory: Path) -> None:
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.join()
    for descriptor in descriptors:
        os.close(descriptor)
    shutil.rmtree(directory, ignore_errors=True)
