"""Runs put side by side: which are the same experiment, and what their difference supports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tedg_fast.report.earlier import RECORDED_CHARACTER, RECORDED_STEPS, Earlier
from tedg_fast.report.statistics import difference_interval, mean_interval
from tedg_fast.runs.config import WITHOUT_EFFECT
from tedg_fast.runs.log import Run

GAMES = ("character", "max_steps", "prayer")
"""Settings that make other games of them."""
WINDOW = 100
"""Episodes over which a run's end is judged, and of the moving means."""


@dataclass(frozen=True)
class Arm:
    """Runs that differ in nothing but their seed; often a single one.

    ``unlike`` says how their games differ from those of arms beside it, ``over`` is the series of
    an update over which curves of it are drawn.
    """

    runs: tuple[Run, ...]
    unlike: str = ""
    over: Literal["completed", "env_steps"] = "completed"

    @property
    def name(self) -> str:
        """The run's name; of several what their names share, with the number of seeds."""
        names = [run.name for run in self.runs]
        if len(names) == 1:
            return names[0] + self.unlike
        shared = names[0]
        while not all(name.startswith(shared) for name in names):
            shared = shared[:-1]
        shared = shared.rstrip("-_ ").removesuffix("seed").rstrip("-_ ")
        return f"{shared or names[0]} ({len(names)} seeds){self.unlike}"

    @property
    def has_seeds(self) -> bool:
        """Whether an interval over seeds can be given."""
        return len(self.runs) > 1

    @property
    def is_v3(self) -> bool:
        return self.runs[0].is_v3

    @property
    def games(self) -> dict[str, Any]:
        """What its games were; V3's logs do not say."""
        config = {"prayer": False} | self.runs[0].config  # which earlier logs do not have
        return {name: config.get(name) for name in GAMES if not self.is_v3}

    @property
    def seeds(self) -> list[Any]:
        return [run.config.get("seed") for run in self.runs]

    def span(self) -> tuple[int, int]:
        """The episodes by which the arm is judged: (after, to], the last ``WINDOW`` of its runs."""
        to = min(run.last_episode for run in self.runs)
        first = max(run.first_episode for run in self.runs)
        return max(first, to - WINDOW), to

    def samples(self, name: str, after: int, to: int) -> np.ndarray:
        """What an interval of the mean of an episode series is taken over.

        The mean of each run where there are seeds, else the episodes of the only run; empty where
        the series is not logged.
        """
        parts = [run.scores(name, after, to) for run in self.runs]
        if not self.has_seeds:
            return parts[0]
        return np.array([part.mean() for part in parts if len(part)])

    def interval(self, name: str, after: int, to: int) -> tuple[float, float]:
        """Mean of an episode series with the half-width of its interval; see ``samples``."""
        return mean_interval(self.samples(name, after, to))

    def signal(self, name: str, after: int, to: int) -> float:
        """Mean of an update series over its runs; NaN where it is not logged."""
        return float(np.mean([run.signal(name, after, to) for run in self.runs]))


def arms_of(runs: Sequence[Run]) -> list[Arm]:
    """Runs of equal configuration but for the seed together, in the order of their first."""
    groups: dict[str, list[Run]] = {}
    for number, run in enumerate(runs):
        same = {k: v for k, v in run.config.items() if k != "seed" and k not in WITHOUT_EFFECT}
        key = str(number) if run.is_v3 else repr((run.first_episode, sorted(same.items())))
        members = groups.setdefault(key, [])
        if run.config.get("seed") in [other.config.get("seed") for other in members]:
            groups[f"{key}, again {number}"] = [run]  # a repetition is no further seed
        else:
            members.append(run)
    return _named_apart([Arm(tuple(group)) for group in groups.values()])


def _named_apart(arms: list[Arm]) -> list[Arm]:
    """The arms, with names that say in which of ``GAMES`` they differ."""
    games = [arm.games for arm in arms if not arm.is_v3]
    differ = [name for name in GAMES if len({each[name] for each in games}) > 1]
    return [
        arm if arm.is_v3
        else replace(arm, unlike="".join(f", {name} {arm.games[name]}" for name in differ))
        for arm in arms
    ]  # fmt: skip


def unlike_games(first: Arm, second: Arm) -> list[str]:
    """In words, how the games of two arms differ, so that their scores cannot be compared."""
    return [
        f"{name} {first.games[name]} against {second.games[name]}"
        for name in first.games.keys() & second.games.keys()
        if first.games[name] != second.games[name]
    ]


def as_recorded(arm: Arm) -> bool:
    """Whether an arm's games are like those that were recorded."""
    return arm.is_v3 or tuple(arm.games.values()) == (RECORDED_CHARACTER, RECORDED_STEPS, False)


@dataclass(frozen=True)
class Verdict:
    """What a difference of mean scores supports: its value, half-width, and a sentence."""

    first: str
    second: str
    score: str
    difference: float
    half_width: float
    basis: str

    @property
    def answer(self) -> str:
        """Better, worse, or cannot tell."""
        if not math.isfinite(self.half_width) or abs(self.difference) <= self.half_width:
            return "cannot tell"
        return "better" if self.difference > 0 else "worse"

    @property
    def sentence(self) -> str:
        half = f" ± {self.half_width:.1f}" if math.isfinite(self.half_width) else ""
        difference = f"{self.difference:+.1f}".replace("-", "−")
        values = f"{difference}{half} {self.score}, 95 % interval {self.basis}"
        if self.answer == "cannot tell":
            return f"Cannot tell {self.first} from {self.second}: {values}."
        return f"{self.first} scores {self.answer} than {self.second}: {values}."


def compare(first: Arm, second: Arm) -> Verdict:
    """The first against the second by their last episodes.

    By the true score, or by the last observation's where a log has no other. Seeds that both have
    are compared in pairs.
    """
    series = "last_observation_score" if first.is_v3 or second.is_v3 else "true_score"
    a, b = first.samples(series, *first.span()), second.samples(series, *second.span())
    paired = first.has_seeds and second.has_seeds and first.seeds == second.seeds
    if first.has_seeds != second.has_seeds:
        basis = "cannot be given: one has several seeds, the other one run"
        difference, half = difference_interval(a, b)[0], math.inf
    else:
        difference, half = difference_interval(a, b, paired=paired)
        basis = f"over {len(first.runs)} and {len(second.runs)} seeds"
        if paired:
            basis = f"over {len(first.runs)} pairs of equal seeds"
        elif not first.has_seeds:
            basis = f"over the last {len(a)} and {len(b)} episodes of one run each; {_ONE_RUN}"
    steps = [arm.runs[0].config.get("max_steps") for arm in (first, second)]
    if steps[0] != steps[1]:
        basis += f"; unlike games, of {steps[0]} and {steps[1]} steps at most"
    return Verdict(first.name, second.name, _WORDS[series], difference, half, basis)


def compare_with_beginning(arm: Arm) -> Verdict | None:
    """An arm's last episodes against its first; None where there are too few."""
    series = "last_observation_score" if arm.is_v3 else "true_score"
    first, last = max(run.first_episode for run in arm.runs), arm.span()[1]
    window = min(WINDOW, (last - first) // 2)
    if window < 2:
        return None
    early = arm.samples(series, first, first + window)
    late = arm.samples(series, last - window, last)
    difference, half = difference_interval(late, early, paired=arm.has_seeds)
    basis = f"over {len(arm.runs)} seeds" if arm.has_seeds else f"over episodes; {_ONE_RUN}"
    end = f"{arm.name}'s end (episodes {last - window + 1}–{last})"
    beginning = f"its beginning (episodes {first + 1}–{first + window})"
    return Verdict(end, beginning, _WORDS[series], difference, half, basis)


def compare_recorded(arm: Arm, recorded: Earlier) -> Verdict:
    """An arm against a recorded mean, whose own interval counts if it has one."""
    series = "last_observation_score" if arm.is_v3 else "true_score"
    a = arm.samples(series, *arm.span())
    mean, half = mean_interval(a)
    other, other_half = getattr(recorded, series)
    basis = f"over {len(a)} seeds" if arm.has_seeds else f"over {len(a)} episodes; {_ONE_RUN}"
    if math.isinf(other_half):
        basis += "; the recorded mean came without an interval"
        other_half = 0.0
    steps = arm.runs[0].config.get("max_steps")
    if steps != RECORDED_STEPS:
        basis += f"; unlike games, of {steps} and {RECORDED_STEPS} steps at most"
    half = math.hypot(half, other_half)
    return Verdict(arm.name, recorded.name, _WORDS[series], mean - other, half, basis)


_ONE_RUN = "other seeds may give another result"
_WORDS = {
    "true_score": "true score",
    "last_observation_score": "last-observation score (0 after a death)",
}
