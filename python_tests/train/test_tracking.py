"""--track wandb: with the real library, offline, and the line where it is missing."""

import os
import sys

import pytest
from command import SHORT, refused, tedg_train

FLAGS = ["--exp-name", "sent", "--episodes", 5, "--track", "wandb", *SHORT]


def test_missing_wandb_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    line = refused(monkeypatch, capsys, "--results", tmp_path, "--track", "wandb")
    assert line == "tedg-train: --track wandb needs wandb: pip install wandb"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """The library, without an account and with none of this machine's settings."""
    for variable in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    library = pytest.importorskip("wandb", reason="pip install -e '.[wandb]' is needed")
    yield library
    library.teardown()  # it reads its variables once


def sent(wandb, monkeypatch, tmp_path):
    """Train a short run that is tracked → what wandb has kept of it, and its file."""
    tedg_train(monkeypatch, *FLAGS, "--results", tmp_path)
    wandb.teardown()  # as at the end of a process: its service writes the last of the file now
    (file,) = tmp_path.rglob("run-*.wandb")
    return file.read_bytes(), file


def test_every_series_reaches_wandb(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    content, file = sent(wandb, monkeypatch, tmp_path)
    assert file.is_relative_to(tmp_path / "sent" / "wandb")
    for series in ("episode/true_score", "episode/depth", "train/loss", "train/usage_combat"):
        assert series.encode() in content
    assert (tmp_path / "sent" / "wandb_id.txt").read_text() in file.name


def test_wandbs_own_variables_decide(wandb, tmp_path, monkeypatch):
    settings = {"PROJECT": "elsewhere", "NAME": "renamed", "RUN_ID": "chosen", "RUN_GROUP": "few"}
    settings |= {"DIR": str(tmp_path / "kept"), "MODE": "offline"}
    (tmp_path / "kept").mkdir()
    for name, value in settings.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    content, file = sent(wandb, monkeypatch, tmp_path)
    for value in ("elsewhere", "renamed", "chosen", "few"):
        assert value.encode() in content
    assert file.is_relative_to(tmp_path / "kept")
    assert (tmp_path / "sent" / "wandb_id.txt").read_text() == "chosen"


@pytest.mark.parametrize("key", [None, "short"])
def test_a_login_that_fails_leaves_the_name_free(wandb, tmp_path, monkeypatch, capsys, key):
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    line = refused(monkeypatch, capsys, *FLAGS, "--results", tmp_path)
    assert "API key" in line and line.endswith("wandb login, or set WANDB_MODE=offline")
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tedg_train(monkeypatch, *FLAGS, "--results", tmp_path)
    assert (tmp_path / "sent" / "checkpoints" / "model_final.pth").exists()
