"""The numbers on the pages, taken from the records: ``python bench/figures.py`` writes them in.

``FIGURES`` lists passages of the pages with a {} for each number, and which cell of a record's
tables the number is; ``TABLES`` lists pages that show whole tables. A test holds that the
pages say what the records do; after a new measurement this puts the new numbers in. A passage may
be broken over lines on its page.
"""

import re
import sys
from itertools import groupby
from typing import NamedTuple

from record import RESULTS

ROOT = RESULTS.parents[1]


class Cell(NamedTuple):
    """Of a record's first table that has the ``row`` and the ``column``."""

    record: str
    row: str
    column: str


class Missing(ValueError):
    """A passage or a cell that is not there; the message is one line."""


def _resume(row: str) -> Cell:
    return Cell("resume_100_to_500", row, "true score")


def _packaged(column: str) -> Cell:
    return Cell("rules_alone", "packaged, 2,000", column)


def _prayed(column: str) -> Cell:
    return Cell("rules_alone_prayer", "packaged_prayer, 2,000", column)


def _together(arm: str, column: str) -> Cell:
    return Cell("grids_together", arm, column)


def _beside(row: str, column: str) -> Cell:
    return Cell("throughput_beside_sample_factory", row, column)


def _speed(row: str, column: str = "steps/s") -> Cell:
    return Cell("throughput", row, column)


CHANCE = _resume("random over all 23 actions, 100 games")
FIRST = _resume("quick_manager 1–100")
WINDOWS = [_resume(f"resume_500_from_100 {n}01–{n + 1}00") for n in range(1, 5)]
RULES = _packaged("mean true score")
EARLIER = Cell("rules_alone", "version_2, 2,000", "mean true score")
UNRANKED = Cell("against_rules_unranked", "**all**", "trained")
GRID = Cell("ablation_unranked_phases", "full", "true score in these games")
TRAINING = _speed("training, games ready")

FIGURES: list[tuple[str, str, list[Cell]]] = [
    ("README.md", "| uniformly random actions | {} | 100 |", [CHANCE]),
    ("README.md", "| the package's earlier 303 rules, alone | {} | {} |",
     [EARLIER, EARLIER._replace(column="games")]),
    ("README.md", "| the packaged 45 rules, alone | {} | {} |", [RULES, _packaged("games")]),
    ("README.md", "| trained on these for 100 episodes | {} | 100 |", [FIRST]),
    ("README.md", "| trained on these for 500 episodes, the last hundred | {} | 100 |",
     [WINDOWS[3]]),
    ("README.md", "with an action to pray with "
     "([`--prayer`](docs/training.md#prayer-and-longer-games)) | {} | {} |",
     [_prayed("mean true score"), _prayed("games")]),
    ("README.md", "In games of 5,000 steps with prayer the rules alone reach {}.",
     [Cell("rules_alone_prayer", "packaged_prayer, 5,000", "mean true score")]),
    ("README.md", "reach {}, and {} of their games go on then.",
     [Cell("rules_alone_prayer", "careful_prayer, 5,000", column)
      for column in ("mean true score", "alive")]),
    ("README.md", "the final policies reach {}, with a frozen Manager {}",
     [_together("frozen-gat", column) for column in ("full", "true score")]),
    ("README.md", "over thirteen {}, and without its constraint {}.",
     [_together("no-manager", column) for column in ("full", "true score")]),
    ("README.md", "| the packaged rules without their priorities, alone | {} | {} |",
     [UNRANKED._replace(column="rules alone"), UNRANKED._replace(column="games")]),
    ("README.md", "| trained on those for 500 episodes, five runs | {} | 1,000 |", [GRID]),
    ("docs/tutorial.md", "after 100 episodes a true score of {}, in episodes 401 to 500 one of {}. "
     "The rules alone score {} and random actions {}.", [FIRST, WINDOWS[3], RULES, CHANCE]),
    ("docs/training.md", "a true score of {} in the first hundred episodes and {}, {}, {} and {} "
     "in the next four.", [FIRST, *WINDOWS]),
    ("docs/training.md", "The rules alone score [{}](../bench/results/rules_alone.md) and a "
     "uniformly random policy {}.", [RULES, CHANCE]),
    ("docs/training.md", "Uniformly random actions score {} by the first definition and {} by the "
     "second:", [CHANCE._replace(column="last-observation score"), CHANCE]),
    ("docs/throughput.md", "trains at {} environment steps a second. That is {} of what NLE alone "
     "reaches when it replays the keys of rule play on both cores ({})",
     [_beside("training, games ready", "steps/s"),
      _beside("training, games ready", "of NLE in rule play"),
      _beside("NLE alone, keys of rule play replayed on 2 cores", "steps/s")]),
    ("docs/throughput.md", "and {} times V3's own trainer on another machine ({})",
     [_beside("training, games ready", "times V3"), _beside("V3's own trainer", "steps/s")]),
    ("docs/throughput.md", "neither graph nor rules, reached {} steps a second, {} of NLE.",
     [_beside("Sample Factory's APPO", column) for column in ("steps/s", "of NLE in rule play")]),
    ("docs/throughput.md", "reached {} steps a second, {} of NLE there ({})",
     [TRAINING, TRAINING._replace(column="of NLE in rule play"),
      _speed("NLE alone, keys of rule play replayed on 2 cores")]),
    ("docs/throughput.md", "and rules](../bench/results/earlier_rules/throughput_v3.md) at {} "
     "steps a second",
     [Cell("earlier_rules/throughput_v3", "training, games ready", "steps/s")]),
    ("docs/throughput.md", "same losses, {} times slower",
     [Cell("earlier_rules/against_plain", "plain, graph for every sample", "ours is faster by")]),
]  # fmt: skip


TABLES: list[tuple[str, str, int]] = [
    ("docs/kernels.md", "kernels", 1),
    ("docs/training.md", "rules_alone_prayer", 1),
    ("docs/learning.md", "ablation_unranked_phases", 1),
    ("docs/learning.md", "ablation_unranked_phases", 2),
    ("docs/learning.md", "grids_together", 1),
    ("docs/learning.md", "grids_together", 2),
    ("docs/learning.md", "grids_together", 3),
]
"""Page, record, and the number of the record's table that stands there, between two comments."""


def recorded_table(record: str, number: int) -> str:
    """A table of the record, counted from 1, its lines as they are. Raises ``Missing``."""
    lines = (RESULTS / f"{record}.md").read_text(encoding="utf-8").splitlines()
    runs = groupby(lines, key=lambda line: line.startswith("|"))
    tables = ["\n".join(run) for is_table, run in runs if is_table]
    if len(tables) < number:
        raise Missing(f"bench/results/{record}.md has no table {number}")
    return tables[number - 1]


def with_tables(page: str, text: str) -> str:
    """The ``text`` of a page with the tables that it shows. Raises ``Missing``."""
    for name, record, number in TABLES:
        if name != page:
            continue
        begin = f"<!-- table {number} of bench/results/{record}.md -->\n"
        end = "<!-- end -->"
        if text.count(begin) != 1 or end not in text.partition(begin)[2]:
            raise Missing(f"{page} does not have once: {begin.strip()} … {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{recorded_table(record, number)}\n{end}{rest.partition(end)[2]}"
    return text


def cell(wanted: Cell) -> str:
    """A cell as the pages write it. ``row`` is what a row begins with, its cells joined by commas.

    Raises ``Missing``.
    """
    names: list[str] = []
    for line in (RESULTS / f"{wanted.record}.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            names = []
            continue
        cells = [text.strip() for text in line.strip("|").split("|")]
        names = names or cells
        if wanted.column in names and f"{', '.join(cells)},".startswith(f"{wanted.row},"):
            return _as_written(cells[names.index(wanted.column)])
    raise Missing(f"bench/results/{wanted.record}.md has no {wanted.column!r} of {wanted.row!r}")


def _as_written(text: str) -> str:
    """With commas at the thousands, no decimals from 100 on (of the first number), and " %"."""
    numbers = [float(number.replace(",", "")) for number in re.findall(r"[\d,.]*\d", text)]
    decimals = re.findall(r"\d(?:\.(\d+))?(?!\d)", text)
    digits = 0 if numbers[0] >= 100 else max(map(len, decimals))
    shown = " ± ".join(f"{number:,.{digits}f}" for number in numbers)
    return f"{shown} %" if text.endswith("%") else shown


NUMBER = r"[\d,.]*\d(?: ± [\d,.]*\d)?(?: %)?"


def with_figures(page: str, text: str) -> str:
    """The ``text`` of a page with its numbers as the records have them. Raises ``Missing``."""
    text = with_tables(page, text)
    for name, passage, cells in FIGURES:
        if name != page:
            continue
        # The page's own line breaks stay where they are.
        parts = [r"\s+".join(map(re.escape, part.split(" "))) for part in passage.split("{}")]
        pattern = f"({f'){NUMBER}('.join(parts)})"
        if len(re.findall(pattern, text)) != 1:
            raise Missing(f"{page} does not have once: {passage}")
        values = iter(map(cell, cells))
        text = re.sub(
            pattern,
            lambda found: "".join(group + next(values, "") for group in found.groups()),
            text,
        )
    return text


def main() -> None:
    for page in sorted({page for page, *_ in [*FIGURES, *TABLES]}):
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        new = with_figures(page, text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{page}: new numbers")


if __name__ == "__main__":
    try:
        main()
    except Missing as error:
        sys.exit(f"bench/figures.py: {error}")
