"""Whole runs on real games: the files, resuming, and bad input, through the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources

import pytest
import torch
from command import SHORT, refused, tedg_train
from exact import differences
from run_results import forget_timings
from small_rules import rule, written

from tedg_fast.errors import STOPPING
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.observation import NO_RULE, instances_of
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.runs import checkpoint, limits
from tedg_fast.runs.config import TrainConfig, flat_settings, to_dict


def series(folder):
    return json.loads((folder / "logs" / "training_log.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run to 12 episodes in one go → its folder."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "whole", "--episodes", 12, *SHORT)
    return results / "whole"


def test_files_of_a_run(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    expected = {
        "training.log", "logs/training_log.json", "checkpoints/model_00006.pth",
        "checkpoints/model_00012.pth", "checkpoints/model_final.pth",
    }  # fmt: skip
    assert expected <= names
    assert any("tfevents" in name for name in names)
    assert not any(".writing-" in name for name in names)


@pytest.mark.parametrize("warmup", [0, 100])
def test_rewards_are_discounted_as_their_phase_says(monkeypatch, tmp_path, warmup):
    """Discounted returns spread further, the further ahead they look."""
    of_this, of_the_other = ("warmup", "transition") if warmup else ("transition", "warmup")
    spread = {}
    for gamma in (0.0, 0.999):
        flags = ["--results", tmp_path, "--exp-name", gamma, "--episodes", 1, *SHORT]
        flags += ["--warmup.episodes", warmup]
        flags += [f"--{of_this}.gamma", gamma, f"--{of_the_other}.gamma", 0.5]
        tedg_train(monkeypatch, *flags)
        final = checkpoint.load(tmp_path / str(gamma) / "checkpoints" / "model_final.pth")
        spread[gamma] = final["normaliser"]["spread"]
    assert spread[0.999] > 2 * spread[0.0]


def test_log_holds_every_episode_and_signal(trained):
    log = series(trained)
    episodes, updates = log["episodes"], log["updates"]
    assert len(episodes["number"]) >= 12
    assert len({len(values) for values in episodes.values()}) == 1
    assert len({len(values) for values in updates.values()}) == 1
    assert len(set(episodes["number"])) == len(episodes["number"])
    assert all(length <= 40 for length in episodes["length"])
    for score, last, ending in zip(
        episodes["true_score"], episodes["last_observation_score"], episodes["ending"]
    ):
        assert last == (score if ending == "truncated" else 0)
    for signal_name in (
        "grad_norm", "attention_variance", "alpha_entropy", "alignment_loss", "semantic_loss",
        "temporal_loss", "overlap_loss", "usage_survival", "usage_combat", "usage_exploration",
        "usage_general", "rollbacks", "returns_explained", "effect_loss", "steps_per_second",
        "decisions_per_second", "decision_share", "share_games", "share_network", "share_backward",
    ):  # fmt: skip
        assert all(isinstance(value, int | float) for value in updates[signal_name]), signal_name
    assert max(updates["first_ratio_error"]) < 1e-5  # logits of several tens, in float32
    assert min(updates["alignment_loss"]) > 0
    assert log["config"]["seed"] == 0


def test_mask_and_conditions_act_in_real_games(trained):
    """Fault (g): atoms that name no node, and a mask that never masks."""
    with VectorEnv(load_hypergraph(), num_envs=2, num_workers=1, run_seed=0, max_steps=50) as env:
        env.start()
        assert not env.observation.action_mask.all()
        assert env.observation.active_bits.any(axis=1).all()
        assert (instances_of(env.observation)["rule"][:, 0] != NO_RULE).all()


def test_resumed_run_equals_the_uninterrupted_one(trained, tmp_path, monkeypatch):
    """Parameters, optimizer, generator, games and series, bit for bit."""
    arguments = ["--results", tmp_path, "--exp-name", "whole"]
    tedg_train(monkeypatch, *arguments, "--episodes", 6, *SHORT)
    tedg_train(monkeypatch, "--resume", tmp_path / "whole", "--episodes", 12)
    one = checkpoint.load(trained / "checkpoints" / "model_final.pth")
    two = checkpoint.load(tmp_path / "whole" / "checkpoints" / "model_final.pth")
    for state in (one, two):
        state.pop("config")  # names the results folder
        forget_timings(state)
    assert not differences(two, one)


def test_a_killed_worker_costs_its_own_games_only(tmp_path, monkeypatch):
    rollout = VectorEnv.rollout
    killed = []

    def rollout_after_a_murder(env):
        if not killed and env.next_episode > 6:
            killed.append(env.worker_pids[0])
            os.kill(killed[0], signal.SIGKILL)
        return rollout(env)

    monkeypatch.setattr(VectorEnv, "rollout", rollout_after_a_murder)
    tedg_train(monkeypatch, "--results", tmp_path, "--episodes", 12, "--num-workers", 2, *SHORT)
    log = series(tmp_path / "quick_manager")
    assert killed
    assert len(log["episodes"]["number"]) >= 12
    assert log["updates"]["workers_lost"][-1] == 1
    assert [event["kind"] for event in log["events"]].count("worker lost") == 1
    assert len(set(log["episodes"]["number"])) == len(log["episodes"]["number"])


def test_resume_under_another_name(trained, tmp_path, monkeypatch):
    source = trained / "checkpoints" / "model_00006.pth"
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    tedg_train(
        monkeypatch, "--resume", source, "--exp-name", "branch", "--results", tmp_path,
        "--episodes", 16,
    )  # fmt: skip
    log = series(tmp_path / "branch")
    start = checkpoint.load(source)
    assert log["first_episode"] == start["completed"]
    assert log["parent"] == str(source)
    final = checkpoint.load(tmp_path / "branch" / "checkpoints" / "model_final.pth")
    assert final["completed"] == start["completed"] + len(log["episodes"]["number"]) == 16
    assert log["updates"]["env_steps"][0] > start["env_steps"]
    assert before == {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}


def test_other_number_of_games_on_resume_says_so(trained, tmp_path, monkeypatch):
    tedg_train(
        monkeypatch, "--resume", trained / "checkpoints" / "model_00006.pth", "--exp-name", "b",
        "--results", tmp_path, "--episodes", 11, "--num-envs", 2,
    )  # fmt: skip
    messages = [event["message"] for event in series(tmp_path / "b")["events"]]
    assert any("not bit for bit" in message for message in messages)


@pytest.mark.parametrize("number", STOPPING)
def test_signals_save_and_name_the_way_back(tmp_path, number):
    command = [
        sys.executable, "-c", "from tedg_fast.cli import train; train()",
        "--results", str(tmp_path), "--exp-name", "stopped", "--episodes", "100000", *SHORT,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    log = tmp_path / "stopped" / "training.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "episode 1 " in log.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert f"stopped by {signal.Signals(number).name}, and saved" in output
    folder = tmp_path / "stopped"
    assert output.splitlines()[-1] == f"go on with: tedg-train --resume {folder}"
    assert checkpoint.newest(folder)[1]["completed"] >= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--num-experts", "0"], "--num-experts is 0; it must lie in 1 … 1,024"),
        (["--episodes", "0"], "--episodes is 0"),
        (["--exp-name", "../up"], "--exp-name is '../up'"),
        (["--character", "monk"], "--character is 'monk'; expected role-race-alignment-gender"),
        (["--character", "mon-elf-cha-mal"], "in a combination that it allows"),
        (["--warmup.temperature", "0", "0"], "--warmup.temperature is 0.0; it must lie in 0.001"),
        (["--threads", "100000"], "--threads is 100000"),
        (["--warmup.gamma", "1.5"], "--warmup.gamma is 1.5; it must lie in 0 … 1"),
        (["--ppo.clip", "nan"], "--ppo.clip is nan"),
        (["--fine-tune.learning-rate", "inf"], "--fine-tune.learning-rate is inf"),
        (["--warmup.episodes", "-1"], "--warmup.episodes is -1"),
        (["--num-envs", "4096", "--ppo.rollout-decisions", "2048"], "the most is"),
        (["--exp-name", "x" * 300], "at most 255 bytes"),
        (["--resume", ""], "--resume is empty"),
        (["--resume", "/dev/zero"], "/dev/zero is no file"),
        (["--device", "cpu:3"], "expected cpu, cuda or cuda:N"),
        (["--device", "gpu"], "--device is 'gpu'; expected cpu, cuda or cuda:N"),
        (["--resume", "nowhere.pth"], "no checkpoint at nowhere.pth"),
        (["--hypergraph", "nowhere.json"], "nowhere.json"),
        (["--ppo.minibatch-size", "10"], "--ppo.minibatch-size is 10"),
        (["--policy.gat-heads", "0"], "--policy.gat-heads is 0"),
    ],
)
def test_bad_settings(tmp_path, monkeypatch, capsys, arguments, words):
    assert words in refused(monkeypatch, capsys, "--results", tmp_path, *arguments)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_cuda(tmp_path, monkeypatch, capsys):
    line = refused(monkeypatch, capsys, "--results", tmp_path, "--device", "cuda")
    assert "sees no CUDA device; use --device cpu" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("[", ":1: "),
        ("name = 'x'\n[[rule]]", "it begins with format"),
        ('format = "tedg-rules"', "'version' is missing"),
        ('{"format": "tedg-hypergraph"}', "tedg-rules convert"),
    ],
)
def test_malformed_hypergraphs(tmp_path, monkeypatch, capsys, content, words):
    path = tmp_path / "rules.toml"
    path.write_text(content)
    line = refused(monkeypatch, capsys, "--results", tmp_path / "r", "--hypergraph", path)
    assert str(path) in line
    assert words in line


def test_rule_with_an_undeclared_condition(tmp_path, monkeypatch, capsys):
    path = written(tmp_path, rule("r", "wait", ["no_such_condition"]))
    line = refused(monkeypatch, capsys, "--results", tmp_path / "r", "--hypergraph", path)
    assert "no_such_condition" in line
    assert not (tmp_path / "r").exists()


def test_condition_on_a_fact_that_there_is_not(tmp_path, monkeypatch, capsys):
    path = written(tmp_path, rule("r", "wait", ["told.klled"]))
    line = refused(monkeypatch, capsys, "--results", tmp_path / "r", "--hypergraph", path)
    assert "unknown attribute 'klled' of told" in line and "killed" in line
    assert not (tmp_path / "r").exists()


def test_a_branch_of_a_run_that_has_all_its_episodes(trained, monkeypatch, capsys):
    line = refused(
        monkeypatch, capsys, "--resume", trained, "--episodes", 3, "--exp-name", "branch"
    )
    assert "episodes already and --episodes, the total to reach, is 3: ask for more" in line


def test_every_number_of_the_configuration_has_its_range():
    numbers = {
        name
        for name, value in flat_settings(to_dict(TrainConfig())).items()
        if isinstance(value, int | float | tuple) and not isinstance(value, bool)
        if not name.endswith("alpha_entropy_sign")  # a choice of two
    }
    assert numbers <= set(limits.RANGES)
    assert set(limits.RANGES) <= set(flat_settings(to_dict(TrainConfig())))


def test_existing_run_is_not_overwritten(trained, monkeypatch, capsys):
    line = refused(
        monkeypatch, capsys, "--results", trained.parent, "--exp-name", "whole", "--episodes", 1
    )
    assert "already exists: go on with it by --resume" in line


def test_older_checkpoint_does_not_rewind_its_run(trained, monkeypatch, capsys):
    source = trained / "checkpoints" / "model_00006.pth"
    line = refused(monkeypatch, capsys, "--resume", source, "--episodes", 20)
    assert "newer checkpoint" in line
    assert "choose another --exp-name" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--policy.hidden-size", "64"], "policy.hidden-size is 32 there and 64 here"),
        (["--num-experts", "3"], "num-experts is 4 there and 3 here"),
    ],
)
def test_checkpoint_of_another_configuration(trained, tmp_path, monkeypatch, capsys, change, words):
    line = refused(
        monkeypatch, capsys, "--resume", trained, "--results", tmp_path, "--exp-name", "b", *change
    )
    assert words in line


def test_checkpoint_of_another_hypergraph(trained, tmp_path, monkeypatch, capsys):
    packaged = resources.files("tedg_fast.hypergraph") / "data" / "nethack.toml"
    path = tmp_path / "rules.toml"
    path.write_text(packaged.read_text().replace("priority = 20", "priority = 17", 1))
    line = refused(
        monkeypatch, capsys, "--resume", trained, "--results", tmp_path, "--exp-name", "b",
        "--hypergraph", path,
    )  # fmt: skip
    assert "was trained with the rules" in line


def test_unknown_flag(monkeypatch):
    with pytest.raises(SystemExit) as stop:
        tedg_train(monkeypatch, "--frobnicate")
    assert stop.value.code == 2
