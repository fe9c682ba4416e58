"""The arrows between the rooms of the package, read from its source: they go one way."""

import ast
import graphlib
from pathlib import Path

import pytest

import tedg_fast

PACKAGE = Path(tedg_fast.__file__).parent
ARROWS = {
    "hypergraph": set(),
    "nethack": {"hypergraph"},
    "ops": set(),
    "nn": {"ops"},
    "policy": {"hypergraph", "nethack", "ops"},
    "legacy": {"hypergraph", "nethack", "ops", "policy"},
    "runs": {"hypergraph", "legacy", "nethack", "policy"},
    "train": {"hypergraph", "nethack", "ops", "policy", "runs"},
    "report": {"runs"},
    "evaluate": {"hypergraph", "legacy", "nethack", "policy", "report", "runs"},
    "rules": {"hypergraph", "nethack"},
    "watch": {"evaluate", "hypergraph", "nethack", "policy", "report", "rules", "runs"},
    # Modules beside the rooms; those not named here import from none.
    "info": {"ops"},
    "loading": {"evaluate", "hypergraph", "nethack"},
}
"""What each room may import from."""
WHEN_ASKED = {("hypergraph", "nethack")}
"""Imports inside a function only: the facts that rules may name, when a rule file is loaded."""


def imported(path):
    """The modules of the package that a file imports, each with whether it does so at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: name the module in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("tedg_fast."):
                yield name, node in tree.body


def room_of(path):
    """The room that a file is in, or the module's name where it lies beside the rooms."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_every_room_has_its_arrows_and_none_run_in_a_circle():
    assert set(ARROWS) - ROOMS == {"info", "loading"}
    assert ROOMS <= set(ARROWS)
    tuple(graphlib.TopologicalSorter(ARROWS).static_order())  # raises CycleError


@pytest.mark.parametrize("room", sorted({room_of(path) for path in PACKAGE.rglob("*.py")}))
def test_imports_follow_the_arrows(room):
    files = [path for path in PACKAGE.rglob("*.py") if room_of(path) == room]
    wrong = []
    for path in files:
        for name, at_the_top in imported(path):
            other = name.split(".")[1]
            if other not in ROOMS or other == room or other in ARROWS.get(room, ()):
                continue
            if at_the_top or (room, other) not in WHEN_ASKED:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong
