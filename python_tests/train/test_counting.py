"""Which games count: the first by number, however long they last and however many are played."""

import json
import re

import numpy as np
import pytest
from command import SHORT, tedg_train
from exact import differences
from run_results import assert_logs_are_complete, assert_same_end, log_of

from tedg_fast.nethack.games.episode import Episode
from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import TrainConfig
from tedg_fast.train.counting import in_turn, up_to


def episode(number, length=1):
    return Episode(number, 0.0, length, 10 * number, 0, 1, "death", "jackal", {})


def numbers(episodes):
    return [episode.number for episode in episodes]


def test_a_game_waits_for_those_before_it():
    counted, waiting = in_turn([episode(4), episode(0), episode(1)], still_open=[2, 3, 5])
    assert (numbers(counted), numbers(waiting)) == ([0, 1], [4])
    counted, waiting = in_turn([*waiting, episode(2)], still_open=[3, 5, 6])
    assert (numbers(counted), numbers(waiting)) == ([2], [4])
    counted, waiting = in_turn(waiting, still_open=[7, 5, 6])
    assert (numbers(counted), numbers(waiting)) == ([4], []), "3 was lost, and is not waited for"


@pytest.mark.parametrize("games", [1, 32, 128, 512])
def test_the_first_hundred_are_the_same_however_many_are_played(games):
    """As a run plays them: counted as they end, 512 games would give a mean of the shortest."""
    lengths = np.random.default_rng(3).geometric(1 / 300, 5000)
    left = {number: lengths[number] for number in range(games)}
    following, waiting, counted = games, [], []
    while len(counted) < 100:
        ended = []
        for _ in range(128):
            for number in [number for number, steps in left.items() if steps == 1]:
                ended.append(episode(number, int(lengths[number])))
                del left[number]
                left[following] = lengths[following] + 1
                following += 1
            left = {number: steps - 1 for number, steps in left.items()}
        now, waiting = in_turn([*waiting, *ended], left)
        counted += now
    assert numbers(counted[:100]) == list(range(100))
    assert np.mean([e.length for e in counted[:100]]) == lengths[:100].mean()


@pytest.mark.parametrize("games", [2, 12])
def test_a_run_has_the_first_episodes_by_number(tmp_path, monkeypatch, games):
    flags = [*SHORT, "--num-envs", games, "--save-every", 5]
    tedg_train(
        monkeypatch, "--results", tmp_path, "--exp-name", "run", "--episodes", 9, *flags,
    )  # fmt: skip
    assert log_of(tmp_path / "run")["episodes"]["number"] == list(range(9))
    assert_logs_are_complete(tmp_path / "run")
    for name, count in (("model_00005", 5), ("model_final", 9)):
        state = checkpoint.load(tmp_path / "run" / "checkpoints" / f"{name}.pth")
        assert state["log"]["episodes"]["number"] == list(range(count))
        assert state["completed"] == count
    assert len({e["number"] for e in state["waiting"]} & set(range(9))) == 0


def test_going_on_from_a_numbered_checkpoint_loses_no_game_and_no_bit(tmp_path, monkeypatch):
    """What counts beyond the number waits in the file, and counts at once when it is resumed."""
    flags = [*SHORT, "--num-envs", 12, "--save-every", 5]
    run = ["--results", tmp_path, "--exp-name"]
    tedg_train(monkeypatch, *run, "whole", "--episodes", 30, *flags)
    tedg_train(monkeypatch, *run, "half", "--episodes", 5, *flags)
    half = tmp_path / "half" / "checkpoints" / "model_00005.pth"
    assert checkpoint.load(half)["waiting"], "else there is nothing to see here"
    tedg_train(monkeypatch, "--resume", tmp_path / "half", "--episodes", 30)
    assert_same_end(tmp_path / "half", tmp_path / "whole")
    assert_logs_are_complete(tmp_path / "half")
    tedg_train(monkeypatch, *run, "branch", "--resume", half, "--episodes", 30)
    log = log_of(tmp_path / "branch")
    assert log["first_episode"] == 5
    assert log["episodes"]["number"] == list(range(5, 30))


def test_a_run_that_needs_no_update_says_so(tmp_path, monkeypatch, capsys):
    """What had ended beyond the first five counts when it goes on, and is all that was asked for;
    the command that it ends with does train."""
    flags = ["--exp-name", "run", *SHORT, "--num-envs", 12]
    tedg_train(monkeypatch, "--results", tmp_path, "--episodes", 5, *flags)
    run, end = tmp_path / "run", tmp_path / "run" / "checkpoints" / "model_final.pth"
    before = checkpoint.load(end)
    assert len(before["waiting"]) > 0, "else there is nothing to see here"
    assert "no update" not in capsys.readouterr().out
    tedg_train(monkeypatch, "--resume", run, "--episodes", 6)
    *_, words, last = capsys.readouterr().out.splitlines()
    told = re.fullmatch(
        r"no update was needed: these 6 episodes had been played before; to train on, ask for "
        r"more than (\d+) \(--episodes (\d+)\)",
        words,
    )
    played, more = map(int, told.groups())
    assert 6 <= played < more
    assert log_of(run)["events"][-1]["message"] == words
    assert not differences(checkpoint.load(end)["policy"], before["policy"])
    assert last == f"go on with: tedg-train --resume {run} --episodes {more}"
    tedg_train(monkeypatch, *last.split("tedg-train ")[1].split())
    assert "no update" not in capsys.readouterr().out
    assert differences(checkpoint.load(end)["policy"], before["policy"])


def test_a_state_cut_to_fewer_is_itself_where_there_are_no_more():
    state = {"completed": 3, "log": {}, "waiting": []}
    assert up_to(state, 3) is state


def test_what_is_learned_does_not_depend_on_the_number_of_cores(monkeypatch):
    def settings(cores):
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
        return json.dumps([TrainConfig().num_envs])

    assert settings(1) == settings(2) == settings(64)
