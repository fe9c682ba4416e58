"""Command line entry points.

Each imports what it needs when it is called: until torch is loaded seconds pass, and a Ctrl-C then
must find us ready.
"""

import contextlib
import importlib
import os
import signal
import sys

from tedg_fast.errors import STOPPING, BadInput, Stopped


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


def _run(program: str, module: str) -> None:
    """Call ``main`` of the command's module with the command line's arguments.

    Exit code 2 for bad input, 128 + n for a stop by signal n, each with one line on stderr.
    """
    # OpenMP reads this when torch is loaded. Threads that spin while they wait for work slow down
    # everyone on the machine, themselves included.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _stops.clear()
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    for stream in (sys.stdout, sys.stderr):  # of a terminal without UTF-8
        stream.reconfigure(errors="replace")
    try:
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
    finally:
        _flush()


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
