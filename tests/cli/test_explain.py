"""`manynets explain`: importance, dependence and contributions of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars

import manynets as mn
from tests.cli.conftest import SMALL, Call
from tests.tolerances import assert_close


def trained(call: Call, table: Path) -> None:
    options = ("--drop", "id,price", "--preset", "plain", "--epochs", "20", "--quiet", "--out", "run")
    assert call("train", table, "--target", "kind", *options).code == 0


def test_what_a_run_goes_by(call: Call, table: Path) -> None:
    trained(call, table)
    done = call(
        "explain",
        "run",
        "--column",
        "size",
        "--column",
        "colour",
        "--pair",
        "colour",
        "size",
        "--row",
        "0",
        "--json",
        "--worst",
        "2",
        "--separately",
    )
    assert done.code == 0
    found = done.json
    assert found["importance"]["metric"] == "accuracy"
    assert found["importance"]["columns"][0]["name"] == "size"
    assert [one["columns"] for one in found["dependence"]] == [["size"], ["colour"], ["colour", "size"]]
    assert [np.shape(one["rows"]) for one in found["dependence"][:2]] == [(24, 12, 2), (24, 3, 2)]
    assert np.shape(found["dependence"][2]["mean"]) == (3, 8, 2)
    assert "Mean probability of small over colour and size" in done.err
    assert re.search(r"Mean probability of small over size\n.*\n *size +Probability *\n", done.err)
    assert found["dependence"][1]["grid"] == [["blue", "green", "red"]]
    added = found["contributions"]
    assert added["rows"] == [0]
    for code in range(2):
        total = added["base"][code] + sum(values[code] for values in added["values"][0])
        assert_close(total, added["prediction"][0][code], "float32")
    assert "Importance: accuracy lost without the column" in done.err
    assert len(found["worst_rows"]) <= 2
    assert isinstance(found["worst_slices"], list)
    assert all(len(one["columns"]) == 1 for one in found["importance"]["columns"])


def test_rows_count_by_their_weights_and_seen_ones_are_told_of(call: Call, table: Path) -> None:
    assert call("train", table, "--target", "price", "--drop", "kind", "--weight", "id", *SMALL, "--out", "run").code == 0
    frame = polars.read_csv(table).with_columns((polars.col("size") ** 4).alias("id"))
    frame.write_csv("other.csv")
    found = call("explain", "run", "other.csv", "--column", "colour", "--pair", "colour", "size", "--json").json["dependence"]
    done = call("explain", "run", table, "--repeats", "1")
    assert re.search(r"note: \d+ of the 120 rows of houses.csv are rows that the run was trained or validated on", done.out)
    assert "trained or validated on" not in call("explain", "run", "--repeats", "1").out
    model = mn.load("run")
    for one, columns, n_grid in zip(found, (["colour"], ["colour", "size"]), (12, 8), strict=True):
        wanted = mn.explain.partial_dependence(model, "other.csv", columns, n_grid=n_grid, sample_weight="id")
        assert_close(np.array(one["mean"]), wanted.mean, "float32")
    assert np.ptp(found[0]["mean"]) > 0


def test_rows_are_numbered_as_in_the_file(call: Call, tmp_path: Path) -> None:
    lines = [f"{i % 17},{10 * (i % 17) + (5000 if i in (7, 33, 90) else 0)}.5" for i in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["size,price", *lines]) + "\n")
    options = ("--hidden", "4", "--epochs", "2", "--n-networks", "1", "--test-fraction", "0.5", "--quiet", "--out", "run")
    assert call("train", "t.csv", "--target", "price", *options).code == 0
    done = call("explain", "run", "--row", "7", "--row", "8", "--worst", "2", "--repeats", "1", "--json")
    worst = [one["row"] for one in done.json["worst_rows"]]
    assert worst
    assert set(worst) < {7, 33, 90}
    assert "Test rows with the largest errors, numbered as in t.csv, from 0" in " ".join(done.err.split())
    assert "Row 8 of t.csv: prediction" in done.err
    assert call("report", "run").code == 0
    html = (tmp_path / "run" / "report.html").read_text()
    assert "numbered from 0, as in the table" in html


def test_no_row_is_wrong(call: Call, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{'low' if i < 60 else 'high'}\n" for i in range(120)))
    assert call("train", "t.csv", "--target", "y", "--preset", "fast", "--quiet", "--out", "run").code == 0
    (tmp_path / "clear.csv").write_text("a,y\n3,low\n110,high\n")
    printed = call("explain", "run", "clear.csv", "--worst", "1").out
    assert "Rows of clear.csv that are predicted wrong: none" in printed
    assert "Row   True" not in printed
    (tmp_path / "one.csv").write_text("a,y\n3,low\n")
    assert "1 row of one.csv)" in call("explain", "run", "one.csv").out


def test_on_other_rows_and_for_a_model_file(call: Call, table: Path) -> None:
    trained(call, table)
    done = call("explain", "run", table, "--metric", "log_loss", "--rows", "50", "--repeats", "2")
    assert done.code == 0
    assert "50 rows of houses.csv" in done.out
    alone = call("explain", "run/model.safetensors", table, "--target", "kind", "--quiet")
    assert (alone.code, alone.out) == (0, "")
    assert "±" in done.out
    assert "±" not in call("explain", "run", "--repeats", "1").out  # one value has no spread


def test_mistakes(call: Call, table: Path) -> None:
    trained(call, table)
    for options, words in (
        ("--metric r2", "--metric is 'r2', but must be one of accuracy, f1, log_loss, roc_auc"),
        ("--column sice", "--column 'sice' is not a column; did you mean 'size'? The columns are: size, colour"),
        ("--column sice --column nope", "--column 'sice' (did you mean 'size'?), 'nope' are not columns. The columns are: size"),
        ("--pair size nope", "--pair 'nope' is not a column. The columns are: size, colour"),
        ("--pair size size", "--pair names 'size' twice; give two different columns"),
        ("--row 999", "--row is 999, but houses.csv has the rows 0 to 119"),
        ("--rows 1", "--rows is 1"),
        ("--repeats 0", "--repeats is 0"),
    ):
        done = call("explain", "run", *options.split())
        assert done.code == 2, options
        assert words in done.err


def test_several_targets_years_and_labels(call: Call, tmp_path: Path) -> None:
    """Numbers of several targets are rounded, years have no separator, and labels have the names of their columns."""
    random = np.random.default_rng(0)
    cells = zip(
        1900 + np.arange(120) % 60, random.random(120) * 1000, random.random(120), random.random((120, 2)) > 0.5, strict=True
    )
    lines = [f"{year},{price:.5f},{rent:.5f},{int(a)},{int(b)}" for year, price, rent, (a, b) in cells]
    (tmp_path / "t.csv").write_text("\n".join(["year,the price,rent,lift,garden", *lines]) + "\n")
    options = ("--preset", "plain", "--epochs", "2", "--quiet", "--out")
    assert call("train", "t.csv", "--target", "the price,rent", *options, "numbers").code == 0
    done = call("explain", "numbers", "--column", "year", "--worst", "1")
    assert re.search(r"Mean prediction of each target over year\n.*\n *year +the price +rent *\n.*\n +19\d\d ", done.out)
    assert re.search(r"Row +True +Predicted +Error *\n.*\n +\d+ +[\d.]{5,6}, 0\.\d{4} +[\d.]{5,6}, 0\.\d{4} ", done.out)
    assert call("train", "t.csv", "--target", "lift,garden", *options, "labels", "--report").code == 0
    for command in ("show", "evaluate"):
        printed = call(command, "labels").out
        assert re.search(
            r"label +correct +count +recall +precision +F1 +AUC +accuracy *\n.*\n +lift +\d+ .*\n +garden +\d+ ", printed
        )
    metrics = json.loads((tmp_path / "labels" / "metrics.json").read_text())
    assert [one["name"] for one in metrics["test"]["label_metrics"]] == ["lift", "garden"]
    del metrics["test"]["label_metrics"]  # as runs of older versions
    (tmp_path / "labels" / "metrics.json").write_text(json.dumps(metrics))
    assert re.search(r"label +accuracy *\n.*\n +lift +[01]\.\d+ *\n +garden +[01]\.\d+", call("show", "labels").out)
    page = (tmp_path / "labels" / "report.html").read_text()
    assert all(f'<th scope="row">{name}</th>' in page for name in ("lift", "garden"))
    assert "ROC curves of each label" in page
    worst = call("explain", "labels", "--worst", "1", "--json").json["worst_rows"][0]
    named = {(1, 1): "lift, garden", (1, 0): "lift", (0, 1): "garden", (0, 0): "none"}
    truth, predicted = (named[tuple(worst[key])] for key in ("truth", "predicted"))
    assert f"<td>{truth}</td><td>{predicted}</td>" in page
    assert re.search(rf"^ +{worst['row']} +{truth}  +{predicted}  ", call("explain", "labels", "--worst", "1").out, re.MULTILINE)


def test_an_array_by_name(call: Call) -> None:
    assert call("train", "moons", "--epochs", "2", "--out", "run", "--quiet").code == 0
    assert call("explain", "run", "--column", "x0").code == 0


def test_of_many_columns_the_most_important_are_listed(call: Call, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(400, 70))
    np.savez(tmp_path / "wide.npz", X=X, y=(X[:, 7] > 0).astype(int))
    small = ("--preset", "plain", "--hidden", "2", "--epochs", "1", "--quiet", "--out", "run")
    assert call("train", tmp_path / "wide.npz", *small).code == 0
    done = call("explain", "run", "--repeats", "2")
    assert done.code == 0, done.err
    assert done.out.count(" ± ") == 50
    assert "... and 20 more columns that matter less, which --json has" in done.out
    assert len(call("explain", "run", "--repeats", "1", "--json").json["importance"]["columns"]) == 70
