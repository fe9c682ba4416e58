"""Going on from a checkpoint with the same settings, with others, and from another place."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from command import SHORT, refused, tedg_train
from exact import differences
from run_results import assert_logs_are_complete, assert_same_end, end_state, log_of

from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import from_dict
from tedg_fast.runs.source import find_checkpoint
from tedg_fast.train.resume import notes_on


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run to 12 episodes in one go → its folder."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "run", "--episodes", 12, *SHORT)
    return results / "run"


@pytest.fixture
def half(whole, tmp_path):
    """The same run, stopped after 6 episodes → its folder."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for name in ("model_00012.pth", "model_final.pth"):
        (folder / "checkpoints" / name).unlink()
    # Twelve episodes need not end in a best score: it takes twenty.
    (folder / "checkpoints" / "best_model.pth").unlink(missing_ok=True)
    return folder


def notes(folder):
    return [event["message"] for event in log_of(folder)["events"] if event["kind"] == "resume"]


def test_number_of_workers_and_pace_of_saving_change_no_bit(whole, half, monkeypatch):
    """Also that a moved run goes on where it is now, and voids what came after the checkpoint."""
    tedg_train(
        monkeypatch, "--resume", half, "--num-workers", 3, "--checkpoint-minutes", 0,
        "--keep-checkpoints", 1, "--save-every", 4,
    )  # fmt: skip
    assert notes(half) == []
    assert_same_end(half, whole)
    assert_logs_are_complete(half)
    names = {path.name for path in (half / "checkpoints").iterdir()}
    assert names - {"best_model.pth"} == {"model_00012.pth", "model_final.pth"}
    assert ("best_model.pth" in names) == (whole / "checkpoints" / "best_model.pth").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--threads", "2"], "threads is 1 there and 2 here"),
        (["--num-envs", "2"], "num_envs is 4 there and 2 here"),
        (["--ppo.epochs", "1"], "ppo.epochs is 3 there and 1 here"),
        (["--seed", "5"], "seed is 0 there and 5 here"),
        (["--decide", "always"], "decide is contested there and always here"),
    ],
)
def test_other_settings_are_taken_and_it_says_that_exactness_ends(half, monkeypatch, change, words):
    tedg_train(monkeypatch, "--resume", half, "--episodes", 11, *change)
    (note,) = notes(half)
    assert "not bit for bit the uninterrupted one" in note
    assert words in note
    assert note in " ".join((half / "training.log").read_text().split("\n"))
    assert len(log_of(half)["episodes"]["number"]) >= 11


def test_another_device_is_said(half):
    source = find_checkpoint(half)
    config = from_dict(source.state["config"])
    assert notes_on(source, replace(config, episodes=99, num_workers=7, exp_name="other")) == []
    (note,) = notes_on(source, replace(config, device="cuda"))
    assert "device is cpu there and cuda here" in note


def test_another_processor_or_torch_is_said(half, monkeypatch, capsys):
    path = half / "checkpoints" / "model_00006.pth"
    state = checkpoint.load(path)
    state["platform"]["torch"] = "2.9.0"
    checkpoint.save(path, {name: entry for name, entry in state.items() if name != "version"})
    tedg_train(monkeypatch, "--resume", half, "--episodes", 11)
    assert "torch is 2.9.0 there and 2." in notes(half)[0]
    assert "torch is 2.9.0 there and 2." in capsys.readouterr().out


def test_falls_back_to_the_newest_whole_file_and_says_which(whole, half, monkeypatch, capsys):
    shutil.copy(whole / "checkpoints" / "model_final.pth", half / "checkpoints")
    damaged = half / "checkpoints" / "model_final.pth"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 4
    damaged.write_bytes(content)
    tedg_train(monkeypatch, "--resume", half)
    assert notes(half) == [
        f"checkpoint {damaged} is damaged: its checksum does not match; resume from another file",
        f"going on from {half}/checkpoints/model_00006.pth, 6 episodes",
    ]
    assert all(note in capsys.readouterr().out for note in notes(half)[:1])
    assert not differences(end_state(half)["policy"], end_state(whole)["policy"])


def test_a_damaged_file_is_an_error_when_it_is_asked_for(half, monkeypatch, capsys):
    path = half / "checkpoints" / "model_00006.pth"
    path.write_bytes(path.read_bytes()[:-1])
    before = {p: p.read_bytes() for p in half.rglob("*") if p.is_file()}
    for source in (path, half):
        assert "cut short" in refused(monkeypatch, capsys, "--resume", source)
    assert before == {p: p.read_bytes() for p in half.rglob("*") if p.is_file()}


def test_a_run_of_the_same_name_elsewhere_is_not_overwritten(whole, half, monkeypatch, capsys):
    source = whole / "checkpoints" / "model_final.pth"
    line = refused(monkeypatch, capsys, "--resume", source, "--results", half.parent)
    assert f"{half} already exists" in line


def test_a_folder_and_its_newest_file_begin_the_same_run(whole, tmp_path, monkeypatch):
    run = ["--results", tmp_path, "--episodes", 20, "--exp-name"]
    tedg_train(monkeypatch, *run, "of_folder", "--resume", whole)
    file = whole / "checkpoints" / "model_00012.pth"
    tedg_train(monkeypatch, *run, "of_file", "--resume", file)
    assert_same_end(tmp_path / "of_folder", tmp_path / "of_file")
    for name in ("of_folder", "of_file"):
        assert log_of(tmp_path / name)["first_episode"] == 12


def test_a_missing_file_names_the_nearest_one(whole, half, monkeypatch, capsys):
    def instead(name, folder=whole):
        path = folder / "checkpoints" / name
        line = refused(monkeypatch, capsys, "--resume", path)
        start = f"tedg-train: no checkpoint at {path}: the nearest there is "
        assert line.startswith(start)
        return line.removeprefix(start)

    or_folder = "; give that one, or the run folder for the newest"
    assert instead("model_00007.pth") == f"model_00006.pth{or_folder}"
    assert instead("model_00100.pth") == f"model_00012.pth{or_folder}"
    (half / "checkpoints" / "model_00006.pth").rename(half / "checkpoints" / "model_final.pth")
    assert instead("model_00100.pth", half) == f"model_final.pth{or_folder}"


def test_a_lone_file_begins_a_folder_of_its_own(whole, tmp_path, monkeypatch):
    shutil.copy(whole / "checkpoints" / "model_00006.pth", tmp_path / "mine.pth")
    tedg_train(
        monkeypatch, "--resume", tmp_path / "mine.pth", "--results", tmp_path, "--episodes", 10
    )
    assert log_of(tmp_path / "run")["parent"] == str(tmp_path / "mine.pth")


def test_stops_in_the_midst_of_a_long_update_and_loses_no_bit(tmp_path, monkeypatch):
    """The update under way would take minutes; it is dropped, and done again on resuming."""
    settings = [*SHORT, "--ppo.epochs", "6"]
    folder = tmp_path / "run"
    command = [
        sys.executable, "-c", SLOW_SECOND_UPDATE, "--results", tmp_path, "--exp-name", "run",
        "--episodes", 8, *settings,
    ]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert "slow\n" in iter(process.stdout.readline, "")
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.SIGTERM
    assert output.splitlines()[-1] == f"go on with: tedg-train --resume {folder}"
    _, state, _ = checkpoint.newest(folder)
    assert state["decisions"] == 4 * 8, "the first update"
    tedg_train(monkeypatch, "--resume", folder)
    tedg_train(
        monkeypatch, "--results", tmp_path, "--exp-name", "whole", "--episodes", 8, *settings
    )
    assert_same_end(folder, tmp_path / "whole")
    assert_logs_are_complete(folder)


SLOW_SECOND_UPDATE = """
import time
from tedg_fast import cli
from tedg_fast.train.ppo import PPO

step, steps = PPO._step, []

def slow(*args):
    steps.append(1)
    if len(steps) == 6 * 2 + 5:
        print("slow", flush=True)
        time.sleep(300)
    return step(*args)

PPO._step = slow
cli.train()
"""
