"""A report as one HTML file that opens offline: text, tables and pictures, nothing outside it."""

import base64
import html
from collections.abc import Sequence

from tedg_fast.report.arms import Verdict
from tedg_fast.report.figures import Picture
from tedg_fast.report.style import svg
from tedg_fast.report.tables import Table
from tedg_fast.runs.log import Run

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p, li { max-width: 48rem; }
.wide { container-type: inline-size; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
td { white-space: nowrap; }
th:first-child { text-align: left; min-width: 16rem; }
tbody th { font-weight: 500; }
thead th { border-bottom: 2px solid #1a1a1a; vertical-align: bottom; font-weight: 600; }
.pictures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; } figure img { width: 100%; height: auto; }
.remark { background: #fff4d6; padding: .1rem .5rem; }
summary, label, input { cursor: pointer; } label { margin-right: 1rem; }
#completed:not(:checked) ~ .pictures .completed,
#env_steps:not(:checked) ~ .pictures .env_steps { display: none; }
"""
_AXES = """<h2>Pictures</h2>
<input type="radio" name="over" id="completed" checked><label for="completed">by episode</label>
<input type="radio" name="over" id="env_steps"><label for="env_steps">by environment step</label>
<div class="pictures">"""
_FOLDED = """
@container (max-width: WIDTHrem) {
  .NAME, .NAME tbody { display: block; }
  .NAME thead { display: none; }
  .NAME tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr));
    padding: .5rem 0; border-bottom: 1px solid #ddd; }
  .NAME th { grid-column: 1 / -1; min-width: 0; padding: 0; border: 0; }
  .NAME td { text-align: left; white-space: normal; overflow-wrap: anywhere;
    padding: .2rem 1rem 0 0; border: 0; }
  .NAME td::before { content: attr(data-name); display: block; color: #5c5c5c; font-size: .8rem; }
}
"""


def page(
    title: str,
    runs: Sequence[Run],
    verdicts: Sequence[Verdict],
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    remarks: Sequence[str],
) -> str:
    """The whole page. ``pictures`` must be written inside ``style.styled()``."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # Without an icon of its own a browser asks a server for one.
        f'<link rel="icon" href="data:,">\n<title>{html.escape(title)}</title>',
        f"<style>{_STYLE}{''.join(sorted(map(_folded, tables)))}</style>\n</head>\n<body>",
        f"<h1>{html.escape(title)}</h1>",
        *(f'<p class="remark">{html.escape(remark)}</p>' for remark in remarks),
        *(["<h2>What the scores support</h2>"] if verdicts else []),
        _items(verdict.sentence for verdict in verdicts),
        _AXES,
        *map(_figure, pictures),
        "</div>",
        *(table.html() for table in tables),
        "<h2>Warnings and events</h2>",
        *map(_events, runs),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _folded(table: Table) -> str:
    """The style of a table where it does not fit."""
    return _FOLDED.replace("WIDTH", str(table.fold)).replace("NAME", f"fold-{table.fold}")


def _figure(picture: Picture) -> str:
    """An image of its own, so that the names inside one picture cannot meet those of another."""
    data = base64.b64encode(svg(picture.figure)).decode()
    words = html.escape(picture.words, quote=True)
    name = html.escape(picture.name, quote=True)
    source = f"data:image/svg+xml;base64,{data}"
    return f'<figure id="{name}" class="{picture.over}"><img alt="{words}" src="{source}"></figure>'


def _events(run: Run) -> str:
    name = html.escape(run.name)
    if not run.events:
        return f"<p>{name}: none.</p>"
    lines = _items(f"{e['completed']} episodes, {e['kind']}: {e['message']}" for e in run.events)
    return f"<details><summary>{name}: {len(run.events)}</summary>{lines}</details>"


def _items(lines) -> str:
    return "<ul>\n" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "\n</ul>"
