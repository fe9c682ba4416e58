"""The benchmarks measure what they say: tried on short runs of real games."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import against_plain  # noqa: E402
import against_rules  # noqa: E402
import endurance  # noqa: E402
import experiment  # noqa: E402
import games_at_once  # noqa: E402
import long_run  # noqa: E402
import neighbour  # noqa: E402
import record  # noqa: E402
from processes import Usage, descendants, usage  # noqa: E402
from training import train  # noqa: E402

from tedg_fast import machine  # noqa: E402
from tedg_fast.hypergraph import load_hypergraph  # noqa: E402
from tedg_fast.runs.config import TrainConfig  # noqa: E402

SMALL = ["--num-envs", "4", "--num-workers", "1", "--ppo.rollout-decisions", "32"]
CORES = sorted(os.sched_getaffinity(0))


@pytest.mark.slow
def test_a_timed_run_accounts_for_its_time():
    seen = []
    run = train(SMALL, 500, cores=CORES, watch=lambda use, at: seen.append(use), interval=0.2)
    assert run.decisions % (4 * 32) == 0, "whole iterations"
    assert run.steps >= 500 and run.steps > run.decisions
    # Parts before the games stood ready (the first checkpoint) may add a little.
    assert 0.8 * run.seconds < sum(run.parts.values()) < 1.2 * run.seconds
    assert run.parts["games"] > 0 and run.parts["backward"] > 0
    assert 0 < run.speed_with_startup < run.speed
    assert run.peak.processes == 2 and run.peak == Usage(*map(max, zip(*seen)))


@pytest.mark.slow
def test_the_profile_finds_the_products():
    profile = train(SMALL, 1, cores=CORES, profile=2).profile
    assert profile["steps"] >= 2 * 128 and profile["flops"] > 256 * 4 * 1e5
    assert 0 < profile["products"] < profile["seconds"]
    assert 0 < profile["kernels"] < profile["seconds"]


def test_a_failed_run_says_why():
    with pytest.raises(RuntimeError, match="num-envs"):
        train(["--num-envs", "0"], 1, cores=CORES)


@pytest.mark.slow
def test_the_plain_loop_has_the_same_loss_and_gradients(monkeypatch):
    monkeypatch.setattr(against_plain, "SMALL", 64)
    against_plain.check_equal(load_hypergraph(), TrainConfig(num_envs=8))


def test_usage_counts_descendants_memory_and_descriptors():
    program = "import time; data = b'x' * (64 << 20); print(flush=True); time.sleep(60)"
    before = usage(os.getpid())
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        now = usage(os.getpid())
        child.kill()
    assert now.processes == before.processes + 1
    assert 64 << 20 < now.memory - before.memory < 96 << 20
    assert now.descriptors >= before.descriptors + 4


def test_a_quota_holds_and_leaves_nothing():
    if problem := neighbour.why_no_quota():
        pytest.skip(f"no control group may be made here: {problem}")
    before = machine.groups("cpu")[0]
    with neighbour.quota():
        inside = machine.groups("cpu")[0]
        code = "from tedg_fast import machine; print(machine.cores())"
        assert subprocess.check_output([sys.executable, "-c", code]) == b"1\n"
    assert machine.groups("cpu")[0] == before != inside
    assert not inside.exists()


def test_busy_processes_end_with_their_block():
    before = set(descendants(os.getpid()))
    with neighbour.busy(2):
        begun = set(descendants(os.getpid())) - before
        assert len(begun) == 2
    assert begun.isdisjoint(descendants(os.getpid()))


def test_endurance_compares_the_greatest_use_of_fifths():
    samples = [(float(second), Usage(second << 20, 90, 3)) for second in range(101)]
    parts = endurance.split(samples)
    assert [len(part) for part in parts] == [20, 20, 20, 20, 21]
    assert endurance.greatest(parts[1]) == Usage(39 << 20, 90, 3)


def test_runs_and_rules_play_the_same_games_once(tmp_path, monkeypatch):
    chance = Path("random")
    scores = {}
    for seed in (7, 8):
        (tmp_path / str(seed)).mkdir()
        scores[f"seed {seed}"] = against_rules.play(chance, seed, 3, tmp_path / str(seed))
    monkeypatch.setattr(against_rules, "evaluate", None)
    assert against_rules.play(chance, 7, 3, tmp_path / "7") == scores["seed 7"]
    for seed, episodes in ((7, 4), (8, 3)):
        with pytest.raises(
            SystemExit, match=f"holds 3 games of seed 7, not {episodes} of seed {seed}"
        ):
            against_rules.play(chance, seed, episodes, tmp_path / "7")
    *_, last = against_rules.report(scores, first_seed=7)
    rules, trained = (
        sum(sum(played[agent]) for played in scores.values()) / 6 for agent in ("rules", "trained")
    )
    assert f"| 6 | {trained:.1f} ± " in last and f"| {rules:.1f} ± " in last
    assert f"**{trained - rules:.1f} ± " in last


def log_of(episodes: int, first_episode: int = 0) -> dict:
    """A run's log in which episode i scores i, every second one dies, and every tenth is followed
    by an update, of which the third was undone."""
    number = list(range(first_episode, first_episode + episodes))
    completed = [i + 1 for i in number if i % 10 == 9]
    signal = [None if place == 2 else float(place) for place in range(len(completed))]
    signals = {*long_run.SIGNALS, *experiment.SIGNALS}
    return {
        "first_episode": first_episode,
        "episodes": dict.fromkeys(long_run.EPISODES, number)
        | {"number": number, "ending": ["death", "truncated"] * (episodes // 2)},
        "updates": dict.fromkeys(signals, signal)
        | {"completed": completed, "phase": ["warmup"] * 50 + ["transition"] * 50},
    }


def test_long_runs_are_told_window_by_window():
    log = log_of(1000)
    first, second = (long_run.window(log, start) for start in (0, 500))
    assert (first.phase, second.phase) == ("warmup", "transition")
    assert (first.true_score, second.true_score) == (249.5, 749.5)
    assert first.alive == 0.5
    assert first.alpha_entropy == (sum(range(50)) - 2) / 49, "the undone update counts nowhere"
    assert (first.grad_norm, second.attention_variance) == (49.0, 50.0)
    *_, last = long_run.report({"a": [first, second], "b": [first, second]})
    assert last == "| 501–1000 | 750 | 750 |"


def test_the_resume_experiment_counts_a_last_window_that_is_nearly_full():
    scores, signals = experiment.windows(Path("run"), log_of(190, first_episode=100))
    assert [row[0] for row in scores] == ["run 101–200", "run 201–290"]
    assert [row[0] for row in signals] == ["run @200", "run @290"]
    assert signals[1][1] == "18"
    scores, _ = experiment.windows(Path("run"), log_of(140, first_episode=100))
    assert [row[0] for row in scores] == ["run 101–200"]


def test_results_name_no_commit_where_git_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert record.commit() == "unknown"


@pytest.mark.slow
def test_a_gpu_session_goes_through_on_the_cpu():
    script = BENCH / "gpu_session.sh"
    result = subprocess.run(
        [script, "--dry-run", sys.executable], capture_output=True, text=True, timeout=280
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    for part in ("loads", "tests", "speed", "training"):
        assert f"- {part}: done in" in result.stdout, result.stdout


@pytest.mark.slow
def test_the_first_episodes_are_the_same_however_many_games_are_played():
    """Of games that end early, as by death, and by as many updates as it takes."""
    small = ["--character", "tou-hum-neu-mal", "--max-steps", "150", "--num-workers", "1"]
    logs = {games: games_at_once.train(games, 8, small) for games in (2, 16)}
    rows = [games_at_once.row(games, log, logs[2]) for games, log in logs.items()]
    assert [row[1] for row in rows] == ["0 … 7", "0 … 7"]
    assert len({row[6] for row in rows}) == 2, "unlike numbers of updates"
    wrong = logs[16] | {"episodes": logs[16]["episodes"] | {"number": [0, 1, 2, 3, 4, 5, 6, 8]}}
    with pytest.raises(ValueError, match="16 games: the episodes are not the first 8 by number"):
        games_at_once.row(16, wrong, logs[2])
