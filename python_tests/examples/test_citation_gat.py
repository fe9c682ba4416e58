"""The example runs as README's readers run it, small."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch_geometric")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "citation_gat.py"


def test_both_layers_learn_the_topics_alike():
    small = ["--papers", "700", "--vocabulary", "200", "--epochs", "40", "--seeds", "1"]
    done = subprocess.run(
        [sys.executable, EXAMPLE, *small], capture_output=True, text=True, check=True
    )
    header, *rows = done.stdout.splitlines()
    assert header.split()[:2] == ["layer", "accuracy"]
    accuracy = {}
    for row in rows:
        layer, *numbers = row.split()
        accuracy[layer], milliseconds, mebibytes = map(float, numbers)
        assert milliseconds > 0 and mebibytes > 0
    assert set(accuracy) == {"torch_geometric", "tedg_fast"}
    assert min(accuracy.values()) > 2 / 7, "twice as good as guessing"
    assert abs(accuracy["torch_geometric"] - accuracy["tedg_fast"]) < 0.1
