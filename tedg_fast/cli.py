"""Command line entry points.

Each imports what it needs when it is called: until torch is loaded seconds pass, and a Ctrl-C then
must find us ready.
"""

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator

from tedg_fast.errors import STOPPING, BadInput, Stopped

LACKS = {
    errno.ENOSPC: "make room, or send it elsewhere",
    errno.EDQUOT: "make room, or send it elsewhere",
    errno.EROFS: "name a folder that can be written to",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: "close other programs",
}
"""What a machine may lack, by the error's number → what to do about it."""


def train() -> None:
    """``tedg-train``: exit code 0 at the end of a run, 1 if its end could not be saved or another
    rank was lost; else as all commands."""
    _run("tedg-train", "tedg_fast.train.command")


def eval_() -> None:
    """``tedg-eval``."""
    _run("tedg-eval", "tedg_fast.evaluate.evaluation")


def ablate() -> None:
    """``tedg-ablate``: exit code 1 if a run failed."""
    _run("tedg-ablate", "tedg_fast.evaluate.ablation")


def report() -> None:
    """``tedg-report``."""
    _run("tedg-report", "tedg_fast.report.command")


def watch() -> None:
    """``tedg-watch``."""
    _run("tedg-watch", "tedg_fast.watch.command")


def rules() -> None:
    """``tedg-rules``."""
    _run("tedg-rules", "tedg_fast.rules.command")


def _run(program: str, module: str) -> None:
    """Call ``main`` of the command's module with the command line's arguments.

    Exit code 2 for bad input, 1 where the machine lacks what is needed, 128 + n for a stop by
    signal n, each with one line on stderr.
    """
    _open_streams()
    # OpenMP reads this when torch is loaded. Threads that spin while they wait for work slow down
    # everyone on the machine, themselves included.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _stops.clear()
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    try:
        with _said_to_a_terminal("loading …"):
            command = importlib.import_module(module)
        if _stops:  # some packages catch whatever is raised while they are imported
            raise Stopped(_stops.pop())
        command.main(sys.argv[1:])
        sys.stdout.flush()
    except BadInput as error:
        _end(program, str(error), 2)
    except BrokenPipeError:
        stop = Stopped(signal.SIGPIPE)
        _end(program, stop.words, stop.exit_code)
    except KeyboardInterrupt as error:
        stop = error if isinstance(error, Stopped) else Stopped()
        _end(program, stop.words, stop.exit_code)
    except OSError as error:
        if error.errno not in LACKS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _end(program, f"{place}{error.strerror}; {LACKS[error.errno]}", 1)
    finally:
        _flush()


def _open_streams() -> None:
    """Where a standard stream was closed, nothing is read from it and nobody hears what is said.

    Left closed, its number would go to the next file that is opened.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):  # of a terminal without UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def _said_to_a_terminal(words: str) -> Iterator[None]:
    """Words that stand there for as long as the block takes."""
    if not sys.stderr.isatty():
        yield
        return
    print(words, end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print(" " * len(words), end="\r", file=sys.stderr, flush=True)


_stops: list[int] = []


def _stop(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    _stops.append(number)
    raise Stopped(number)


def _end(program: str, words: str, code: int) -> None:
    with contextlib.suppress(OSError):  # of a terminal that was closed
        print(f"{program}: {words}", file=sys.stderr)
    sys.exit(code)


def _flush() -> None:
    """Bring out what was printed; where nobody reads it, keep Python from trying at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
