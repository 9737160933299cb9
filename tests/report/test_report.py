"""The HTML report: what it says, and that nothing in it needs a network or can break out of its place."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.model import Model
from tests.cli.conftest import Call, call, table  # noqa: F401  # fixtures
from tests.export.tables import fitted, target, wide_table

pytest.importorskip("vl_convert", reason="needs the extra report")

from manynets.report import ReportInput, write_report

VOID = {"meta", "link", "br", "img", "input"}
CHROMIUM = shutil.which("chromium")


class Reader(html.parser.HTMLParser):
    """Collects headings, cells, sources, and elements that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.cells: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def written(model: Model, X: Any, y: Any, folder: Path, **more: Any) -> tuple[str, Reader]:
    metrics = {"test": {"rows": len(y), **model.evaluate(X, y)}}
    given = ReportInput(
        model=model, title="A model", part="test", X=X, y=y, metrics=metrics, baselines={}, target="price", facts={"Data": "flats.csv"},
        repeat="manynets rerun runs/flats", **more,
    )  # fmt: skip
    write_report(given, folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert reader.open == []
    assert reader.sources == []
    assert len(text) < 5_000_000
    return text, reader


def charts_of(text: str) -> list[Any]:
    found = re.search(r"<script type='application/json' id='charts'>(.*?)</script>", text, flags=re.DOTALL)
    assert found is not None
    return list(json.loads(found[1]))


def test_a_report_on_numbers(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame), validation=0.2)
    text, reader = written(model, frame, target(frame), tmp_path)
    assert reader.headings == [
        "A model", "Metrics", "Data", "Model", "What the model relies on", "How the prediction follows a column", "Errors",
        "Groups with larger errors", "Rows with the largest errors", "Repeat this run",
    ]  # fmt: skip
    assert set(frame.columns) <= set(reader.cells)
    assert len(charts_of(text)) == text.count('class="chart"') == 7
    r2 = model.evaluate(frame, target(frame))["r2"]
    assert f"{r2:.4f}" in reader.cells
    assert "manynets rerun runs/flats" in reader.cells


def test_a_report_on_classes(tmp_path: Path) -> None:
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    text, reader = written(fitted(frame, y), frame, y, tmp_path)
    assert "Classes" in reader.headings
    assert "expected calibration error" in text
    assert {"dear", "cheap"} <= set(reader.cells)


def test_a_report_on_an_array(tmp_path: Path) -> None:
    data = mn.datasets.load("digits")
    model = mn.train(data.X, data.y, mn.MLP(hidden=(16,)), mn.Recipe(epochs=2), progress=False)
    _, reader = written(model, data.X[:300], data.y[:300], tmp_path)
    assert "x10" in reader.cells


def test_names_and_values_stay_text(tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script>"
    random = np.random.default_rng(0)
    frame = polars.DataFrame({bad: random.choice([bad, "b"], 200), "x": random.normal(size=200)})
    y = frame["x"].to_numpy() + random.normal(size=200)
    text, _ = written(fitted(frame, y), frame, y, tmp_path)
    assert "<script>alert" not in text
    assert text.count("<script") == 3


def test_the_command(call: Call, table: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--preset", "plain", "--epochs", "2", "--quiet", "--out", "run")
    assert call("train", table, "--target", "price", "--drop", "id,kind", *options).code == 0
    assert call("report", "run").out.endswith("report.html\n")
    again = call("report", "run")
    assert (again.code, "exists; give another one" in again.err) == (2, True)
    assert call("report", "run", "--overwrite").code == 0
    assert call("report", "run", table, "-o", "new.html").code == 0
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for part in ("train", "validation", "test"):
        assert f"<td>{stored[part]['r2']:.4f}</td>" in text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_in_a_browser(width: int, scheme: Any, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the group browser")
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    text, _ = written(fitted(frame, y), frame, y, tmp_path)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
        page.goto((tmp_path / "report.html").as_uri())
        page.locator(".chart svg").last.wait_for()
        assert page.locator(".chart svg").count() == len(charts_of(text))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        head = page.get_by_role("button", name="accuracy lost")
        head.click()
        first = page.locator("th[aria-sort=ascending]")
        assert first.count() == 1
        assert errors == []
        browser.close()
