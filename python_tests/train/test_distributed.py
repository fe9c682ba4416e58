"""Two ranks on real games: the same parameters, the whole minibatch's gradient, kills and hangs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import global_minibatch
import one_rank
import pytest
import rank_threads
from command import SHORT, tedg_train
from run_results import assert_logs_are_complete, assert_same_end, end_state, log_of

from tedg_fast.runs import checkpoint

RUN = [*SHORT, "--warmup.episodes", "4", "--transition.episodes", "8", "--num-workers", "2",
       "--checkpoint-minutes", "0", "--quiet"]  # fmt: skip
EPISODES = "28"
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
IMPORTED = [str(Path(one_rank.__file__).parent), os.environ.get("PYTHONPATH", "")]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, IMPORTED)),
}  # fmt: skip


def command(rank, place, count, *arguments, launcher=LAUNCHER, seconds=60):
    """A run of which ``rank`` meets with ``place``; see ``one_rank.py``."""
    script = [one_rank.__file__, rank, place, count, seconds]
    return list(map(str, [*launcher, *script, *arguments]))


def finished(command):
    """Exit code, stdout and stderr of a command that ends within two minutes."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.terminate()  # which ends the ranks, too
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two ranks in one go → its folder."""
    results = tmp_path_factory.mktemp("results")
    first = ["--results", results, "--exp-name", "whole", "--episodes", EPISODES, *RUN]
    code, output, errors = finished(command(0, "nowhere", 0, *first))
    assert code == 0, errors
    assert "on cpu in 2 ranks" in output
    return results / "whole"


def test_one_rank_writes_what_both_played(whole):
    assert_logs_are_complete(whole)
    state, log = end_state(whole), log_of(whole)
    first, second = state["ranks"]
    for rank, part in enumerate((first, second)):
        assert {game["episode"] % 2 for game in part["games"]} == {rank}
        assert part["next_episode"] % 2 == rank
        assert len(part["games"]) == len(part["returns"]) == 2
    assert first["generator"].tolist() != second["generator"].tolist()
    assert {number % 2 for number in log["episodes"]["number"]} == {0, 1}
    updates = log["updates"]
    assert set(updates["phase"]) == {"warmup", "transition", "fine-tune"}
    assert updates["completed"][-1] >= state["completed"] == len(log["episodes"]["number"])
    assert updates["decisions"][0] == 4 * 8, "of all games"
    assert updates["env_steps"][0] > 4 * 8
    assert set(updates["ranks"]) == {2}
    assert all(0 <= share <= 1 for share in updates["waiting_share"])
    for speeds in zip(updates["rank0_steps_per_second"], updates["rank1_steps_per_second"]):
        assert min(speeds) > 0


def test_a_minibatch_of_two_ranks_gives_the_gradient_of_one_process(tmp_path):
    """Also normalised rewards, and every term of the loss; all but for float32 rounding."""
    out = tmp_path / "result.json"
    code, _, errors = finished([*LAUNCHER, global_minibatch.__file__, str(out)])
    assert code == 0, errors
    result = json.loads(out.read_text())
    assert result["ranks_agree"]
    assert result["rewards_differ"] and result["reward_error"] < 1e-6
    assert result["largest"] > 1
    assert result["error"] < 2e-6 * result["largest"]
    assert result["signals"] == pytest.approx(result["expected"], rel=1e-5, abs=1e-6)
    assert result["signals"]["temporal_loss"] > 1e-4


def test_ranks_keep_off_each_others_cores_while_they_update(tmp_path):
    cores = sorted(os.sched_getaffinity(0))[:2]
    bound = ["taskset", "--cpu-list", ",".join(map(str, cores))]
    launcher = [*LAUNCHER, "--max-restarts", "1"]  # gloo's first connection fails now and then
    code, _, errors = finished([*bound, *launcher, rank_threads.__file__, str(tmp_path)])
    assert code == 0, errors
    for rank in range(2):
        threads = json.loads((tmp_path / f"{rank}.json").read_text())
        gloo = [policy for name, policy in threads["policies"].items() if "gloo" in name]
        assert gloo and set(gloo) == {os.SCHED_BATCH}
        assert threads["own"] == os.SCHED_OTHER
        assert threads["free"] == cores
        expected = [cores[rank]] if len(cores) == 2 else cores
        assert all(where == expected for where in threads["settled"])


@pytest.mark.parametrize(("rank", "place", "count"), [(1, "gradient step", 27), (0, "games", 5)])
def test_a_killed_rank_comes_back_by_itself_to_the_same_bits(whole, tmp_path, rank, place, count):
    first = ["--results", tmp_path, "--exp-name", "killed", "--episodes", EPISODES, *RUN]
    launcher = [*LAUNCHER, "--max-restarts", "1"]
    code, output, errors = finished(command(rank, place, count, *first, launcher=launcher))
    assert code == 0, errors
    assert "exitcode: -9" in errors
    assert output.count("a new run") == output.count("going on from") == 1
    assert_same_end(tmp_path / "killed", whole)
    assert_logs_are_complete(tmp_path / "killed")


def test_stopped_on_one_rank_all_stop_and_go_on_bit_for_bit(whole, tmp_path, monkeypatch):
    """Afterwards also on one rank only, which is said, and with all games."""
    folder = tmp_path / "stopped"
    first = ["--results", tmp_path, "--exp-name", "stopped", "--episodes", EPISODES, *RUN]
    first += ["--checkpoint-minutes", "inf", "--save-every", "1000"]
    code, output, errors = finished(command(1, "terminate", 10, *first))
    assert code == 0, errors
    assert output.count("go on with") == 1
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["model_latest.pth"]
    state = checkpoint.load(folder / "checkpoints" / "model_latest.pth")
    assert 0 < state["env_steps"] < end_state(whole)["env_steps"]
    running = {game["episode"] for rank in state["ranks"] for game in rank["games"]}

    other = ["--resume", folder, "--results", tmp_path, "--exp-name", "alone"]
    path = folder / "checkpoints" / "model_latest.pth"
    tedg_train(monkeypatch, *["--resume", path, *other[2:]])
    log = log_of(tmp_path / "alone")
    (event,) = [event for event in log["events"] if event["kind"] in ("resume", "replay")]
    assert "another number of ranks" in event["message"]
    assert "1 here and 2 there" in event["message"]
    assert running <= set(log["episodes"]["number"]), "the games went on"
    earlier = state["log"]["episodes"].get("number", [])
    assert not set(earlier) & set(log["episodes"]["number"])

    code, _, errors = finished(command(0, "nowhere", 0, "--resume", folder, "--quiet"))
    assert code == 0, errors
    assert_same_end(folder, whole)


def test_a_run_of_one_process_goes_on_in_two_ranks(tmp_path, monkeypatch):
    tedg_train(monkeypatch, "--results", tmp_path, "--exp-name", "run", "--episodes", 4, *RUN)
    folder = tmp_path / "run"
    before = checkpoint.load(folder / "checkpoints" / "model_final.pth")
    again = ["--resume", folder, "--episodes", before["completed"] + 4, "--quiet"]
    code, _, errors = finished(command(0, "nowhere", 0, *again))
    assert code == 0, errors
    assert_logs_are_complete(folder)  # although the series of the ranks begin in its midst
    log = log_of(folder)
    assert log["updates"]["ranks"][0] is None and log["updates"]["ranks"][-1] == 2
    (event,) = [event for event in log["events"] if event["kind"] in ("resume", "replay")]
    assert "2 here and 1 there" in event["message"]


def test_a_rank_that_hangs_ends_the_run_in_time_with_one_line(tmp_path):
    """Without torchrun, which would wait half a minute more before it kills the one that hangs."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    first = ["--results", tmp_path, "--exp-name", "hung", "--episodes", EPISODES, *RUN]
    ranks = []
    for rank in range(2):
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
        ranks.append(
            subprocess.Popen(
                command(1, "hang", 8, *first, launcher=[sys.executable], seconds=8),
                stderr=subprocess.PIPE,
                text=True,
                env=ENVIRONMENT | address | {"RANK": str(rank)},
            )  # fmt: skip
        )
    try:
        began = time.monotonic()
        _, errors = ranks[0].communicate(timeout=90)
        assert time.monotonic() - began > 8
        assert ranks[0].returncode == 1
        lines = [line for line in errors.splitlines() if line.startswith("tedg-train")]
        assert len(lines) == 1 and "Traceback" not in errors, errors
        assert re.match(r"tedg-train: rank 0 of 2 lost rank 1 after \d+ s \(", lines[0])
    finally:
        os.kill(ranks[1].pid, signal.SIGKILL)
        ranks[1].wait()
    assert checkpoint.newest(tmp_path / "hung")[1]["env_steps"] > 0, "the last boundary is saved"


def test_ranks_that_drift_apart_are_noticed(tmp_path):
    first = ["--results", tmp_path, "--exp-name", "drift", "--episodes", EPISODES, *RUN]
    code, _, errors = finished(command(1, "drift", 20, *first))
    assert code == 1
    assert "the parameters of ranks [1] differ from those of rank 0" in errors


def test_bad_input_is_one_line_of_one_rank(tmp_path):
    bad = ["--results", tmp_path, *RUN, "--num-envs", "5"]
    code, _, errors = finished(command(0, "nowhere", 0, *bad))
    assert code == 1, "torchrun's"
    (line,) = [line for line in errors.splitlines() if line.startswith("tedg-train")]
    assert line == ("tedg-train: --num-envs is 5; 2 ranks share it, so it must be a multiple of 2")
    assert errors.count("exitcode  : 2") >= 1
    assert not list(tmp_path.iterdir())
