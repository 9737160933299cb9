"""Scores of many networks at once, for the scorers that are known: the same figures as scikit-learn's, without its checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.metrics import _scorer as scorers

from manynets.tasks import Task

__all__ = ["known_scores"]

Array = NDArray[Any]
Judge = Callable[[Task, Array, Array, str | None], Array]


def _accuracy(task: Task, scores: Array, y: Array, _loss: str | None) -> Array:
    """Shares (K,) of rows that scores (K, n, O) get right."""
    if task.name == "multilabel":
        right = ((scores > 0) == (y > 0)).all(axis=2)
    else:
        codes = (scores[..., 0] > 0).astype(np.int64) if task.outputs == 1 else scores.argmax(axis=2)
        right = np.array(task.classes)[codes] == y  # type: ignore[attr-defined]
    return np.asarray(right.mean(axis=1))


def _residuals(task: Task, scores: Array, y: Array, loss: str | None) -> Array:
    """What y (n,) or (n, O) has beyond the predictions, (K, n, O)."""
    kind = scores.dtype
    predicted = np.stack([task.predict(one, loss=loss).astype(kind, copy=False) for one in scores]).astype(np.float64)
    return np.asarray(y[None] - predicted).reshape(len(scores), len(y), -1)


def _r2(task: Task, scores: Array, y: Array, loss: str | None) -> Array:
    rest = (_residuals(task, scores, y, loss) ** 2).sum(axis=1)  # (K, O)
    columns = y.reshape(len(y), -1)
    total = ((columns - columns.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(total != 0, 1 - rest / total, np.where(rest == 0, 1.0, 0.0))
    return np.asarray(each.mean(axis=1))


def _squared(task: Task, scores: Array, y: Array, loss: str | None) -> Array:
    return np.asarray((_residuals(task, scores, y, loss) ** 2).mean(axis=(1, 2)))


def _root(task: Task, scores: Array, y: Array, loss: str | None) -> Array:
    return np.asarray(np.sqrt((_residuals(task, scores, y, loss) ** 2).mean(axis=1)).mean(axis=1))


def _absolute(task: Task, scores: Array, y: Array, loss: str | None) -> Array:
    return np.asarray(np.abs(_residuals(task, scores, y, loss)).mean(axis=(1, 2)))


def _log_loss(task: Task, scores: Array, y: Array, _loss: str | None) -> Array:
    codes = np.searchsorted(np.array(task.classes), y)  # type: ignore[attr-defined]
    tiny = np.finfo(scores.dtype).eps
    proba = np.clip(np.stack([task.proba(one) for one in scores]), tiny, 1 - tiny)
    return np.asarray(-np.log(proba[:, np.arange(len(y)), codes]).mean(axis=1))


_JUDGES: dict[Any, Judge] = {
    metrics.accuracy_score: _accuracy,
    metrics.r2_score: _r2,
    metrics.mean_squared_error: _squared,
    metrics.root_mean_squared_error: _root,
    metrics.mean_absolute_error: _absolute,
    metrics.log_loss: _log_loss,
}


def known_scores(scorer: Any, task: Task, y: Array) -> Callable[[Array, str | None], list[Any]] | None:
    """Return what turns raw scores (K, n, O) and the name of the loss into a score, or a dict of scores, for each network.

    None where a scorer is not known, or y (n,) or (n, O) is not what the figure can be taken of.
    """
    if isinstance(scorer, scorers._MultimetricScorer):
        each = {name: known_scores(one, task, y) for name, one in scorer._scorers.items()}
        if not all(each.values()):
            return None

        def several(raw: Array, loss: str | None) -> list[Any]:
            columns = {name: judge(raw, loss) for name, judge in each.items() if judge is not None}
            return [{name: column[k] for name, column in columns.items()} for k in range(len(raw))]

        return several
    sign = 1
    if isinstance(scorer, scorers._PassthroughScorer):
        judge: Judge | None = _r2 if task.name == "regression" else _accuracy
    elif isinstance(scorer, scorers._Scorer) and not scorer._kwargs:
        judge, sign = _JUDGES.get(scorer._score_func), scorer._sign
    else:
        judge = None
    regression = task.name == "regression"
    if judge is None or (judge in (_accuracy, _log_loss)) == regression or len(y) < 2:
        return None
    if judge is _log_loss and (task.name == "multilabel" or not np.array_equal(np.unique(y), np.array(task.classes))):  # type: ignore[attr-defined]
        return None
    found = judge
    return lambda raw, loss: (sign * found(task, raw, y, loss)).tolist()
