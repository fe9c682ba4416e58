"""How a moment looks in a terminal: the map beside what the agent made of it."""

import io
from collections.abc import Sequence

import numpy as np
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.train.health import expert_name
from tedg_fast.watch.moments import Applied, Moment, Rule

SIZE = (132, 40)
"""Columns and rows of a recording, and from which on everything has its place."""
EXPERT_COLOURS = ("green", "red", "yellow", "cyan")
_MAP = (82, 26)  # NetHack's terminal with its frame
# NetHack's black is meant for white paper.
_COLOURS = (
    "bright_black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "bright_black",
    "bright_red", "bright_green", "bright_yellow", "bright_blue", "bright_magenta", "bright_cyan",
    "bright_white",
)  # fmt: skip
_MOST_ACTIONS = 11
_MOST_SOURCES = 3
_MOST_INSTANCES = 3


def frame(moment: Moment, hypergraph: Hypergraph, heading: str, size: tuple[int, int]) -> str:
    """The moment as lines with ANSI colours, at most ``size`` (columns, rows)."""
    columns, rows = size
    output = io.StringIO()
    console = Console(
        file=output, width=columns, height=rows, force_terminal=True, color_system="standard",
        legacy_windows=False, _environ={},
    )  # fmt: skip
    wide = columns >= SIZE[0] and rows >= SIZE[1]
    arranged = _wide(moment, hypergraph) if wide else _narrow(moment, hypergraph)
    title = Text(heading[:columns], style="bold", no_wrap=True)
    below = console.options.update(height=rows - 1 if wide else None)
    lines = console.render_lines(title) + console.render_lines(arranged, below)
    for line in lines[:rows]:
        console.print(*(Text(text, style or "") for text, style, _ in line), sep="", end="\n")
    return output.getvalue().rstrip("\n")


def _wide(moment: Moment, hypergraph: Hypergraph) -> RenderableType:
    layout = Layout()
    layout.split_row(Layout(name="left", size=_MAP[0]), Layout(name="right"))
    layout["left"].split_column(Layout(_screen(moment), size=_MAP[1]), Layout(name="below"))
    layout["below"].split_row(
        Layout(_panel("experts", _experts(moment))),
        Layout(_panel("actions", _actions(moment, _MOST_ACTIONS))),
    )
    layout["right"].split_column(
        Layout(_panel(_rules_title(moment), _rules(moment, hypergraph)), ratio=3),
        Layout(_panel("conditions that hold", _conditions(moment, hypergraph)), ratio=2),
        Layout(_panel("objects", _objects(moment)), ratio=1),
    )
    return layout


def _narrow(moment: Moment, hypergraph: Hypergraph) -> RenderableType:
    """One below the other; what does not fit is cut off at the bottom."""
    return Group(
        _screen(moment),
        _panel("experts", _experts(moment)),
        _panel("actions", _actions(moment, 5)),
        _panel(_rules_title(moment), _rules(moment, hypergraph)),
        _panel("objects", _objects(moment)),
        _panel("conditions that hold", _conditions(moment, hypergraph)),
    )


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim")


def _screen(moment: Moment) -> Panel:
    text = Text(no_wrap=True, end="")
    for row, (chars, colours) in enumerate(zip(moment.chars, moment.colours)):
        # Runs of one colour; the cursor is where the player stands, or is asked.
        marks = colours.astype(int) & 15
        marks[moment.cursor[1]] += 16 * (row == moment.cursor[0])
        starts = [0, *(np.flatnonzero(np.diff(marks)) + 1), len(marks)]
        for start, end in zip(starts, starts[1:]):
            style = _COLOURS[marks[start] & 15] + (" reverse" if marks[start] > 15 else "")
            text.append(chars[start:end].tobytes().decode("latin-1"), style)
        if row < len(moment.chars) - 1:
            text.append("\n")
    title = f"step {moment.step}, score {moment.score}, deepest level {moment.depth}"
    return Panel(text, title=title, title_align="left", width=_MAP[0], padding=0)


def _experts(moment: Moment) -> RenderableType:
    words = f"game over: {moment.ending}" if moment.ending else "the rules alone play"
    if not len(moment.alpha):
        return Text(words)
    rows = [
        (expert_name(k), weight, EXPERT_COLOURS[k % len(EXPERT_COLOURS)])
        for k, weight in enumerate(moment.alpha.tolist())
    ]
    if not moment.ending:
        words = f"value {moment.value:.2f}"
        words += "" if moment.asked else "\nnot asked: the rules carry on"
    return Group(_bars(rows, 12), Text(f"\n{words}"))


def _actions(moment: Moment, most: int) -> RenderableType:
    order = np.argsort(-moment.probabilities, kind="stable")[:most]
    if moment.action is not None and moment.action not in order:
        order[-1] = moment.action
    rows = [
        (
            f"{'▶' if a == moment.action else ' '} {ACTIONS[a]}",
            float(moment.probabilities[a]),
            "bright_white" if a == moment.action else "white",
        )
        for a in order
    ]
    return _bars(rows, 16)


def _rules_title(moment: Moment) -> str:
    return "rules that apply, by " + ("attention" if len(moment.alpha) else "priority")


def _rules(moment: Moment, hypergraph: Hypergraph) -> RenderableType:
    """Each rule's share of the attention, what it attends to itself, and what it applies to."""
    if not moment.rules:
        return Text("none", style="dim")
    parts: list[RenderableType] = []
    for rule in moment.rules:
        operator = hypergraph.operators[rule.number]
        colour = EXPERT_COLOURS[int(hypergraph.operator_expert[rule.number])]
        parts.append(_bars([(operator.name, rule.weight, colour)], 28))
        sources = rule.sources[:_MOST_SOURCES] if len(moment.alpha) else ()
        if sources:
            words = ", ".join(f"{name} {weight:.0%}" for name, weight in sources)
            parts.append(Text(f"  ← {words}", "dim", no_wrap=True, overflow="ellipsis"))
        parts += [_instance(applied) for applied in _foremost(rule)]
        more = len(rule.instances) - _MOST_INSTANCES
        if more > 0:
            parts.append(Text(f"    and {more} more", "dim"))
    return Group(*parts)


def _foremost(rule: Rule) -> list[Applied]:
    """The nearest instances, and the one that decided."""
    first = rule.instances[:_MOST_INSTANCES]
    return [*first, *(one for one in rule.instances[_MOST_INSTANCES:] if one.won)]


def _instance(applied: Applied) -> Text:
    """What a rule applies to and proposes: "▶ newt, 1 east → east"."""
    about = "; ".join(applied.objects)
    actions = ", ".join(ACTIONS[action] for action in applied.actions)
    words = f"  {'▶' if applied.won else ' '} {about}{' ' * bool(about)}→ {actions}"
    style = "bright_white" if applied.won else ""
    return Text(words, style, no_wrap=True, overflow="ellipsis")


def _objects(moment: Moment) -> RenderableType:
    return Text(" · ".join(moment.objects)) if moment.objects else Text("none", style="dim")


def _conditions(moment: Moment, hypergraph: Hypergraph) -> RenderableType:
    names = [hypergraph.conditions[number].name for number in moment.conditions]
    return Columns(names, expand=True, column_first=True) if names else Text("none", style="dim")


def _bars(rows: Sequence[tuple[str, float, str]], name_width: int) -> Table:
    """Names, shares in 0 … 1 as bars and numbers, colours."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=name_width, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1)
    table.add_column(width=4, justify="right")
    for name, share, colour in rows:
        table.add_row(Text(name, colour), _Bar(share, colour), f"{share:.0%}")
    return table


class _Bar:
    """A bar over the share of the width at hand, to an eighth of a column."""

    def __init__(self, share: float, colour: str):
        self.share, self.colour = share, colour

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        eighths = round(self.share * options.max_width * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        yield Text(bar, self.colour, no_wrap=True)
