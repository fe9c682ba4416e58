"""The figures of a report, one function each."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tedg_fast.report.arms import WINDOW, Arm, as_recorded
from tedg_fast.report.earlier import RANDOM_ALL, RANDOM_ALLOWED
from tedg_fast.report.statistics import mean_interval, moving_interval, moving_mean
from tedg_fast.report.style import (
    COLOURS,
    HATCHES,
    HEIGHT,
    LINES,
    legend_below,
    look,
    new_figure,
)
from tedg_fast.runs.bands import (
    ATTENTION_VARIANCE,
    EXPERT_USAGE,
    GRAD_NORM,
    alpha_entropy_band,
)
from tedg_fast.runs.log import Run

LOSSES = {
    "alignment_loss": "alignment", "semantic_loss": "semantic", "overlap_loss": "overlap",
    "temporal_loss": "temporal",
}  # fmt: skip
OVER = {"completed": "completed episodes", "env_steps": "environment steps"}
"""What curves are drawn over, in words."""
PHASES = ("warmup", "transition", "fine-tune")
MOST_DEPTH = 6
"""Deeper levels are counted together."""
MANY_POINTS = 300
"""A curve of more points is drawn thinner."""


@dataclass(frozen=True)
class Picture:
    """A figure, with the words that stand for it where it cannot be seen."""

    name: str
    words: str
    figure: Figure
    over: str = ""
    """As of ``Arm``; empty where it is no curve over a run."""


def pictures(arms: Sequence[Arm]) -> list[Callable[[], Picture | None]]:
    """One call for each figure; a call returns None where no run has its data."""
    calls: list[Callable[[], Picture | None]] = [
        lambda: score_curve(arms, "true_score", "true score"),
        lambda: score_curve(arms, "last_observation_score", "last-observation score"),
        lambda: score_by_steps(arms, "true_score", "true score"),
        lambda: score_by_steps(arms, "last_observation_score", "last-observation score"),
        lambda: score_distribution(arms),
        lambda: depth(arms),
    ]
    return calls + signals(arms) + signals([replace(arm, over="env_steps") for arm in arms])


def signals(arms: Sequence[Arm]) -> list[Callable[[], Picture | None]]:
    """Those of the series of updates."""
    calls: list[Callable[[], Picture | None]] = [lambda: alpha_entropy(arms)]
    calls += [partial(expert_usage, arm) for arm in arms]
    calls += [
        lambda: signal(arms, "expert_switching", "Expert switching", "share of decisions"),
        lambda: signal(
            arms, "grad_norm", "Gradient norm before clipping", "Euclidean norm",
            thresholds=_limits("below", GRAD_NORM.healthy[1], GRAD_NORM.bearable[1]), log=True,
        ),
        lambda: signal(
            arms, "attention_variance", "Attention variance", "0 uniform, 1 on one edge",
            thresholds=_limits(
                "above", ATTENTION_VARIANCE.healthy[0], ATTENTION_VARIANCE.bearable[0]
            ),
        ),
        lambda: signal(arms, "steps_per_second", "Throughput", "environment steps per second"),
        lambda: signal(arms, "decision_share", "Decisions", "share of environment steps"),
        lambda: losses(arms),
    ]  # fmt: skip
    return calls


def score_curve(arms: Sequence[Arm], series: str, words: str) -> Picture | None:
    """Moving mean with its interval: over seeds where there are several, else over episodes."""
    shown = [arm for arm in arms if all(series in run.episodes for run in arm.runs)]
    if not any(run.num_episodes for arm in shown for run in arm.runs):
        return None
    figure, (axes,) = new_figure()
    tops = [1.0]
    for number, arm in enumerate(arms):
        if arm in shown:
            x, mean, half = _moving_score(arm, series)
            style = look(number)
            axes.plot(x, mean, label=arm.name, **style)
            tops += mean.tolist()
            low, high = mean - half, mean + half
            axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    known = ((RANDOM_ALL, "#999999"), (RANDOM_ALLOWED, "#333333"))
    for random, colour in known if any(map(as_recorded, arms)) else ():
        level = getattr(random, series)[0]
        tops.append(0.75 * level)  # it needs no room above for an interval
        axes.axhline(level, color=colour, linewidth=1, linestyle=(0, (2, 2)), label=random.name)
    axes.set_ylim(bottom=0, top=1.6 * np.nanmax(tops))
    axes.set(
        title=f"{words[0].upper()}{words[1:]}, mean of {WINDOW} episodes",
        xlabel="completed episodes",
        ylabel="mean score (points)",
    )
    legend_below(figure, axes)
    return Picture(
        f"{series}_curve", f"Moving mean of the {words} with its interval", figure, "completed"
    )


def score_by_steps(arms: Sequence[Arm], series: str, words: str) -> Picture | None:
    """Moving mean of a score by what was played for it, a line a run."""
    figure, (axes,) = new_figure()
    for number, arm in enumerate(arms):
        named = [run for run in arm.runs if {series, "env_steps"} <= run.episodes.keys()]
        for place, run in enumerate(run for run in named if run.num_episodes):
            skip = min(WINDOW // 10, run.num_episodes // 2)
            mean = moving_mean(run.episodes[series], WINDOW)
            label = arm.name if place == 0 else None
            axes.plot(run.episodes["env_steps"][skip:], mean[skip:], label=label, **look(number))
    if not axes.lines:
        return None
    axes.set_ylim(bottom=0)
    axes.set(
        title=f"{words[0].upper()}{words[1:]}, mean of {WINDOW} episodes",
        xlabel=OVER["env_steps"],
        ylabel="mean score (points)",
    )
    legend_below(figure, axes)
    said = f"Moving mean of the {words} by environment steps"
    return Picture(f"{series}_by_steps", said, figure, "env_steps")


def _moving_score(arm: Arm, series: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episode numbers, moving means, half-widths, without the first means of few episodes."""
    if not arm.has_seeds:
        run = arm.runs[0]
        mean, half = moving_interval(run.episodes[series], WINDOW)
        skip = min(WINDOW // 10, run.num_episodes // 2)
        return run.numbers[skip:], mean[skip:], half[skip:]
    first = max(run.first_episode for run in arm.runs)
    last = min(run.last_episode for run in arm.runs)
    skip = min(WINDOW // 10, (last - first) // 2)
    numbers = np.arange(first + 1 + skip, last + 1)
    means = np.stack(
        [
            moving_mean(run.episodes[series], WINDOW)[numbers - run.first_episode - 1]
            for run in arm.runs
        ]
    )
    intervals = np.array([mean_interval(column) for column in means.T]).reshape(-1, 2)
    return numbers, intervals[:, 0], intervals[:, 1]


def score_distribution(arms: Sequence[Arm]) -> Picture | None:
    """Share of the last episodes that reached at least a score."""
    figure, (axes,) = new_figure()
    for number, arm in enumerate(arms):
        scores = _pooled(arm, "true_score")
        if len(scores):
            reached = np.sort(np.maximum(scores, 1))
            share = 1 - np.arange(len(reached)) / len(reached)
            axes.step(reached, share, where="pre", label=arm.name, **look(number))
    if not axes.lines:
        return None
    axes.set(
        title="How many episodes got how far",
        xlabel="true score (points, logarithmic)",
        ylabel="share with at least that",
        ylim=(0, 1.02),
        xscale="log",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    legend_below(figure, axes)
    return Picture(
        "score_distribution", "Share of the last episodes with at least a true score", figure
    )


def depth(arms: Sequence[Arm]) -> Picture | None:
    """Share of the last episodes by the deepest dungeon level reached."""
    shown = [(i, arm) for i, arm in enumerate(arms) if len(_pooled(arm, "depth"))]
    if not shown:
        return None
    figure, (axes,) = new_figure()
    levels = np.arange(1, MOST_DEPTH + 1)
    width = 0.8 / len(shown)
    for place, (number, arm) in enumerate(shown):
        depths = np.minimum(_pooled(arm, "depth"), MOST_DEPTH)
        axes.bar(
            levels + (place - (len(shown) - 1) / 2) * width,
            [(depths == level).mean() for level in levels],
            width,
            label=arm.name,
            color=COLOURS[number % len(COLOURS)],
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
            linewidth=0.5,
        )
    axes.set(
        title="Deepest dungeon level",
        xlabel="level",
        ylabel="share of episodes",
        xticks=levels,
        xticklabels=[*map(str, levels[:-1]), f"{MOST_DEPTH}+"],
        ylim=(0, 1),
    )
    legend_below(figure, axes)
    return Picture("depth", "Share of the last episodes by the deepest level reached", figure)


def alpha_entropy(arms: Sequence[Arm]) -> Picture | None:
    """α entropy against the band that its phase calls healthy, as of the first run's phases."""
    if not any(_has(arm, "alpha_entropy") for arm in arms):
        return None
    figure, (axes,) = new_figure()
    ours = [run for arm in arms for run in arm.runs if not run.is_v3]
    by_episodes = arms[0].over == "completed"  # by which phases begin and end
    if ours and by_episodes:
        alike = [run for run in ours if _phase_lengths(run) == _phase_lengths(ours[0])]
        first = min(run.first_episode for run in alike)
        _phase_bands(axes, ours[0], first, max(run.last_episode for run in alike))
    _signal_curves(axes, arms, "alpha_entropy")
    axes.set(
        title="α entropy" + " (shaded: healthy in its phase)" * by_episodes,
        xlabel=OVER[arms[0].over],
        ylabel="entropy (nats)",
        ylim=(0, 1.55),
    )
    legend_below(figure, axes)
    return _curve(arms, "alpha_entropy", "Routing entropy", figure)


def _phase_lengths(run: Run) -> list[int]:
    return [run.config[phase]["episodes"] for phase in ("warmup", "transition")]


def _phase_bands(axes: Axes, run: Run, first: int, last: int) -> None:
    """Shade what is healthy in each of the run's phases, from episode ``first`` to ``last``."""
    start: float = 0
    for phase, length in zip(PHASES, [*_phase_lengths(run), math.inf]):
        end = start + length
        left, right = max(start, first), min(end, last)
        if left < right:
            low, high = alpha_entropy_band(phase, run.config["num_experts"]).healthy
            axes.fill_between([left, right], low, high, color="#cfe3d4", linewidth=0)
            axes.text((left + right) / 2, 1.54, phase, ha="center", va="top", fontsize=9)
            if left > first:
                axes.axvline(left, color="#999999", linewidth=0.8)
        start = end


def expert_usage(arm: Arm) -> Picture | None:
    """Mean routing weight of each expert, over the arm's runs."""
    if not any(_has(arm, f"usage_{name}") for name in arm.runs[0].usage):
        return None
    figure, (axes,) = new_figure()
    for number, name in enumerate(arm.runs[0].usage):
        x, y = _mean_signal(arm, f"usage_{name}")
        axes.plot(x, y, label=name, **look(number))
    low, high = EXPERT_USAGE.bearable
    for level, words in ((high, "warns above"), (low, "warns below")):
        axes.axhline(level, color="#888888", linewidth=0.8, linestyle=":")
        axes.annotate(
            words, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=9,
        )  # fmt: skip
    axes.set(
        title=textwrap.fill(f"Expert usage: {arm.name}", 48),
        xlabel=OVER[arm.over],
        ylabel="mean routing weight",
        ylim=(0, 1),
    )
    legend_below(figure, axes)
    words = f"Mean weight of each expert of {arm.name}"
    return _curve([arm], f"usage_{arm.name}", words, figure)


def losses(arms: Sequence[Arm]) -> Picture | None:
    """The four losses of the new mechanisms, before their coefficients."""
    names = [name for name in LOSSES if any(_has(arm, name) for arm in arms)]
    if not names:
        return None
    figure, panels = new_figure(len(names), height=0.4 + 0.5 * HEIGHT * len(names))
    for axes, name in zip(panels, names):
        _signal_curves(axes, arms, name)
        axes.set(title=f"{LOSSES[name]} loss", ylabel="loss")
    panels[-1].set_xlabel(OVER[arms[0].over])
    legend_below(figure, panels[0])
    return _curve(arms, "losses", "Alignment, semantic, overlap and temporal loss", figure)


def signal(
    arms: Sequence[Arm],
    name: str,
    title: str,
    unit: str,
    thresholds: Sequence[tuple[float, str]] = (),
    log: bool = False,
) -> Picture | None:
    """One update series, with the values that matter."""
    if not any(_has(arm, name) for arm in arms):
        return None
    figure, (axes,) = new_figure()
    _signal_curves(axes, arms, name)
    for number, (level, words) in enumerate(thresholds):
        axes.axhline(level, color="#444444", linewidth=1, linestyle=LINES[2 + number], label=words)
    axes.set(title=title, xlabel=OVER[arms[0].over], ylabel=unit)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.set_ylim(bottom=0)
    legend_below(figure, axes)
    return _curve(arms, name, title, figure)


def _curve(arms: Sequence[Arm], name: str, words: str, figure: Figure) -> Picture:
    """A picture of curves over what the arms are drawn over."""
    over = arms[0].over
    ending = "" if over == "completed" else "_by_steps"
    return Picture(f"{name}{ending}", f"{words} over {OVER[over]}", figure, over)


def _limits(side: str, healthy: float, bearable: float) -> tuple[tuple[float, str], ...]:
    other = {"above": "below", "below": "above"}[side]
    return (healthy, f"healthy {side} {healthy}"), (bearable, f"warns {other} {bearable}")


def _signal_curves(axes: Axes, arms: Sequence[Arm], name: str) -> None:
    for number, arm in enumerate(arms):
        if _has(arm, name):
            x, y = _mean_signal(arm, name)
            width = 1.6 if len(x) < MANY_POINTS else 0.8
            axes.plot(x, y, label=arm.name, linewidth=width, **look(number))


def _mean_signal(arm: Arm, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What an arm is drawn over and an update series; of several runs the mean where all have
    it."""
    runs = [run for run in arm.runs if {name, arm.over} <= run.updates.keys()]
    runs = [run for run in runs if len(run.updates[name])]
    if len(runs) == 1:
        return runs[0].updates[arm.over], runs[0].updates[name]
    low = max(run.updates[arm.over][0] for run in runs)
    high = min(run.updates[arm.over][-1] for run in runs)
    x = np.unique(np.concatenate([run.updates[arm.over] for run in runs]))
    x = x[(x >= low) & (x <= high)]
    values = [np.interp(x, run.updates[arm.over], run.updates[name]) for run in runs]
    return x, np.mean(values, axis=0)


def _has(arm: Arm, name: str) -> bool:
    """Whether there is a curve of the series."""
    known = [run.updates[name] for run in arm.runs if {name, arm.over} <= run.updates.keys()]
    return any(np.isfinite(values).any() for values in known)


def _pooled(arm: Arm, series: str) -> np.ndarray:
    """The last episodes of all runs of an arm."""
    return np.concatenate([run.scores(series, *arm.span()) for run in arm.runs])
