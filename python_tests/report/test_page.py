"""The page in a real browser."""

import shutil
import sys

import pytest

from tedg_fast import cli

playwright = pytest.importorskip(
    "playwright.sync_api", reason="pip install -e '.[browser]' is needed to open the page"
)
FIGURES = {
    "true_score_curve", "last_observation_score_curve", "score_distribution", "depth",
    "true_score_by_steps",
    "alpha_entropy", "usage_one (2 seeds)", "usage_other", "expert_switching", "losses",
    "grad_norm", "attention_variance", "steps_per_second",
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
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        arguments = [runs / "one-0", runs / "one-1", runs / "other", "--out", out]
        patch.setattr(sys, "argv", ["tedg-report", *map(str, arguments)])
        cli.report()
    return out / "report.html"


@pytest.mark.parametrize(("width", "columns"), [(1280, 2), (375, 1)])
def test_opens_without_error_request_or_overlap(browser, report, width, columns):
    page = browser.new_page(viewport={"width": width, "height": 800})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    boxes = page.evaluate(
        "[...document.querySelectorAll('figure')].map(f => [f.id, f.firstChild.naturalWidth,"
        " ...Object.values(f.getBoundingClientRect().toJSON()).slice(0, 4)])"
    )
    assert {box[0] for box in boxes} == FIGURES
    assert all(box[1] > 300 for box in boxes), "a picture did not load"
    assert len({round(box[2]) for box in boxes}) == columns
    for i, (*_, x, y, w, h) in enumerate(boxes):
        assert all(
            x + w <= a or a + c <= x or y + h <= b or b + d <= y
            for *_, a, b, c, d in boxes[:i]
        )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
