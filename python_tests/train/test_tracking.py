"""--track wandb: with the real library, offline, and the line where it is missing."""

import sys

import pytest
from command import SHORT, refused, tedg_train


def test_missing_wandb_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    line = refused(monkeypatch, capsys, "--results", tmp_path, "--track", "wandb")
    assert line == "tedg-train: --track wandb needs wandb: pip install wandb"
    assert not list(tmp_path.iterdir())


def test_every_series_reaches_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="pip install -e '.[wandb]' is needed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))
    tedg_train(
        monkeypatch, "--results", tmp_path, "--exp-name", "sent", "--episodes", 5,
        "--track", "wandb", *SHORT,
    )  # fmt: skip
    (file,) = (tmp_path / "sent").glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    for series in ("episode/true_score", "episode/depth", "train/loss", "train/usage_combat"):
        assert series.encode() in content
    assert (tmp_path / "sent" / "wandb_id.txt").read_text() in file.name
