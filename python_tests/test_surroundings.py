"""Every command where the terminal, the files or the folders are poor: no traceback anywhere."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from command import SHORT

pytestmark = pytest.mark.slow
GAMES = ["--num-envs", "2", "--num-workers", "1"]
COMMANDS = {
    "train": ["--exp-name", "new", "--episodes", "1", "--num-workers", "1", *SHORT],
    "eval_": ["TWO", "random", "--episodes", "1", "--max-steps", "20", *GAMES],
    "report": ["TWO", "ONE", "TWO", "--out", "report"],
    "watch": ["ONE", "--steps", "2"],
    "rules": ["vocabulary", "--markdown"],
}
BARE = {
    "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "dumb", "COLUMNS": "20",
    "HOME": "/dev/null/none", "TMPDIR": "/dev/null/none",
}  # fmt: skip
LATIN_1 = {"PYTHONIOENCODING": "latin-1", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "1"}


def command(name, short_runs):
    places = {"ONE": str(short_runs / "one"), "TWO": str(short_runs / "two")}
    arguments = [places.get(word, word) for word in COMMANDS[name]]
    return [sys.executable, "-c", f"from tedg_fast import cli; cli.{name}()", *arguments]


@pytest.fixture
def run(short_runs, tmp_path):
    """Run a command after the shell has done something → exit code, stdout and stderr."""

    def run(name, shell="", environment=None, stdout=subprocess.PIPE, encoding="utf-8", more=()):
        done = subprocess.run(
            ["bash", "-c", f'{shell}\nexec "$@"', "bash", *command(name, short_runs), *more],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
            env=os.environ | (environment or {}), timeout=120,
        )  # fmt: skip
        said, errors = (done.stdout or b"").decode(encoding), done.stderr.decode(encoding)
        for sign in ("Traceback", "Exception ignored", "\x1b"):
            assert sign not in said + errors, said + errors
        return done.returncode, said, errors

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_ascii_few_files_and_neither_home_nor_temporary_folder(run, name):
    code, said, errors = run(name, "ulimit -n 64", BARE, encoding="ascii")
    assert code == 0, errors
    assert said


@pytest.mark.parametrize("name", COMMANDS)
def test_latin_1_without_colour_or_width(run, name):
    code, said, errors = run(name, "", LATIN_1, encoding="latin-1")
    assert code == 0, errors
    assert said


@pytest.mark.parametrize("name", COMMANDS)
def test_closed_streams(run, name):
    assert run(name, "exec <&- >&- 2>&-")[0] == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_output_to_a_full_disk(run, name):
    code, _, errors = run(name, "exec > /dev/full")
    assert code == 1
    assert errors.strip().endswith("No space left on device; make room, or send it elsewhere")


@pytest.mark.parametrize("name", COMMANDS)
def test_nobody_reads_the_output(run, name):
    """As after ``| head``, the exit code is that of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    code, _, errors = run(name, stdout=writer)
    os.close(writer)
    assert code == 141, errors
    assert errors.strip().endswith("stopped, as its output is not read any more")


@pytest.mark.parametrize("name", ["train", "eval_"])
def test_more_games_than_files_are_refused(run, name, tmp_path):
    code, _, errors = run(name, "ulimit -n 64", more=["--num-envs", "128", "--episodes", "128"])
    assert code == 2
    assert errors.strip().splitlines()[-1].endswith(
        "128 games in one process need 160 open files and only 64 are allowed: raise ulimit -n, "
        "play fewer games (--num-envs) or take more processes (--num-workers)"
    )
    assert not list(tmp_path.iterdir())


def test_a_run_survives_the_cleaning_of_temporary_folders(short_runs, tmp_path):
    """Games are lost with what was taken from them, the run is not."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        [*command("train", short_runs), "--episodes", "8"], cwd=tmp_path,
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
