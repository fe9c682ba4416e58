"""How figures look: told apart by line style as well as by colour, readable in greyscale."""

import io
import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.2, 2.9
"""Inches of a figure without its legend; 11 points stay readable at a phone's 360 pixels."""
_LEGEND_ROW, _LEGEND_COLUMNS = 0.19, 56
# Ordered so that neighbours differ in lightness.
COLOURS = ("#14213d", "#e07a1f", "#2a7f8e", "#b5179e", "#7b8a3a", "#8d5a34")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",  # what a reader sees does not depend on the fonts there
    "svg.hashsalt": "tedg_fast",  # equal figures are equal files
}


@contextmanager
def styled() -> Iterator[None]:
    """Figures made and written inside look alike."""
    with rc_context(_SETTINGS):
        yield


def look(number: int) -> dict[str, Any]:
    """Colour and line style of the curve ``number``."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


def new_figure(panels: int = 1, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure with ``panels`` axes below each other that share their x axis."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    return figure, list(axes)


def legend_below(figure: Figure, axes: Axes) -> None:
    """What the curves are, below the figure, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) < 28 else 1
    labels = [textwrap.fill(label, _LEGEND_COLUMNS) for label in labels]
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    rows = math.ceil(sum(label.count("\n") + 1 for label in labels) / columns)
    figure.set_figheight(figure.get_figheight() + rows * _LEGEND_ROW)


def svg(figure: Figure) -> bytes:
    """The figure as a vector picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
