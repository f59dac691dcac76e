"""The page of a run and of a sweep: one file with all in it, which a browser opens without a complaint."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from browser import CHROMEDRIVER, CHROMIUM, start_browser
from running import MODELS, SWEEP, Trained, call_script, copy_trained, error_line, last_line

from emotorch.analyses import analyses
from emotorch.paths import Paths
from emotorch.reports.page import Fact, Section, matrix, render, table, text
from emotorch.reports.sweep_page import sweep_page
from emotorch.runs.confusion import Matrix
from emotorch.sweep.job import Result
from emotorch.tables import Table

pytestmark = pytest.mark.slow

ABOUT = {
    "design": {"count": 2, "strategy": "random"},
    "settings": {"recipe": {"name": "emotorch"}, "train_on": "FER"},
    "started": "today",
}
REPORT = f"{MODELS}/write_report.py"
SECTIONS = ["learning", "predictions", *(analysis.name for analysis in analyses()), "provenance"]
in_chromium = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no chromium and chromedriver here (Debian: chromium, chromium-driver)"
)


class Page(HTMLParser):
    """What a page refers to, its sections, and that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.sections: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.references += [value for name, value in values.items() if name in ("src", "href", "xlink:href") and value]
        if tag == "section":
            self.sections.append(values["id"] or "")


def is_inside(reference: str) -> bool:
    return reference.startswith(("data:", "#"))


@pytest.fixture(scope="module")
def run_page(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ours = copy_trained(trained, tmp_path_factory.mktemp("report") / "root")
    return Path(last_line(call_script(ours.paths, REPORT, ours.folder.name, "--threads", 1)))


def test_the_page_of_a_run_has_every_analysis_in_one_file(run_page: Path) -> None:
    html = run_page.read_text()
    page = Page(html)
    assert page.sections == SECTIONS
    assert page.references
    assert all(map(is_inside, page.references))
    assert "no table of attributes was given" in html
    assert html.count("data:image/png") >= 5


def test_a_second_page_is_made_from_what_was_measured_and_is_equal(trained: Trained, run_page: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_page.parent.glob("*/findings.json")}
    html = run_page.read_text()
    paths = Paths(run_page.parents[3])
    assert last_line(call_script(paths, REPORT, run_page.parent.name, "--threads", 1)) == str(run_page)
    assert run_page.read_text() == html
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_without_the_images_the_page_says_what_is_missing(ours: Trained, tmp_path: Path) -> None:
    elsewhere = Paths(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    done = call_script(elsewhere, REPORT, ours.folder, "--threads", 1)
    html = Path(last_line(done)).read_text()
    assert html.count('class="missing"') == 5
    # In the terminal too: what hinders may be a full disk.
    assert done.stderr.count(": not measured: ") == 5
    assert f"measure_robustness.py {ours.folder.name}" in html


def test_the_page_of_a_sweep_lists_its_runs(root: Paths) -> None:
    quick = ("--epochs", 1, "--workers", 1, "--fer-aug-range", "0:0", "--ckp-aug-range", "0:0")
    sweep = Path(last_line(call_script(root, SWEEP, "--num-models", 2, *quick)))
    html = Path(last_line(call_script(root, REPORT, sweep.name))).read_text()
    page = Page(html)
    assert page.sections == ["ranking", "best", "together", "runs"]
    assert all(map(is_inside, page.references))
    assert set(re.findall(r"<td>(model_\d{5})</td>", html)) == {"model_00001", "model_00002"}


@pytest.mark.parametrize(
    ("errors", "caption", "column"),
    [(("no space", "no space"), "Of every run: no space. Press", False), (("no space", "killed"), ">Press", True)],
)
def test_what_is_said_of_every_run_is_said_once(
    paths: Paths, errors: tuple[str, ...], caption: str, column: bool
) -> None:
    results = [Result(number, "", "failed", error=error) for number, error in enumerate(errors, start=1)]
    html = sweep_page(paths, "sweep_1", ABOUT, {}, results, None)
    assert caption in html
    assert (">note<" in html) == column
    assert all((f"<td>{error}</td>" in html) == column for error in errors)


def test_the_page_of_a_sweep_that_has_just_begun_says_so(paths: Paths) -> None:
    assert "No run has ended yet" in sweep_page(paths, "sweep_1", ABOUT, {}, [], None)


def test_an_unknown_name_is_an_error_in_one_line(paths: Paths) -> None:
    assert "model_00009" in error_line(call_script(paths, REPORT, "model_00009"), 2)


def test_text_is_escaped() -> None:
    rows = table(Table(pd.DataFrame({"<b>": ["<script>alert(1)</script>"]})))
    html = render("<i>", "&", [Fact("<u>", "1")], [Section("a", "<s>", [text("<p>"), rows])])
    for tag in ("<b>", "<i>", "<u>", "<s>", "<p><p>", "<script>alert"):
        assert tag not in html


def test_a_matrix_without_counts_has_proportions_only() -> None:
    html = matrix(Matrix(("a", "b"), [[0.25, 0.75], [1, 0]], None), "somebody's")
    assert re.findall(r">(\d+)%", html) == ["25", "75", "100", "0"]
    assert "<small>" not in html


@in_chromium
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_opens_the_page_and_sorts_its_tables(run_page: Path, tmp_path: Path, width: int) -> None:
    frame = pd.DataFrame({"name": ["b", "a", "c"], "figure": [10, 9, None]})
    sorted_table = table(Table(frame, {"figure": "{:.0f}"}), kind="sortable")
    page = tmp_path / "page.html"
    page.write_text(render("title", "", [], [Section("runs", "Runs", [sorted_table])]))
    with start_browser(tmp_path / "profile") as browser:
        browser.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True
        )
        browser.open(run_page.as_uri())
        assert browser.run("return document.documentElement.scrollWidth") <= width
        browser.open(page.as_uri())
        column = "return [...document.querySelectorAll('tbody td:first-child')].map(cell => cell.innerText).join('')"
        browser.click("th:nth-child(2) button")
        assert browser.run(column) == "abc"  # what has no figure stays below
        browser.click("th:nth-child(2) button")
        assert browser.run(column) == "bac"
        assert not browser.console()
