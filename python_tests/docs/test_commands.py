"""The commands and the Python on the pages run; of those that take long the page says how long."""

import glob
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from command import SHORT, tedg_train
from page_commands import ENTRIES, FENCED, ROOT, blocks, commands, hidden, run_briefly

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("csrc/cuda", "tedg_fast/hypergraph")),
]
WITH_A_TEST_OF_ITS_OWN = ROOT / "docs" / "writing_rules.md"
LABELS = {"", "sh", "{toctree}", "{eval-rst}"}
"""A block's label: output or a sketch, commands, Sphinx."""
WITH_PROGRAMS = {
    ROOT / name
    for name in ("README.md", "docs/training.md", "docs/gat_layers.md", "docs/kernels.md")
}
"""Pages whose Python the tests below run."""
SAYS_HOW_LONG = re.compile(r"#.*\b(minutes?|hours?)\b")
RUN = re.compile(r"results/([\w*-]+)")
RULES = re.compile(r"\w+\.toml")

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
    return folder


@pytest.mark.parametrize("command", [EVERY[text] for text in EVERY if text in OURS])
def test_the_command_runs(command, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = trained / "results" / "quick_manager"
    if "tedg-rules copy" not in command:
        for name in RULES.findall(command):
            shutil.copy(trained / "my.toml", tmp_path / name)
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_code_on_the_page_escapes(page):
    text = page.read_text(encoding="utf-8")
    assert not hidden(text), "write commands into a ```sh block, where they are run or marked"
    labels = {label for label, _ in FENCED.findall(text)} - LABELS
    if page != WITH_A_TEST_OF_ITS_OWN:
        allowed = {"python"} if page in WITH_PROGRAMS else set()
        assert labels <= allowed, "no test runs code of this kind"


@pytest.mark.parametrize(
    "text",
    ["a\n\n    tedg-train\n", "- a\n\n  ```sh\n  tedg-train\n  ```\n", "~~~sh\ntedg-train\n~~~\n",
     "```\n.venv/bin/tedg-train --help\n```\n", "```\nA=1 python a.py\n```\n", "```\n$ ls\n```\n"],
)  # fmt: skip
def test_hidden_commands_are_found(text):
    assert hidden(text)
    assert not hidden("a\n\n```sh\ntedg-train\n```\n\n```\npip-like output\n```\n")


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


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


def test_the_mixture_on_the_page_about_kernels():
    (code,) = blocks(ROOT / "docs" / "kernels.md", "python")
    names = {}
    exec(code, names)
    assert names["alpha"].shape == (256, 4)
    assert names["logits"].shape == (256, 10)
    for part in (names["router"], *names["experts"]):
        assert all(parameter.grad.abs().sum() > 0 for parameter in part.parameters())
