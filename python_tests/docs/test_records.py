"""The records are listed, and the pages' numbers and pictures are theirs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import figures
import index
import pytest
import record

from tedg_fast.arguments import parsed
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.runs.config import TrainConfig, flat_settings, to_dict

ROOT = Path(__file__).parents[2]
PAGES = sorted({page for page, *_ in [*figures.FIGURES, *figures.TABLES]})


@pytest.mark.parametrize("page", PAGES)
def test_the_numbers_on_the_page_are_those_of_the_records(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.with_figures(page, text) == text, "run: python bench/figures.py"


def test_a_number_that_is_no_records_is_replaced():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chance = figures.cell(figures.CHANCE)
    assert text.count(chance) == 1
    assert figures.with_figures("README.md", text.replace(chance, "77 ± 2")) == text
    with pytest.raises(figures.Missing, match="does not have once: .*uniformly random"):
        figures.with_figures("README.md", text.replace("uniformly random actions", "chance"))


def test_a_table_that_is_no_records_is_replaced():
    text = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    table = figures.recorded_table("kernels", 1)
    assert text.count(table) == 1
    assert figures.with_figures("docs/kernels.md", text.replace(table, "| 99 |")) == text
    with pytest.raises(figures.Missing, match="does not have once: <!-- table 1"):
        figures.with_figures("docs/kernels.md", text.replace("<!-- end -->", ""))
    with pytest.raises(figures.Missing, match="kernels.md has no table 99"):
        figures.recorded_table("kernels", 99)


def test_cells_are_found_and_written_as_on_the_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    rows = [["a", "1", "1234.5 ± 99.6"], ["a", "2", "17.54%"], ["ab", "3", "0.30"]]
    lines = [*record.table(["x", "n", "y"], rows), "", *record.table(["x", "z"], [["a", "7"]])]
    (tmp_path / "some.md").write_text("\n".join(lines))
    found = [("a, 1", "y"), ("a, 2", "y"), ("ab", "y"), ("a", "z")]
    cells = [figures.cell(figures.Cell("some", *place)) for place in found]
    assert cells == ["1,234 ± 100", "17.54 %", "0.30", "7"]
    with pytest.raises(figures.Missing, match="some.md has no 'z' of 'ab'"):
        figures.cell(figures.Cell("some", "ab", "z"))


def test_all_records_are_listed():
    assert index.PAGE.read_text(encoding="utf-8") == index.page(), "run: python bench/index.py"


@pytest.mark.parametrize(
    ("name", "head", "lacking"),
    [
        ("speed.md", "# Speed\n\n- date: 2026-01-01\n- commit: abc\n\ntext", "- command: …"),
        ("speed.md", "# Speed\n\ntext", "a record begins with"),
        ("2026-speed.md", "# S\n\n- date: d\n- commit: c\n- command: `x`\n\n", "by its subject"),
        ("speed.md", "# S\n\n- date: d\n- commit: c-dirty\n- command: `x`\n\n", "no commit holds"),
    ],
)
def test_incomplete_records_are_refused(name, head, lacking, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "RESULTS", tmp_path)
    (tmp_path / name).write_text(head)
    with pytest.raises(index.Incomplete, match=lacking):
        index.page()


def test_a_record_names_its_command_and_needs_a_commit(tmp_path, monkeypatch, capsys):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    place = tmp_path / "repository"
    (place / "bench" / "results").mkdir(parents=True)
    (place / "bench" / "record.py").write_text((ROOT / "bench" / "record.py").read_text())
    (place / "bench" / "speed.py").write_text(
        "import record\n"
        "lines = [line for line in record.header((), ours=False) if 'machine' not in line]\n"
        "record.write('speed', ['# Speed', '', *lines, ''], {})\n"
    )

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
        return done.stdout + done.stderr

    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    run(*git, "init", "-q")
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "begin")
    speed = (sys.executable, "bench/speed.py", "--steps", "5")
    assert "written to" in run(*speed)
    written = (place / "bench" / "results" / "speed.md").read_text()
    assert "- command: `python bench/speed.py --steps 5`\n" in written
    assert "written to" in run(*speed), "a record that was not there before is no change"
    run(*git, "add", ".")
    assert "written to" in run(*speed)
    with (place / "bench" / "speed.py").open("a") as file:
        file.write("# more\n")
    (place / "bench" / "results" / "speed.md").unlink()
    said = run(*speed)
    assert "will be shown, not recorded" in said and "# Speed" in said
    assert not (place / "bench" / "results" / "speed.md").exists()


def test_a_record_names_the_command_that_made_a_run(short_runs):
    run = short_runs / "two"
    program, *flags = record.training_command(run).split()
    assert program == "tedg-train" and "--num-workers" not in flags
    made = flat_settings(json.loads((run / "logs" / "training_log.json").read_text())["config"])
    named = flat_settings(json.loads(json.dumps(to_dict(parsed(TrainConfig, flags, program)))))
    for name in ("results", "num_workers"):
        assert made.pop(name) and named.pop(name)
    assert named == made
    assert f"- command: `{' '.join([program, *flags])}`" in record.header(runs=[run])


def test_the_pictured_agent_plays_by_the_packaged_rules():
    about = json.loads((record.RESULTS / "pictures.json").read_text())
    assert about["rules"] == load_hypergraph().digest, f"draw them anew: {about['command']}"
