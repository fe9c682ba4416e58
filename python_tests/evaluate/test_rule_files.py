"""Rule files as agents, each by its own rules, and which rules decided."""

import json
from importlib import resources

import pytest
from command import SHORT, refused, run, tedg_train
from small_rules import rule, written

from tedg_fast import cli
from tedg_fast.evaluate.agents import find_agents
from tedg_fast.evaluate.deciding import MOST_ROWS, show_decided
from tedg_fast.legacy.hypergraph import STRUCTURE_FILE
from tedg_fast.nethack.facts.grounder import BY_NO_RULE

FEW = ["--episodes", 4, "--max-steps", 60, "--num-envs", 2, "--seed", 4]


def file_of(folder, name, *rules):
    """A rule file in a folder of its own."""
    (folder / name).mkdir()
    return written(folder / name, *rules)


@pytest.fixture
def searching(tmp_path):
    """Always searches, by one rule; another one never applies."""
    rules = [
        rule("look", "search", ["me.max_hp > 0"], priority=2),
        rule("idle", "search", ["me.max_hp < 0"]),
    ]
    return file_of(tmp_path, "searching", *rules)


@pytest.fixture
def packaged(tmp_path):
    """The packaged rules in a file."""
    data = resources.files("tedg_fast.hypergraph") / "data" / "nethack.toml"
    path = tmp_path / "packaged.toml"
    path.write_text(data.read_text())
    return path


def evaluated(monkeypatch, tmp_path, *arguments):
    """What ``tedg-eval`` writes."""
    run(monkeypatch, cli.eval_, *arguments, *FEW, "--out", tmp_path / "out.json")
    return json.loads((tmp_path / "out.json").read_text())


def test_each_file_plays_by_its_own_rules(searching, packaged, tmp_path, monkeypatch, capsys):
    record = evaluated(monkeypatch, tmp_path, "rules", packaged, searching)
    rules, same, other = record["agents"].values()
    assert rules["episodes"] == same["episodes"] != other["episodes"]
    by_pair = {(c["agent"], c["other"]): c for c in record["comparisons"]}
    assert by_pair["rules", str(packaged)]["mean"] == 0
    difference = by_pair["rules", str(searching)]
    scores = zip(rules["episodes"]["true_score"], other["episodes"]["true_score"])
    assert difference["games"] == 4
    assert difference["mean"] == pytest.approx(sum(a - b for a, b in scores) / 4)
    for entry in (rules, same, other):
        steps = sum(sum(counts) for counts in entry["decided"].values())
        assert steps == sum(entry["episodes"]["length"])
    assert sum(other["decided"]["look"]) == sum(other["episodes"]["length"])
    assert list(other["decided"]) == ["look", "idle", BY_NO_RULE]
    shown = capsys.readouterr().out.splitlines()
    table = shown[shown.index("Share of the steps that each rule decided (–: not in the file)") :]
    assert table[4] == "| look | – | – | 100.0% |"
    assert sum(line.startswith("| ") for line in table) == 2 + MOST_ROWS
    assert any(" more rules: " in line and "are not in every file" in line for line in table)


def test_beside_a_checkpoint_a_file_keeps_its_rules(searching, packaged, tmp_path, monkeypatch):
    tedg_train(
        monkeypatch, "--results", tmp_path, "--exp-name", "short", "--episodes", 4, *SHORT
    )  # fmt: skip
    names = [str(tmp_path / "short"), "rules", str(searching), "random"]
    trained, rules, own, _ = find_agents(names, str(packaged), greedy=False)
    assert trained.rules.digest == rules.rules.digest != own.rules.digest
    assert trained.games == own.games and own.games.max_steps == 40
    decided = [
        entry["decided"] for entry in evaluated(monkeypatch, tmp_path, *names)["agents"].values()
    ]
    assert list(decided[0]) == list(decided[1]) and decided[3] is None


def test_what_is_not_possible_is_said_in_one_line(searching, tmp_path, monkeypatch, capsys):
    def line(*arguments):
        return refused(monkeypatch, capsys, *arguments, entry=cli.eval_)

    assert "is for none of" in line(searching, "--hypergraph", "other.toml")
    assert "none.toml: cannot read the rule file" in line("random", tmp_path / "none.toml")
    v3 = tmp_path / "v3"
    v3.mkdir()
    (v3 / STRUCTURE_FILE).touch()
    assert "V3's hypergraph, whose rules name no actions" in line(v3)


def test_the_table_tells_first_what_differs(capsys):
    both = {f"r{i:02}": (0, 10) for i in range(30)} | {"spare": (0, 0), BY_NO_RULE: (0, 0)}
    show_decided({"a": both | {"r07": (0, 0)}, "b": both | {"new": (0, 0), "r03": (5, 15)}})
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in shown[4:8]] == ["| new", "| r07", "| r03", "| r00"]
    assert shown[4:6] == ["| new | – | never |", "| r07 | never | 3.2% |"]
    assert shown[-2] == "17 more rules: 1 never decided; --out has them all"
    show_decided({"a": {"one": (9999, 0), "two": (1, 0), BY_NO_RULE: (0, 0)}})
    shown = capsys.readouterr().out.splitlines()
    assert shown[4:] == ["| one | 100.0% |", "| two | < 0.1% |", ""]
