"""Failure, and death, at every step of writing a checkpoint: a whole file is always there."""

import errno
import os
import signal

import pytest
from faulty_disk import STEPS, FaultyDisk, die, file_size_limit, no_space
from train_states import small_state

from tedg_fast import files
from tedg_fast.runs import checkpoint

every_step = pytest.mark.parametrize("step", STEPS)
old_and_new = pytest.mark.parametrize("name", ["model_latest.pth", "model_00300.pth"])


@pytest.fixture
def run(tmp_path):
    """A run folder with a checkpoint at step 100 and one at step 200."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    checkpoint.save(folder / "model_00100.pth", small_state(100))
    checkpoint.save(folder / "model_latest.pth", small_state(200))
    return tmp_path


def newest_steps(run):
    _, state, remarks = checkpoint.newest(run)
    assert not remarks
    return state["env_steps"]


def test_the_steps_are_all_there_are(run, monkeypatch):
    disk = FaultyDisk(monkeypatch, None, no_space)
    for steps in (300, 400):
        checkpoint.save(run / "checkpoints" / "model_00300.pth", small_state(steps))
    assert disk.done == STEPS + STEPS


@every_step
@old_and_new
def test_failure_leaves_a_whole_file_and_no_debris(run, monkeypatch, step, name):
    with monkeypatch.context() as patch:
        FaultyDisk(patch, STEPS.index(step), no_space)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(run / "checkpoints" / name, small_state(300))
    assert newest_steps(run) == (300 if step.endswith("folder") else 200)
    assert not list((run / "checkpoints").glob(f"{files.TEMPORARY}*"))
    checkpoint.save(run / "checkpoints" / name, small_state(400))
    assert newest_steps(run) == 400


@every_step
@old_and_new
def test_death_leaves_a_whole_file_and_its_debris_is_ignored(run, monkeypatch, step, name):
    child = os.fork()
    if child == 0:
        FaultyDisk(monkeypatch, STEPS.index(step), die)
        checkpoint.save(run / "checkpoints" / name, small_state(300))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert newest_steps(run) == (300 if step.endswith("folder") else 200)
    files.remove_leftovers(run / "checkpoints")
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names <= {"model_00100.pth", "model_latest.pth", name}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_the_system_refuses_the_bytes(run, share):
    """No stand-in here: the kernel itself ends the write with an error."""
    path = run / "checkpoints" / "model_latest.pth"
    limit = int(share * path.stat().st_size)
    with file_size_limit(limit), pytest.raises(OSError) as failure:
        checkpoint.save(path, small_state(300))
    assert failure.value.errno == errno.EFBIG
    assert newest_steps(run) == 200
    assert len(list((run / "checkpoints").iterdir())) == 2
