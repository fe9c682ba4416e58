"""Commands in processes of their own, a few at a time; a stop lets each of them end properly."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.2


@dataclass
class Job:
    """``commands`` to run one after the other, as long as they succeed; all they print is appended
    to the file ``output``."""

    name: str
    commands: Sequence[Sequence[str]]
    output: Path
    done: int = 0
    began: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the job has begun."""
        return time.monotonic() - self.began

    def last_words(self) -> str:
        """The last line that was printed."""
        lines = self.output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def run_jobs(
    jobs: Iterable[Job],
    parallel: int,
    on_begin: Callable[[Job], None],
    on_end: Callable[[Job, int], None],
) -> None:
    """Run all ``jobs``, at most ``parallel`` at a time, in their order.

    ``on_end`` gets a job and its exit code: 0, or that of the command that failed, which ends the
    job but not the others. An exception, KeyboardInterrupt among them, lets every process end in
    its own way (SIGTERM) before it goes on.
    """
    waiting = iter(jobs)
    running: dict[int, tuple[Job, subprocess.Popen]] = {}
    with _terminated_on_error(running):
        while True:
            for job in waiting if len(running) < parallel else ():
                job.began = time.monotonic()
                on_begin(job)
                running[id(job)] = job, _launch(job)
                if len(running) == parallel:
                    break
            if not running:
                return
            time.sleep(_POLL_SECONDS)
            for key, (job, process) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                job.done += 1
                if code == 0 and job.done < len(job.commands):
                    running[key] = job, _launch(job)
                else:
                    del running[key]
                    on_end(job, code)


def _launch(job: Job) -> subprocess.Popen:
    """Begin the job's next command, out of the reach of the terminal's Ctrl-C: we pass it on."""
    with open(job.output, "ab") as output:
        return subprocess.Popen(
            job.commands[job.done],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextlib.contextmanager
def _terminated_on_error(running: dict[int, tuple[Job, subprocess.Popen]]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()
        raise
