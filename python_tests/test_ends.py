"""How every command ends when it is told to, and what is saved then."""

import json
import os
import signal
import subprocess
import sys

import pytest
from command import SHORT

from tedg_fast.errors import STOPPING
from tedg_fast.runs import checkpoint

COMMANDS = {
    "train": ["--exp-name", "new", "--episodes", "100000", *SHORT],
    "eval_": ["RUN", "--episodes", "100000", "--num-envs", "4", "--num-workers", "1"],
    "report": ["RUN", "--out", "OUT"],
    "ablate": ["--arms", "full", "--seeds", "1", "--episodes", "100000", "--", *SHORT],
    "watch": ["RUN"],
}


@pytest.fixture
def trained(short_runs):
    """The folder of a run."""
    return short_runs / "two"


def started(name, folder, tmp_path, *, more=(), before="", environment=None):
    """The command's process, in ``tmp_path``."""
    places = {"RUN": str(folder), "OUT": str(tmp_path / "report")}
    arguments = [places.get(word, word) for word in COMMANDS[name]]
    code = f"{before}\nfrom tedg_fast import cli; cli.{name}()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *more, *arguments], cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | (environment or {}),
    )  # fmt: skip


def ended(process):
    """Exit code, stdout and stderr of a process that ends within a minute."""
    out, errors = process.communicate(timeout=120)
    return process.returncode, out.decode(errors="replace"), errors.decode(errors="replace")


# Signals itself at its first import of numpy, which is in the midst of loading.
AT_IMPORT = """
import builtins, os, signal
plain, sent = builtins.__import__, []
def importing(name, *rest):
    if name == "numpy" and not sent:
        sent.append(1)
        os.kill(os.getpid(), {number})
    return plain(name, *rest)
builtins.__import__ = importing
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_stopped_while_it_is_still_loading(trained, tmp_path, name):
    before = AT_IMPORT.format(number=int(signal.SIGINT))
    code, _, errors = ended(started(name, trained, tmp_path, before=before))
    assert code == 130, errors
    assert "Traceback" not in errors and errors.count("stopped") == 1


# Signals itself when groups of games have been waited for so many times.
AT_STEP = """
import os, signal
from tedg_fast.nethack.games.worker_pool import WorkerPool
receive, steps = WorkerPool.receive, []
def receiving(*arguments):
    steps.append(1)
    for step, number in {signals}:
        if len(steps) == step:
            os.kill(os.getpid(), number)
    return receive(*arguments)
WorkerPool.receive = receiving
"""


@pytest.mark.parametrize("number", STOPPING)
def test_an_evaluation_keeps_what_it_has_played(trained, tmp_path, number):
    """Those before the first that goes on: what else has ended are the short ones among many."""
    out = tmp_path / "out.json"
    before = AT_STEP.format(signals=[(250, int(number))])
    process = started("eval_", trained, tmp_path, more=["--out", str(out)], before=before)
    code, text, errors = ended(process)
    assert code == 128 + number, errors
    assert "Traceback" not in errors
    assert "stopped; the games above are those played to their end before" in errors
    assert "of 100000 games, the first by number" in text
    record = json.loads(out.read_text())
    assert record["complete"] is False
    (entry,) = record["agents"].values()
    numbers = entry["episodes"]["number"]
    assert numbers == list(range(len(numbers))) and numbers


# When groups of games have been waited for so many times, something takes the folders that the
# games have their files in, and puts files in their places.
TAKEN_AWAY = """
import glob, os, shutil
from tedg_fast.nethack.games.worker_pool import WorkerPool
receive, steps = WorkerPool.receive, []
def receiving(*arguments):
    steps.append(1)
    if len(steps) == {step}:
        for folder in glob.glob(os.environ["TMPDIR"] + "/tedg-games-*/*"):
            os.rename(folder, folder + ".gone")  # at once: games are writing there
            open(folder, "w").close()
            shutil.rmtree(folder + ".gone", ignore_errors=True)
    return receive(*arguments)
WorkerPool.receive = receiving
"""


@pytest.mark.parametrize("name", ["train", "eval_"])
def test_games_that_cannot_go_on_end_a_command_in_one_line_and_nothing_is_lost(
    trained, tmp_path, name
):
    folder, out = tmp_path / "temporary", tmp_path / "out.json"
    folder.mkdir()
    code, text, errors = ended(started(
        name, trained, tmp_path, before=TAKEN_AWAY.format(step=250 if name == "eval_" else 40),
        more=["--out", str(out)] if name == "eval_" else [], environment={"TMPDIR": str(folder)},
    ))  # fmt: skip
    assert code == 1, errors
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert f"a game worker, with its files in {folder}" in last and "failed: " in last
    assert "File exists" in last
    if name == "eval_":
        assert last.endswith("; the games above are those played to their end before")
        (entry,) = json.loads(out.read_text())["agents"].values()
        assert entry["episodes"]["number"] == list(range(len(entry["episodes"]["number"])))
        assert len(entry["episodes"]["number"]) > 3
    else:
        run = tmp_path / "results" / "new"
        assert last.endswith(
            "; what was done until then is saved, go on with: tedg-train --resume results/new"
        )
        log = json.loads((run / "logs" / "training_log.json").read_text())
        saved = checkpoint.load(run / "checkpoints" / "model_latest.pth")
        assert saved["completed"] == len(log["episodes"]["number"]) > 3
        assert saved["env_steps"] == log["updates"]["env_steps"][-1]
    assert not list(folder.glob("tedg-games-*")), "nothing is left behind"


@pytest.mark.parametrize("name", ["train", "eval_"])
def test_nohup_is_not_stopped_by_a_closed_terminal(trained, tmp_path, name):
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    before += AT_STEP.format(signals=[(20, int(signal.SIGHUP)), (40, int(signal.SIGTERM))])
    assert ended(started(name, trained, tmp_path, before=before))[0] == 128 + signal.SIGTERM


def test_training_that_nobody_reads_is_saved(trained, tmp_path):
    before = "from tedg_fast.train import display; display.PLAIN_EVERY = 0.0"
    process = started("train", trained, tmp_path, before=before)
    process.stdout.readline()
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    assert process.wait(timeout=120) == 128 + signal.SIGPIPE
    assert "Traceback" not in errors and "Exception ignored" not in errors, errors
    assert "go on with: tedg-train --resume results/new" in errors
    assert (tmp_path / "results" / "new" / "checkpoints" / "model_latest.pth").exists()
