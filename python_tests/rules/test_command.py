"""``tedg-rules`` as a person calls it."""

import re
import subprocess
import sys
import tomllib
from functools import partial
from importlib import resources
from pathlib import Path

import command
import pytest
from small_rules import rule, written

from tedg_fast import cli
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.rules.command import main

OLD = Path(__file__).parents[1] / "hypergraph" / "nethack_version_2.json"


@pytest.fixture
def refused(monkeypatch, capsys):
    """The one line with which bad input is answered."""
    return partial(command.refused, monkeypatch, capsys, entry=cli.rules)


def said(capsys, *arguments):
    """The lines that are printed."""
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out.splitlines()


def test_a_good_file_is_summed_up(tmp_path, capsys):
    path = written(tmp_path, rule("a", "search", ["me.blind"]), rule("b", "eat", ["hurt"]),
                   conditions='hurt = "me.hp < 0.5 * me.max_hp"')  # fmt: skip
    (line,) = said(capsys, "check", path)
    assert line.startswith(f"{path}: 2 rules (at most 4096), 3 conditions, 1 named expressions, ")
    assert "the longest condition takes 5 of 512 instructions" in line
    assert line.endswith("; no warnings")


def test_warnings_name_the_line(tmp_path, capsys):
    path = written(tmp_path, rule("a", "search", ["me.blind", "not me.blind"]))
    number = 1 + path.read_text().splitlines().index("name = 'a'")
    warning, summary = said(capsys, "check", path)
    assert warning == (
        f"{path}:{number}: warning: rule 'a' can never apply: 'me.blind' and 'not me.blind'"
        " exclude each other"
    )
    assert summary.endswith("; 1 warning")


def test_several_files_are_checked_and_errors_end_with_code_2(tmp_path, capsys):
    good = written(tmp_path, rule("a", "search", ["me.blind"]))
    bad = tmp_path / "bad.toml"
    bad.write_text(good.read_text().replace("me.blind", "me.blnd"))
    with pytest.raises(SystemExit) as ended:
        main(["check", str(bad), str(good)])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{good}: 1 rules")
    assert len(shown.err.splitlines()) == 1
    assert "unknown attribute 'blnd' of me; did you mean 'blind'?" in shown.err


def test_a_copy_is_the_packaged_file(tmp_path, capsys, refused):
    path = tmp_path / "my.toml"
    (line,) = said(capsys, "copy", path)
    assert line.endswith(f"tedg-rules check {path}")
    packaged = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.toml")
    assert path.read_bytes() == packaged.read_bytes()
    assert load_hypergraph(path).digest == load_hypergraph().digest
    assert refused("copy", path).endswith("exists already; name another file")
    assert "\n".join(said(capsys, "copy", "-")) + "\n" == packaged.read_text()


def test_the_vocabulary_names_everything(capsys):
    text = "\n".join(said(capsys, "vocabulary"))
    for kind in nethack_vocabulary().kinds:
        section = re.search(rf"^{kind.name}: .*?(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL)
        for attribute in kind.attributes:
            assert re.search(rf"^  {attribute.name} +{attribute.type} ", section[0], re.MULTILINE)
    assert "purple worm" not in text
    chosen = said(capsys, "vocabulary", "monster")
    assert "purple worm," in " ".join(" ".join(chosen).split())
    assert not any(line.startswith("item:") for line in chosen)
    markdown = said(capsys, "vocabulary", "--markdown", "direction")
    assert markdown[0] == "# Vocabulary" and "## direction" in markdown
    assert "## me" not in markdown


def test_old_files_are_converted(tmp_path, capsys, refused):
    old = tmp_path / "old.json"
    old.write_bytes(OLD.read_bytes())
    assert refused("check", old) == (
        f"tedg-rules: {old}: is a version-2 file; convert it with `tedg-rules convert {old}`"
    )
    (line,) = said(capsys, "convert", old)
    new = tmp_path / "old.toml"
    assert line == f"{new}: converted; now: tedg-rules check {new}"
    assert load_hypergraph(new).num_operators == 161
    said(capsys, "convert", old, "-o", tmp_path / "other.toml")
    assert (tmp_path / "other.toml").read_text() == new.read_text()
    assert tomllib.loads("\n".join(said(capsys, "convert", old, "-o", "-")))["version"] == 3
    assert refused("convert", old).endswith("exists already; name another file")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "no file given; write tedg-rules check my.toml"),
        (["check", "/nowhere.toml"], "/nowhere.toml: cannot read the rule file"),
        (["copy", "/nowhere/my.toml"], "/nowhere/my.toml cannot be written (No such file"),
        (["vocabulary", "monstr"], "unknown kind 'monstr'; did you mean 'monster'?"),
        (["explain", "/nowhere.toml"], "/nowhere.toml: cannot read the rule file"),
        (["explain", "--step", "-1"], "--step is -1; it must lie in 0 … 1999"),
        (["explain", "--seed", "-3"], "--seed is -3; it must lie in 0 … "),
        (["explain", "--character", "val-hum-neu-mal"], "--character is 'val-hum-neu-mal'; "),
        (["explain", "--rule", "atack"], "there is no rule 'atack'; did you mean 'attack'?"),
        (["explain", "--until", "atack"], "there is no rule 'atack'; did you mean 'attack'?"),
        (["convert", "/nowhere.json"], "/nowhere.json: cannot read the file"),
        (["check", "my.toml", "--strict"], "Unrecognized options: --strict"),
        (["chek", "my.toml"], "; see tedg-rules --help"),
        ([], "Expected one of {check, copy, vocabulary, explain, convert}"),
    ],
)
def test_bad_input_is_one_line(arguments, words, refused):
    line = refused(*arguments)
    assert line.startswith("tedg-rules: ") and words in line


def test_every_command_gives_examples(capsys):
    for name in ("check", "copy", "vocabulary", "explain", "convert"):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"  tedg-rules {name}" in capsys.readouterr().out


def test_checking_needs_no_torch():
    code = "import sys; from tedg_fast.cli import rules; rules();assert 'torch' not in sys.modules"
    path = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.toml")
    subprocess.run(
        [sys.executable, "-c", code, "check", str(path)], check=True, stdout=subprocess.DEVNULL
    )


def test_the_entry_point_is_installed():
    root = Path(__file__).parents[2]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["tedg-rules"] == "tedg_fast.cli:rules"
