"""What ``tedg-rules check`` says of one file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tedg_fast.hypergraph import Hypergraph, load_hypergraph
from tedg_fast.hypergraph.document import Document
from tedg_fast.hypergraph.limits import MAX_PROGRAM, MAX_RULES
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.nethack.facts.observation import INSTANCES, OBJECTS
from tedg_fast.rules.review import Review


def report(path: Path) -> Iterator[str]:
    """Warnings with their lines, then a summary. Raises HypergraphError at once for a file that
    cannot be loaded."""
    rules = load_hypergraph(path)
    return _lines(path, rules)


def _lines(path: Path, rules: Hypergraph) -> Iterator[str]:
    document = Document(path, str(path))
    remarks = Review(rules, nethack_vocabulary()).remarks()
    for remark in remarks:
        line = document.lines.of(f"rule[{remark.rule}]", "name")
        name = rules.operators[remark.rule].name
        yield f"{path}:{line}: warning: rule '{name}' {remark.text}"
    named: Any = document.content.get("conditions", {})
    lengths = [len(condition.code) for condition in rules.conditions]
    yield (
        f"{path}: {rules.num_operators} rules (at most {MAX_RULES}), {rules.num_conditions}"
        f" conditions, {len(named)} named expressions, {rules.num_effects} effects; the longest"
        f" condition takes {max(lengths)} of {MAX_PROGRAM} instructions, all together {sum(lengths)};"
        f" a state has at most {INSTANCES} instances of rules and an observation {OBJECTS} objects;"
        f" {len(remarks) or 'no'} warning{'' if len(remarks) == 1 else 's'}"
    )
