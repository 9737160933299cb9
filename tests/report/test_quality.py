"""What the report says of each target, label and threshold, beside scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import polars
import pytest
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

import manynets as mn
from manynets.cli.report import console_for, print_metrics
from manynets.display import number_text
from manynets.model import Model
from manynets.report.parts import LabelledRows, ReportInput, ReportTable, between
from manynets.report.quality import metric_intervals, metrics_section
from tests.cli.conftest import Call, call  # noqa: F401  # fixtures
from tests.export.tables import fitted, target, wide_table
from tests.report.test_report import read, written


def test_several_targets_are_judged_one_by_one(tmp_path: Path) -> None:
    frame, random = wide_table(), np.random.default_rng(0)
    both = np.stack([target(frame), 1000 * random.normal(size=len(frame))], axis=1)
    model, weight = fitted(frame, both), random.random(len(frame))
    _, reader = written(model, frame, both, tmp_path, weight=weight)
    predicted = model.predict(frame)
    for j, line in enumerate(reader.tables["Metrics by target on the test rows"][1:]):
        wanted = [
            metric(both[:, j], predicted[:, j], sample_weight=weight)
            for metric in (r2_score, root_mean_squared_error, mean_absolute_error)
        ]
        assert [float(cell.replace(",", "")) for cell in line[1:]] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_labels_are_judged_one_by_one(tmp_path: Path) -> None:
    frame, random = wide_table(), np.random.default_rng(0)
    labels = np.stack([target(frame) > 160, random.random(len(frame)) < 0.05], axis=1).astype(int)
    model, weight = fitted(frame, labels, task="multilabel"), random.random(len(frame))
    text, reader = written(model, frame, labels, tmp_path, weight=weight)
    for words in (
        "ROC curves of each label; the mean",
        "Precision over recall of each label;",
        "other thresholds, the AUC and accuracy",
    ):
        assert words in text
    names, *lines = reader.tables["Precision, recall and F1 of each label, with 95% intervals"]
    assert names == ["Label", "Rows", "Precision", "Interval of precision", "Recall", "Interval of recall", "F1", "AUC", "Accuracy"]
    predicted, shares = model.predict(frame), model.predict_proba(frame)
    for j, line in enumerate(lines):
        wanted = [metric(labels[:, j], predicted[:, j], zero_division=0) for metric in (precision_score, recall_score, f1_score)]
        wanted.append(roc_auc_score(labels[:, j], shares[:, j], sample_weight=weight))
        wanted.append(accuracy_score(labels[:, j], predicted[:, j], sample_weight=weight))
        assert line[1] == str(labels[:, j].sum())
        assert [float(line[at] or 0) for at in (2, 4, 6, 7, 8)] == pytest.approx(wanted, abs=1e-3)


def test_the_report_says_what_other_thresholds_give(tmp_path: Path) -> None:
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    model = fitted(frame, y)
    _, reader = written(model, frame, y, tmp_path)
    names, *lines = reader.tables["If the rows with the highest probability of dear were predicted dear"]
    assert names == ["Predicted dear", "Probability of at least", "Precision", "Recall", "F1"]
    assert [float(line[0].rstrip("%")) for line in lines][-1] >= 50
    dear, share = y == "dear", model.predict_proba(frame)[:, 1]
    for claimed, least, *scores in lines:
        above = share >= float(least) - 1e-4
        assert float(claimed.rstrip("%")) == pytest.approx(100 * above.mean(), abs=0.5)
        wanted = [metric(dear, above) for metric in (precision_score, recall_score, f1_score)]
        assert [float(score) for score in scores] == pytest.approx(wanted, abs=0.02)


def test_with_costs_the_report_says_what_other_thresholds_cost(tmp_path: Path) -> None:
    frame, random = wide_table(), np.random.default_rng(0)
    y = np.where(target(frame) + 60 * random.normal(size=len(frame)) > 160, "dear", "cheap")
    weight, costs = random.random(len(frame)), [[0.5, 2], [20, 1]]
    model = fitted(frame, y).with_threshold(costs)
    _, reader = written(model, frame, y, tmp_path, weight=weight)
    names, *lines = reader.tables["If the rows with the highest probability of dear were predicted dear"]
    assert names[-1] == "Cost of a row"
    truth, share = (y == "dear").astype(int), model.predict_proba(frame)[:, 1]
    for line in lines:
        paid = np.array(costs)[truth, (share >= float(line[1]) - 5e-5).astype(int)]
        assert float(line[-1]) == pytest.approx(np.average(paid, weights=weight), abs=0.05)


FOLDS = "These are rows of training, each predicted by the networks that did not train on it."
SHARE = "These are 20% of the training rows, on which no network trained."
PLAIN = ("--preset", "plain", "--hidden", "4", "--epochs", "2", "--test-fraction", "0", "--quiet", "--out", "run")


@pytest.mark.parametrize(
    ("columns", "options", "heading", "caption", "words"),
    [
        ("kind", ("--n-networks", "2"), "Classes", "Precision, recall and F1 of each class, with 95% intervals", FOLDS),
        ("kind", ("--validation", "0.2"), "Classes", "Precision, recall and F1 of each class, with 95% intervals", SHARE),
        ("y,z", ("--n-networks", "2"), "Errors", "Metrics by target on the validation rows", FOLDS),
        ("u,v", ("--n-networks", "2"), "Labels", "Precision, recall and F1 of each label, with 95% intervals", FOLDS),
    ],
)
def test_without_test_rows_the_validation_rows_count(
    call: Call,  # noqa: F811
    tmp_path: Path,
    columns: str,
    options: tuple[str, ...],
    heading: str,
    caption: str,
    words: str,
) -> None:
    lines = [f"{i % 7},{i % 5},{'big' if i % 7 > 3 else 'small'},{i % 7}.5,{i % 5 - 2}.25,{i % 2},{i % 3 % 2}" for i in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind,y,z,u,v", *lines]) + "\n")
    others = [name for name in ["kind", "y", "z", "u", "v"] if name not in columns.split(",")]
    task = ("--task", "multilabel") if columns == "u,v" else ()
    done = call("train", "t.csv", "--target", columns, "--drop", ",".join(others), *task, *options, *PLAIN)
    assert (done.code, call("report", "run").code) == (0, 0), done.err
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    reader = read(text)
    assert heading in reader.headings
    assert text.count(words) == 2
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]
    heads, *first = reader.tables[f"Metrics on the validation rows ({found['rows']})"]
    assert heads[1] == "Model"
    assert "95% interval" not in heads
    for name, cell, *_ in first:
        assert cell == number_text(found[{"log loss": "log_loss", "F1": "f1"}.get(name, name.lower())])
    each = found.get("per_class") or found.get("label_metrics") or found["per_target"]
    shown = reader.tables[caption][1:]
    assert [line[0] for line in shown] == (["big", "small"] if columns == "kind" else columns.split(","))
    assert [line[1] for line in shown] == [number_text(one["r2"]) if "r2" in one else str(one["count"]) for one in each]


def test_metrics_of_test_rows_that_cannot_be_read_again_are_shown(call: Call, tmp_path: Path) -> None:  # noqa: F811
    lines = [f"{i % 7},{i % 5},{'big' if i % 7 > 3 else 'small'}" for i in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *lines]) + "\n")
    assert call("train", "t.csv", "--target", "kind", *PLAIN, "--test-fraction", "0.25").code == 0
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *lines[1:]]) + "\n")
    assert call("report", "run").code == 0
    reader = read((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert {"Metrics on the test rows (20)", "Precision, recall and F1 of each class, with 95% intervals"} <= set(reader.tables)


def test_importance_is_of_the_auc_where_a_class_is_rare(tmp_path: Path) -> None:
    frame = wide_table()
    for share, metric in ((0.6, "accuracy"), (0.9, "AUC"), (0.1, "AUC")):
        y = np.where(target(frame) > np.quantile(target(frame), share), "dear", "cheap")
        text, _ = written(fitted(frame, y), frame, y, tmp_path)
        assert f"How much {metric} the model loses" in text
    balanced = np.where(y == "dear", 1 / 9, 1.0)
    assert "How much accuracy the model loses" in written(fitted(frame, y), frame, y, tmp_path, weight=balanced)[0]


def test_a_report_on_what_predictions_cost(tmp_path: Path) -> None:
    frame = wide_table()
    y = np.array(["cheap", "dear", "very dear"])[np.digitize(target(frame), [140, 180])]
    text, reader = written(fitted(frame, y).with_threshold([[0, 1, 1], [1, 0, 1], [7.5, 2, 0]]), frame, y, tmp_path)
    lines = reader.tables["What predictions cost: true classes (rows) and predicted ones (columns)"]
    assert lines[-1] == ["very dear", "7.5", "2", "0"]
    assert "expected to cost least" in text


def test_runs_of_version_0_1_have_precision_and_f1_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, title = wide_table(), "Precision, recall and F1 of each class, with 95% intervals"
    y = np.where(target(frame) > 160, "dear", "cheap")
    model = fitted(frame, y)
    _, now = written(model, frame, y, tmp_path)
    found = model.evaluate(frame, y)
    found["per_class"] = [{name: one[name] for name in ("class", "correct", "count", "accuracy")} for one in found["per_class"]]
    monkeypatch.setattr(Model, "evaluate", lambda *_, **__: found)
    _, then = written(model, frame, y, tmp_path)
    assert then.tables[title] == now.tables[title]


@pytest.mark.parametrize(
    ("test", "train", "shown"), [(1.0, 1.0, False), (1.008, 0.995, False), (1.0, 1.02, True), (1.02, 1.0, True)]
)
def test_page_and_terminal_agree_when_the_loss_says_nothing_new(
    test: float, train: float, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the squared error, taken before predictions are limited to the targets seen."""
    metrics = {part: {"rows": 9, "r2": 0.5, "rmse": 2.0, "loss": 4.0 * by} for part, by in (("test", test), ("train", train))}
    given = ReportInput(model=cast(Model, None), title="", part="test", metrics=metrics, target="y", repeat="")
    for table in metrics_section(given, None).parts:
        assert isinstance(table, ReportTable)
        assert ("loss" in [*table.names, *(line[0] for line in table.rows)]) == shown
    print_metrics(console_for(), metrics)
    assert ("loss" in capsys.readouterr().out) == shown


def test_a_class_that_is_never_predicted_has_no_interval_without_width() -> None:
    frame = wide_table()
    y = np.where(target(frame) > 160, "dear", "cheap")
    model = fitted(frame, y).with_threshold(0.999999)
    names, known = ["precision", "recall", "f1"], []
    for weight in (None, np.ones(len(frame))):
        given = ReportInput(model=model, title="", part="test", X=frame, y=y, weight=weight, metrics={}, target="price", repeat="")
        known.append(metric_intervals(LabelledRows.of(given), names))
    own = model.evaluate(frame, y)["per_class"][1]["intervals"]
    assert known == [{name: between(*own[name]) for name in names[1:]}, {}]


def test_what_is_not_shown_is_said(tmp_path: Path) -> None:
    rows, random = np.arange(240), np.random.default_rng(0)
    kinds = [f"{'ABCDE'[row % 5]}-{number}" for row, number in zip(rows, random.permutation(240), strict=True)]
    frame = polars.DataFrame(
        {"size": random.normal(size=240), "code": kinds, "town": ["Bern"] * 120 + ["Chur"] * 118 + ["Genf", "Wil"]}
    )
    y = rows % 5 + frame["size"].to_numpy()
    with pytest.warns(UserWarning, match="column 'code' is used, though it looks like an id"):
        model = mn.train(frame, y, mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), progress=False)
    text, reader = written(model, frame, y, tmp_path)
    assert "Left out, as words and parts of codes have no order: code." in text
    levels = [line[2] for line in reader.tables["Columns as understood"][2:]]
    assert levels == ["5 levels of the first character: A, B, C, D, E", "4 levels: Bern, Chur; 2 rare"]
    settings = reader.tables["All settings of the network and the recipe"][1:]
    assert {name: words for name, _, words in settings if not words} == {}
