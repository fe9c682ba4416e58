"""The commands and the Python on the pages run; of those that take long the page says how long."""

import glob
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from command import SHORT, tedg_train
from page_commands import ENTRIES, ROOT, blocks, commands, run_briefly

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_A_TEST_OF_ITS_OWN = ROOT / "docs" / "writing_rules.md"
SAYS_HOW_LONG = re.compile(r"#.*\b(minutes?|hours?)\b")
RUN = re.compile(r"results/([\w*-]+)")

EVERY = {
    shlex.join(shlex.split(command, comments=True)): pytest.param(
        command, id=f"{page.stem}: {command[:50]}"
    )
    for page in reversed(PAGES)
    for command in commands(page)
    if page != WITH_A_TEST_OF_ITS_OWN
}
"""Those that several pages show are run once."""
OURS = {text for text in EVERY if Path(text.split()[0]).name in ENTRIES}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run's folder."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tedg_train(patch, "--exp-name", "quick_manager", "--episodes", 4, *SHORT)
        run_briefly(patch, "tedg-rules copy my.toml")
    run = folder / "results" / "quick_manager"
    shutil.copy(run / "checkpoints" / "model_final.pth", run / "checkpoints" / "model_00100.pth")
    return folder


@pytest.mark.parametrize("command", [EVERY[text] for text in EVERY if text in OURS])
def test_the_command_runs(command, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = trained / "results" / "quick_manager"
    if "tedg-rules copy" not in command:
        shutil.copy(trained / "my.toml", tmp_path)
    for name in RUN.findall(command):  # whatever run the page speaks of
        shutil.copytree(run, tmp_path / "results" / name.replace("*", "1"), dirs_exist_ok=True)
    words = [
        found
        for word in shlex.split(command, comments=True)
        for found in (sorted(glob.glob(word)) if "*" in word else [word])
    ]
    run_briefly(monkeypatch, shlex.join(words))
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", [EVERY[text] for text in EVERY if text not in OURS])
def test_what_no_test_runs_says_how_long_it_takes(command):
    if command not in (". .venv/bin/activate", "python -m tedg_fast.info"):
        assert SAYS_HOW_LONG.search(command), f"add a comment with minutes or hours: {command}"


def test_the_kernels_example_on_the_front_page():
    (code,) = blocks(ROOT / "README.md", "python")
    names = {}
    exec(code, names)
    assert names["out"].shape == (2708, 64)
    torch.testing.assert_close(names["shares"].sum(1), torch.ones(2708))
    assert names["layer"].lin.weight.grad.abs().sum() > 0


def test_the_program_on_the_page_about_training(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    (code,) = blocks(ROOT / "docs" / "training.md", "python")
    assert "range(1000)" in code
    exec(code.replace("range(1000)", "range(50)"), {})
    assert re.match(r"0 \d+", capsys.readouterr().out), "the first game ended, with its score"


def test_the_examples_on_the_page_about_layers():
    geometric = pytest.importorskip("torch_geometric.data")
    graphs = [
        geometric.Data(torch.randn(n, 1433), torch.randint(n, (2, 3 * n))) for n in (3, 5) * 20
    ]
    data = geometric.Batch.from_data_list(graphs)
    x, edge_index = data.x, data.edge_index
    names = {"torch": torch, "data": data, "x": x, "edge_index": edge_index, "num_nodes": len(x)}
    for code in blocks(ROOT / "docs" / "gat_layers.md", "python"):
        exec(code, names)
    assert names["mean"].shape == (32, 64)
