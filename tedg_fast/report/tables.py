"""The tables of a report, as Markdown and HTML."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tedg_fast.report.arms import WINDOW, Arm, Verdict, as_recorded
from tedg_fast.report.earlier import EARLIER_RUNS, OLD_WARMUP, RANDOM_POLICIES, Earlier
from tedg_fast.report.statistics import difference_interval, mean_interval
from tedg_fast.runs.config import WITHOUT_EFFECT, flat_settings
from tedg_fast.runs.log import Run

NOT_KNOWN = "–"
_CHARACTER, _PADDING = 0.58, 1.4
"""Widths in rem of a character and of a cell's margins on the page."""
_FIRST_COLUMN = 28
"""Characters of a row's name in a line."""


@dataclass(frozen=True)
class Table:
    """A titled table of cells that are ready to be read; the first column names the rows."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        cells = (self.header, ("---",) * len(self.header), *self.rows)
        lines = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in cells]
        return f"## {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"

    @property
    def fold(self) -> int:
        """Width in rem, a little more than is needed, below which the page folds the table: every
        row becomes a block of named cells."""
        width = _PADDING * len(self.header) + _CHARACTER * _FIRST_COLUMN
        for name, *cells in list(zip(self.header, *self.rows))[1:]:
            words = name.split() + cells
            width += _CHARACTER * max(map(len, words))
        return math.ceil(width)

    def html(self) -> str:
        names = [html.escape(name, quote=True) for name in self.header]
        head = "".join(f'<th scope="col">{name}</th>' for name in names)
        body = "\n".join(
            f'<tr><th scope="row">{html.escape(row[0])}</th>'
            + "".join(
                f'<td data-name="{name}">{html.escape(cell)}</td>'
                for name, cell in zip(names[1:], row[1:])
            )
            + "</tr>"
            for row in self.rows
        )
        return (
            f"<h2>{html.escape(self.title)}</h2>\n<p>{html.escape(self.note)}</p>\n"
            f'<div class="wide"><table class="fold-{self.fold}">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>"
        )


def scores_table(arms: Sequence[Arm], earlier: bool = False) -> Table:
    """These runs with both scores; ``earlier`` ones, if asked for, and playing at random, where it
    was the same games."""
    rows = [_recorded_row(recorded) for recorded in EARLIER_RUNS if earlier]
    for arm in arms:
        after, to = arm.span()
        rows.append(
            (
                f"{arm.name}, episodes {after + 1}–{to}",
                plus_minus(*arm.interval("last_observation_score", after, to)),
                plus_minus(*arm.interval("true_score", after, to)),
                number(arm.signal("alpha_entropy", after, to), 4),
            )
        )
    if any(map(as_recorded, arms)):
        rows += [_recorded_row(recorded) for recorded in RANDOM_POLICIES]
    return Table(
        "Scores",
        "Means ± half the 95 % confidence interval: over seeds where a row has several, else over "
        "episodes, by their numbers. The last-observation score is 0 for every "
        "game that ended in death; the true score is the last that the game showed. A mean below "
        "the random policy's is no skill.",
        ("run", "last-observation score", "true score", "α entropy"),
        tuple(rows),
    )


def settings_tables(arms: Sequence[Arm]) -> list[Table]:
    """One table with the settings in which the arms differ; none where they do not."""
    ours = [arm for arm in arms if not arm.is_v3]
    flat = [flat_settings(arm.runs[0].config) for arm in ours]
    names = [
        name
        for name in dict.fromkeys(name for settings in flat for name in settings)
        if name != "seed" and name not in WITHOUT_EFFECT
        and len({repr(settings.get(name)) for settings in flat}) > 1
    ]  # fmt: skip
    rows = [
        (name, *(_said(settings.get(name)) for settings in flat)) for name in names
    ]  # fmt: skip
    header = ("setting", *(arm.name for arm in ours))
    note = "Only those that differ; config.toml in each run's folder has all."
    return [Table("Settings", note, header, tuple(rows))] if rows else []


def _said(value: object) -> str:
    return NOT_KNOWN if value is None else str(value)


def _recorded_row(earlier: Earlier) -> tuple[str, ...]:
    return (
        earlier.name,
        _recorded(*earlier.last_observation_score),
        _recorded(*earlier.true_score),
        number(earlier.alpha_entropy, 4),
    )


def _recorded(mean: float, half: float) -> str:
    """With the digits that were recorded."""
    return f"{mean:g}" if math.isinf(half) and not math.isnan(mean) else plus_minus(mean, half)


def outcome_table(arms: Sequence[Arm]) -> Table:
    """Everything else that is known of an arm's last episodes."""
    rows = []
    for arm in arms:
        after, to = arm.span()
        endings = [
            ending
            for run in arm.runs
            for ending, episode in zip(run.endings, run.numbers)
            if after < episode <= to
        ]
        died = [ending == "death" for ending in endings]
        deaths = float(np.mean(died)) if died else math.nan
        rows.append(
            (
                f"{arm.name}, episodes {after + 1}–{to}",
                plus_minus(*arm.interval("depth", after, to), 2),
                plus_minus(*arm.interval("length", after, to), 0),
                percent(deaths),
                number(arm.signal("grad_norm", after, to), 2),
                number(arm.signal("attention_variance", after, to), 3),
                number(arm.signal("alignment_loss", after, to), 4),
                number(arm.signal("expert_switching", after, to), 3),
                number(arm.signal("steps_per_second", after, to), 0),
                percent(arm.signal("decision_share", after, to)),
            )
        )
    return Table(
        "Depth, length and signals",
        "Of the same episodes. Depth is the deepest dungeon level, length counts environment "
        "steps. Signals are means over decisions, the states in which the network was asked; "
        "switching is their share at which another expert takes the lead.",
        (
            "run", "depth", "length (steps)", "deaths", "gradient norm", "attention variance",
            "alignment loss", "switching", "env steps/s", "decisions",
        ),
        tuple(rows),
    )  # fmt: skip


def warmup_table(arms: Sequence[Arm]) -> Table:
    """New against old in warmup."""
    header = ["", OLD_WARMUP.name]
    scores = ["mean score (last observation)", number(OLD_WARMUP.last_observation_score[0], 2)]
    entropies = ["α entropy", number(OLD_WARMUP.alpha_entropy, 4)]
    variances = ["variance of expert usage", NOT_KNOWN]
    gains = ["improvement of the mean score", NOT_KNOWN]
    for arm in arms:
        end = arm.runs[0].config["warmup"]["episodes"] if not arm.is_v3 else arm.span()[1]
        to = min(end, arm.span()[1])
        after = max(to - WINDOW, max(run.first_episode for run in arm.runs))
        if to <= after:  # begins after warmup
            continue
        mean, half = arm.interval("last_observation_score", after, to)
        header.append(f"{arm.name}, episodes {after + 1}–{to}")
        scores.append(plus_minus(mean, half))
        entropies.append(number(arm.signal("alpha_entropy", after, to), 4))
        variances.append(scientific(arm.signal("usage_variance", after, to)))
        gains.append(signed(mean - OLD_WARMUP.last_observation_score[0], half))
    return Table(
        "New against old, warmup",
        "By the earlier runs' score, the only one recorded of them: it counts a death as 0, so an "
        "agent that dares more loses by it. The last episodes of warmup are taken. Usage variance "
        "is over the experts' mean weights.",
        tuple(header),
        tuple(map(tuple, (scores, entropies, variances, gains))),
    )


def change_table(courses: Sequence[Run]) -> Table:
    """How each course changed from its first episodes to its last."""
    rows = []
    for run in courses:
        window = min(WINDOW, run.num_episodes // 2)
        if window < 2:
            continue
        early = (run.first_episode, run.first_episode + window)
        late = (run.last_episode - window, run.last_episode)
        for series, words in (
            ("true_score", "mean true score"),
            ("last_observation_score", "mean last-observation score"),
        ):
            a, b = run.scores(series, *early), run.scores(series, *late)
            if len(a):
                change = signed(*difference_interval(b, a))
                means = plus_minus(*mean_interval(a)), plus_minus(*mean_interval(b))
                rows.append((f"{run.name}: {words}", f"@{early[1]}", f"@{late[1]}", *means, change))
        for series, words in (("alpha_entropy", "α entropy"), ("alignment_loss", "alignment loss")):
            at_first, at_last = run.signal(series, *early), run.signal(series, *late)
            if math.isfinite(at_first):
                change = f"{at_last - at_first:+.4f}".replace("-", "−")
                cells = number(at_first, 4), number(at_last, 4), change
                rows.append((f"{run.name}: {words}", f"@{early[1]}", f"@{late[1]}", *cells))
    return Table(
        "From the first episodes to the last",
        f"Means over the {WINDOW} episodes (half the run where it is shorter) before the episode "
        "that @ names; runs that went on from another are shown with it. Changes of scores with "
        "the 95 % interval over episodes of one run.",
        ("", "early", "late", "mean, early", "mean, late", "change"),
        tuple(rows),
    )


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """What the differences support."""
    rows = tuple(
        (f"{v.first} − {v.second}", v.score, signed(v.difference, v.half_width), v.answer)
        for v in verdicts
    )
    return Table(
        "Differences",
        "Better or worse only where the 95 % interval of the difference excludes 0; the sentences "
        "above say what each interval is taken over.",
        ("difference", "of", "mean", "answer"),
        rows,
    )


def plus_minus(mean: float, half: float, digits: int = 1) -> str:
    """A mean with its half-width, as far as either is known."""
    if math.isnan(mean):
        return NOT_KNOWN
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else "")


def signed(difference: float, half: float) -> str:
    if math.isnan(difference):
        return NOT_KNOWN
    value = f"{difference:+.1f}".replace("-", "−")
    return value + (f" ± {half:.1f}" if math.isfinite(half) else " (no interval)")


def number(value: float, digits: int) -> str:
    return NOT_KNOWN if math.isnan(value) else f"{value:.{digits}f}"


def percent(share: float) -> str:
    return NOT_KNOWN if math.isnan(share) else f"{share:.0%}"


def scientific(value: float) -> str:
    return NOT_KNOWN if math.isnan(value) else f"{value:.1e}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
