"""Full disks, folders that may not be written to, and two trainers in one folder."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import full_disk
import pytest
from command import SHORT, refused, tedg_train
from exact import differences
from faulty_disk import file_size_limit
from run_results import (
    assert_logs_are_complete,
    assert_same_end,
    end_state,
    log_of,
    tensorboard_series,
)
from train_states import small_state

from tedg_fast.runs import checkpoint
from tedg_fast.runs.folder import RunFolder, RunFolderError
from tedg_fast.train.event_file import EventFile

NEVER = 10**6


def run_on_full_disk(results, name, first, last):
    """A run to 16 episodes, saving at every update."""
    command = [
        sys.executable, full_disk.__file__, first, last, "--results", results, "--exp-name", name,
        "--episodes", 16, "--checkpoint-minutes", 0, *SHORT,
    ]  # fmt: skip
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same run with room enough → its folder."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "whole", "--episodes", 16, *SHORT)
    return results / "whole"


def test_disk_full_to_the_end(whole, tmp_path, monkeypatch):
    ended = run_on_full_disk(tmp_path, "full", 4, NEVER)
    folder = tmp_path / "full"
    assert ended.returncode == 1
    line = ended.stderr.strip()
    assert "\n" not in line
    assert "model_final.pth could not be saved (File too large); the end of this run is" in line
    assert line.endswith(f"tedg-train --resume {folder}")
    for name in ("model_latest.pth", "training_log.json", "training.log", "tensorboard/train"):
        saying = "saved" if name.endswith(".pth") else "written"
        assert f"{name} could not be {saying} (File too large)" in ended.stdout
    assert ended.stdout.count("training_log.json could not") == 1, "said when it sets in"

    assert log_of(folder)["updates"]["completed"][-1] < 16, "the last that could be written, whole"
    path, state, remarks = checkpoint.newest(folder)
    assert path.name != "model_final.pth"
    assert state["completed"] < 16
    assert not remarks
    assert not list(folder.rglob(".writing-*"))

    tedg_train(monkeypatch, "--resume", folder)
    assert_same_end(folder, whole)
    assert_logs_are_complete(folder)


def test_disk_full_for_a_while(whole, tmp_path):
    ended = run_on_full_disk(tmp_path, "full", 2, 4)
    assert ended.returncode == 0
    assert ended.stderr == ""
    folder = tmp_path / "full"
    events = log_of(folder)["events"]
    assert {event["kind"] for event in events} >= {"checkpoint", "log"}
    assert_logs_are_complete(folder)
    learnt, expected = end_state(folder)["policy"], end_state(whole)["policy"]
    assert not differences(learnt, expected), "the trouble changed nothing that is learnt"


def test_event_file_stays_whole_and_catches_up(tmp_path):
    events = EventFile(tmp_path, purge_step=1)
    events.scalar("score", 1.0, 1)
    events.flush()
    size = events.path.stat().st_size
    events.scalar("score", 2.0, 2)
    for limit in (size, size + 7):
        with file_size_limit(limit), pytest.raises(OSError, match="File too large"):
            events.flush()
        assert events.path.stat().st_size == size
    events.flush()
    assert tensorboard_series(tmp_path) == {"score": [(1, 1.0), (2, 2.0)]}


@contextlib.contextmanager
def unprivileged():
    """Root may write anywhere, so while in force root is nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only():
    """A folder that may be read, not written to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        yield Path(name)
        Path(name).chmod(0o755)


def test_results_in_a_read_only_folder(read_only, monkeypatch, capsys):
    with unprivileged():
        line = refused(monkeypatch, capsys, "--results", read_only / "results", *SHORT)
    assert line.startswith(f"tedg-train: {read_only}/results/quick_manager cannot be used: ")
    assert "Permission denied; choose another --results" in line


def test_a_run_folder_that_became_read_only(read_only):
    folder = RunFolder(str(read_only), "run")
    read_only.chmod(0o755)
    with folder.claimed():
        pass
    folder.checkpoints.chmod(0o555)
    read_only.chmod(0o555)
    words = "it may not be written to; choose another --results"
    with unprivileged(), pytest.raises(RunFolderError, match=words), folder.claimed():
        pass
    folder.checkpoints.chmod(0o755)


def test_a_file_where_the_run_folder_should_be(tmp_path, monkeypatch, capsys):
    (tmp_path / "results").write_text("mine")
    line = refused(monkeypatch, capsys, "--results", tmp_path / "results", *SHORT)
    assert "cannot be used" in line
    assert (tmp_path / "results").read_text() == "mine"


def test_two_trainers_in_one_folder(whole, monkeypatch, capsys):
    with RunFolder(str(whole.parent), whole.name).claimed():
        line = refused(monkeypatch, capsys, "--resume", whole, "--episodes", 20)
    assert "another tedg-train is running in" in line


def test_what_a_dead_run_was_writing_is_cleared_away(tmp_path):
    folder = RunFolder(str(tmp_path), "run")
    with folder.claimed():
        checkpoint.save(folder.latest, small_state())
        (folder.checkpoints / ".writing-abc").write_bytes(b"half a checkpoi")
        (folder.json.parent / ".writing-def").write_bytes(b"{")
    assert checkpoint.newest(folder.path)[2] == [], "not even looked at"
    with folder.claimed():
        assert [path.name for path in folder.path.rglob("*") if path.is_file()] == [
            "model_latest.pth"
        ]


def test_where_a_run_died_before_its_first_checkpoint_one_may_begin(tmp_path):
    folder = RunFolder(str(tmp_path), "run")
    with folder.claimed():
        (folder.checkpoints / ".writing-abc").write_bytes(b"half a checkpoi")
    folder.refuse_existing()
    (folder.path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="already exists"):
        folder.refuse_existing()


def test_keeps_the_newest_numbered_checkpoints(tmp_path):
    folder = RunFolder(str(tmp_path), "run")
    with folder.claimed():
        for n in (1, 2, 3, 4, 9):
            folder.model(n).write_bytes(b"")
        for path in (folder.best, folder.final, folder.latest):
            path.write_bytes(b"")
        folder.prune(2, newest=folder.model(4))
        names = sorted(path.name for path in folder.checkpoints.iterdir())
    # model_00009 is of an abandoned future: it is no reason to delete what is current.
    assert names == [
        "best_model.pth", "model_00003.pth", "model_00004.pth", "model_00009.pth",
        "model_final.pth", "model_latest.pth",
    ]  # fmt: skip
