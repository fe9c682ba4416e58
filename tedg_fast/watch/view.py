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

from tedg_fast.hypergraph import ACTIONS, Hypergraph, expert_name
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
_MESSAGE, _DUNGEON, _STATUS = 0, range(1, 22), (22, 23)
"""Rows of NetHack's terminal."""
_LEAST_TOLD = 8
"""Lines about the agent in a low terminal."""
_MOST_ACTIONS, _FEW_ACTIONS = 11, 4
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
    title = Text(heading[:columns], style="bold", no_wrap=True)
    if columns >= SIZE[0] and rows >= SIZE[1]:
        below = console.options.update(height=rows - 1)
        lines = console.render_lines(title)
        lines += console.render_lines(_wide(moment, hypergraph), below)
    else:
        lines = console.render_lines(Group(title, *_narrow(moment, hypergraph, columns, rows - 1)))
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
        Layout(_panel("decided so far", Text(_so_far(moment))), ratio=1),
    )
    return layout


def _narrow(moment: Moment, hypergraph: Hypergraph, columns: int, rows: int) -> list[Text]:
    """The map around the player, below it in lines what the agent made of it, the most telling
    first; so many ``rows`` of so many ``columns`` at most."""
    rules = _rule_lines(moment, hypergraph)
    told = [
        _standing(moment),
        _experts_line(moment),
        _actions_line(moment),
        *rules[:1],
        Text(f"decided so far: {_so_far(moment)}", "dim"),
        *rules[1:],
        Text("objects: " + (" · ".join(moment.objects) or "none"), "dim"),
        Text("holds: " + ", ".join(_names_of_conditions(moment, hypergraph)), "dim"),
    ]
    room = rows - 1 - len(_STATUS)
    height = min(len(_DUNGEON), max(room - len(told), room - min(_LEAST_TOLD, room // 2)))
    middle = moment.cursor[0] - height // 2
    top = min(max(middle, _DUNGEON.start), _DUNGEON.stop - height)
    left = min(max(moment.cursor[1] - columns // 2, 0), max(moment.chars.shape[1] - columns, 0))
    shown = [_MESSAGE, *range(top, top + height)]
    lines = [_screen_line(moment, row, left) for row in shown]
    lines += [_screen_line(moment, row) for row in _STATUS] + told
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
        line.truncate(columns)
    return lines[:rows]


def _standing(moment: Moment) -> Text:
    words = f"step {moment.step}, score {moment.score}, deepest level {moment.depth}"
    if moment.ending:
        words += f", game over: {moment.ending}"
    elif len(moment.alpha):
        words += f", value {moment.value:.2f}"
    return Text(words, "bold")


def _experts_line(moment: Moment) -> Text:
    if not len(moment.alpha):
        return Text("the rules alone play")
    text = Text("experts: ")
    for k, weight in enumerate(moment.alpha.tolist()):
        text.append(f"{expert_name(k)} {weight:.0%}  ", EXPERT_COLOURS[k % len(EXPERT_COLOURS)])
    return text


def _actions_line(moment: Moment) -> Text:
    text = Text("actions: ")
    for action in _foremost_actions(moment, _FEW_ACTIONS):
        chosen = action == moment.action
        words = f"{'▶' if chosen else ''}{ACTIONS[action]} {moment.probabilities[action]:.0%}  "
        text.append(words, "bright_white" if chosen else "")
    return text


def _rule_lines(moment: Moment, hypergraph: Hypergraph) -> list[Text]:
    """A line for each rule that applies, the one that decided first."""
    won = moment.winner[0] if moment.winner else None
    lines = []
    for rule in sorted(moment.rules, key=lambda rule: rule is not won):
        shown = moment.winner[1] if moment.winner and rule is won else rule.instances[0]
        line = Text(f"{hypergraph.operators[rule.number].name} {rule.weight:.0%}")
        line.stylize(EXPERT_COLOURS[int(hypergraph.operator_expert[rule.number])])
        line.append_text(_instance(shown))
        more = len(rule.instances) - 1
        line.append(f", {more} more" if more else "", "dim")
        lines.append(line)
    return lines


def _so_far(moment: Moment) -> str:
    """How often each rule decided in the game before this moment, the most frequent first."""
    times = moment.times_decided
    shares = [f"{rule} {count / moment.step:.0%}" for rule, count in times.most_common()]
    return " · ".join(shares) or "nothing"


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim")


def _screen(moment: Moment) -> Panel:
    lines = [_screen_line(moment, row) for row in range(len(moment.chars))]
    title = f"step {moment.step}, score {moment.score}, deepest level {moment.depth}"
    text = Text("\n", no_wrap=True, end="").join(lines)
    return Panel(text, title=title, title_align="left", width=_MAP[0], padding=0)


def _screen_line(moment: Moment, row: int, left: int = 0) -> Text:
    """A row of the game's terminal from the column ``left`` on, in its colours."""
    chars, marks = moment.chars[row], moment.colours[row].astype(int) & 15
    # Runs of one colour; the cursor is where the player stands, or is asked.
    marks[moment.cursor[1]] += 16 * (row == moment.cursor[0])
    starts = [left, *(left + 1 + np.flatnonzero(np.diff(marks[left:]))), len(marks)]
    text = Text(no_wrap=True)
    for start, end in zip(starts, starts[1:]):
        style = _COLOURS[marks[start] & 15] + (" reverse" if marks[start] > 15 else "")
        text.append(chars[start:end].tobytes().decode("latin-1"), style)
    return text


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
    rows = [
        (
            f"{'▶' if a == moment.action else ' '} {ACTIONS[a]}",
            float(moment.probabilities[a]),
            "bright_white" if a == moment.action else "white",
        )
        for a in _foremost_actions(moment, most)
    ]
    return _bars(rows, 16)


def _foremost_actions(moment: Moment, most: int) -> list[int]:
    """The most probable actions, and the one that is played."""
    order = np.argsort(-moment.probabilities, kind="stable")[:most]
    if moment.action is not None and moment.action not in order:
        order[-1] = moment.action
    return order.tolist()


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
    names = _names_of_conditions(moment, hypergraph)
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


def _names_of_conditions(moment: Moment, hypergraph: Hypergraph) -> list[str]:
    return [hypergraph.conditions[number].name for number in moment.conditions]


class _Bar:
    """A bar over the share of the width at hand, to an eighth of a column."""

    def __init__(self, share: float, colour: str):
        self.share, self.colour = share, colour

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        eighths = round(self.share * options.max_width * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        yield Text(bar, self.colour, no_wrap=True)
