"""The hypergraph at one moment: what held, which rules that lit, where attention went."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tedg_fast.hypergraph import ACTIONS, EXPERTS, Hypergraph
from tedg_fast.report.style import COLOURS, styled
from tedg_fast.train.health import expert_name
from tedg_fast.watch.moments import Moment, Rule

MOST_RULES = 10
"""Of more only the most attended are drawn; the picture says how many are left out."""
_WIDTH, _ROW = 10.5, 0.27
"""Inches: of the picture, and of one row of it."""
_PLACES = (0.24, 0.40, 0.67, 0.83)
"""Where conditions end, rules begin and end, and effects begin, as shares of the width."""
_FAINT = "#9a9a9a"


def graph_picture(path: Path, moment: Moment, hypergraph: Hypergraph) -> None:
    """Draw the moment's graph to ``path``, as .svg, .pdf or .png. Raises ``OSError``."""
    with styled():
        draw_graph(moment, hypergraph).savefig(path, dpi=200)


def draw_graph(moment: Moment, hypergraph: Hypergraph) -> Figure:
    """Conditions that hold on the left, rules that apply in the middle, their effects on the right.

    A line's width is the attention that the rule pays to its end (mean of the heads, last round);
    a rule's box is as dark as the attention that it gets itself, framed in its expert's colour.
    """
    rules = moment.rules[:MOST_RULES]
    heard = {name for rule in rules for name, _ in rule.sources}
    conditions = [hypergraph.conditions[number].name for number in moment.conditions]
    effects = [effect.name for effect in hypergraph.effects if effect.name in heard]
    # Those that a rule hears come first, in the order of the rules, so that few lines cross.
    order = [name for rule in rules for name, _ in rule.sources]
    rank = {name: place for place, name in reversed(list(enumerate(order)))}
    conditions.sort(key=lambda name: rank.get(name, len(order)))
    effects.sort(key=lambda name: rank[name])

    boxes, below = [], 0.0
    for rule in rules:
        ports = [[s for s in rule.sources if (s[0] in effects) == side] for side in (False, True)]
        height = max(3.2, *(len(side) + 0.4 for side in ports))
        boxes.append((rule, ports, below, height))
        below += height + 1
    rows = max(1.4 * len(conditions), 1.4 * len(effects), below, 4)
    shift = (rows - below + 1) / 2  # the boxes stand in the middle
    figure = Figure(figsize=(_WIDTH, _ROW * rows + 1.4))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(rows + 0.2, -2))
    axes.axis("off")
    places = _spread(conditions, rows), _spread(effects, rows)
    for rule, ports, top, height in boxes:
        _box(axes, rule, top + shift, height, hypergraph)
        for side, sources in enumerate(ports):
            ends = np.arange(len(sources)) - (len(sources) - 1) / 2 + top + shift + height / 2
            # In the order of their other ends, so that lines to one box do not cross.
            sources = sorted(sources, key=lambda source: places[side][source[0]])
            for (name, weight), end in zip(sources, ends):
                _line(axes, side, places[side][name], end, weight)
    for name, y in places[0].items():
        colour = "black" if name in heard else _FAINT
        axes.text(_PLACES[0] - 0.01, y, name, ha="right", va="center", fontsize=9, color=colour)
    for name, y in places[1].items():
        axes.text(_PLACES[3] + 0.01, y, name, ha="left", va="center", fontsize=9)
    _headings(axes, moment, len(rules))
    return figure


def _spread(names: Sequence[str], rows: float) -> dict[str, float]:
    """Names evenly over the height."""
    return {name: (i + 0.5) * rows / len(names) for i, name in enumerate(names)}


def _line(axes: Axes, side: int, start: float, end: float, weight: float) -> None:
    """A smooth line that leaves and arrives level, from a name to its port at a box."""
    left, right = (_PLACES[0], _PLACES[1]) if side == 0 else (_PLACES[3], _PLACES[2])
    along = np.linspace(0, 1, 60)
    x = left + (right - left) * along
    t = np.minimum(along / 0.75, 1)  # level where the number stands
    y = start + (end - start) * (3 * t**2 - 2 * t**3)
    shade = str(round(0.7 * (1 - weight), 2))
    axes.plot(x, y, color=shade, linewidth=0.5 + 5 * weight, solid_capstyle="butt", zorder=1)
    axes.text(
        right + (0.006 if side else -0.006), end, f"{weight:.0%}", fontsize=7.5,
        ha="left" if side else "right", va="center", zorder=2,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _box(axes: Axes, rule: Rule, top: float, height: float, hypergraph: Hypergraph) -> None:
    """A rule, as dark as the attention that it gets."""
    operator = hypergraph.operators[rule.number]
    left, right = _PLACES[1:3]
    axes.add_patch(
        Rectangle(
            (left, top), right - left, height, linewidth=1.8, zorder=3,
            edgecolor=COLOURS[EXPERTS.index(operator.expert)],
            facecolor=str(1 - 0.3 * rule.attention),
        )
    )  # fmt: skip
    actions = " or ".join(operator.actions[:2]) + (" or …" if len(operator.actions) > 2 else "")
    words = f"{operator.expert}, attention {rule.attention:.0%}\n→ {actions}"
    middle, centre = top + height / 2, (left + right) / 2
    axes.text(
        centre, middle - 0.35, operator.name, ha="center", va="bottom", fontsize=9, zorder=4,
        weight="bold",
    )  # fmt: skip
    axes.text(centre, middle - 0.2, words, ha="center", va="top", fontsize=8, zorder=4)


def _headings(axes: Axes, moment: Moment, shown: int) -> None:
    weights = ", ".join(f"{expert_name(k)} {w:.0%}" for k, w in enumerate(moment.alpha.tolist()))
    action = "the game is over"
    if moment.action is not None:
        action = f"{ACTIONS[moment.action]} ({moment.probabilities[moment.action]:.0%})"
    axes.set_title(f"Step {moment.step}: {action}\nexperts: {weights}", fontsize=10)
    left_out = len(moment.rules) - shown
    more = f", {left_out} more not drawn" if left_out else ""
    for x, words, side in (
        (_PLACES[0] - 0.01, "conditions that hold", "right"),
        (sum(_PLACES[1:3]) / 2, f"rules that apply{more}", "center"),
        (_PLACES[3] + 0.01, "their effects", "left"),
    ):
        axes.text(x, -1.2, words, ha=side, va="center", fontsize=10, weight="bold")
    if not shown:
        axes.text(sum(_PLACES[1:3]) / 2, 2, "none", ha="center", color=_FAINT)
