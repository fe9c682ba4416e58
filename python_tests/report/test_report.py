"""Reports on real runs: their numbers, and what they say of unfinished and damaged folders."""

import fcntl
import json
import math
import os
import re
import shutil
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from v3_files import real_files

from tedg_fast import cli
from tedg_fast.report.arms import arms_of, compare, compare_with_beginning
from tedg_fast.report.command import not_compared, tables_of, verdicts_of
from tedg_fast.report.lineage import whole_course
from tedg_fast.report.statistics import student_t
from tedg_fast.runs.log import load_run


def tedg_report(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["tedg-report", *map(str, arguments)])
    cli.report()


def raw(folder):
    return json.loads((folder / "logs" / "training_log.json").read_text())


def cells(markdown, beginning):
    """The cells of the table row that begins so."""
    rows = [line for line in markdown.splitlines() if line.startswith(f"| {beginning}")]
    assert rows, f"no row {beginning!r} in\n{markdown}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


@pytest.fixture(scope="module")
def reported(runs, tmp_path_factory):
    """tables.md of the two seeds and the other run."""
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        known = [runs / "one-0", runs / "one-1", runs / "other"]
        tedg_report(patch, *known, "--earlier", "--out", out)
    return (out / "tables.md").read_text()


def test_means_and_intervals_of_one_run_are_those_of_its_raw_log(runs, reported):
    log = raw(runs / "other")
    n = len(log["episodes"]["true_score"])
    updates = {name: np.array(values) for name, values in log["updates"].items()}
    ended = updates["completed"] > 0  # updates before any episode say nothing of one
    entropy, norm = updates["alpha_entropy"][ended], updates["grad_norm"][ended]
    row = cells(reported, "other, episodes")
    assert row[0] == f"other, episodes 1–{n}"
    for cell, name in ((row[1], "last_observation_score"), (row[2], "true_score")):
        scores = np.array(log["episodes"][name])
        half = student_t(0.95, n - 1) * scores.std(ddof=1) / math.sqrt(n)
        assert cell == f"{scores.mean():.1f} ± {half:.1f}"
    assert row[3] == f"{entropy.mean():.4f}"
    row = cells(reported.split("## Depth")[1], "other, episodes")
    assert row[1].startswith(f"{np.mean(log['episodes']['depth']):.2f} ± ")
    assert row[3] == f"{np.mean([e == 'death' for e in log['episodes']['ending']]):.0%}"
    assert row[4] == f"{norm.mean():.2f}"


def test_intervals_of_several_runs_are_over_their_seeds(runs, reported):
    scores = [raw(runs / name)["episodes"]["true_score"] for name in ("one-0", "one-1")]
    n = min(map(len, scores))
    means = [np.mean(part[:n]) for part in scores]
    half = student_t(0.95, 1) * np.std(means, ddof=1) / math.sqrt(2)
    row = cells(reported, "one (2 seeds), episodes")
    assert row[0] == f"one (2 seeds), episodes 1–{n}"
    assert row[2] == f"{np.mean(means):.1f} ± {half:.1f}"


def test_first_against_last_episodes(runs, reported):
    scores = raw(runs / "other")["episodes"]["true_score"]
    half = len(scores) // 2
    row = cells(reported, "other: mean true score")
    assert row[1:3] == [f"@{half}", f"@{len(scores)}"]
    assert row[3].split(" ± ")[0] == f"{np.mean(scores[:half]):.1f}"
    assert row[4].split(" ± ")[0] == f"{np.mean(scores[-half:]):.1f}"


def test_how_often_each_rule_decided(runs, reported):
    log = raw(runs / "other")
    steps, asked = Counter(), Counter()
    for decided, length in zip(log["episodes"]["decided"], log["episodes"]["length"], strict=True):
        assert sum(map(sum, decided.values())) == length
        for rule, (alone, decisions) in decided.items():
            steps[rule] += alone + decisions
            asked[rule] += decisions
    table = reported.split("## Which rules decided")[1].split("\n## ")[0]
    header = cells(table, "rule ")
    place = header.index("other: share of steps")
    assert header[place + 1 : place + 3] == ["other: steps a game", "other: share of decisions"]
    shown = 0
    for rule, count in steps.items():
        row = cells(table, f"{rule} |")
        games = len(log["episodes"]["length"])
        assert row[place] == f"{count / steps.total():.1%}"
        assert row[place + 1] == f"{count / games:.1f}"
        assert row[place + 2] == f"{asked[rule] / asked.total():.1%}"
        shown += 1
    assert shown > 3


def test_earlier_runs_and_random_play_stand_beside_ours(reported):
    assert cells(reported, "old, warmup @1000 ep")[1:] == ["7.53", "–", "1.3853"]
    assert cells(reported, "old, fine-tune @5000 ep")[1:] == ["15.46", "–", "0.6928"]
    assert cells(reported, "V3 again, episodes 100–499")[2] == "26.8 ± 3.2"
    assert "| random policy" not in reported, "of 2,000 steps, ours have 40"
    assert re.search(r"Remark: not compared with playing at random, .*: .*\bother; ", reported)


def test_what_differs_is_shown_and_named_and_unlike_games_are_not_compared(made_up):
    runs = [
        made_up("monk", [1.0, 2.0]), made_up("valk", [9.0, 9.5], character="val-dwa-law-fem"),
        made_up("masked", [1.0, 2.0], mask=False),
    ]  # fmt: skip
    arms = arms_of(runs)
    assert [arm.name for arm in arms] == [
        "monk, character mon-hum-neu-mal", "valk, character val-dwa-law-fem",
        "masked, character mon-hum-neu-mal",
    ]  # fmt: skip
    sentences = " ".join(verdict.sentence for verdict in verdicts_of(arms, runs))
    assert "masked, character mon-hum-neu-mal from monk" in sentences
    assert "valk" not in sentences and "random" in sentences
    remarks = " ".join(not_compared(arms))
    assert "character val-dwa-law-fem against mon-hum-neu-mal" in remarks
    text = "\n".join(table.markdown() for table in tables_of(runs, arms, []))
    assert cells(text, "character")[1:] == ["mon-hum-neu-mal", "val-dwa-law-fem", "mon-hum-neu-mal"]
    assert cells(text, "mask |")[1:] == ["True", "True", "False"]
    assert "| seed" not in text and "old, warmup" not in text
    assert cells(text, "random policy (recorded)")[1:3] == ["14.3", "27.1"]


def test_a_run_is_shown_with_the_one_it_went_on_from(runs):
    onwards = load_run(runs / "onwards")
    first = onwards.first_episode
    assert first >= 6
    for known in ([onwards], [onwards, load_run(runs / "other")]):
        course = whole_course(onwards, known)
        own = raw(runs / "onwards")["episodes"]["true_score"]
        before = raw(runs / "other")["episodes"]["true_score"][:first]
        assert course.episodes["true_score"].tolist() == before + own
        assert course.first_episode == 0
        completed = course.updates["completed"]
        assert (np.diff(completed) >= 0).all()
        assert len(course.phases) == len(completed)
        assert len(course.endings) == len(before + own)


def scored(name, scores, seed=0, **config):
    """The log of a run with made-up scores."""
    settings = {"seed": seed, "episodes": len(scores), "max_steps": 2000, "mask": True}
    settings |= {"character": "mon-hum-neu-mal"} | config
    return {
        "format": "tedg-training-log", "first_episode": 0, "parent": None, "events": [],
        "config": settings | {"exp_name": name, "num_experts": 4, "save_every": 100}
        | {phase: {"episodes": 1000} for phase in ("warmup", "transition", "fine_tune")},
        "episodes": {"true_score": scores, "last_observation_score": scores},
        "updates": {},
    }  # fmt: skip


@pytest.fixture
def made_up(tmp_path):
    """Write a log with the given scores and load it."""

    def load(name, scores, **config):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(scored(name, scores, **config)))
        return load_run(path)

    return load


def test_sentences_claim_what_the_interval_supports(made_up):
    rng = np.random.default_rng(1)
    base = made_up("base", rng.normal(50, 10, 100).tolist())
    good = made_up("good", rng.normal(60, 10, 100).tolist(), mask=False)
    same = made_up("same", rng.normal(50.5, 10, 100).tolist(), max_steps=300)
    single = [arms_of([run])[0] for run in (base, good, same)]
    assert compare(single[1], single[0]).sentence.startswith("good scores better than base: +")
    assert compare(single[0], single[1]).sentence.startswith("base scores worse than good: −")
    assert "other seeds may give another result" in compare(single[1], single[0]).sentence
    verdict = compare(single[2], single[0])
    assert verdict.sentence.startswith("Cannot tell same from base: ")
    assert "unlike games, of 300 and 2000 steps at most" in verdict.sentence


def test_what_training_added_is_said(made_up):
    rng = np.random.default_rng(2)
    first, last = rng.normal(20, 5, 100), rng.normal(40, 5, 100)
    learnt = made_up("learnt", [*first, *rng.normal(30, 5, 50), *last])
    verdict = compare_with_beginning(arms_of([learnt])[0])
    assert verdict.sentence.startswith(
        "learnt's end (episodes 151–250) scores better than its beginning (episodes 1–100): +"
    )
    assert verdict.difference == pytest.approx(last.mean() - first.mean())
    still = made_up("still", rng.normal(30, 5, 90).tolist())
    verdict = compare_with_beginning(arms_of([still])[0])
    assert verdict.sentence.startswith("Cannot tell still's end (episodes 46–90) from its begin")
    assert compare_with_beginning(arms_of([made_up("short", [1.0, 2.0, 3.0])])[0]) is None


def test_seeds_are_paired_and_needed_on_both_sides(made_up):
    runs = [made_up(f"a-{s}", [10.0 * s, 10.0 * s + 2], seed=s) for s in range(3)]
    runs += [made_up(f"b-{s}", [10.0 * s - 5, 10.0 * s - 3], seed=s, mask=False) for s in range(3)]
    runs += [made_up("c", [90.0, 91.0], num_envs=3)]
    arms = arms_of(runs)
    assert [arm.name for arm in arms] == ["a (3 seeds)", "b (3 seeds)", "c"]
    verdict = compare(arms[1], arms[0])
    assert (verdict.difference, verdict.half_width) == (pytest.approx(-5), pytest.approx(0))
    assert verdict.answer == "worse"
    assert "over 3 pairs of equal seeds" in verdict.sentence
    verdict = compare(arms[2], arms[0])
    assert verdict.answer == "cannot tell"
    assert "one has several seeds, the other one run" in verdict.sentence
    assert "±" not in verdict.sentence


def test_the_same_seed_again_is_no_second_seed(made_up):
    runs = [made_up("a", [1.0, 2.0], seed=4), made_up("b", [3.0, 4.0], seed=4)]
    assert [arm.name for arm in arms_of(runs)] == ["a", "b"]


def test_v3_as_an_earlier_run(runs):
    v3, ours = load_run(real_files() / "training_log.json"), load_run(runs / "other")
    assert v3.scores("last_observation_score", 100).mean() == pytest.approx(13.84, abs=0.01)
    assert v3.signal("alpha_entropy", 100) == pytest.approx(1.385, abs=1e-3)
    arms = arms_of([ours, v3])
    text = "\n".join(
        t.markdown() for t in tables_of([ours, v3], arms, verdicts_of(arms, [ours, v3]))
    )
    row = cells(text, "V3 (legacy_v3), episodes 401–500")
    assert row[2] == "–"
    assert "last-observation score (0 after a death)" in compare(arms[0], arms[1]).sentence


def test_running_and_unfinished_runs_say_so(runs, tmp_path):
    folder = shutil.copytree(runs / "other", tmp_path / "other")
    log = raw(folder)
    log["config"]["episodes"] = 500
    (folder / "logs" / "training_log.json").write_text(json.dumps(log))
    count = len(log["episodes"]["number"])
    assert load_run(folder).remarks == [f"stopped after {count} of 500 episodes"]
    lock = os.open(folder / "checkpoints", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert load_run(folder).remarks == [f"still running: {count} of 500 episodes"]
    os.close(lock)


@pytest.mark.parametrize("damage", ["cut", "missing", "ragged"])
def test_a_damaged_log_is_replaced_by_a_checkpoints(runs, tmp_path, damage):
    folder = shutil.copytree(runs / "other", tmp_path / "other")
    log = folder / "logs" / "training_log.json"
    episodes = raw(folder)["episodes"]["true_score"]
    if damage == "cut":
        log.write_bytes(log.read_bytes()[:500])
    elif damage == "missing":
        log.unlink()
    else:
        record = raw(folder)
        del record["episodes"]["depth"][3]
        log.write_text(json.dumps(record))
    run = load_run(folder)
    assert run.episodes["true_score"].tolist() == episodes
    assert "its series are those of model_" in run.remarks[0]


def test_what_cannot_be_read_is_left_out_with_a_remark(runs, tmp_path, monkeypatch, capsys):
    hopeless = tmp_path / "hopeless"
    (hopeless / "logs").mkdir(parents=True)
    (hopeless / "logs" / "training_log.json").write_text("{")
    tedg_report(monkeypatch, runs / "other", hopeless, "--out", tmp_path / "out")
    remark = "left out: " + str(hopeless / "logs" / "training_log.json")
    assert remark in capsys.readouterr().out
    assert remark in (tmp_path / "out" / "report.html").read_text()


def test_a_run_named_twice_is_shown_once(short_runs, tmp_path, monkeypatch):
    one, two = short_runs / "one", short_runs / "two"
    tedg_report(monkeypatch, one, two, two / ".." / "one", "--out", tmp_path / "out")
    text = (tmp_path / "out" / "tables.md").read_text()
    rows = text.split("## Scores")[1].split("##")[0].splitlines()
    assert sum(line.startswith("| one, episodes 1–1 ") for line in rows) == 1
    assert sum(line.startswith("| two, episodes 1–2 ") for line in rows) == 1


@pytest.mark.parametrize("name", ["one", "two"])
def test_runs_of_one_or_two_episodes(short_runs, tmp_path, monkeypatch, capsys, name):
    """What cannot be known of so few is left out, and nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tedg_report(monkeypatch, short_runs / name, "--out", tmp_path / "out")
    text = (tmp_path / "out" / "tables.md").read_text() + capsys.readouterr().out
    for words in ("nan", "inf ", "## From the first", "## Differences"):
        assert words not in text, text
    scores = raw(short_runs / name)["episodes"]["true_score"]
    assert cells(text, f"{name}, episodes 1–")[2].split(" ± ")[0] == f"{np.mean(scores):.1f}"


def test_a_run_without_episodes(runs, tmp_path, monkeypatch):
    folder = shutil.copytree(runs / "other", tmp_path / "young")
    log = raw(folder) | {"episodes": {}, "updates": {}, "events": []}
    (folder / "logs" / "training_log.json").write_text(json.dumps(log))
    tedg_report(monkeypatch, folder, "--out", tmp_path / "out")
    assert "no episode has ended yet" in (tmp_path / "out" / "tables.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no run given"),
        (["nowhere"], "no run at nowhere: give a run folder"),
        (["/dev/null"], "no run at /dev/null"),
    ],
)
def test_bad_input_is_refused_in_one_line(monkeypatch, capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        tedg_report(monkeypatch, *arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
