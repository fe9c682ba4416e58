"""The page in a real browser."""

import json
import re
import shutil
import sys

import pytest

from tedg_fast import cli

playwright = pytest.importorskip(
    "playwright.sync_api", reason="pip install -e '.[browser]' is needed to open the page"
)
LONG = "a_name_as_long_as_people_give_them_with_all_of_their_settings_lr_3e-4_gamma_0.999_seed_1"
CURVES = {
    "true_score_curve", "last_observation_score_curve",
    "alpha_entropy", "usage_one (2 seeds), max_steps 40", "decision_share",
    "usage_other, max_steps 40", "expert_switching", "losses",
    "grad_norm", "attention_variance", "steps_per_second", f"usage_{LONG}, max_steps 2000",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as library:
        try:
            found = library.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {error.message.splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    """The page of two seeds, another run, and one with a long name and other games; of all
    tables."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(runs / "other", folder / LONG)
    log = folder / LONG / "logs" / "training_log.json"
    record = json.loads(log.read_text())
    record["config"]["max_steps"] = 2000  # as the recorded ones, which then stand beside it
    log.write_text(json.dumps(record))
    with pytest.MonkeyPatch.context() as patch:
        arguments = [runs / "one-0", runs / "one-1", runs / "other", folder / LONG]
        arguments += ["--earlier", "--out", folder]
        patch.setattr(sys, "argv", ["tedg-report", *map(str, arguments)])
        cli.report()
    return folder / "report.html"


@pytest.fixture
def opened(browser, report):
    """Open the page in a window of some width."""
    pages = []

    def open_page(width):
        pages.append(browser.new_page(viewport={"width": width, "height": 800}))
        pages[-1].goto(report.as_uri())
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def test_opens_without_error_or_request(browser, report):
    page = browser.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    page.close()


@pytest.mark.parametrize(("width", "columns"), [(1280, 2), (360, 1)])
@pytest.mark.parametrize("over", ["completed", "env_steps"])
def test_curves_by_episode_or_by_step_do_not_overlap(opened, width, columns, over):
    page = opened(width)
    page.check(f"#{over}")
    boxes = page.evaluate(
        "[...document.querySelectorAll('figure')].map(f => [f.id, f.firstChild.naturalWidth,"
        " ...Object.values(f.getBoundingClientRect().toJSON()).slice(0, 4)])"
    )
    assert all(box[1] > 300 for box in boxes), "a picture did not load"
    boxes = [box for box in boxes if box[4]]
    curves = CURVES if over == "completed" else {f"{name}_by_steps" for name in CURVES}
    curves = {name.replace("_curve_by", "_by") for name in curves}
    assert {box[0] for box in boxes} == curves | {"score_distribution", "depth"}
    assert len({round(box[2]) for box in boxes}) == columns
    for i, (*_, x, y, w, h) in enumerate(boxes):
        assert all(
            x + w <= a or a + c <= x or y + h <= b or b + d <= y
            for *_, a, b, c, d in boxes[:i]
        )


CUT = """
width => [...document.querySelectorAll("body *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.right > width + 0.5 || box.left < -0.5
    || element.clientWidth && element.scrollWidth > element.clientWidth + 1;
}).map(element => element.outerHTML.slice(0, 200))
"""


@pytest.mark.parametrize("width", [360, 480, 600, 768, 900, 1024, 1280, 1440, 1920])
def test_nothing_is_cut_at_any_width(opened, width):
    page = opened(width)
    assert page.evaluate(CUT, width) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_cells_are_named_where_a_table_is_folded(opened):
    """The names are in the table's head where there is room, else in every cell."""
    head = "document.querySelector('thead').getBoundingClientRect().height"
    name = "getComputedStyle(document.querySelector('td'), '::before').content"
    wide, narrow = opened(1280), opened(360)
    assert wide.evaluate(head) > 0 and wide.evaluate(name) == "none"
    assert narrow.evaluate(head) == 0
    assert narrow.evaluate(name) == '"last-observation score"'


def test_nothing_that_is_read_says_nan(opened):
    text = opened(1280).inner_text("body").lower()
    assert "earlier" in text or "old, warmup" in text
    for word in ("nan", "inf", "none"):
        assert not re.search(rf"\b{word}\b(?!\.$)", text.replace(": none.", "")), word
