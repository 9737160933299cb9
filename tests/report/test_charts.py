"""The numbers that the charts of a report show."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.explain import Dependence, Importance, calibration
from manynets.explain.values import CategoryValues

pytest.importorskip("vl_convert", reason="needs the extra report")

from manynets.report import ReportInput, charts
from manynets.report.charts import quantile_bins
from manynets.report.curves import curves_of
from manynets.report.failures import texts_of
from manynets.report.numbers import intervals_section, numbers_section
from manynets.report.parts import LabelledRows, ReportTable, Section
from tests.export.tables import fitted, target, wide_table

random = np.random.default_rng(0)


def shown(chart: Any, field: str | None = None) -> list[dict[str, Any]]:
    """Return the data of a chart: of several, the first with a field."""
    found = [part["data"]["values"] for part in (chart, *chart.get("layer", [])) if "data" in part]
    return next(data for data in found if field is None or field in data[0])


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(mn.MissingExtraError, match=r"'vl-convert-python', which is not installed; .*manynets\[report\]"):
        charts.require_report()


def test_importance_is_shown_with_one_standard_deviation_on_each_side() -> None:
    values = np.array([[0.1, 0.3], [0.5, 0.9]])
    found = Importance({"a": ("a",), "b + c": ("b", "c")}, values, "accuracy", 0.9)
    first, second = shown(charts.importance_chart(found))
    assert (first["column"], first["lost"], first["low"], first["high"]) == ("b + c", 0.7, 0.5, 0.9)
    assert (second["column"], second["lost"], second["low"], second["high"]) == ("a", 0.2, 0.1, 0.3)


def test_dependence_has_a_value_of_each_output_at_each_value_of_the_column() -> None:
    mean = np.arange(6.0).reshape(3, 2)
    found = Dependence(("size",), ([1.0, 2.0, 4.0],), mean, None, ("a", "b"))
    points = {(one["value"], one["output"]): one["prediction"] for one in shown(charts.dependence_chart(found))}
    assert points == {(value, name): mean[i, j] for i, value in enumerate((1.0, 2.0, 4.0)) for j, name in enumerate("ab")}


def test_an_output_has_the_same_colour_in_every_chart() -> None:
    names, mean = tuple("abcdefgh"), np.arange(24.0).reshape(3, 8)
    charts_of = [
        charts.dependence_chart(Dependence(("size",), ([1.0, 2.0, 4.0],), mean * away, None, names))
        for away in (np.array([1.0] * 6 + [0.0] * 2), np.array([0.0] * 2 + [1.0] * 6))
    ]
    colours = [chart["encoding"]["color"] for chart in charts_of]
    assert [one["scale"]["domain"] for one in colours] == [list(names)] * 2
    assert [one["legend"]["values"] for one in colours] == [list("abcdef"), list("cdefgh")]


def test_dates_are_drawn_at_their_local_time() -> None:
    """A browser reads "2024-01-31" as UTC, which is another day in America."""
    found = Dependence(("sold",), (["2024-01-31T00:00:00", "2024-02-01T00:00:00"],), np.arange(2.0), None, ("prediction",))
    chart = charts.dependence_chart(found)
    assert chart["encoding"]["x"]["type"] == "temporal"
    assert [one["value"] for one in shown(chart)] == ["2024-01-31T00:00:00", "2024-02-01T00:00:00"]


def test_codes_that_begin_like_a_date_are_categories() -> None:
    found = Dependence(("code",), (["2024T1", "2025T2"],), np.arange(2.0), None, ("prediction",))
    assert charts.dependence_chart(found)["encoding"]["x"]["type"] == "nominal"


def test_long_names_fit_beside_and_below_a_chart() -> None:
    curves = curves_of(np.array([False, True]), np.array([0.1, 0.4]))
    for length, columns in ((1, 5), (9, 3), (15, 2), (60, 1)):
        chart = charts.roc_chart({f"{i:0{length}}": curves for i in range(6)})
        assert chart["layer"][1]["encoding"]["color"]["legend"] == {"columns": columns, "labelLimit": charts.LONGEST_LABEL}
    found = Dependence(("x" * 200,), ([1.0, 2.0],), np.arange(4.0).reshape(2, 2), None, ("no", "y" * 200), True, two_classes=True)
    encoded = charts.dependence_chart(found)["encoding"]
    assert [encoded[axis]["axis"]["titleLimit"] for axis in "xy"] == [charts.LONGEST_TITLE, 200]
    over = charts.error_by_number_chart(np.repeat([1.0, 2.0], 5), np.ones(10), "x" * 200)
    assert over is not None
    assert {part["encoding"]["x"]["axis"]["titleLimit"] for part in over["layer"][:2]} == {charts.LONGEST_TITLE}


def test_the_curves_of_labels_call_them_labels() -> None:
    curves = curves_of(np.array([False, True]), np.array([0.1, 0.4]))
    for chart in (charts.roc_chart, charts.precision_chart):
        drawn = chart({"a": curves, "b": curves}, what="Label")
        encoding = drawn.get("layer", [drawn])[-1]["encoding"]
        assert {encoding["color"]["title"], encoding["tooltip"][0]["title"]} == {"Label"}


def test_the_heat_map_of_two_columns_has_the_first_across() -> None:
    mean = np.arange(6.0).reshape(2, 3)
    found = Dependence(("across", "up"), ([1.0, 2.0], [10.0, 20.0, 30.0]), mean, None, ("prediction",))
    cells = {(cell["other"], cell["one"]): cell["mean"] for cell in shown(charts.pair_chart(found))}
    assert cells == {(a, b): mean[i, j] for i, a in enumerate(("1", "2")) for j, b in enumerate(("10", "20", "30"))}


def test_confusions_are_shares_of_the_true_class() -> None:
    chart = charts.confusion_chart([[3, 1], [0, 0]], ("a", "b"))
    assert all(chart["layer"][0]["encoding"][axis]["axis"]["labelOverlap"] for axis in "xy")
    cells = {(cell["true"], cell["predicted"]): cell for cell in shown(chart)}
    assert [cells["a", "a"]["share"], cells["a", "b"]["share"], cells["b", "a"]["share"]] == [0.75, 0.25, 0.0]
    assert [cells["a", "b"]["rows"], cells["b", "a"]["rows"]] == [1, 0]
    of_one_name = shown(charts.confusion_chart([[3, 1], [9, 1]], ("a", "a")))
    assert [cell["share"] for cell in of_one_name] == [0.75, 0.25, 0.9, 0.1]


def test_calibration_has_the_probability_across() -> None:
    found = calibration([[0.25, 0.75]] * 4, [1, 1, 1, 1])
    assert shown(charts.reliability_chart(found), "rows") == [{"probability": 0.75, "right": 1.0, "rows": 4}]


def test_calibration_of_one_class_fills_the_chart() -> None:
    found = calibration([[0.98, 0.02], [0.9, 0.1]] * 4, [0, 1] * 4, positive=1, bins=2)
    chart = charts.class_reliability_chart(found, "fraud")
    assert shown(chart, "rows") == [{"probability": 0.02, "share": 0.0, "rows": 4}, {"probability": 0.1, "share": 1.0, "rows": 4}]
    rare = calibration([[0.98, 0.02], [0.9, 0.1]] * 4, [0] * 8, positive=1, bins=2)
    text = str(charts.class_reliability_chart(rare, "fraud"))
    assert "Probability of fraud" in text
    assert "[0, 0.11" in text


def test_curves_have_the_rates_of_their_points() -> None:
    curves = curves_of(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    for chart, x, y in (
        (charts.roc_chart({"yes": curves}), [0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0]),
        (charts.precision_chart({"yes": curves}), [0.0, 0.5, 1.0, 1.0], [1.0, 1.0, 2 / 3, 0.5]),
    ):
        points = shown(chart, "order")
        assert [point["x"] for point in points] == x
        assert [point["y"] for point in points] == pytest.approx(y, rel=1e-5)


def test_the_best_epochs_are_marked() -> None:
    chart = charts.history_chart({"epoch": [1.0, 2.0], "loss": [4.0, 1.0], "val_loss": [5.0, 2.0]}, [2.0, 2.0])
    assert chart is not None
    assert [(one["epoch"], one["part"], one["loss"]) for one in shown(chart, "loss")] == [
        (1.0, "training", 4.0), (2.0, "training", 1.0), (1.0, "validation", 5.0), (2.0, "validation", 2.0),
    ]  # fmt: skip
    assert chart["layer"][1]["data"]["values"] == [{"epoch": 2.0}]
    rmse = charts.history_chart({"epoch": [1.0, 2.0], "loss": [8.0, 2.0]}, [], squared=2.0)
    assert rmse is not None
    assert [one["loss"] for one in shown(rmse)] == [4.0, 2.0]


def test_the_importance_of_a_pixel_is_at_its_place() -> None:
    found = Importance({"x0 + x4": ("x0", "x4"), "x5": ("x5",)}, np.array([[0.5], [0.25]]), "accuracy", 0.9)
    cells = {(cell["row"], cell["column"]): cell["lost"] for cell in shown(charts.pixels_chart(found, (2, 3)))}
    assert cells == {(0, 0): 0.5, (0, 1): 0.0, (0, 2): 0.0, (1, 0): 0.0, (1, 1): 0.5, (1, 2): 0.25}


def test_errors_over_a_column_have_their_mean_and_the_middle_80_percent() -> None:
    away = random.exponential(size=60)
    values = np.repeat([1.0, 2.0, 5.0], 20)
    values[::20] = np.nan
    lines = shown(charts.error_by_number_chart(values, away, "size"))
    categories = shown(charts.error_by_category_chart(CategoryValues(["a", "b", "c"], np.repeat([2, 0, 1], 20)), away))
    for group, (number, category) in enumerate(zip(lines, categories[2:] + categories[:2], strict=True)):
        for rows, found in ((away[20 * group + 1 : 20 * group + 20], number), (away[20 * group : 20 * group + 20], category)):
            wanted = [rows.mean(), *np.quantile(rows, [0.1, 0.9])]
            assert [found["error"], found["low"], found["high"]] == pytest.approx(wanted, rel=1e-5)
            assert found["rows"] == len(rows)
    assert [line["value"] for line in lines] == [1.0, 2.0, 5.0]
    assert [line["value"] for line in categories] == ["a", "b", "c"]


@pytest.mark.parametrize("rows", [18, 60, 89, 300])
def test_errors_of_few_rows_are_in_fewer_bins(rows: int) -> None:
    lines = shown(charts.error_by_number_chart(random.normal(size=rows), np.ones(rows), "size"))
    assert sum(line["rows"] for line in lines) == rows
    assert len(lines) == min(15, rows // 6)


def test_times_of_day_have_no_date() -> None:
    times = ["1970-01-01T00:00:00", "1970-01-01T13:15:00"]
    found = Dependence(("opens",), (times,), np.arange(2.0), None, ("prediction",))
    assert found.texts() == [["00:00:00", "13:15:00"]]
    over = charts.error_by_number_chart(np.repeat([0.0, 47_700.0], 5), np.ones(10), "opens", dates=True)
    days = charts.error_by_number_chart(np.repeat([0.0, 86_400.0 * 365], 5), np.ones(10), "opens", dates=True)
    assert over is not None
    assert days is not None
    for encoding in (charts.dependence_chart(found)["encoding"], over["layer"][1]["encoding"]):
        assert encoding["x"]["axis"]["format"] == encoding["tooltip"][0]["format"] == "%H:%M"
    assert days["layer"][1]["encoding"]["x"]["axis"]["format"] == "%Y-%m"
    values = texts_of(fitted(wide_table(), target(wide_table())), wide_table()[:14], most=9)
    assert values["opens"][:2] == ["00:00:00", "01:01:00"]
    assert values["sold"][:2] == ["", "1991-02-02T01:30:00"]


def test_marks_of_dates_say_of_which_year_they_are() -> None:
    for last, form in (
        ("2044-01-31T00", "%Y"),
        ("2024-01-31T00", "%Y-%m"),
        ("2019-02-28T00", "%Y-%m-%d"),
        ("2019-01-31T12", "%m-%d %H:%M"),
    ):
        found = Dependence(("sold",), (["2019-01-31T00:00:00", f"{last}:00:00"],), np.arange(2.0), None, ("prediction",))
        assert charts.dependence_chart(found)["encoding"]["x"]["axis"]["format"] == form


def test_many_values_are_in_bins_of_as_many_rows() -> None:
    values = random.permutation(100).astype(float)
    bins = quantile_bins(values, most=4)
    assert np.bincount(bins).tolist() == [25, 25, 25, 25]
    assert (np.diff(bins[np.argsort(values)]) >= 0).all()


def sections(y: Any, **recipe: Any) -> tuple[Any, Any, Section, Section]:
    """Return a model of y, the rows that it was trained on, and the sections on its errors and intervals."""
    x = random.normal(size=(len(y), 2))
    frame = polars.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    model = mn.train(frame, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, **recipe), validation=0.3, progress=False)
    given = ReportInput(model=model, title="", part="test", X=frame, y=y, metrics={}, target="price", repeat="")
    rows = LabelledRows.of(given)
    return model, frame, numbers_section(given, rows), intervals_section(given, rows)


def table_of(section: Section, title: str) -> Any:
    """Return the lines of a table."""
    return next(part.rows for part in section.parts if isinstance(part, ReportTable) and part.caption == title)


def test_the_tables_of_numbers() -> None:
    y = random.exponential(size=200) * 100
    model, frame, errors, intervals = sections(y, loss="quantile", quantile=(0.1, 0.5, 0.75))
    lines = table_of(errors, "Absolute errors")
    away = np.abs(y - model.predict(frame))
    assert [line[0] for line in lines] == ["50%", "80%", "90%", "95%", "99%"]
    wanted = np.percentile(away, [50, 80, 90, 95, 99])
    assert [float(line[1].replace(",", "")) for line in lines] == pytest.approx(wanted, rel=1e-3)
    below = (y[:, None] <= model.predict_quantiles(frame)).mean(axis=0)
    lines = table_of(intervals, "Rows below each predicted quantile")
    assert [line[0] for line in lines] == ["0.1", "0.5", "0.75"]
    assert [line[2] for line in lines] == [f"{share:.1%}" for share in below]
    for coverage, line in zip((0.8, 0.9, 0.95), table_of(intervals, "Coverage and width of the intervals"), strict=True):
        low, high = np.asarray(model.predict_interval(frame, coverage)).T
        assert line[2] == f"{((low <= y) & (y <= high)).mean():.1%}"
        assert float(line[4].replace(",", "")) == pytest.approx(np.median(high - low), rel=1e-3)
