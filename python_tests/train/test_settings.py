"""Settings travel with a run: its rules, its file of settings; flags that fight are refused."""

import json
import shutil
from importlib import resources

import pytest
from command import SHORT, refused, run, tedg_train
from run_results import log_of

from tedg_fast import cli, machine
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.runs import checkpoint
from tedg_fast.runs.config import ConfigError, PPOConfig, TrainConfig
from tedg_fast.runs.config_file import as_toml, read_config
from tedg_fast.runs.limits import plain
from tedg_fast.train.flags import ineffective_flags
from tedg_fast.train.memory import check_memory, needed_memory

PACKAGED = resources.files("tedg_fast.hypergraph") / "data" / "nethack.toml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 3 episodes by rules of its own, of another character → its folder, its rules."""
    results = tmp_path_factory.mktemp("results")
    rules = results / "mine.toml"
    rules.write_text(PACKAGED.read_text())
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(
            patch, "--results", results, "--exp-name", "run", "--episodes", 3, *SHORT,
            "--hypergraph", rules, "--character", "val-dwa-law-fem",
        )  # fmt: skip
    return results / "run", rules


def test_a_run_keeps_its_rules_and_settings(trained):
    folder, rules = trained
    assert (folder / "rules.toml").read_text() == rules.read_text()
    assert load_hypergraph(folder / "rules.toml").digest == load_hypergraph(rules).digest
    state = checkpoint.load(folder / "checkpoints" / "model_final.pth")
    assert state["hypergraph"]["files"] == {"rules.toml": rules.read_text()}
    config = read_config(folder / "config.toml")
    assert config.character == "val-dwa-law-fem" and config.max_steps == 40
    assert as_toml(config) == (folder / "config.toml").read_text()


@pytest.mark.parametrize("change", ["gone", "another"])
def test_rules_that_moved_or_changed_do_not_orphan_a_run(
    trained, tmp_path, monkeypatch, capsys, change
):
    folder, rules = tmp_path / "run", trained[1]
    shutil.copytree(trained[0], folder)
    kept = rules.read_text()
    try:
        rules.unlink()
        if change == "another":
            rules.write_text(kept.replace("priority = ", "priority = 0.5 #", 1))
        tedg_train(monkeypatch, "--resume", folder, "--episodes", 5)
        words = capsys.readouterr().out
        assert f"as kept in {folder}" in words
        assert ("are others by now" in words) == (change == "another")
        assert not [e for e in log_of(folder)["events"] if "not bit for bit" in e["message"]]
        if change == "another":
            line = refused(
                monkeypatch, capsys, "--resume", folder, "--episodes", 7, "--hypergraph", rules
            )
            assert "are not: leave out --hypergraph, or begin a new run" in line
    finally:
        rules.write_text(kept)


def test_evaluation_plays_the_games_of_training(trained, tmp_path, monkeypatch, capsys):
    few = ["--episodes", 2, "--num-envs", 2, "--num-workers", 1]
    run(monkeypatch, cli.eval_, trained[0], "random", *few)
    said = capsys.readouterr()
    assert "2 games of at most 40 steps as val-dwa-law-fem" in said.out
    assert "unlike" not in said.err
    assert "as kept in" in said.err
    assert f"random plays by chance, the games that {trained[0]} was trained in" in said.err
    run(monkeypatch, cli.eval_, trained[0], *few, "--max-steps", 30)
    said = capsys.readouterr()
    assert "unlike in its training with max_steps 30" in said.err
    assert "2 games of at most 30 steps" in said.out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--policy.router", "advice", "--no-manager"], "--no-manager leaves out"),
        (["--policy.router", "advice", "--policy.no-graph"], "--policy.no-graph leaves out"),
        (["--policy.router", "advised", "--no-manager"], "say --policy.router learned"),
        (["--freeze-gat", "--policy.no-graph"], "--policy.no-graph leaves it out"),
        (["--resume", "results/x", "--config", "CONFIG"], "leave out one"),
        (["--config", "nowhere.toml"], "--config nowhere.toml cannot be read"),
        (["--margin", "-1"], "--margin is -1.0; it must lie in 0 … 1,000"),
        (["--decide", "never"], "invalid choice 'never'"),
        (["--frobnicate"], "Unrecognized options: --frobnicate"),
        (["--episods", "3"], "Unrecognized options: --episods, 3; did you mean --episodes?"),
        (["--episodes", "many"], "invalid literal"),
        (["--episodes", "2000000000"], "it must lie in 1 … 1,000,000,000"),
        (["--num-envs", "4096", "--ppo.rollout-decisions", "1024", "--max-steps", "1000000"],
         "GB are free"),
    ],
)  # fmt: skip
def test_refused_in_one_line(trained, tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.setattr(machine, "_left", lambda group: 2e9)
    flags = [str(trained[0] / "config.toml") if flag == "CONFIG" else flag for flag in flags]
    assert words in refused(monkeypatch, capsys, "--results", tmp_path, *flags)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ppo.gama = 1", "ppo.gama is no setting"),
        ("episdes = 1", "episdes is no setting (did you mean episodes?)"),
        ("episodes = 'many'", "episodes"),
        ("warmup = 3", "expected a table, [warmup]"),
        ("= 3", "is no TOML"),
        ("resume = 'x'", "resume is no setting"),
    ],
)
def test_a_bad_file_of_settings(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="(?s).*") as error:
        read_config(path)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_settings_may_be_short_and_say_whole_numbers(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("episodes = 7\n[warmup]\ntemperature = [2, 1]\ngamma = 1\n")
    config = read_config(path)
    assert (config.episodes, config.warmup.temperature, config.warmup.gamma) == (7, (2.0, 1.0), 1.0)
    assert config.ppo == TrainConfig().ppo


def test_resume_auto_begins_and_goes_on(trained, tmp_path, monkeypatch, capsys):
    flags = ["--resume", "auto", "--results", tmp_path, "--exp-name", "job"]
    config = ["--config", trained[0] / "config.toml"]
    tedg_train(monkeypatch, *flags, *config, "--episodes", 2)
    assert "a new run" in capsys.readouterr().out
    tedg_train(monkeypatch, *flags, *config, "--episodes", 4)
    assert "going on from" in capsys.readouterr().out
    log = log_of(tmp_path / "job")
    assert log["episodes"]["number"] == list(range(4))
    assert log["config"]["character"] == "val-dwa-law-fem"


def test_no_graph_has_nothing_to_align_with():
    config = TrainConfig(policy=TrainConfig().policy.__class__(graph=False))
    assert config.settings_at(0).alignment_coef == 0.0 < TrainConfig().settings_at(0).alignment_coef
    assert any(
        "nothing for a router to align with" in remark for remark in ineffective_flags(config)
    )


def test_flags_without_effect_are_said():
    phase = TrainConfig().transition
    other = type(phase)(**{**vars(phase), "gamma": 0.5})
    remarks = "; ".join(ineffective_flags(TrainConfig(transition=other, ppo=PPOConfig())))
    assert "--transition.… have no effect: warmup is the last phase reached" in remarks
    assert ineffective_flags(TrainConfig()) == []
    always = ineffective_flags(TrainConfig(decide="always", margin=TrainConfig.margin + 1))
    assert any("--margin has no effect with --decide always" in remark for remark in always)


def test_numbers_are_plain():
    assert [plain(n) for n in (1, 10**9, 0.001, float("inf"))] == [
        "1",
        "1,000,000,000",
        "0.001",
        "inf",
    ]


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000",
                                "cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, 8),
        ("", {}, 8),
    ],
)  # fmt: skip
def test_quotas_count(tmp_path, monkeypatch, group, files, cores):
    own = tmp_path / "own"
    own.write_text(group)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_OWN", own)
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert machine.cores() == cores


def test_memory_is_needed_by_games_rollouts_and_workers(monkeypatch):
    rules = load_hypergraph()
    small = needed_memory(TrainConfig(num_workers=2), rules)
    assert 300e6 < small < 1.5e9
    assert needed_memory(TrainConfig(num_workers=2, num_envs=2048), rules) > 3 * small
    monkeypatch.setattr("tedg_fast.train.memory.free_memory", lambda: 1e8)
    with pytest.raises(ConfigError, match="GB of memory and 0.1 GB are free"):
        check_memory(TrainConfig(), rules)


def test_a_run_with_prayer_goes_on_and_is_evaluated_with_it(tmp_path, monkeypatch, capsys):
    tedg_train(
        monkeypatch, "--results", tmp_path, "--exp-name", "devout", "--episodes", 3, *SHORT,
        "--prayer",
    )  # fmt: skip
    folder = tmp_path / "devout"
    tedg_train(monkeypatch, "--resume", folder, "--episodes", 5)
    assert read_config(folder / "config.toml").prayer
    out = tmp_path / "out.json"
    run(monkeypatch, cli.eval_, folder, "rules", "--episodes", 3, "--out", out)
    assert "3 games of at most 40 steps as mon-hum-neu-mal with prayer" in capsys.readouterr().out
    agents = json.loads(out.read_text())["agents"].values()
    assert all(entry["games"]["prayer"] for entry in agents)
