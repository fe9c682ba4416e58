"""The example of the language's page loads, and its error is what the page shows."""

import re
from pathlib import Path

import pytest

from tedg_fast.hypergraph import HypergraphError, limits, load_hypergraph
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.rules.review import Review

PAGE = (Path(load_hypergraph.__code__.co_filename).parent / "README.md").read_text()
EXAMPLE = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_example(tmp_path):
    path = tmp_path / "my_rules.toml"
    path.write_text(EXAMPLE)
    graph = load_hypergraph(path)
    assert [rule.name for rule in graph.operators] == ["attack", "back_off", "descend"]
    assert Review(graph, nethack_vocabulary()).remarks() == []


def test_the_error(tmp_path):
    path = tmp_path / "my_rules.toml"
    path.write_text(EXAMPLE.replace('["m.hostile"', '["m.hostil"'))
    with pytest.raises(HypergraphError) as caught:
        load_hypergraph(path)
    assert str(caught.value).replace(str(path), "my_rules.toml") in PAGE


def test_the_limits():
    assert f"at most {limits.MAX_FILE_BYTES // 2**20} MiB and {limits.MAX_RULES:,} rules" in PAGE
    assert f"at most {limits.MAX_CHARACTERS:,} characters and {limits.MAX_PARTS} parts" in PAGE
    assert "from {} to {}: among rules".format(*limits.PRIORITIES) in PAGE
