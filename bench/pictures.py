"""The README's pictures of a run: a report, a watched game, the graph of a moment.

    python bench/pictures.py results/quick_manager --seed 2 --steps 80 --moment 356

``pictures.json`` says by which rules the pictured agent plays; a test holds that these are the
packaged ones. Needs ``pip install -e '.[browser]'`` and a Chromium; writes to bench/results.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import record
from tedg_fast.evaluate.agents import find_agent
from tedg_fast.report.command import ReportConfig, report
from tedg_fast.watch.command import WatchConfig, watch

WIDTH = 1100
LAST_FIGURE = 5
"""Number of the last figure on the picture, from 0."""


def photograph(page_file: Path, picture: Path) -> None:
    """The top of the page down to ``LAST_FIGURE``."""
    with sync_playwright() as library:
        browser = library.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(page_file.as_uri())
        box = page.locator("figure").nth(LAST_FIGURE).bounding_box()
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": box["y"] + box["height"] + 10}
        page.screenshot(path=picture, full_page=True, clip=clip)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--seed", type=int, default=0, help="of the watched game")
    parser.add_argument("--steps", type=int, default=80, help="steps of the recording")
    parser.add_argument("--moment", type=int, default=60, help="step whose graph is drawn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        report(ReportConfig((arguments.run,), out=out))
        photograph(out / "report.html", record.RESULTS / "report.png")
        watch(
            WatchConfig(
                arguments.run, seed=arguments.seed, steps=arguments.steps, speed=5,
                record=out / "watch",
            )
        )  # fmt: skip
        shutil.copy(out / "watch.gif", record.RESULTS / "watch.gif")
    graph = record.RESULTS / "graph.png"
    watch(WatchConfig(arguments.run, seed=arguments.seed, steps=arguments.moment, graph=graph))
    about = {
        "rules": find_agent(str(arguments.run), None, greedy=False).rules.digest,
        "commit": record.commit(),
        "command": record.command(),
    }
    (record.RESULTS / "pictures.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
