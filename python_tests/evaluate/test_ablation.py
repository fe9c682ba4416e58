"""``tedg-ablate`` as a user calls it: real runs, a stop, going on, bad input."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import SHORT, refused, run

from tedg_fast import cli
from tedg_fast.runs import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import ablation as recorded
import record as records

GRID = ["--arms", "full", "graph-off", "--seeds", "1", "--parallel", "2", "--eval-episodes", "4"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A grid that was stopped while its runs were under way → its folder, what was printed."""
    results = tmp_path_factory.mktemp("grid")
    command = [sys.executable, "-c", "from tedg_fast import cli; cli.ablate()"]
    arguments = [*GRID, "--episodes", "100000", "--results", str(results), "--", *SHORT]
    process = subprocess.Popen(command + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (results / "full-seed1" / "checkpoints" / "model_latest.pth").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert error.decode() == "tedg-ablate: stopped; the same command goes on\n"
    return results


def played_in(evaluation):
    """What came out of its games, but for the time that they took."""
    return [agent["episodes"] for agent in evaluation["agents"].values()]


@pytest.mark.slow
def test_a_stopped_grid_goes_on_and_ends_in_tables(stopped, tmp_path, monkeypatch, capsys):
    latest = stopped / "full-seed1" / "checkpoints" / "model_latest.pth"
    episodes = checkpoint.load(latest)["completed"] + 4
    grid = [*GRID, "--episodes", episodes, "--results", stopped, "--", *SHORT]
    run(monkeypatch, cli.ablate, *grid)
    shown = capsys.readouterr().out
    assert "going on from" in (stopped / "full-seed1.out").read_text()
    for job in ("full-seed1", "graph-off-seed1"):
        assert f"{job}: done in" in shown
    record = json.loads((stopped / "ablation.json").read_text())
    assert (stopped / "ablation.md").read_text() in shown
    assert list(record["arms"]) == ["full", "graph-off"]
    for arm in record["arms"]:
        log = json.loads((stopped / f"{arm}-seed1" / "logs" / "training_log.json").read_text())
        measured = record["runs"][arm]["1"]
        assert measured["episodes"]["true_score"] == log["episodes"]["true_score"]
        expected = np.mean(log["episodes"]["true_score"][-100:])
        assert record["arms"][arm]["true_score"]["mean"] == pytest.approx(expected)
        assert measured["grad_norm"] == max(log["updates"]["grad_norm"])
        games = json.loads((stopped / f"{arm}-seed1" / "evaluation.json").read_text())
        (played,) = games["agents"].values()
        assert measured["evaluation"]["experts"] == played["experts"]
        reference = json.loads((stopped / "reference.json").read_text())["agents"]["rules"]
        gain = np.subtract(played["episodes"]["true_score"], reference["episodes"]["true_score"])
        assert measured["evaluation"]["gain"]["rules"] == gain.tolist()
        assert record["arms"][arm]["gain"]["rules"]["mean"] == pytest.approx(gain.mean())

    before = (stopped / "full-seed1" / "evaluation.json").stat().st_mtime_ns
    run(monkeypatch, cli.ablate, *grid)
    assert "3 of 3 jobs are done already" in capsys.readouterr().out
    evaluation = stopped / "full-seed1" / "evaluation.json"
    assert evaluation.stat().st_mtime_ns == before

    # Games that were lost with a worker are not played again, those after a stop are: it keeps
    # the games before the first that goes on.
    whole = json.loads(evaluation.read_text())
    part = json.loads(evaluation.read_text())
    for values in played_in(part)[0].values():
        del values[2:]
    evaluation.write_text(json.dumps(part))
    run(monkeypatch, cli.ablate, *grid)
    assert "3 of 3 jobs are done already" in capsys.readouterr().out
    evaluation.write_text(json.dumps(part | {"complete": False}))
    run(monkeypatch, cli.ablate, *grid)
    assert "2 of 3 jobs are done already" in capsys.readouterr().out
    assert played_in(json.loads(evaluation.read_text())) == played_in(whole)

    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(records, "commit", lambda: "as committed")
    monkeypatch.setattr(
        sys, "argv", ["ablation.py", "small", "--after", "a", "--", *map(str, grid)]
    )
    recorded.main()
    kept = (tmp_path / "ablation_small.md").read_text()
    assert "\n- command: `a`\n- command: `" in kept
    assert kept.endswith((stopped / "ablation.md").read_text().partition("# Ablation\n\n")[2])
    scores = json.loads((tmp_path / "ablation_small.json").read_text())["full"]["1"]["episodes"]
    assert list(map(int, scores.split())) == record["runs"]["full"]["1"]["episodes"]["true_score"]

    other = refused(monkeypatch, capsys, *grid, "--warmup.gamma", "0.9", entry=cli.ablate)
    assert "warmup.gamma is 0.999 there and 0.9 here" in other


def test_bad_input_is_answered_in_one_line(tmp_path, monkeypatch, capsys):
    def line(*arguments):
        return refused(monkeypatch, capsys, *arguments, "--results", tmp_path, entry=cli.ablate)

    assert "no arm 'half'" in line("--arms", "full", "half")
    assert "lacks full" in line("--arms", "no-mask")
    assert "--seeds must be given" in line("--seeds", "1", "1")
    assert "--parallel is 0" in line("--parallel", "0")
    assert "--eval-episodes is 0" in line("--eval-episodes", "0")
    assert "--episodes is 0" in line("--episodes", "0")
    assert "--indifference is -1.0" in line("--indifference", "-1")
    assert "leave out one of the two" in line("--indifference", "5", "--no-early-stop")
    file = tmp_path / "file"
    file.write_text("")
    error = refused(monkeypatch, capsys, "--results", file / "x", entry=cli.ablate)
    assert "cannot be made" in error
