"""Tables: Markdown everywhere, drawn by rich where a terminal shows them."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

Row = Sequence[str]


def markdown(header: Row, rows: Sequence[Row]) -> str:
    """A Markdown table, without a newline at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(title: str, header: Row, rows: Sequence[Row]) -> None:
    """Print a table to standard output."""
    console = Console()
    if not console.is_terminal:
        print(f"{title}\n\n{markdown(header, rows)}\n")
        return
    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def interval(part: dict[str, float | None], digits: int = 1) -> str:
    """``mean`` ± ``half_width``; a dash for what is None."""
    if part["mean"] is None:
        return "–"
    mean = f"{part['mean']:z.{digits}f}"
    return mean if part["half_width"] is None else f"{mean} ± {part['half_width']:z.{digits}f}"


def p_value(p: float | None) -> str:
    """Three digits are enough; below 0.001 only that."""
    if p is None or math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
