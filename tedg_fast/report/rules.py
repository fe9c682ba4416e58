"""Which rules decided, of all steps and of the decisions that the network was asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tedg_fast.report.arms import Arm
from tedg_fast.report.tables import Table

COLUMNS = ("share of steps", "steps a game", "share of decisions")


def rules_tables(arms: Sequence[Arm]) -> list[Table]:
    """One table of how often each rule decided in the arms' last episodes, the most frequent first;
    none where no log knows."""
    counted = [(arm, counts) for arm in arms if (counts := _decided(arm))]
    if not counted:
        return []
    total = sum((alone + asked for _, (alone, asked, _) in counted), Counter())
    several = len(counted) > 1
    header = [f"{arm.name}: {name}" if several else name for arm, _ in counted for name in COLUMNS]
    rows = [
        (rule, *(cell for _, counts in counted for cell in _cells(rule, *counts)))
        for rule, _ in total.most_common()
    ]
    note = (
        "Of the episodes by which a run is judged. A step counts for the strongest rule that "
        "proposed what was played, whether the rules carried it out by themselves or the network "
        "was asked; decisions are the steps in which it was."
    )
    return [Table("Which rules decided", note, ("rule", *header), tuple(rows))]


def sum_decided(
    episodes: Iterable[Mapping[str, Sequence[int]]],
) -> tuple[Counter[str], Counter[str]]:
    """``Episode.decided`` of several: by rule, the steps that it carried out by itself, and the
    decisions that went to it."""
    alone: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for decided in episodes:
        for rule, (by_itself, as_asked) in decided.items():
            alone[rule] += by_itself
            asked[rule] += as_asked
    return alone, asked


def _decided(arm: Arm) -> tuple[Counter[str], Counter[str], int] | None:
    """In an arm's last episodes, by rule, the steps that it carried out by itself and the decisions
    that went to it, and how many episodes these are; None where the logs do not know."""
    after, to = arm.span()
    episodes = [
        decided
        for run in arm.runs
        for decided, number in zip(run.decided, run.numbers)
        if after < number <= to
    ]
    return (*sum_decided(episodes), len(episodes)) if episodes else None


def _cells(rule: str, alone: Counter, asked: Counter, episodes: int) -> tuple[str, str, str]:
    steps = alone[rule] + asked[rule]
    return (
        f"{steps / (alone.total() + asked.total()):.1%}",
        f"{steps / episodes:.1f}",
        f"{asked[rule] / max(asked.total(), 1):.1%}",
    )
