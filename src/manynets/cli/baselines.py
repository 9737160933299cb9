"""What a model is to beat: a trivial prediction, and a linear model of scikit-learn on the same columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import metrics
from manynets.cli.data import Part
from manynets.cli.defaults import NETWORKS
from manynets.prepare import cv_splits, holdout
from manynets.targets import find_target, row_weights
from manynets.tasks import Regression, Task

Array = NDArray[Any]
MOST_CELLS = 4_000_000
"""Training rows x columns x outputs up to which the linear model takes about a second."""
ITERATIONS = 100
FEW, MANY = 1e-15, 1e15
"""Targets between these sizes are taken as they are."""


def baselines_of(
    task: Task, train: Part, tested: Part | None, encoder: Any = None, *, class_weight: str | None = None
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Return the metrics on the tested rows of each baseline by its name, and a note on a baseline that was left out.

    The rows are encoded. Several labels a row have none. tested: None: the training rows, each predicted by what was fitted to other
    folds, as networks that validate on folds are; with times the latest of them. class_weight: of the linear model.
    """
    if task.name == "multilabel":
        return {}, None
    numbers = isinstance(task, Regression)
    plain = slice(None) if encoder is None else ~encoder.piecewise
    encoded = np.asarray(train.y) if numbers else task.encode(train.y)
    y = encoded if numbers else encoded.reshape(-1).astype(np.int64)
    splits, where = (_folds(task, train), train) if tested is None else ([(slice(None), slice(None))], tested)
    held = [Part(X=None, y=np.asarray(where.y)[rows], weight=_some(where.weight, rows)) for _, rows in splits]
    trivial = [
        _trivial(task, y[fitted], _some(train.weight, fitted), part.rows) for (fitted, _), part in zip(splits, held, strict=True)
    ]
    found = {"predict the mean" if numbers else "predict the class shares": trivial}
    note = None
    if train.rows * np.asarray(train.X[:1])[:, plain].size * task.outputs <= MOST_CELLS:  # else no column is copied
        x, x_test = (np.asarray(part.X, dtype=np.float32)[:, plain] for part in (train, where))
        weight = row_weights(task, encoded, train.rows, train.weight, class_weight)
        found["linear model"] = [
            _linear(task, x[fitted], y[fitted], _some(weight, fitted), x_test[rows]) for fitted, rows in splits
        ]
    else:
        note = "no linear model to compare with, as the data are large"
    weights = None if where.weight is None else np.concatenate([part.weight for part in held])
    judged = Part(X=None, y=np.concatenate([part.y for part in held]), weight=weights)
    predicted = {name: np.concatenate(each) for name, each in found.items()}
    values = {
        name: _numbers_metrics(each, judged) if numbers else _classes_metrics(task, each, judged)
        for name, each in predicted.items()
    }
    if len(splits) > 1:
        next(iter(values.values())).pop("auc", None)  # the shares of other folds rank no rows
    return {name: {"rows": judged.rows, **each} for name, each in values.items()}, note


def _folds(task: Task, train: Part) -> list[tuple[Any, Any]]:
    """Return pairs of rows to fit to and rows to predict, as an ensemble that validates on folds has them."""
    target = find_target(train.y, task)
    if train.by is not None and train.by.times is not None:
        return [holdout(target, 1.0 / NETWORKS, seed=0, by=train.by)]
    groups = None if train.by is None else train.by.groups
    most = train.rows if groups is None else len(np.unique(groups))
    return list(cv_splits(target, min(NETWORKS, most), by=train.by))


def _some(weight: Any, rows: Any) -> Any:
    """Return the weights of these rows, if there are any."""
    return None if weight is None else np.asarray(weight)[rows]


def _trivial(task: Task, y: Array, weight: Array | None, rows: int) -> Array:
    """Return the mean of the target, or the shares of the classes, for each row."""
    if isinstance(task, Regression):
        return np.repeat(np.average(y, axis=0, weights=weight)[None], rows, axis=0)
    counts = np.bincount(y, weights=weight, minlength=max(2, task.outputs))
    return np.repeat((counts / counts.sum())[None], rows, axis=0)


def _linear(task: Task, x: Array, y: Array, weight: Array | None, x_test: Array) -> Array:
    """Return the predictions, or the probabilities of the classes, of a linear model on standardised columns."""
    from sklearn.linear_model import LogisticRegression, Ridge

    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    x, x_test = (x - x.mean(axis=0)) / scale, (x_test - x.mean(axis=0)) / scale
    if isinstance(task, Regression):
        size = _size_of(y)
        return np.asarray(Ridge().fit(x, y / size, sample_weight=weight).predict(x_test), dtype=np.float64) * size
    classes = max(2, task.outputs)
    out = np.full((len(x_test), classes), np.finfo(np.float64).tiny)
    if len(np.unique(y)) < 2:
        out[:, y[0]] = 1.0
        return out
    with warnings.catch_warnings(action="ignore"):  # that it did not converge in so few iterations
        model = LogisticRegression(max_iter=ITERATIONS).fit(x, y, sample_weight=weight)
    out[:, model.classes_] = model.predict_proba(x_test)
    return out


def _numbers_metrics(predicted: Array, tested: Part) -> dict[str, float]:
    truth = np.asarray(tested.y, dtype=np.float64)
    size = _size_of(truth)
    truth, predicted = truth / size, predicted.reshape(truth.shape) / size
    kinds = {"r2": metrics.r2_score, "rmse": metrics.root_mean_squared_error, "mae": metrics.mean_absolute_error}
    found = {name: metric(truth, predicted, weight=tested.weight) for name, metric in kinds.items()}
    return {name: value if name == "r2" else value * size for name, value in found.items()}


def _size_of(y: Array) -> float:
    """Return 1, or the largest |y| where its square is beyond float32."""
    largest = float(np.abs(y).max(initial=0.0))
    return 1.0 if largest == 0 or FEW < largest < MANY else largest


def _classes_metrics(task: Task, shares: Array, tested: Part) -> dict[str, float]:
    logits = np.log(np.maximum(shares, np.finfo(np.float64).tiny))
    if task.outputs == 1:
        logits = logits[:, 1:] - logits[:, :1]
    return task.scores(logits, task.encode(tested.y), weight=tested.weight)
