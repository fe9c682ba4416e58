"""``tedg-train`` goes on from V3's checkpoint, and from its own afterwards."""

import json

import torch
from command import refused, tedg_train
from v3_files import real_files

from tedg_fast.legacy import V3Checkpoint
from tedg_fast.runs import checkpoint

SHORT = [
    "--max-steps", "60", "--num-envs", "8", "--threads", "1",
    "--ppo.rollout-decisions", "32", "--ppo.minibatch-size", "128", "--ppo.epochs", "2",
]  # fmt: skip


def test_resumed_to_120_and_resumed_again(tmp_path, monkeypatch, capsys):
    files = real_files()
    source = files / "model_00100.pth"
    tedg_train(
        monkeypatch, "--resume", source, "--hypergraph", files, "--episodes", 120,
        "--results", tmp_path, "--exp-name", "from_v3", *SHORT,
    )  # fmt: skip
    assert (
        "V3's rules name no actions: its network decides at every step" in capsys.readouterr().out
    )
    v3 = V3Checkpoint.load(source)
    folder = tmp_path / "from_v3"
    log = json.loads((folder / "logs" / "training_log.json").read_text())
    assert log["first_episode"] == 100
    assert log["config"]["decide"] == "always"
    assert log["updates"]["decisions"] == log["updates"]["env_steps"]
    assert log["parent"] == str(source)
    assert sorted(log["episodes"]["number"])[0] >= 100
    state = checkpoint.load(folder / "checkpoints" / "model_final.pth")
    assert state["completed"] == 100 + len(log["episodes"]["number"]) >= 120
    weights = state["policy"]
    # V3's attention scores reach nothing but the operators, and these only the (fixed) advice.
    graph = [f"gat.gat{i}.lin.weight" for i in (1, 2)]
    assert all(not torch.equal(weights[name], v3.weights[name]) for name in graph), "GAT learns"
    adam = state["optimizer"]["state"]
    assert max(entry["step"].item() for entry in adam.values()) > 100, "V3's Adam went on"

    tedg_train(monkeypatch, "--resume", folder, "--episodes", 130)
    again = checkpoint.load(folder / "checkpoints" / "model_final.pth")
    assert again["completed"] >= 130


def test_v3_is_asked_at_every_step(tmp_path, monkeypatch, capsys):
    flags = ["--hypergraph", real_files(), "--results", tmp_path, "--decide", "contested"]
    line = refused(monkeypatch, capsys, *flags)
    assert "--decide is contested: V3's rules name no actions" in line
    line = refused(monkeypatch, capsys, *flags[:-2], "--prayer")
    assert "--prayer adds an action that V3's network does not know" in line
    assert not list(tmp_path.iterdir())


def test_v3_checkpoint_without_its_hypergraph(tmp_path, monkeypatch, capsys):
    source = real_files() / "model_00100.pth"
    line = refused(monkeypatch, capsys, "--resume", source, "--results", tmp_path)
    assert "is a checkpoint of V3: give the folder" in line
    assert not list(tmp_path.iterdir())


def test_v3_keeps_its_number_of_experts(tmp_path, monkeypatch, capsys):
    files = real_files()
    source = files / "model_00100.pth"
    line = refused(
        monkeypatch, capsys, "--resume", source, "--hypergraph", files, "--results", tmp_path,
        "--num-experts", 3,
    )  # fmt: skip
    assert line.endswith("has 4 experts and --num-experts is 3: leave it out")
    assert not list(tmp_path.iterdir())
