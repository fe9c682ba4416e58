"""tedg-watch in a real pseudo-terminal, without one, and its files."""

import fcntl
import html
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter

import numpy as np
import pytest
from command import SHORT, tedg_train
from PIL import Image

from tedg_fast import cli
from tedg_fast.evaluate.agents import Setting, find_agent
from tedg_fast.evaluate.play import Games, play
from tedg_fast.hypergraph import ACTIONS
from tedg_fast.watch.graph import MOST_INSTANCES, MOST_RULES, graph_picture
from tedg_fast.watch.moments import WatchedGame
from tedg_fast.watch.player import KEYS
from tedg_fast.watch.view import SIZE, frame

WATCH = [sys.executable, "-c", "from tedg_fast.cli import watch; watch()"]
CHARACTER = "mon-hum-neu-mal"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a short run."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "run", "--episodes", 4, *SHORT)
    return results / "run"


@pytest.fixture(scope="module")
def recorded(trained, tmp_path_factory):
    """NAME.cast of ten steps, recorded without a terminal; NAME.gif is beside it."""
    name = tmp_path_factory.mktemp("recording") / "game"
    lines = watch(trained, "--steps", 10, "--record", name)
    assert lines[-1] == f"11 moments in {name}.cast and {name}.gif"
    return name.with_suffix(".cast")


def watch(*arguments):
    """Lines that tedg-watch prints where there is no terminal."""
    command = WATCH + [str(argument) for argument in arguments]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return run.stdout.decode().splitlines()


class Terminal:
    """tedg-watch in a pseudo-terminal."""

    def __init__(self, *arguments, columns=140, rows=42):
        self.ours, theirs = pty.openpty()
        self.resize(columns, rows)
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            WATCH + [str(argument) for argument in arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env=environment | {"TERM": "xterm-256color"},
        )  # fmt: skip
        self.modes = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.text = ""

    def resize(self, columns, rows):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, size)

    def press(self, keys):
        """Press keys; what was shown before is forgotten."""
        self.read(0.3)
        self.text = ""
        os.write(self.ours, keys.encode())

    def read(self, seconds):
        end = time.monotonic() + seconds
        while select.select([self.ours], [], [], max(0, end - time.monotonic()))[0]:
            try:
                self.text += os.read(self.ours, 65536).decode(errors="replace")
            except OSError:
                return

    def wait_for(self, pattern, seconds=90):
        """The first match of ``pattern`` in what is shown, without colours."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.1)
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)
            if match := re.search(pattern, plain):
                return match
        raise AssertionError(f"{pattern!r} is not in\n{plain}")

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal():
    opened = []

    def open_terminal(*arguments, **size):
        opened.append(Terminal(*arguments, **size))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def test_keys_resize_and_quit(trained, terminal):
    shown = terminal(trained, "--seed", 3, "--speed", 0.5)
    shown.wait_for("^loading …")
    shown.wait_for(r"step 0, score 0")
    panels = ("rules that apply", "conditions that hold", "objects", "experts", "actions", "value ",
              "decided so far")  # fmt: skip
    for panel in panels:
        shown.wait_for(panel)
    shown.wait_for(r"survival.*\d+%")
    shown.press(" ")
    shown.wait_for("paused")
    shown.press("n")
    step = int(shown.wait_for(r"step (\d+), score")[1])
    shown.press("\x1b[C")
    shown.wait_for(rf"step {step + 1}, score")
    shown.read(2.5)  # it stays where it is
    assert f"step {step + 2}, " not in shown.text
    shown.press("b")
    shown.wait_for(rf"step {step}, score")
    shown.press("\x1b[D")
    shown.wait_for(rf"step {step - 1}, score")
    shown.press("nn")
    shown.wait_for(rf"step {step + 1}, score")
    shown.press("++")
    shown.wait_for("2 steps/s")
    shown.press("-")
    shown.wait_for(r"\b1 steps/s")
    shown.text = ""
    shown.resize(90, 30)
    shown.wait_for(r"experts: survival \d+%")
    shown.press("++++ ")
    shown.wait_for("playing, 16 steps/s")
    shown.wait_for(rf"step {step + 6}, ")
    os.write(shown.ours, b"q")
    assert shown.process.wait(timeout=20) == 0
    shown.read(0.2)
    assert "what decided in " in shown.text[shown.text.rindex("\x1b[?1049l") :]
    assert termios.tcgetattr(shown.theirs)[3] == shown.modes[3]  # echo and lines as before


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12), (132, 39)])
def test_a_small_terminal_shows_the_player_and_what_the_agent_thinks(trained, size):
    agent = find_agent(str(trained), None, greedy=False)
    columns, rows = size
    for moment in moments(agent, 3, 60)[::20]:
        text = re.sub(r"\x1b\[[0-9;]*m", "", frame(moment, agent.rules, "heading", size))
        lines = text.split("\n")
        assert len(lines) <= rows and all(len(line) <= columns for line in lines)
        above, below = text.split("HP:")  # in NetHack's last line
        assert "@" in above  # the monk
        rule, applied = moment.winner
        shown = f"{agent.rules.operators[rule.number].name} {rule.weight:.0%}  ▶ "
        told = [f"step {moment.step}, ", "experts: ", "actions: ", shown[:columns]]
        if rows >= 20:
            told.append(f"decided so far: {so_far_of(moment)}"[:columns].rstrip())
        for words in told:
            assert words in below, text
    assert lines[0].startswith("heading")


def so_far_of(moment):
    """How often each rule decided before a moment, as it is shown."""
    times = {rule: alone + asked for rule, (alone, asked) in moment.decided.items()}
    assert sum(times.values()) == moment.step
    most = sorted(times.items(), key=lambda pair: -pair[1])
    return " · ".join(f"{rule} {count / moment.step:.0%}" for rule, count in most) or "nothing"


def test_all_keys_are_named_in_80_columns():
    assert len(f"the end, 0.5 steps/s · {KEYS}") <= 80


def test_ctrl_c_leaves_the_terminal_as_it_was_and_keeps_the_recording(trained, terminal, tmp_path):
    shown = terminal(trained, "--speed", 0.5, "--record", tmp_path / "game")
    shown.wait_for(r"step 1, ")
    os.kill(shown.process.pid, signal.SIGINT)
    shown.wait_for(r"moments in .*game.cast")
    assert shown.process.wait(timeout=20) == 0
    assert "Traceback" not in shown.text
    assert termios.tcgetattr(shown.theirs)[3] == shown.modes[3]


def test_a_recording_replays_in_a_terminal(recorded, terminal):
    shown = terminal(recorded, "--speed", 32)
    shown.wait_for(r"step 10, score")
    os.write(shown.ours, b"q")
    assert shown.process.wait(timeout=20) == 0


def test_a_recording_replays_without_a_terminal(trained, recorded):
    played = watch(trained, "--steps", 10)
    assert watch(recorded) == played[:11]
    assert played[11] == "what decided in 10 steps:"


def test_how_often_each_rule_decided_is_told_at_the_end(trained):
    lines = watch("rules", "--seed", 3, "--steps", 60)
    steps, told = lines[:60], lines[62:]
    assert lines[61] == "what decided in 60 steps:"
    rules = re.findall(r"rule (\w+)", "\n".join(steps))
    expected = Counter(rules) + Counter({"no rule": 60 - len(rules)})
    counts = [re.fullmatch(r" +(\d+) +(\d+)%  (.+)", line).groups() for line in told]
    assert {name: int(count) for count, _, name in counts} == expected
    assert [int(count) for count, _, _ in counts] == sorted(expected.values(), reverse=True)
    assert all(int(share) == round(100 * int(count) / 60) for count, share, _ in counts)
    assert len(expected) > 2


def test_the_recording_is_an_asciicast(recorded):
    header, *events = map(json.loads, recorded.read_text().splitlines())
    assert (header["version"], header["width"], header["height"]) == (2, 132, 40)
    times = [time for time, kind, _ in events if kind == "o"]
    assert len(times) == 11
    assert times == sorted(times)
    for _, kind, text in events:
        if kind == "o":
            lines = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", text).split("\r\n")
            assert len(lines) == 40
            assert {len(line) for line in lines} == {132}


def test_the_gif_moves_and_can_be_drawn_again(recorded, tmp_path):
    image = Image.open(recorded.with_suffix(".gif"))
    assert image.size == (132 * 7, 40 * 14)
    assert image.n_frames > 5  # equal moments become one longer frame
    first = np.asarray(image.convert("RGB")).astype(int)
    image.seek(image.n_frames - 1)
    last = np.asarray(image.convert("RGB")).astype(int)
    assert (first != last).any()
    assert (first.max(2) - first.min(2)).max() > 60, "no colours"
    watch(recorded, "--record", tmp_path / "again")
    again = Image.open(tmp_path / "again.gif")
    assert np.array_equal(np.asarray(again.convert("RGB")), first)


def test_the_watched_game_is_the_evaluated_one(trained):
    agent = find_agent(str(trained), None, greedy=False)
    game = WatchedGame(agent, 5, 1, Setting(60, CHARACTER))
    scores, chosen = [], []
    while game.advance():
        scores.append(game.moment.score)
        chosen.append(game.moment)
    length = game.moment.step
    game.close()
    played = play(agent, Games(2, 5, 60, CHARACTER), num_envs=2, num_workers=1)
    episode = played.episodes[1]
    assert (episode.length, episode.true_score) == (length, scores[-1])
    assert episode.ending == game.moment.ending
    assert episode.decided == game.moment.decided


def test_the_end_shows_the_last_screen_of_the_game(trained):
    agent = find_agent(str(trained), None, greedy=False)
    for seed in range(20):
        game = WatchedGame(agent, seed, 0, Setting(500, "tou-hum-neu-mal"))  # tourists die young
        while game.advance():
            assert b"Dlvl:" in game.moment.chars.tobytes()
        game.close()
        if game.moment.ending == "death":
            break
    assert game.moment.line(game.hypergraph).endswith("game over (death)")
    assert "game over: death" in frame(game.moment, game.hypergraph, "", SIZE)


def moments(agent, seed, steps):
    """The moments of a game before each of so many steps, while it lasts."""
    game = WatchedGame(agent, seed, 0, Setting(steps + 1, CHARACTER))
    seen = []
    while game.moment.action is not None and len(seen) < steps:
        seen.append(game.moment)
        game.advance()
    game.close()
    return seen


def test_a_moment_shows_what_the_choice_came_from(trained):
    agent = find_agent(str(trained), None, greedy=False)
    rules = agent.rules
    seen, asked = 0, []
    for moment in moments(agent, 3, 80):
        assert moment.probabilities.sum() == pytest.approx(1)
        assert moment.alpha.sum() == pytest.approx(1, abs=1e-5)
        assert moment.probabilities[moment.action] > 0 or not moment.asked
        says = "not asked: the rules carry on" in frame(moment, rules, "", SIZE)
        assert says != moment.asked
        assert ("(the rules carry on)" in moment.line(rules)) != moment.asked
        asked.append(moment.asked)
        for rule in moment.rules:
            operator = rules.operators[rule.number]
            conditions = {use.condition for use in operator.conditions}
            assert conditions <= set(moment.conditions)
            names = [rules.conditions[number].name for number in conditions]
            heard = [name for name, _ in rule.sources]
            assert len(set(heard)) == len(heard)
            about = {name for one in rule.instances for name in one.objects}
            proposed = {ACTIONS[action] for one in rule.instances for action in one.actions}
            assert set(heard) == {*names, *operator.effects, *about, *proposed, "the player"}
            assert sum(weight for _, weight in rule.sources) == pytest.approx(1, abs=1e-4)
            assert rule.instances
            for applied in rule.instances:
                assert len(applied.objects) == len(operator.variables)
        weights = [rule.weight for rule in moment.rules]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) < 1
        seen += len(weights)
    assert seen > 20
    assert 0 < np.mean(asked) < 0.5


def test_objects_have_names_and_the_winner_proposed_the_action():
    agent = find_agent("rules", None, greedy=False)
    named, about = set(), set()
    for moment in moments(agent, 3, 200):
        if moment.winner:
            rule, applied = moment.winner
            assert moment.action in applied.actions
            about.update(zip(agent.rules.operators[rule.number].variables, applied.objects))
        named.update(moment.objects)
        won = [one for rule in moment.rules for one in rule.instances if one.won]
        assert len(won) == (moment.winner is not None)
    kinds = {kind for kind, _ in about}
    assert len(kinds) > 1
    places = {name for kind, name in about if kind != "direction"}
    assert places and places <= named
    assert any(re.fullmatch(r"kitten, \d+ \w+( \d+ \w+)?", name) for name in named)
    assert any(re.fullmatch(r"frontier, \d+ steps?", name) for name in named)


def test_the_rules_alone_are_watched_as_they_are_evaluated():
    agent = find_agent("rules", None, greedy=False)
    game = WatchedGame(agent, 5, 1, Setting(60, CHARACTER))
    while game.advance():
        assert game.moment.action is None or game.moment.probabilities.sum() == pytest.approx(1)
    game.close()
    played = play(agent, Games(2, 5, 60, CHARACTER), num_envs=2, num_workers=1)
    episode = played.episodes[1]
    assert (episode.length, episode.true_score) == (game.moment.step, game.moment.score)
    assert "the rules alone play" in frame(moments(agent, 5, 3)[2], agent.rules, "", SIZE)


def test_a_network_without_the_graph_hears_no_rules(tmp_path, monkeypatch):
    flags = ["--results", tmp_path, "--exp-name", "deaf", "--episodes", 4, "--policy.no-graph"]
    tedg_train(monkeypatch, *flags, *SHORT)
    agent = find_agent(str(tmp_path / "deaf"), None, greedy=False)
    for moment in moments(agent, 3, 5):
        assert moment.rules == ()
        assert moment.winner is None
        assert moment.conditions


def texts_of(path):
    """What is written in a drawing."""
    comments = re.findall(r"<!-- (.*?) -->", path.read_text(), re.DOTALL)  # before a text's shapes
    return [html.unescape(comment) for comment in comments]


def test_the_graph_of_a_moment(trained, tmp_path):
    path = tmp_path / "graph.svg"
    lines = watch(trained, "--seed", 3, "--steps", 12, "--graph", path)
    assert lines[-1] == f"graph at step 12 in {path}"
    agent = find_agent(str(trained), None, greedy=False)
    moment, rules = moments(agent, 3, 13)[12], agent.rules
    texts = texts_of(path)
    assert moment.rules
    for rule in moment.rules:
        assert rules.operators[rule.number].name in texts
        assert any(f"attention {rule.weight:.0%}" in text for text in texts)
        for name, weight in rule.sources:
            assert name in texts
            assert f"{weight:.0%}" in texts
    assert any(text.startswith(f"Step 12: {ACTIONS[moment.action]} ") for text in texts)


def test_the_graph_shows_instances_and_their_objects(tmp_path):
    agent = find_agent("rules", None, greedy=False)
    busy = max(moments(agent, 3, 200), key=lambda m: sum(len(r.instances) for r in m.rules))
    path = tmp_path / "graph.svg"
    graph_picture(path, busy, agent.rules)
    texts = texts_of(path)
    for rule in busy.rules[:MOST_RULES]:
        for one in rule.instances[:MOST_INSTANCES]:
            assert set(one.objects) <= set(texts)
            line = f"{'; '.join(one.objects)} → ".lstrip()
            assert any(line in text for text in texts)
    assert sum(text.startswith("▶") for text in texts) == (busy.winner is not None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.pth"], "no checkpoint at nowhere.pth"),
        (["nowhere.cast"], "nowhere.cast cannot be read"),
        (["random"], "random has no rules to look into"),
        (["RUN", "--speed", "0"], "--speed is 0; it must lie in 0 … 50"),
        (["RUN", "--steps", "0"], "--steps is 0; it must be at least 1"),
        (["RUN", "--seed", "-1"], "--seed is -1; it must not be negative"),
        (["RUN", "--graph", "g.txt"], "its ending must be .svg, .pdf or .png"),
        (["RUN", "--record", "/no/such/game"], "/no/such is no folder to write game to"),
    ],
)
def test_bad_input_is_refused_in_one_line(trained, monkeypatch, capsys, arguments, words):
    arguments = [str(trained) if a == "RUN" else a for a in arguments]
    monkeypatch.setattr(sys, "argv", ["tedg-watch", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.watch()
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]


@pytest.mark.parametrize("content", ["", "{", '{"version": 2}\n[0, "o", "hello"]', "\x00\xff"])
def test_other_files_are_no_recordings(tmp_path, monkeypatch, capsys, content):
    path = tmp_path / "other.cast"
    path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["tedg-watch", str(path)])
    with pytest.raises(SystemExit) as stop:
        cli.watch()
    assert stop.value.code == 2
    assert "is no recording of tedg-watch" in capsys.readouterr().err


def test_names_of_actions_fit_their_column():
    assert max(map(len, ACTIONS)) <= 14
