"""Checkpoint files are whole or refused, and load nothing but data."""

import os
import pickle

import pytest
import torch
from exact import differences
from train_states import small_state

from tedg_fast.runs import checkpoint
from tedg_fast.runs.checkpoint import CheckpointError


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoints" / "model_00001.pth"
    path.parent.mkdir()
    checkpoint.save(path, small_state())
    return path


def test_round_trip(saved):
    state = checkpoint.load(saved)
    assert state.pop("version") == checkpoint.VERSION
    assert not differences(state, small_state())


def test_any_torch_user_can_open_it(saved):
    assert torch.load(saved, weights_only=True)["env_steps"] == 7


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at .*nowhere.pth"):
        checkpoint.load(tmp_path / "nowhere.pth")


def test_every_truncation_and_bit_flip_is_noticed(saved):
    content = saved.read_bytes()
    for cut in range(0, len(content), 97):
        saved.write_bytes(content[:cut])
        with pytest.raises(CheckpointError):
            checkpoint.load(saved)
    for place in range(0, len(content), 97):
        saved.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        )
        with pytest.raises(CheckpointError):
            checkpoint.load(saved)


def test_foreign_files_are_refused_and_run_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="no checkpoint of tedg_fast"):
        checkpoint.load(path)
    torch.save({"version": Evil()}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of tedg_fast"):
        checkpoint.load(path)
    assert not (tmp_path / "executed").exists()


def test_another_format_version_is_refused(saved, monkeypatch):
    written = checkpoint.VERSION
    monkeypatch.setattr(checkpoint, "VERSION", 99)
    with pytest.raises(CheckpointError, match=f"format version {written}, this tedg_fast reads 99"):
        checkpoint.load(saved)


def test_newest_falls_back_to_a_whole_file(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for episode in (100, 200, 300):
        checkpoint.save(folder / f"model_{episode:05d}.pth", small_state(episode * 10))
    (folder / "model_00300.pth").write_bytes(b"cut short")
    path, state, remarks = checkpoint.newest(tmp_path)
    assert path.name == "model_00200.pth"
    assert state["env_steps"] == 2000
    assert len(remarks) == 1
    assert "model_00300.pth" in remarks[0]


@pytest.mark.parametrize("other", ["model_final.pth", "model_latest.pth", "best_model.pth"])
def test_newest_weighs_those_without_a_number_by_their_age(tmp_path, other):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    checkpoint.save(folder / "model_00200.pth", small_state(2000))
    checkpoint.save(folder / other, small_state(1500))
    assert checkpoint.newest(tmp_path)[0].name == "model_00200.pth"
    checkpoint.save(folder / other, small_state(2500))
    assert checkpoint.newest(tmp_path)[0].name == other
    (folder / other).write_bytes(b"cut short")
    path, _, remarks = checkpoint.newest(tmp_path)
    assert path.name == "model_00200.pth"
    assert len(remarks) == 1


def test_newest_of_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="no whole checkpoint in"):
        checkpoint.newest(tmp_path)
