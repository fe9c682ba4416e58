"""What is beyond the limits of an observation is counted and said."""

import json
import os
import signal

import numpy as np
import pytest
from command import run
from small_rules import rule, small, written

from tedg_fast import cli
from tedg_fast.evaluate.agents import find_agent
from tedg_fast.evaluate.play import Games, play
from tedg_fast.nethack.facts.observation import INSTANCES
from tedg_fast.nethack.games.vector_env import VectorEnv

EIGHTFOLD = INSTANCES // 8 + 1
"""So many rules that apply to all eight directions are 8 instances too many."""
RULES = [
    rule(f"r{i}", "search", ["me.max_hp > 0", "d.run >= 0"], ["d: direction"])
    for i in range(EIGHTFOLD)
]


@pytest.fixture
def path(tmp_path):
    return written(tmp_path, *RULES)


@pytest.mark.parametrize("workers", [1, 2])
def test_instances_beyond_the_limit_are_counted(path, workers):
    agent = find_agent("rules", str(path), greedy=False)
    games = Games(2, 4, 10, "mon-hum-neu-mal")
    _, instances = play(agent, games, num_envs=2, num_workers=workers).left_out
    # Both games begin, and then make ten steps, with 8 too many each.
    assert instances == 8 * 2 * (1 + 10)


def test_nothing_is_left_out_within_the_limits(tmp_path):
    path = written(tmp_path, *RULES[:-1])
    agent = find_agent("rules", str(path), greedy=False)
    games = Games(2, 4, 10, "mon-hum-neu-mal")
    assert play(agent, games, num_envs=2, num_workers=1).left_out[1] == 0


def test_the_command_says_so(path, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    flags = ["--episodes", 2, "--max-steps", 10, "--num-envs", 2, "--hypergraph", path]
    run(monkeypatch, cli.eval_, "rules", *flags, "--out", out)
    left_out = json.loads(out.read_text())["agents"]["rules"]["left_out"]
    assert left_out["instances"] > 0
    said = (
        f"rules: {left_out['instances']} instances of rules, {left_out['instances'] / 20:.2f} a "
        f"step, were beyond the {INSTANCES} of an observation: "
    )
    assert said in capsys.readouterr().out  # two games of ten steps


def test_a_lost_worker_takes_no_counts_along(tmp_path):
    with VectorEnv(
        small(tmp_path, *RULES),
        num_envs=2,
        num_workers=1,
        run_seed=1,
        max_steps=50,
        every_step=True,
    ) as env:
        env.start()
        search = np.full(2, 22)
        env.step(search)
        before = env.left_out[1]
        os.kill(env.worker_pids[0], signal.SIGKILL)
        assert env.step(search).lost
        env.step(search)
        assert before == 8 * 2 * 2
        assert env.left_out[1] == before + 8 * 2 * 2  # two games begin, and make a step
