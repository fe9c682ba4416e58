"""``tedg-report``: from run folders to a page and tables."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track

from tedg_fast.arguments import parsed
from tedg_fast.errors import BadInput
from tedg_fast.files import write_whole
from tedg_fast.report.arms import (
    Arm,
    Verdict,
    arms_of,
    as_recorded,
    compare,
    compare_recorded,
    compare_with_beginning,
    unlike_games,
)
from tedg_fast.report.earlier import (
    RANDOM_ALL,
    RANDOM_ALLOWED,
    RECORDED_CHARACTER,
    RECORDED_STEPS,
    V3_AGAIN,
)
from tedg_fast.report.figures import Picture, pictures
from tedg_fast.report.lineage import whole_course
from tedg_fast.report.page import page
from tedg_fast.report.ranks import ranks_tables
from tedg_fast.report.rules import rules_tables
from tedg_fast.report.style import styled
from tedg_fast.report.tables import (
    Table,
    change_table,
    outcome_table,
    scores_table,
    settings_tables,
    verdict_table,
    warmup_table,
)
from tedg_fast.runs.log import LogError, Run, load_run


class ReportError(BadInput):
    """A report that cannot be made; the message is one line: what is wrong, what to do."""


@dataclass(frozen=True)
class ReportConfig:
    """Tables and figures of one or several runs: report.html, which opens offline, and tables.md.

    Runs that differ in their seed only are taken together, with intervals over the seeds; the
    others are compared with the first.

    For example:
      tedg-report results/quick_manager
      tedg-report results/manager-* results/baseline-* --out comparison
      tedg-report results/quick_manager v3/training_log.json
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or training_log.json files of ours or of V3's."""
    earlier: bool = False
    """Show the runs that were recorded before tedg_fast, and compare with them."""
    out: Path = Path("report")
    """Folder to write to."""


def main(arguments: Sequence[str]) -> None:
    """``tedg-report``."""
    report(parsed(ReportConfig, arguments, "tedg-report"))


def report(config: ReportConfig) -> None:
    """Write the report and print where it is. Raises ``ReportError``."""
    if not config.runs:
        raise ReportError("no run given: name run folders, as in tedg-report results/quick_manager")
    runs, remarks = load_runs(config.runs)
    arms = arms_of(runs)
    remarks += not_compared(arms)
    verdicts = verdicts_of(arms, runs, config.earlier)
    tables = tables_of(runs, arms, verdicts, config.earlier)
    with styled():
        drawn = draw(arms)
        title = ", ".join(arm.name for arm in arms)
        text = page(title, runs, verdicts, tables, drawn, remarks)
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        write_whole(config.out / "report.html", text.encode())
        write_whole(config.out / "tables.md", markdown(verdicts, tables, remarks).encode())
    except OSError as error:
        raise ReportError(f"{config.out} cannot be written to: {error.strerror}") from None
    for remark in remarks:
        print(f"remark: {remark}")
    for verdict in verdicts:
        print(verdict.sentence)
    print(f"report in {config.out / 'report.html'}, tables in {config.out / 'tables.md'}")


def load_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Every run that can be read, each once, and what is to be said of all.

    Raises ``ReportError`` if none can be read.
    """
    runs, remarks = [], []
    for path in _with_progress({path.resolve(): path for path in paths}.values(), "reading runs"):
        try:
            run = load_run(path)
        except LogError as error:
            remarks.append(f"left out: {error}")
            continue
        runs.append(run)
        remarks += [f"{run.name}: {remark}" for remark in run.remarks]
    if not runs:
        raise ReportError("; ".join(remarks))
    return runs, remarks


def not_compared(arms: Sequence[Arm]) -> list[str]:
    """What is left out, as unlike games would be compared."""
    remarks = [
        f"{arm.name} is not compared with {arms[0].name}: {', '.join(unlike)}"
        for arm in arms
        if (unlike := unlike_games(arm, arms[0]))
    ]
    if others := ", ".join(arm.name for arm in arms if not as_recorded(arm)):
        remarks.append(
            f"not compared with playing at random, which was recorded as {RECORDED_CHARACTER} in "
            f"games of {RECORDED_STEPS} steps: {others}; tedg-eval FOLDER random does it"
        )
    return remarks


def verdicts_of(arms: Sequence[Arm], runs: Sequence[Run], earlier: bool = False) -> list[Verdict]:
    """Every arm against the first, and each against its own beginning (or that of the runs it went
    on from), against playing at random and, if ``earlier`` runs are asked for, against V3."""
    verdicts = [compare(arm, arms[0]) for arm in arms[1:] if not unlike_games(arm, arms[0])]
    for arm in arms:
        course = Arm(tuple(whole_course(run, runs) for run in arm.runs))
        change = compare_with_beginning(course)
        verdicts += [] if change is None else [change]
        if as_recorded(arm):
            verdicts.append(compare_recorded(arm, RANDOM_ALL))
        if arm.is_v3 or not as_recorded(arm):
            continue
        if arm.runs[0].config["mask"]:  # the mask alone is worth much
            verdicts.append(compare_recorded(arm, RANDOM_ALLOWED))
        if earlier:
            verdicts.append(compare_recorded(arm, V3_AGAIN))
    return verdicts


def tables_of(
    runs: Sequence[Run], arms: Sequence[Arm], verdicts: Sequence[Verdict], earlier: bool = False
) -> list[Table]:
    """All tables that have a row, in the order in which they are shown."""
    tables = [
        scores_table(arms, earlier),
        *settings_tables(arms),
        verdict_table(verdicts),
        change_table([whole_course(run, runs) for run in runs]),
        *([warmup_table(arms)] if earlier else []),
        outcome_table(arms),
        *rules_tables(arms),
        *ranks_tables(runs),
    ]
    return [table for table in tables if table.rows]


def draw(arms: Sequence[Arm]) -> list[Picture]:
    """Every figure that the arms have data for; call inside ``styled()``."""
    drawn = [call() for call in _with_progress(pictures(arms), "drawing")]
    return [picture for picture in drawn if picture is not None]


def markdown(verdicts: Sequence[Verdict], tables: Sequence[Table], remarks: Sequence[str]) -> str:
    """The report's text and tables."""
    lines = [f"- {verdict.sentence}" for verdict in verdicts]
    lines += [f"- Remark: {remark}" for remark in remarks]
    return "\n".join(lines) + "\n\n" + "\n".join(table.markdown() for table in tables)


def _with_progress(items: Collection, words: str):
    return track(items, words, console=Console(stderr=True), transient=True)
