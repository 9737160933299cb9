"""What the report says of each target, label and threshold, beside scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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

from manynets.model import Model
from tests.export.tables import fitted, target, wide_table
from tests.report.test_report import written


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
