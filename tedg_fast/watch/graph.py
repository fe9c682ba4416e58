"""The hypergraph at one moment: what held, which rules that lit and for which objects, where
attention went."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tedg_fast.hypergraph import ACTIONS, EXPERTS, Hypergraph, expert_name
from tedg_fast.report.style import COLOURS, styled
from tedg_fast.watch.moments import Applied, Moment, Rule

MOST_RULES = 10
"""How many rules are drawn at most, those that get most attention; the picture says how many are
left out."""
MOST_INSTANCES = 4
"""Of one rule; its box says how many are left out."""
MOST_UNHEARD = 12
"""Conditions that hold and that no rule drawn speaks of; a line says how many are left out."""
_WIDTH, _ROW = 11.5, 0.27
"""Inches: of the picture, and of one row of it."""
_PLACES = (0.27, 0.41, 0.71, 0.84)
"""Where conditions and objects end, rules begin and end, and effects begin, as shares of the
width."""
_FITS = 46
"""Characters that fit into a rule's box; a longer line is written smaller."""
_FAINT = "#9a9a9a"
_OBJECT = "#1f6f8b"
_BINDS = "#7fb3c4"


def graph_picture(path: Path, moment: Moment, hypergraph: Hypergraph) -> None:
    """Draw the moment's graph to ``path``, as .svg, .pdf or .png. Raises ``OSError``."""
    with styled():
        draw_graph(moment, hypergraph).savefig(path, dpi=200)


def draw_graph(moment: Moment, hypergraph: Hypergraph) -> Figure:
    """Conditions that hold, and the objects and whatever else rules attend to, on the left; rules
    that apply in the middle, in each its instances; their effects on the right.

    A black line's width is the attention that the rule pays to its end (mean of the heads, last
    round); a blue one joins an object to a rule that it is bound by. A rule's box is as dark as the
    attention that it gets itself, framed in its expert's colour; ▶ marks the instance that proposed
    what is played.
    """
    rules, learned = moment.rules[:MOST_RULES], bool(len(moment.alpha))
    heard = {name for rule in rules for name, _ in rule.sources}
    conditions = [hypergraph.conditions[number].name for number in moment.conditions]
    effects = [effect.name for effect in hypergraph.effects if effect.name in heard]
    bound = [name for rule in rules for one in _drawn(rule) for name in one.objects]
    # What else rules attend to: objects that are not drawn as bound, the player, actions.
    known = {*conditions, *effects}
    objects = list(dict.fromkeys([*bound, *sorted(heard - known)]))
    # Those that a rule hears come first, in the order of the rules, so that few lines cross.
    order = [name for rule in rules for name, _ in rule.sources]
    rank = {name: place for place, name in reversed(list(enumerate(order)))}
    listened = sorted((name for name in conditions if name in heard), key=rank.__getitem__)
    unheard = [name for name in conditions if name not in heard]
    if len(unheard) > MOST_UNHEARD:
        unheard[MOST_UNHEARD:] = [f"and {len(unheard) - MOST_UNHEARD} more"]
    effects.sort(key=lambda name: rank[name])

    boxes, below = [], 0.0
    for rule in rules:
        ports = [[s for s in rule.sources if (s[0] in effects) == side] for side in (False, True)]
        height = max(2.6 + _lines_of(rule), *(len(side) + 0.4 for side in ports))
        boxes.append((rule, ports, below, height))
        below += height + 1
    left = [*listened, *([""] * bool(objects)), *objects, *([" "] * bool(unheard)), *unheard]
    rows = max(1.4 * len(left), 1.4 * len(effects), below, 4)
    shift = (rows - below + 1) / 2  # the boxes stand in the middle
    figure = Figure(figsize=(_WIDTH, _ROW * rows + 1.4))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(rows + 0.2, -2))
    axes.axis("off")
    spread = _spread(left, rows)
    places = spread, _spread(effects, rows)
    for rule, ports, top, height in boxes:
        _box(axes, rule, top + shift, height, hypergraph, learned)
        for name in dict.fromkeys(name for one in _drawn(rule) for name in one.objects):
            _curve(axes, 0, spread[name], top + shift + height - 0.5, color=_BINDS, linewidth=1.2)
        for side, sources in enumerate(ports):
            ends = np.arange(len(sources)) - (len(sources) - 1) / 2 + top + shift + height / 2
            # In the order of their other ends, so that lines to one box do not cross.
            sources = sorted(sources, key=lambda source: places[side][source[0]])
            for (name, weight), end in zip(sources, ends):
                _line(axes, side, places[side][name], end, weight, learned)
    for name, y in spread.items():
        colour = _OBJECT if name in objects else "black" if name in heard else _FAINT
        axes.text(_PLACES[0] - 0.01, y, name, ha="right", va="center", fontsize=9, color=colour)
    for name, y in places[1].items():
        axes.text(_PLACES[3] + 0.01, y, name, ha="left", va="center", fontsize=9)
    _headings(axes, moment, len(rules))
    return figure


def _drawn(rule: Rule) -> list[Applied]:
    """The nearest instances, and the one that decided."""
    first = rule.instances[:MOST_INSTANCES]
    return [*first, *(one for one in rule.instances[MOST_INSTANCES:] if one.won)]


def _lines_of(rule: Rule) -> int:
    drawn = _drawn(rule)
    return len(drawn) + (len(drawn) < len(rule.instances))


def _spread(names: Sequence[str], rows: float) -> dict[str, float]:
    """Names evenly over the height."""
    return {name: (i + 0.5) * rows / len(names) for i, name in enumerate(names)}


def _curve(axes: Axes, side: int, start: float, end: float, **style: Any) -> float:
    """A smooth line that leaves and arrives level, from a name to a box; where it arrives."""
    left, right = (_PLACES[0], _PLACES[1]) if side == 0 else (_PLACES[3], _PLACES[2])
    along = np.linspace(0, 1, 60)
    x = left + (right - left) * along
    t = np.minimum(along / 0.75, 1)  # level where the number stands
    y = start + (end - start) * (3 * t**2 - 2 * t**3)
    axes.plot(x, y, solid_capstyle="butt", zorder=1, **style)
    return right


def _line(axes: Axes, side: int, start: float, end: float, weight: float, numbered: bool) -> None:
    """From a name to its port at a box; with its attention, where there is such."""
    shade = str(round(0.7 * (1 - weight), 2))
    right = _curve(axes, side, start, end, color=shade, linewidth=0.5 + 5 * weight)
    if numbered:
        axes.text(
            right + (0.006 if side else -0.006), end, f"{weight:.0%}", fontsize=7.5,
            ha="left" if side else "right", va="center", zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip


def _box(
    axes: Axes, rule: Rule, top: float, height: float, hypergraph: Hypergraph, learned: bool
) -> None:
    """A rule, as dark as the attention that it gets, with its instances."""
    operator = hypergraph.operators[rule.number]
    left, right = _PLACES[1:3]
    axes.add_patch(
        Rectangle(
            (left, top), right - left, height, linewidth=1.8, zorder=3,
            edgecolor=COLOURS[EXPERTS.index(operator.expert)],
            facecolor=str(1 - 0.3 * rule.weight),
        )
    )  # fmt: skip
    share = "attention" if learned else "weight"
    lines = [f"{operator.expert}, {share} {rule.weight:.0%}"]
    lines += [_instance(one) for one in _drawn(rule)]
    if len(_drawn(rule)) < len(rule.instances):
        lines.append(f"and {len(rule.instances) - len(_drawn(rule))} more")
    first = top + (height - len(lines)) / 2 - 0.1
    centre = (left + right) / 2
    axes.text(
        centre, first, operator.name, ha="center", va="center", fontsize=9, zorder=4,
        weight="bold",
    )  # fmt: skip
    for i, line in enumerate(lines):
        weight = "bold" if line.startswith("▶") else "normal"
        size = min(8, 8 * _FITS / len(line))
        axes.text(
            centre, first + 1 + i, line, ha="center", va="center", fontsize=size, zorder=4,
            weight=weight,
        )  # fmt: skip


def _instance(applied: Applied) -> str:
    about = "; ".join(applied.objects)
    actions = " or ".join(ACTIONS[action] for action in applied.actions[:2])
    more = " or …" if len(applied.actions) > 2 else ""
    return f"{'▶ ' if applied.won else ''}{about}{' ' * bool(about)}→ {actions}{more}"


def _headings(axes: Axes, moment: Moment, shown: int) -> None:
    weights = ", ".join(f"{expert_name(k)} {w:.0%}" for k, w in enumerate(moment.alpha.tolist()))
    action = "the game is over"
    if moment.action is not None:
        how = f"{moment.probabilities[moment.action]:.0%}" if moment.asked else "the rules carry on"
        action = f"{ACTIONS[moment.action]} ({how})"
    experts = f"experts: {weights}" if weights else "the rules alone"
    axes.set_title(f"Step {moment.step}: {action}\n{experts}", fontsize=10)
    left_out = len(moment.rules) - shown
    more = f", {left_out} more not drawn" if left_out else ""
    for x, words, side in (
        (_PLACES[0] - 0.01, "conditions that hold; objects", "right"),
        (sum(_PLACES[1:3]) / 2, f"rules that apply{more}", "center"),
        (_PLACES[3] + 0.01, "their effects", "left"),
    ):
        axes.text(x, -1.2, words, ha=side, va="center", fontsize=10, weight="bold")
    if not shown:
        axes.text(sum(_PLACES[1:3]) / 2, 2, "none", ha="center", color=_FAINT)
