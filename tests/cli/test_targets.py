"""A regression of several targets: their names in every command."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from manynets.cli.bounded import bounded
from manynets.display import number_text
from tests.cli.conftest import Call

FAST = ("--preset", "plain", "--hidden", "4", "--epochs", "2", "--n-networks", "1", "--quiet", "--out", "run")


@pytest.fixture
def run(call: Call, tmp_path: Path) -> Path:
    lines = [f"{i % 7},{i % 5},{1000 * (i % 7)},{i % 5 - 2}" for i in range(40)]
    (tmp_path / "two.csv").write_text("\n".join(["a,b,y,z", *lines]) + "\n")
    assert call("train", "two.csv", "--target", "y,z", *FAST).code == 0
    return tmp_path / "run"


def test_explain_shows_each_target_by_its_name(call: Call, run: Path) -> None:
    done = call("explain", "run", "--row", "2", "--pair", "a", "b", "--column", "a")
    assert done.code == 0
    of_pair = "Mean prediction of y over a and b", "Mean prediction of z over"
    for text in ("Mean prediction of each target over a\n", *of_pair, "Adds to y", "Adds to z"):
        assert text in done.out
    assert "probability" not in done.out
    lines = [line.rstrip() for line in done.out.splitlines()]
    head = next(number for number, line in enumerate(lines) if line.endswith("Adds to z"))
    assert len(lines[head]) == len(lines[head + 2])  # numbers end below their name
    found = call("explain", "run", "--row", "2", "--json").json["contributions"]
    assert found["outputs"] == ["y", "z"]


def test_a_leak_names_its_target(call: Call) -> None:
    random = np.random.default_rng(0)
    a, b, noise = random.normal(size=(3, 200)).round(6).tolist()
    lines = [f"{a[i]},{b[i]},{noise[i]},{3 * b[i] + 1:.6f}" for i in range(200)]
    Path("two.csv").write_text("\n".join(["a,b,y,z", *lines]) + "\n")
    told = "'b' gives the target away: it predicts the target 'z' perfectly alone"
    for line in (("inspect", "two.csv"), ("train", "two.csv", *(word for word in FAST if word != "--quiet"))):
        done = call(*line, "--target", "y,z")
        assert done.code == 0
        assert told in " ".join(done.out.split())


def test_predictions_are_named_and_the_targets_are_no_unknown_columns(call: Call, run: Path) -> None:
    done = call("predict", "run", "two.csv", "--columns", "a")
    assert next(csv.reader(done.out.splitlines())) == ["a", "prediction_y", "prediction_z"]
    assert "does not know" not in done.err + done.out
    assert "ignored" not in done.err


def test_each_target_has_metrics_of_its_own(call: Call, run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())["test"]["per_target"]
    assert [list(values) for values in found] == [["target", "name", "r2", "rmse", "mae"]] * 2
    assert [(values["target"], values["name"]) for values in found] == [(0, "y"), (1, "z")]
    assert call("evaluate", "run", "--json").json["per_target"] == found
    for command in ("show", "evaluate"):
        printed = call(command, "run").out
        for name, values in zip("yz", found, strict=True):
            assert re.search(rf"By target on the test rows\n[^B]*\n {name} +{re.escape(number_text(values['r2']))} ", printed)


def test_of_many_targets_the_worst_are_listed() -> None:
    each = [{"target": i, "r2": 1 - i / 200, "rmse": float(i), "mae": 0.0} for i in range(150)]
    found = bounded({"per_target": each})
    assert found["targets"] == 150
    assert [entry["target"] for entry in found["per_target"]] == list(range(149, 99, -1))
    assert bounded({"per_target": each[:100]})["per_target"] == each[:100]


def test_of_many_labels_the_worst_that_rows_have_are_listed() -> None:
    task, random = mn.Multilabel(count=150), np.random.default_rng(0)
    target = (random.random((40, 150)) < 0.4).astype(np.float64)
    logits = np.where(random.random(target.shape) < np.arange(150) / 150, 2 * target - 1, -1.0)  # the first are found least
    target[:, :60], logits[:, :60] = 0.0, -1.0  # no row has one of these, nor is predicted to have it
    each = task.evaluate(logits, target)["label_metrics"]
    found = bounded(task.evaluate(logits, target))
    assert found["labels"] == 150
    assert len(found["label_metrics"]) == 50
    listed = [(entry["f1"], -entry["count"]) for entry in found["label_metrics"]]
    assert listed == sorted((entry["f1"], -entry["count"]) for entry in each[60:])[:50]


def test_how_many_targets_there_are_is_no_metric(call: Call, tmp_path: Path) -> None:
    names = [f"y{j}" for j in range(101)]
    lines = [",".join(str(i % (j + 2)) for j in range(-1, 101)) for i in range(30)]
    (tmp_path / "many.csv").write_text("\n".join([",".join(["x", *names]), *lines]) + "\n")
    assert call("train", "many.csv", "--target", ",".join(names), *FAST, "--report").code == 0
    printed = call("show", "run").out
    assert re.search(r"^ +rows +R2 +RMSE +MAE *$", printed, re.MULTILINE)
    assert "the 50 lowest of 101 targets" in printed
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<th scope="row">targets</th>' not in page
    assert "The targets are y0, y1, y2" in page


def test_only_the_named_columns_are_written_under_the_names_asked_for(call: Call, run: Path) -> None:
    everything = list(csv.reader(call("predict", "run", "two.csv").out.splitlines()))
    names = everything[0]
    done = call("predict", "run", "two.csv", "--columns", "Id=b, z=prediction_z,a")
    found = list(csv.reader(done.out.splitlines()))
    assert found[0] == ["Id", "z", "a"]
    at = [names.index(name) for name in ("b", "prediction_z", "a")]
    assert found[1:] == [[row[i] for i in at] for row in everything[1:]]
    renamed = call("predict", "run", "two.csv", "--columns", "first=a").out.splitlines()
    assert renamed[0] == "first,prediction_y,prediction_z"
    done = call("predict", "run", "two.csv", "--columns", "a,price=predicton_z")
    assert done.code == 2
    assert "--columns is 'predicton_z'" in done.err
    assert "did you mean 'prediction_z'" in done.err
    assert "gives two columns the name 'a'" in call("predict", "run", "two.csv", "--columns", "a,a=b").err
    assert "--columns is '=a'" in call("predict", "run", "two.csv", "--columns", "=a").err


def test_a_column_with_the_name_of_a_prediction_does_not_take_its_place(call: Call, run: Path) -> None:
    names, *rows = csv.reader(call("predict", "run", "two.csv").out.splitlines())
    found = list(csv.reader(call("predict", "run", "two.csv", "--columns", "prediction_z=a,z=prediction_z").out.splitlines()))
    assert found == [["prediction_z", "z"], *([row[names.index("a")], row[names.index("prediction_z")]] for row in rows)]


def test_runs_of_older_versions_have_the_names_among_the_options(call: Call, run: Path) -> None:
    model = mn.load(run)
    assert model.info.pop("targets") == ["y", "z"]
    model.save(run / "model.safetensors")
    assert "prediction_y,prediction_z" in call("predict", "run", "two.csv").out


def test_targets_in_another_order_are_the_same_targets(call: Call, run: Path) -> None:
    same, other = (call("evaluate", "run", "two.csv", "--target", text, "--json").json for text in ("y,z", "z,y"))
    assert same["r2"] == other["r2"]


def test_r2_of_one_row_is_not_defined(call: Call, run: Path) -> None:
    lines = (run.parent / "two.csv").read_text().splitlines()
    (run.parent / "one.csv").write_text("\n".join([lines[0], "1,1,999,5"]) + "\n")
    done = call("train", "two.csv", "--target", "y", "--task", "regression", "--test", "one.csv", *FAST[:-1], "other", "--json")
    assert done.json["test"]["r2"] is None
    assert json.loads((run.parent / "other" / "metrics.json").read_text())["test"]["r2"] is None
    done = call("evaluate", "other")
    assert "R2 is not defined for one row" in done.out
    assert "nan" not in done.out
    done = call("explain", "other")
    assert done.code != 0
    assert "r2 is not defined for one row" in done.err
    assert call("explain", "other", "--metric", "rmse").code == 0


def test_an_unfinished_run_says_how_to_go_on(call: Call, tmp_path: Path) -> None:
    (tmp_path / "slow.part").mkdir()
    (tmp_path / "slow.part" / "options.json").write_text("{}")
    for name in ("slow", "slow.part"):
        done = call("show", name)
        assert done.code != 0
        assert "manynets train --resume slow" in done.err


def test_errors_of_costs_name_the_classes(call: Call, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["a,k", *(f"{i % 3},{['cat', 'dog', 'owl'][i % 3]}" for i in range(45))]) + "\n")
    done = call("train", "t.csv", "--target", "k", "--threshold", "cat:dog:-5", *FAST)
    assert "cat:dog:-5, but an error must cost more than being right about 'cat'" in done.err
    done = call("train", "t.csv", "--target", "k", "--threshold", "none.csv", *FAST)
    assert done.err.count("none.csv") == 1
    assert "Errno" not in done.err
