"""Runs through all three phases: score, survival, routing and health, window by window.

    for seed in 51 52 53 54; do tedg-train --exp-name long-$seed --episodes 5000 --seed $seed; done
    python bench/long_run.py results/long-*

Writes bench/results/long_run.md and .json.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import record

WINDOW = 500
EPISODES = ("true_score", "last_observation_score", "length", "depth")
SIGNALS = ("alpha_entropy", "entropy", "alignment_loss", "grad_norm", "attention_variance")


@dataclass(frozen=True)
class Window:
    """Means of one run over some episodes, and over the updates made meanwhile; of the gradient
    norm the largest value, of the attention variance the least."""

    phase: str
    true_score: float
    last_observation_score: float
    length: float
    alive: float
    depth: float
    alpha_entropy: float
    entropy: float
    alignment_loss: float
    grad_norm: float
    attention_variance: float


def window(log: dict, first: int) -> Window:
    """Of the ``WINDOW`` episodes after the ``first`` that finished, and the updates among them."""
    episodes = {name: values[first : first + WINDOW] for name, values in log["episodes"].items()}
    updates, completed = log["updates"], np.array(log["updates"]["completed"])
    places = np.flatnonzero((completed > first) & (completed <= first + WINDOW))
    # An update that was undone has no signals: None.
    during = {name: np.array([updates[name][at] for at in places], float) for name in SIGNALS}
    return Window(
        phase=updates["phase"][places[-1]],
        alive=float(np.mean([ending != "death" for ending in episodes["ending"]])),
        grad_norm=float(np.nanmax(during.pop("grad_norm"))),
        attention_variance=float(np.nanmin(during.pop("attention_variance"))),
        **{name: float(np.mean(episodes[name])) for name in EPISODES},
        **{name: float(np.nanmean(values)) for name, values in during.items()},
    )


def report(runs: dict[str, list[Window]]) -> list[str]:
    """Tables over all runs, and of each run's true score."""
    rows, single = [], []
    for place, of_all in enumerate(zip(*runs.values(), strict=True)):
        name = f"{place * WINDOW + 1}–{(place + 1) * WINDOW}"
        values = {field: [getattr(one, field) for one in of_all] for field in vars(of_all[0])}
        rows.append([
            name, values["phase"][0],
            record.interval(values["true_score"]),
            record.interval(values["last_observation_score"]),
            f"{np.mean(values['alive']):.0%}", f"{np.mean(values['depth']):.1f}",
            record.interval(values["alpha_entropy"], 3), f"{np.mean(values['entropy']):.2f}",
            f"{np.mean(values['alignment_loss']):.2f}", f"{max(values['grad_norm']):.1f}",
            f"{min(values['attention_variance']):.2f}",
        ])  # fmt: skip
        single.append([name, *(f"{score:.0f}" for score in values["true_score"])])
    return [
        "Mean over runs ± half of its 95 % interval (Student's t); of all runs' gradient norms the "
        "largest, of their attention variances the least.",
        "",
        *record.table(
            ["episodes", "phase", "true score", "last-observation score", "alive at the end",
             "depth", "α entropy", "action entropy", "alignment loss", "gradient norm",
             "attention variance"],
            rows,
        ),
        "",
        "True score of each run (with 500 episodes its standard error is about 25):",
        "",
        *record.table(["episodes", *runs], single),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    arguments = parser.parse_args()
    logs = {
        run.name: json.loads((run / "logs" / "training_log.json").read_text())
        for run in arguments.runs
    }
    remarks = [
        f"- {name}: {len(log['episodes']['number']):,} episodes, "
        f"{log['updates']['env_steps'][-1]:,} environment steps, "
        f"{log['updates']['rollbacks'][-1]} updates undone"
        for name, log in logs.items()
    ]
    tables = report({
        name: [
            window(log, first)
            for first in range(0, len(log["episodes"]["number"]) - WINDOW + 1, WINDOW)
        ]
        for name, log in logs.items()
    })  # fmt: skip
    compact = {
        name: {series: " ".join(map(str, log["episodes"][series])) for series in EPISODES}
        | {"died": "".join(str(int(end == "death")) for end in log["episodes"]["ending"])}
        for name, log in logs.items()
    }
    lines = ["# Through all three phases", "", *record.header(), "", *tables, "", *remarks]
    record.write("long_run", lines, compact)


if __name__ == "__main__":
    main()
