"""Killed anywhere and resumed, a run ends as if nothing had happened, bit for bit.

Real games and real processes, across all three phases, with other numbers of workers and other
checkpoint intervals after each kill. ``TEDG_KILLS=100`` makes it a hundred kills instead of
ten, in processes of their own and at other moments each time.
"""

import ast
import os
import subprocess
import sys

import kill_often
import pytest
from command import SHORT, tedg_train
from run_results import assert_logs_are_complete, assert_same_end, log_of

MANY = int(os.environ.get("TEDG_KILLS", 0))
KILLS = MANY or 10
PHASES = ["--warmup.episodes", "16", "--transition.episodes", "24"]


@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    episodes = str(12 * KILLS)  # far more than a kill lets pass, on whatever machine
    first = [*SHORT, *PHASES]
    tedg_train(
        monkeypatch, "--results", tmp_path, "--exp-name", "whole", "--episodes", episodes, *first
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert set(log_of(whole)["updates"]["phase"]) == {"warmup", "transition", "fine-tune"}

    seed = "random" if MANY else "0"
    driver = [sys.executable, kill_often.__file__, tmp_path, "killed", episodes, str(KILLS), seed]
    output = subprocess.run(
        [*driver, *first],
        stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    print(*[line for line in output.splitlines() if line[:4] == "seed"], output.splitlines()[-1])
    struck = ast.literal_eval(output.splitlines()[-1])
    assert struck.pop("torn") >= struck["bytes"]
    assert struck == dict.fromkeys(kill_often.PLACES, KILLS // 5)
    assert_same_end(killed, whole)
    assert_logs_are_complete(whole)
    assert_logs_are_complete(killed)
    left = [path.name for path in (killed / "checkpoints").iterdir()]
    assert not any(name.startswith(".") for name in left)
    assert sum(name[6:11].isdigit() for name in left) == 2, "--keep-checkpoints 2"
