"""Every command where the terminal, the files or the folders are poor: no traceback anywhere.

What a command prints to is one of its surroundings, so each is met by all commands at once.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from command import SHORT, run

from tedg_fast import cli

pytestmark = pytest.mark.slow
GAMES = ["--num-envs", "2", "--num-workers", "1"]
COMMANDS = {
    "train": ["--exp-name", "new", "--episodes", "1", "--num-workers", "1", *SHORT],
    "eval_": ["TWO", "random", "--episodes", "1", "--max-steps", "20", *GAMES],
    "ablate": ["--arms", "full", "--seeds", "1", "--episodes", "1", "--eval-episodes", "1",
               "--results", "GRID", "--", "--num-workers", "1", *SHORT],
    "report": ["BEGUN", "--out", "report"],
    "watch": ["ONE", "--steps", "2"],
    "rules": ["vocabulary", "--markdown"],
}  # fmt: skip
BARE = {
    "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "dumb", "COLUMNS": "20",
    "HOME": "/dev/null/none", "TMPDIR": "/dev/null/none",
}  # fmt: skip
LATIN_1 = {"PYTHONIOENCODING": "latin-1", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "1"}


@pytest.fixture(scope="module")
def places(short_runs, tmp_path_factory):
    """Words in ``COMMANDS`` → folders: runs; one before its first update, which is drawn quickly;
    and a finished grid, of which tedg-ablate shows the tables."""
    folder = tmp_path_factory.mktemp("places")
    shutil.copytree(short_runs / "one", folder / "begun")
    log = folder / "begun" / "logs" / "training_log.json"
    log.write_text(json.dumps(json.loads(log.read_text()) | {"updates": {}}))
    found = {"ONE": short_runs / "one", "TWO": short_runs / "two", "BEGUN": folder / "begun"}
    found = {word: str(place) for word, place in found.items()} | {"GRID": str(folder / "grid")}
    with pytest.MonkeyPatch.context() as patch:
        run(patch, cli.ablate, *arguments_of("ablate", found))
    return found


def arguments_of(name, places):
    return [places.get(word, word) for word in COMMANDS[name]]


def command(name, places):
    code = f"from tedg_fast import cli; cli.{name}()"
    return [sys.executable, "-c", code, *arguments_of(name, places)]


@pytest.fixture
def ends(places, tmp_path):
    """Run commands side by side, each after the shell has done something → for each its name, exit
    code, stdout and stderr."""

    def ends(shell="", environment=None, stdout=subprocess.PIPE, encoding="utf-8", only=COMMANDS,
             more=()):  # fmt: skip
        started = {}
        for name in only:
            (tmp_path / name).mkdir()
            started[name] = subprocess.Popen(
                ["bash", "-c", f'{shell}\nexec "$@"', "bash", *command(name, places), *more],
                cwd=tmp_path / name, stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=subprocess.PIPE, env=os.environ | (environment or {}),
            )  # fmt: skip
        for name, process in started.items():
            parts = process.communicate(timeout=240)
            said, errors = ((part or b"").decode(encoding) for part in parts)
            for sign in ("Traceback", "Exception ignored", "\x1b"):
                assert sign not in said + errors, f"{name}: {said}{errors}"
            yield name, process.returncode, said, errors

    return ends


def test_ascii_few_files_and_neither_home_nor_temporary_folder(ends):
    for name, code, said, errors in ends("ulimit -n 64", BARE, encoding="ascii"):
        assert code == 0, f"{name}: {errors}"
        assert said, name


def test_latin_1_without_colour_or_width(ends):
    for name, code, said, errors in ends("", LATIN_1, encoding="latin-1"):
        assert code == 0, f"{name}: {errors}"
        assert said, name


def test_closed_streams(ends):
    for name, code, *_ in ends("exec <&- >&- 2>&-"):
        assert code == 0, name


def test_output_to_a_full_disk(ends):
    for name, code, _, errors in ends("exec > /dev/full"):
        assert code == 1, name
        words = "No space left on device; make room, or send it elsewhere"
        assert errors.strip().endswith(words), f"{name}: {errors}"


def test_nobody_reads_the_output(ends):
    """As after ``| head``, the exit code is that of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    for name, code, _, errors in ends(stdout=writer):
        assert code == 141, f"{name}: {errors}"
        assert errors.strip().endswith("stopped, as its output is not read any more"), name
    os.close(writer)


def test_help_that_nobody_reads_to_its_end(ends):
    """There is nothing to speak of; not all of it fits into what a pipe's writer holds back."""
    reader, writer = os.pipe()
    os.close(reader)
    for name, code, _, errors in ends(stdout=writer, only=("train", "ablate"), more=["--help"]):
        assert code in (0, 141), f"{name}: {errors}"
        assert not errors, name
    os.close(writer)


def test_more_games_than_files_are_refused(ends, tmp_path):
    more = ["--num-envs", "128", "--episodes", "128"]
    for name, code, _, errors in ends("ulimit -n 64", only=("train", "eval_"), more=more):
        assert code == 2, name
        words = (
            "128 games in one process need 160 open files and only 64 are allowed: raise "
            "ulimit -n, play fewer games (--num-envs) or take more processes (--num-workers)"
        )
        assert errors.strip().splitlines()[-1].endswith(words), name
        assert not list((tmp_path / name).iterdir())


def test_a_run_survives_the_cleaning_of_temporary_folders(places, tmp_path):
    """Games are lost with what was taken from them, the run is not."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        [*command("train", places), "--episodes", "8"], cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    cleaned = 0
    while process.poll() is None:
        for files in folder.glob("tedg-games-*/*/nle*"):
            shutil.rmtree(files.parent, ignore_errors=True)
            cleaned += 1
        time.sleep(0.2)
    errors = process.stderr.read().decode()
    assert process.returncode == 0, errors
    assert cleaned
    assert "Traceback" not in errors
