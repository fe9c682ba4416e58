"""``tedg-rules``: check rule files, list the vocabulary, explain a moment of a game, convert.

PyTorch takes seconds to import, so no file that is only checked has to wait for it.
"""

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated

import tyro

from tedg_fast.arguments import parsed_command
from tedg_fast.errors import BadInput
from tedg_fast.hypergraph import HypergraphError, load_hypergraph
from tedg_fast.hypergraph.convert import convert
from tedg_fast.hypergraph.loader import nethack_vocabulary
from tedg_fast.hypergraph.names import hint
from tedg_fast.hypergraph.vocabulary import page
from tedg_fast.rules.checking import report

_MOST_STEPS = 1_000_000


class RulesError(BadInput):
    """Input that cannot be used; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Say what is wrong with rule files: errors, each in one line with exit code 2; then warnings
    about rules that can never apply or never decide; and a summary of the file.

    For example:
      tedg-rules check my.toml
      tedg-rules check rules/*.toml
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Rule files."""

    def run(self) -> None:
        if not self.files:
            raise RulesError("no file given; write tedg-rules check my.toml")
        failed = False
        for path in self.files:
            try:
                _print(report(path))
            except HypergraphError as error:
                print(f"tedg-rules: {error}", file=sys.stderr)
                failed = True
        if failed:
            sys.exit(2)


@dataclasses.dataclass(frozen=True)
class Copy:
    """Write a copy of the packaged rules, to begin a file of your own with.

    For example:
      tedg-rules copy my.toml
      tedg-rules copy - | less
    """

    to: Annotated[Path, tyro.conf.Positional]
    """The new file; - prints it."""

    def run(self) -> None:
        text = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.toml").read_text()
        _write(text, self.to)
        if str(self.to) != "-":
            print(f"{self.to}: the packaged rules; now edit it, then: tedg-rules check {self.to}")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """List what a condition may speak of: every kind of thing and its attributes.

    For example:
      tedg-rules vocabulary
      tedg-rules vocabulary monster direction
      tedg-rules vocabulary --markdown > vocabulary.md
    """

    kinds: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Only these kinds, with all words of their attributes."""
    markdown: bool = False
    """The page in Markdown."""

    def run(self) -> None:
        from tedg_fast.rules.listing import listing

        vocabulary = nethack_vocabulary()
        for kind in self.kinds:
            if kind not in vocabulary.kind:
                known = tuple(vocabulary.kind)
                raise RulesError(f"unknown kind '{kind}'{hint(kind, known)}")
        if self.markdown:
            kinds = [k for k in vocabulary.kinds if not self.kinds or k.name in self.kinds]
            _print(page(dataclasses.replace(vocabulary, kinds=tuple(kinds))).splitlines())
        else:
            _print(listing(vocabulary, self.kinds))


@dataclasses.dataclass(frozen=True)
class Explain:
    """Play a game by the rules alone to some step, and explain that moment: the map, what the
    player knows, which rules applied to what and why, which one decided, and which nearly applied.

    It is the game that tedg-eval plays: the seed and number of a game give the same one.

    For example:
      tedg-rules explain --seed 3 --step 200
      tedg-rules explain my.toml --seed 3 --step 200 --rule attack
      tedg-rules explain my.toml --until attack
      tedg-rules explain my.toml --seed 3 --step 40 --character val-hum-law-fem
    """

    file: Annotated[Path | None, tyro.conf.Positional] = None
    """Rule file; the packaged rules if not given."""
    seed: int = 0
    """Seed of the games, as in tedg-eval."""
    game: int = 0
    """Number of the game under that seed."""
    step: int = 0
    """How many steps to play before the moment."""
    character: str = "mon-hum-neu-mal"
    """NetHack role-race-alignment-gender."""
    prayer: bool = False
    """Play with an action to pray with."""
    max_steps: int = 2000
    """Steps after which a game is cut off."""
    rule: str | None = None
    """Say only why this rule applied or did not."""
    until: str | None = None
    """Play on from there, one game after the other, until this rule decides, and explain that
    moment."""
    all: bool = False
    """Show every near miss."""

    def run(self) -> None:
        from tedg_fast.rules.explaining import Moment, explained

        self._check()
        rules = load_hypergraph(self.file)
        names = [operator.name for operator in rules.operators]
        for name in (self.rule, self.until):
            if name is not None and name not in names:
                raise RulesError(f"there is no rule '{name}'{hint(name, names)}")
        moment = Moment(
            self.seed, self.game, self.step, self.character, self.prayer, self.max_steps
        )
        _print(explained(rules, moment, self.rule, self.until, self.all))

    def _check(self) -> None:
        from tedg_fast.nethack.games.character import unplayable

        for name, most in (("seed", 2**32 - 1), ("game", 2**31), ("max_steps", _MOST_STEPS)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise RulesError(
                    f"--{name.replace('_', '-')} is {value}; it must lie in 0 … {most}"
                )
        if not 0 <= self.step < self.max_steps:
            raise RulesError(
                f"--step is {self.step}; it must lie in 0 … {self.max_steps - 1}: games end "
                f"after --max-steps {self.max_steps}"
            )
        if problem := unplayable(self.character):
            raise RulesError(f"--{problem}")


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn a version-2 file (JSON) into the language of today (TOML).

    For example:
      tedg-rules convert old.json
      tedg-rules convert old.json -o new.toml
    """

    file: Annotated[Path, tyro.conf.Positional]
    """A version-2 file."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The new file, beside the old one if not given; - prints it."""

    def run(self) -> None:
        text = convert(self.file)
        output = self.output or self.file.with_suffix(".toml")
        _write(text, output)
        if str(output) != "-":
            print(f"{output}: converted; now: tedg-rules check {output}")


_COMMANDS = {
    "check": Check, "copy": Copy, "vocabulary": Vocabulary, "explain": Explain, "convert": Convert,
}  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """``tedg-rules``."""
    description = (
        "Work with files of rules; docs/writing_rules.md tells how to write one.\n\n"
        "For example:\n  tedg-rules copy my.toml\n  tedg-rules check my.toml\n"
        "  tedg-rules explain my.toml --seed 3 --step 200"
    )
    parsed_command(_COMMANDS, arguments, "tedg-rules", description).run()


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _write(text: str, to: Path) -> None:
    """Writes a new file, or prints; no existing file is overwritten."""
    if str(to) == "-":
        print(text, end="")
        return
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RulesError(f"{to} exists already; name another file") from None
    except OSError as error:
        raise RulesError(f"{to} cannot be written ({error.strerror})") from None
