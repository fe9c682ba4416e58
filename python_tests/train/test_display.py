"""What a run shows: in a real terminal, in a pipe, with --quiet, and what it costs."""

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from command import SHORT, tedg_train
from run_results import log_of, tensorboard_series

from tedg_fast.runs.bands import ATTENTION_VARIANCE, GRAD_NORM, alpha_entropy_band
from tedg_fast.train.display import Display, Status
from tedg_fast.train.health import Reading

READING = Reading(
    completed=7, phase="warmup", grad_norm=12.5, attention_variance=0.07, alpha_entropy=1.3,
    usage=(0.9, 0.05, 0.04, 0.01), alignment_loss=0.25,
)  # fmt: skip
STATUS = Status(
    completed=7, waiting=2, ended=8, phase="warmup", progress=0.35, env_steps=4096,
    steps_per_second=1234.5, decisions=512, decision_share=0.125, true_score=21.5,
    best_score=30.25, last_observation_score=1.5, rollbacks=0, reading=READING, pace="",
)  # fmt: skip


def trained(tmp_path, *flags):
    """Command of a short run."""
    code = "from tedg_fast.cli import train; train()"
    run = ["--results", str(tmp_path), "--exp-name", "shown", "--episodes", "20"]
    return [sys.executable, "-c", code, *run, *SHORT, *flags]


def in_terminal(command):
    """What the command writes to a pseudo-terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode()


def test_a_terminal_shows_one_steady_display(tmp_path):
    text = in_terminal(trained(tmp_path))
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    last = plain[plain.rindex("╭") :]
    for words in (
        "episodes", "warmup", "true score", "last-observation score", "steps/s", "decisions/s",
        "games", "gradient norm", "attention variance", "α entropy", "survival", "undone updates 0",
    ):  # fmt: skip
        assert words in last, words
    assert "\x1b[2K" in text  # it is drawn over itself


@pytest.mark.parametrize("quiet", [True, False])
def test_plain_lines(tmp_path, quiet):
    if quiet:
        text = in_terminal(trained(tmp_path, "--quiet"))
    else:
        text = subprocess.run(trained(tmp_path), stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "\x1b" not in text
    assert re.search(r"^warmup: \d+ of 20 episodes.*; .*gradient norm \d", text, re.MULTILINE)
    log = (tmp_path / "shown" / "training.log").read_text().splitlines()
    assert max(map(len, log)) < 320


def test_tensorboard_has_every_series_of_numbers(tmp_path):
    subprocess.run(trained(tmp_path), stdout=subprocess.DEVNULL, check=True)
    log = log_of(tmp_path / "shown")
    for kind, folder in (("updates", "train"), ("episodes", "episode")):
        shown = tensorboard_series(tmp_path / "shown" / "tensorboard" / folder)
        numbers = {
            name for name, series in log[kind].items() if not isinstance(series[0], str | dict)
        }
        positions = {"number", "env_steps"} if kind == "episodes" else set()  # the x axes
        assert set(shown) == {f"{folder}/{name}" for name in numbers - positions}


def shown(status):
    """The live display's panel with its styles, as ANSI text."""
    display = Display(20)
    display.console.width = 100
    display.console._color_system, display.console._force_terminal = 3, True
    display._move_bars(status)
    with display.console.capture() as capture:
        display.console.print(display._panel(status))
    return capture.get()


def test_signals_wear_the_colour_of_their_band():
    text = shown(STATUS)
    assert "\x1b[1;31m12.50" in text  # warns
    assert "\x1b[33m0.070" in text  # between healthy and warning
    assert "\x1b[32m1.300" in text
    assert "\x1b[1;31m90%" in text
    assert "\x1b[1;31m1%" in text
    assert "\x1b[32m5%" in text
    assert "best 30.2" in re.sub(r"\x1b\[[0-9;]*m", "", text)


def told(status, *, seconds=0, episodes=20, begun_with=0, games=32):
    """How far the run is said to be ``seconds`` after a start with so many episodes ended: in a
    plain line, all of which the live display has room for in 80 columns."""
    display = Display(episodes)
    display.begin(begun_with, begun_with, games)
    display.began -= seconds
    said = display._line(status).split("; ")[0].removeprefix(f"{status.phase}: ")
    display.console.width = 80
    display._move_bars(status)
    with display.console.capture() as capture:
        display.console.print(display._panel(status))
    shown = capture.get()
    wait = re.findall(r" \((.*)\)", said)
    bar = re.sub(r" \(.*\)", "", said)
    assert all(words in shown for words in (bar, *wait))
    return said


@pytest.mark.parametrize("phase", ["warmup", "transition", "fine-tune"])
def test_the_time_left_is_that_of_the_run(phase):
    """50 of 1,000 episodes in five minutes: 95 minutes more, however short the phase is."""
    status = replace(STATUS, completed=50, waiting=0, ended=50, phase=phase, progress=0.99)
    said = told(status, seconds=300, episodes=1000)
    assert said == "50 of 1000 episodes, 1:35:00 left"


def test_the_time_left_does_not_rise_while_one_long_game_is_waited_for():
    status = replace(STATUS, completed=178, waiting=90, ended=240)
    words = "178 of 250 episodes (90 ended games wait for an earlier one), 0:00:02 left"
    assert told(status, seconds=40, episodes=250) == words
    assert told(replace(status, ended=244), seconds=50, episodes=250).endswith("0:00:01 left")


def test_a_resumed_run_counts_what_it_played_itself():
    status = replace(STATUS, completed=440, waiting=0, ended=440)
    start = {"seconds": 300, "episodes": 500, "begun_with": 400}
    assert told(status, **start) == "440 of 500 episodes, 0:07:30 left"
    nothing_known = replace(status, completed=400, ended=400)
    assert told(nothing_known, **start) == "400 of 500 episodes"
    assert told(replace(status, completed=500, ended=500), **start) == "500 of 500 episodes"


def test_no_time_is_told_while_only_the_shortest_games_have_ended():
    """Of 512 games that began together five have ended: at their pace it would be 35 days more."""
    early = replace(STATUS, completed=0, waiting=5, ended=5)
    words = "0 of 100000 episodes (5 ended games wait for an earlier one)"
    assert told(early, seconds=150, episodes=100_000, games=512) == words
    later = replace(STATUS, completed=512, waiting=0, ended=512)
    words = "512 of 100000 episodes, 16:11:34 left"
    assert told(later, seconds=300, episodes=100_000, games=512) == words
    # A run of fewer games than are played at once is told of after a quarter of it.
    short = replace(STATUS, completed=25, waiting=0, ended=25)
    assert told(short, seconds=5, episodes=100, games=128) == "25 of 100 episodes, 0:00:15 left"


def test_games_that_wait_are_told_from_the_count():
    said = told(replace(STATUS, completed=0, ended=0, waiting=1))
    assert said == "0 of 20 episodes (1 ended game waits for an earlier one)"


def test_the_suggested_command_goes_on_to_twice_as_many(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tedg_train(monkeypatch, "--exp-name", "shown", "--episodes", 5, *SHORT)
    suggested = capsys.readouterr().out.splitlines()[-1]
    assert suggested == "go on with: tedg-train --resume results/shown --episodes 10"
    tedg_train(monkeypatch, *suggested.split("tedg-train ")[1].split())
    assert len(log_of(tmp_path / "results" / "shown")["episodes"]["number"]) == 10


def test_many_experts_are_summed_up():
    text = shown(replace(STATUS, reading=replace(READING, usage=tuple([0.02] * 49 + [0.03]))))
    assert "expert49" in text
    assert "expert20" not in text


def test_bands_are_the_specified_ones():
    assert [GRAD_NORM.level(v) for v in (4.9, 7, 10.1)] == ["healthy", "bearable", "warns"]
    levels = [ATTENTION_VARIANCE.level(v) for v in (0.2, 0.07, 0.04, float("nan"))]
    assert levels == ["healthy", "bearable", "warns", "warns"]
    warmup, end = alpha_entropy_band("warmup", 4), alpha_entropy_band("fine-tune", 4)
    assert [warmup.level(v) for v in (1.386294, 1.0, 0.2)] == ["healthy", "bearable", "warns"]
    assert [end.level(v) for v in (1.0, 1.25, 0.2)] == ["healthy", "warns", "warns"]
    assert alpha_entropy_band("warmup", 2).level(0.69) == "healthy"
