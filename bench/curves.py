"""The learning curves of a recorded grid of ablations, as a picture beside the record.

    python bench/curves.py ablation_NAME full frozen-gat one-expert

Of the arms that are named: the mean of the last 100 episodes by number, over the seeds, with its
95 % interval. The dashed line is what the rules alone reach, from the record's table. Writes
bench/results/ablation_NAME.png.
"""

import argparse
import json
import re

import numpy as np
import record

from tedg_fast.report.arms import WINDOW
from tedg_fast.report.statistics import mean_interval, moving_mean
from tedg_fast.report.style import legend_below, look, new_figure, styled

DOTS_AN_INCH = 150


def curve(runs: dict[str, dict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episode numbers, means and half-widths over an arm's runs, from the first full window on."""
    scores = [np.array(run["episodes"].split(), float) for run in runs.values()]
    means = np.stack([moving_mean(score, WINDOW)[WINDOW - 1 :] for score in scores])
    mean, half = np.array([mean_interval(column) for column in means.T]).T
    return np.arange(WINDOW, WINDOW + len(mean)), mean, half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the record")
    parser.add_argument("arms", nargs="+", help="to draw")
    arguments = parser.parse_args()
    found = json.loads((record.RESULTS / f"{arguments.name}.json").read_text())
    text = (record.RESULTS / f"{arguments.name}.md").read_text()
    alone = re.search(r"^\| rules \| ([\d.]+)", text, re.M)
    if unknown := [arm for arm in arguments.arms if arm not in found]:
        parser.error(f"{arguments.name} has no arm {unknown[0]}; it has {', '.join(found)}")
    if alone is None:
        parser.error(f"{arguments.name}.md says nothing of the rules alone")
    with styled():
        figure, (axes,) = new_figure()
        for number, arm in enumerate(arguments.arms):
            episodes, mean, half = curve(found[arm])
            style = look(number)
            axes.plot(episodes, mean, label=f"{arm} ({len(found[arm])} seeds)", **style)
            low, high = mean - half, mean + half
            axes.fill_between(episodes, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.axhline(
            float(alone[1]), color="#333333", linestyle=(0, (2, 2)), linewidth=1,
            label="rules alone",
        )  # fmt: skip
        axes.set(
            title=f"True score, mean of the last {WINDOW} episodes",
            xlabel="completed episodes", ylabel="mean score (points)",
        )  # fmt: skip
        axes.set_ylim(bottom=0)
        legend_below(figure, axes)
        path = record.RESULTS / f"{arguments.name}.png"
        figure.savefig(path, dpi=DOTS_AN_INCH)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
