"""The HTML report: what it says, and that nothing in it needs a network or can break out of its place."""

from __future__ import annotations

import html.parser
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import manynets as mn
from manynets.model import Model
from tests.cli.conftest import Call, call, table  # noqa: F401  # fixtures
from tests.export.tables import fitted, target, wide_table

pytest.importorskip("vl_convert", reason="needs the extra report")

from manynets.display import number_text
from manynets.report import ReportInput, quality, write_report
from manynets.report.charts import dependence_chart, history_chart, number_axis
from manynets.report.curves import average_precision, curves_of, roc_area
from manynets.report.parts import LabelledRows, between
from manynets.report.quality import metric_intervals

VOID = {"meta", "link", "br", "img", "input"}
CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


class Reader(html.parser.HTMLParser):
    """Collects headings, cells, sources, and elements that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.cells: list[str] = []
        self.sources: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img" and not dict(attrs).get("alt"):
            self.unnamed.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith(("#", "data:image/png;"))
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if self.open and self.open[-1] == "caption":
            self.rows = self.tables.setdefault(data, [])
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
            self.cells.append(data)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, 3], {"values": [1, 2, 3], "format": "d"}),
        ([1950.5, 2006], {"format": "d"}),
        ([0, 80], {}),
        ([0.5, 2], {}),
        ([500, 65_000], {}),
        ([np.nan], {}),
    ],
)
def test_whole_numbers_and_years_are_marked_as_such(values: list[float], wanted: dict[str, Any]) -> None:
    assert number_axis(values).to_dict() == wanted


def test_a_squared_error_is_drawn_as_rmse() -> None:
    chart = json.dumps(history_chart({"epoch": [1.0, 2.0], "loss": [16.0, 4.0]}, [], squared=1.0))
    assert '"loss": 4.0' in chart
    assert '"title": "RMSE"' in chart


def written(model: Model, X: Any, y: Any, folder: Path, **more: Any) -> tuple[str, Reader]:
    metrics = {"test": {"rows": len(y), **model.evaluate(X, y, sample_weight=more.get("weight"))}}
    given = ReportInput(
        model=model, title="A model", part="test", X=X, y=y, metrics=metrics, target="price", data={"Data": "flats.csv"},
        repeat="manynets rerun runs/flats", **more,
    )  # fmt: skip
    write_report(given, folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    reader = read(text)
    assert reader.sources == reader.unnamed == []
    assert len(text) < 5_000_000
    return text, reader


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert reader.open == []
    return reader


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
        "Prediction intervals", "Groups with larger errors", "Rows with the largest errors", "Repeat this run",
    ]  # fmt: skip
    assert set(frame.columns) <= set(reader.cells)
    assert len(charts_of(text)) == text.count('class="chart"') == 19
    r2 = model.evaluate(frame, target(frame))["r2"]
    assert f"{r2:.4f}" in reader.cells
    assert "manynets rerun runs/flats" in reader.cells
    limits = model.predict_interval(frame, 0.9)
    inside = np.mean((limits[:, 0] <= target(frame)) & (target(frame) <= limits[:, 1]))
    _, line, _ = reader.tables["Coverage and width of the intervals"][1:]
    assert line[:3] == ["90%", "price", f"{inside:.1%}"]
    assert float(line[4].replace(",", "")) == pytest.approx(np.median(limits[:, 1] - limits[:, 0]), rel=1e-3)


def test_a_report_on_classes(tmp_path: Path) -> None:
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    text, reader = written(fitted(frame, y), frame, y, tmp_path)
    assert "Classes" in reader.headings
    assert "Expected calibration error" in text
    assert {"dear", "cheap"} <= set(reader.cells)


def test_names_and_values_are_text(tmp_path: Path) -> None:
    """A column or a category that is HTML is shown, not run."""
    tag = "<img src=x onerror=alert(1)>"
    frame = wide_table().rename({"size": tag}).with_columns(color=polars.lit(tag))
    y = np.arange(len(frame)) % 7 + 0.5
    text, reader = written(fitted(frame, y), frame, y, tmp_path)
    assert tag in reader.cells
    assert "<img src=x" not in text


def test_a_report_on_an_array(tmp_path: Path) -> None:
    data = mn.datasets.load("digits")
    model = mn.train(data.X, data.y, mn.MLP(hidden=(16,)), mn.Recipe(epochs=2), progress=False)
    _, reader = written(model, data.X[:300], data.y[:300], tmp_path)
    assert "x10" in reader.cells


def test_a_column_without_a_value_in_the_rows_is_left_out(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = polars.DataFrame({"size": random.normal(size=60), "age": [1.0, 2.0, 4.0, 7.0, None, 11.0] * 10, "floor": [3] * 60})
    price = frame["size"] + random.normal(size=60)
    model = mn.train(frame, price, mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), progress=False)
    text, _ = written(model, frame.with_columns(age=polars.lit(None, dtype=polars.Float64)), price, tmp_path)
    assert "Left out, with fewer than two values in these rows: age, floor." in text
    assert "Mean prediction over size" in text


def test_years_have_no_separator(tmp_path: Path) -> None:
    years = np.repeat(np.arange(1900, 2020, 2), 2)
    frame = polars.DataFrame({"year": years, "rent": years * 10.5, "kind": ["flat"] * 120})
    model = mn.train(frame, years % 7, mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), task="regression", progress=False)
    _, reader = written(model, frame, years % 7, tmp_path)
    assert [line[2] for line in reader.tables["Columns as understood"][1:]] == ["median 1959", "median 20,569.5", "1 level: flat"]
    for row, _, _, _, year, rent, _ in reader.tables["Rows"][1:]:
        assert [year, rent] == [str(years[int(row)]), f"{years[int(row)] * 10.5:,.6g}"]


def test_a_report_on_images(tmp_path: Path) -> None:
    data = mn.datasets.load("digits")
    model = mn.train(data.X, data.y, mn.MLP(hidden=(16,)), mn.Recipe(epochs=2), progress=False)
    text, reader = written(model, data.X[:200], data.y[:200], tmp_path, image_shape=(8, 8), class_names=tuple("abcdefghij"))
    assert "How the prediction follows a column" not in reader.headings
    assert "b" in reader.cells
    assert text.count("<img") > 3


def test_a_report_without_rows(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame))
    given = ReportInput(
        model=model, title="A model", part="test", metrics={"train": {"rows": 5, "r2": 0.5}}, target="price", repeat="manynets rerun run",
        without_rows="the run has no test rows",
    )  # fmt: skip
    write_report(given, tmp_path / "report.html")
    assert "the run has no test rows" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_several_targets(tmp_path: Path) -> None:
    frame = wide_table()
    both = np.stack([target(frame), -target(frame)], axis=1)
    _, reader = written(fitted(frame, both), frame, both, tmp_path)
    assert {"Absolute errors of target 0", "Absolute errors of target 1"} <= set(reader.tables)
    named = polars.DataFrame({"a, in CHF": both[:, 0], "b": both[:, 1]})
    model = fitted(frame, named)
    page, reader = written(model, frame, named, tmp_path)
    assert {"Absolute errors of a, in CHF", "Absolute errors of b"} <= set(reader.tables)
    each = [map(number_text, [*values.values()][2:]) for values in model.evaluate(frame, named)["per_target"]]
    expected = [["a, in CHF", *each[0]], ["b", *each[1]]]
    assert reader.tables["Metrics by target on the test rows"] == [["Target", "R2", "RMSE", "MAE"], *expected]
    assert "Mean prediction of a, in CHF over " in page
    assert "Mean prediction of b over " in page


def test_a_logarithm_is_named(tmp_path: Path) -> None:
    frame = wide_table()
    pages = [
        written(fitted(frame, target(frame) + 500, target_transform=name), frame, target(frame) + 500, tmp_path)[0]
        for name in (None, "log")
    ]
    assert ["trained on its logarithm" in page for page in pages] == [False, True]


def test_classes_have_one_name(tmp_path: Path) -> None:
    frame = wide_table()
    y = np.where(np.arange(len(frame)) % 5 < 2, 1000, 2000)
    _, reader = written(fitted(frame, y), frame, y, tmp_path)
    assert {text for line in reader.tables["Rows"][1:] for text in line[1:3]} == {"1000", "2000"}


@pytest.mark.parametrize(("outputs", "title"), [("regression", "Target"), ("multilabel", "Label"), ("multiclass", "Class")])
def test_the_legend_of_several_outputs(outputs: str, title: str) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0) if outputs == "multiclass" else (X > 0).astype(int)
    model = mn.train(X, y, mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), task=outputs, progress=False)
    chart = dependence_chart(mn.explain.partial_dependence(model, X, "x0", n_grid=3))
    assert chart["encoding"]["color"]["title"] == title


def test_curves_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    positive, weight = random.random(500) < 0.3, random.random(500)
    scores = (random.normal(size=500) + positive).round(1)  # with ties
    curves = curves_of(positive, scores, weight=weight)
    assert roc_area(curves) == pytest.approx(roc_auc_score(positive, scores, sample_weight=weight), abs=1e-12)
    expected = average_precision_score(positive, scores, sample_weight=weight)
    assert average_precision(curves) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("most", [10_000, 240])
def test_intervals_of_metrics_hold_the_metric_and_narrow_with_the_rows(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST_RESAMPLED", most)  # rows of a resample: also of one that is smaller than the rows
    frame = wide_table()
    model = fitted(frame, target(frame))
    widths = []
    for copies in (1, 16):
        X, y = polars.concat([frame] * copies), np.tile(target(frame), copies)
        given = ReportInput(model=model, title="", part="test", X=X, y=y, metrics={}, target="price", repeat="")
        low, high = (float(text) for text in metric_intervals(LabelledRows.of(given), ["r2"])["r2"].split(" to "))
        assert low < model.evaluate(X, y)["r2"] < high
        widths.append(high - low)
    assert 2.5 < widths[0] / widths[1] < 6  # a quarter of the width from 16 times the rows


def test_a_single_row_gives_no_interval_but_of_the_accuracy() -> None:
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    given = ReportInput(model=fitted(frame, y), title="", part="test", X=frame[:1], y=y[:1], metrics={}, target="price", repeat="")
    assert set(metric_intervals(LabelledRows.of(given), ["accuracy", "log_loss"])) == {"accuracy"}


def test_shares_of_two_classes_have_the_intervals_of_the_table_of_classes() -> None:
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    model = fitted(frame, y)
    given = ReportInput(model=model, title="", part="test", X=frame, y=y, metrics={}, target="price", repeat="")
    names = ["precision", "recall", "f1"]
    own = model.evaluate(frame, y)["per_class"][1]["intervals"]
    assert metric_intervals(LabelledRows.of(given), names) == {name: between(*own[name]) for name in names}


def test_intervals_of_metrics_are_of_95_percent() -> None:
    frame = wide_table()
    model = fitted(frame, target(frame))
    given = ReportInput(model=model, title="", part="test", X=frame, y=target(frame), metrics={}, target="price", repeat="")
    low, high = (float(text) for text in metric_intervals(LabelledRows.of(given), ["mae"])["mae"].split(" to "))
    away = np.abs(model.predict(frame) - target(frame))
    assert (high - low) / 2 == pytest.approx(1.96 * away.std() / len(away) ** 0.5, rel=0.08)


def test_calibration_counts_rows_by_their_weights(tmp_path: Path) -> None:
    frame, random = wide_table(), np.random.default_rng(0)
    y, weight = np.where(target(frame) + 40 * random.normal(size=len(frame)) > 160, "dear", "cheap"), random.random(len(frame))
    model = fitted(frame, y)
    pages = []
    for given in (None, weight):
        pages.append(written(model, frame, y, tmp_path, weight=given)[0])
        codes = np.where(y == "dear", 1, 0)
        found = mn.explain.calibration(model.predict_proba(frame), codes, positive=1, bins=10, sample_weight=given)
        assert f"Expected calibration error: {found.error:.4f}" in pages[-1]
    assert ["all else counts each row once" in page for page in pages] == [False, True]
    assert ["shares of rows are Wilson" in page for page in pages] == [True, False]  # with weights it is from resampled rows, too


def test_many_classes_are_not_resampled() -> None:
    """A report on thousands of classes would take minutes."""
    X, y = np.random.default_rng(0).normal(size=(600, 2)), np.arange(600) % 300
    model = mn.train(X, y, mn.MLP(hidden=()), mn.Recipe(epochs=1), task="multiclass", progress=False)
    given = ReportInput(model=model, title="", part="test", X=X, y=y, metrics={}, target="y", repeat="")
    assert set(metric_intervals(LabelledRows.of(given), ["accuracy", "f1", "log_loss"])) == {"accuracy"}


def test_names_and_values_stay_text(tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script>"
    random = np.random.default_rng(0)
    frame = polars.DataFrame({bad: random.choice([bad, "b"], 200), "x": random.normal(size=200)})
    y = frame["x"].to_numpy() + random.normal(size=200)
    text, _ = written(fitted(frame, y), frame, y, tmp_path)
    assert "<script>alert" not in text
    assert text.count("<script") == 3


def test_the_command(call: Call, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    options = ("--preset", "plain", "--epochs", "2", "--quiet", "--out", "run")
    assert call("train", table, "--target", "price", "--drop", "id,kind", *options).code == 0
    assert call("report", "run").out.endswith("report.html\n")
    again = call("report", "run")
    assert (again.code, "exists; give another one" in again.err) == (2, True)
    assert call("report", "run", "--overwrite").code == 0
    done = call("report", "run", table, "-o", "new.html")
    assert done.code == 0
    assert re.search(r"1\d\d of the 120 rows of houses.csv are rows that the run was trained or validated on", done.out)
    with monkeypatch.context() as piped:
        piped.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(table.read_bytes())))  # which can be read once
        assert call("report", "run", "-", "-o", "piped.html").code == 0
    pages = [(tmp_path / name).read_text(encoding="utf-8") for name in ("run/report.html", "new.html")]
    assert ["whose metrics say nothing about new rows" in page for page in pages] == [False, True]
    assert ["compared with a trivial prediction" in page for page in pages] == [True, False]
    sweep = ("--grid", "lr=0.1,0.01", "--preset", "plain", "--epochs", "2", "--quiet", "--out", "sweep", "--report")
    assert call("sweep", table, "--target", "price", "--drop", "id,kind", *sweep).code == 0
    assert (tmp_path / "sweep" / "best" / "report.html").is_file()


@pytest.mark.parametrize("column", ["price", "kind"])
def test_every_number_is_that_of_metrics_json(column: str, call: Call, table: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--preset", "plain", "--epochs", "2", "--quiet", "--drop", "id", "--out", "run", "--report")
    assert call("train", table, "--target", column, *options).code == 0
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    reader = read(text)
    names = {"R2": "r2", "RMSE": "rmse", "MAE": "mae", "F1": "f1", "AUC": "auc", "log loss": "log_loss"}
    head, *lines = reader.tables["Metrics by part of the data"]
    assert [line[0] for line in lines] == ["train", "validation", "test"]
    for part, rows, *values in lines:
        assert rows == f"{stored[part]['rows']:,}"
        for name, value in zip(head[2:], values, strict=True):
            assert value == number_text(stored[part][names.get(name, name)])
    head, *lines = reader.tables["Metrics on the test rows (24)"]
    for name, value, interval, trivial, linear in lines:
        key = names.get(name, name)
        assert value == number_text(stored["test"][key])
        assert interval or value == "1.0000"  # of which all resamples agree
        if interval:
            low, high = (float(limit.replace(",", "")) for limit in interval.split(" to "))
            assert low <= float(value.replace(",", "")) <= high
        for shown, baseline in ((trivial, head[3]), (linear, head[4])):
            found = stored["baselines"][f"test: {baseline[0].lower()}{baseline[1:]}"]
            assert shown == (number_text(found[key]) if key in found else "")
    if column == "kind":
        matrix = np.array(stored["test"]["confusion"])
        for code, line in enumerate(reader.tables["Precision, recall and F1 of each class, with 95% intervals"][1:]):
            one = stored["test"]["per_class"][code]
            expected = [one["count"], one["correct"] / matrix[:, code].sum(), one["accuracy"]]
            assert [float(line[i]) for i in (1, 2, 4)] == pytest.approx(expected, abs=5e-5)
        cells = {(cell["true"], cell["predicted"]): cell["rows"] for cell in data_with(text, "predicted")}
        assert [cells[true, predicted] for true in ("big", "small") for predicted in ("big", "small")] == matrix.ravel().tolist()
        assert f"the area under it is {number_text(stored['test']['auc'])}" in text


def data_with(text: str, field: str) -> list[dict[str, Any]]:
    """Return the rows of the first data of a chart that have a field."""
    found = [data for chart in charts_of(text) for data in data_sets(chart) if field in data[0]]
    return list(found[0])


def data_sets(chart: Any) -> list[Any]:
    """Return the data of the layers of a chart."""
    return [one["data"]["values"] for one in (chart, *chart.get("layer", [])) if "data" in one]


def test_train_with_a_report_of_data_that_cannot_be_read_again(call: Call, table: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--preset", "plain", "--epochs", "2", "--drop", "id", "--test-fraction", "0", "--out", "run", "--report")
    out = call("train", table, "--target", "price", *options)
    assert out.code == 0
    assert "the report is without rows: the run has no test rows" in out.out + out.err
    assert call("train", table, "--target", "price", *options, "--overwrite").code == 0  # the report belongs to the run
    assert "report.html" in out.out


def test_train_prints_the_notes_on_test_rows_once(call: Call, tmp_path: Path) -> None:  # noqa: F811
    frame = polars.DataFrame({"size": range(80), "code": ["usual" if i % 4 else f"own {i}" for i in range(80)], "price": range(80)})
    frame.write_csv(tmp_path / "t.csv")
    options = ("--preset", "plain", "--epochs", "1", "--categorical", "code", "--out", "run", "--report")
    out = call("train", tmp_path / "t.csv", "--target", "price", "--numeric", "size", *options)
    assert (out.out + out.err).count("categories not seen in training") == 1


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
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
        page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
        page.goto((tmp_path / "report.html").as_uri())
        page.locator(".chart svg").last.wait_for()
        assert page.locator(".chart svg").count() == len(charts_of(text))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        head = page.get_by_role("button", name="accuracy lost")
        head.click()
        first = page.locator("th[aria-sort=ascending]")
        assert first.count() == 1
        page.locator(".wide").first.focus()  # wide tables can be scrolled with the keyboard
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert errors == []
        browser.close()
