"""``tedg-rules``: checking rule files, the vocabulary they may use, converting old ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tedg_fast.hypergraph.check import remarks
from tedg_fast.hypergraph.convert import convert
from tedg_fast.hypergraph.loader import load_hypergraph, nethack_vocabulary
from tedg_fast.hypergraph.schema import HypergraphError
from tedg_fast.hypergraph.vocabulary import page


@dataclass(frozen=True)
class Check:
    """Say what is wrong with a rule file, or how large it is and which rules are idle.

    For example:
      tedg-rules check my_rules.toml
    """

    file: Annotated[Path | None, tyro.conf.Positional] = None
    """The rule file; without one, the packaged rules."""

    def run(self) -> None:
        graph = load_hypergraph(self.file)
        for remark in remarks(graph):
            print(remark)
        print(
            f"{graph.name}: {graph.num_operators} rules, {graph.num_conditions} conditions,"
            f" {graph.num_effects} effects"
        )


@dataclass(frozen=True)
class Vocabulary:
    """Print everything that conditions may speak of, as a Markdown page.

    For example:
      tedg-rules vocabulary
      tedg-rules vocabulary > docs/vocabulary.md
    """

    def run(self) -> None:
        print(page(nethack_vocabulary()), end="")


@dataclass(frozen=True)
class Convert:
    """Turn a version-2 file of rules (JSON) into a version-3 one (TOML).

    For example:
      tedg-rules convert my_rules.json
      tedg-rules convert my_rules.json --to new.toml
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The version-2 file."""
    to: Path | None = None
    """The file to write, which must not exist yet; beside the old one if not given."""

    def run(self) -> None:
        text = convert(self.file)
        to = self.to or self.file.with_suffix(".toml")
        try:
            with to.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            problem = "exists already; name another with --to" if to.exists() else error.strerror
            raise HypergraphError(f"{to}: {problem}") from None
        graph = load_hypergraph(to)
        print(f"{to}: {graph.num_operators} rules, {graph.num_conditions} conditions")


Command = Check | Vocabulary | Convert
