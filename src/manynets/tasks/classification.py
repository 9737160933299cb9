"""Classes: two (one score, sigmoid), several (one score each, softmax), or any subset of labels (one sigmoid each)."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from typing import Any, final

import numpy as np

from manynets import metrics
from manynets.display import counted, listed
from manynets.errors import DataError
from manynets.tasks.base import Task, Values, as_target, labels_of, plain, plain_labels

MOST_INFERRED_CLASSES = 32  # whole numbers with more distinct values than this are taken for a regression target

LARGEST_CONFUSION = 1000
"""The matrix of more classes has millions of numbers, nearly all 0; `evaluate` leaves it out."""


def _sigmoid(logits: Values) -> Values:
    with np.errstate(invalid="ignore"):  # NaN stays NaN: a row that no network held out
        return np.exp(-np.logaddexp(0.0, -logits))  # small probabilities keep their digits


def softmax(logits: Values) -> Values:
    """Return the probabilities (..., C) of raw scores (..., C)."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _means(each: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def is_one_hot(y: Any) -> bool:
    """Return whether y is a matrix (N, C), C at least 2, of zeros with exactly one 1 in each row.

    >>> is_one_hot([[0, 1], [1, 0]]), is_one_hot([[1, 1], [1, 0]]), is_one_hot([0, 1])
    (True, False, False)
    """
    array = np.asarray(y)
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _classes(y: Any) -> tuple[Any, ...]:
    array = as_target(y)
    if array.ndim != 1:
        raise DataError(
            f"y has shape {array.shape}, but classes are one label a row: (N,) or (N, 1); several labels are 'multilabel'"
        )
    labels = labels_of(array)
    if len(labels) < 2:
        numbers = "; for numbers use task='regression'" if labels.dtype.kind in "iuf" else ""
        raise DataError(f"y holds one class only, {plain(labels[0])!r}; a classifier needs at least two{numbers}")
    return plain_labels(labels)


def _codes(y: Any, classes: tuple[Any, ...]) -> Values:
    labels = as_target(y)
    if labels.ndim != 1:
        raise DataError(f"y has shape {labels.shape}, but classes are one label a row: (N,) or (N, 1)")
    if labels.dtype.kind == "U" and set(classes) == {"False", "True"}:  # as a table has them, which may be written TRUE or true
        labels = np.where(np.isin(np.char.lower(labels), ("false", "true")), np.char.capitalize(labels), labels)
    known = np.array(classes)
    order = np.argsort(known, kind="stable")
    try:
        index = np.searchsorted(known, labels, sorter=order).clip(max=len(known) - 1)
        codes = order[index]
        strange = known[codes] != labels
    except TypeError:
        strange = np.ones(len(labels), dtype=bool)
    if np.any(strange):
        shown = listed(sorted({repr(plain(label)) for label in labels[strange]}), 5)
        rows = np.flatnonzero(np.broadcast_to(strange, len(labels)))
        raise DataError(
            f"y holds labels that the model does not know: {shown}; its classes are {listed(map(repr, classes), 20)}; correct or leave out"
            f" {counted(len(rows), 'row')} of {len(labels):,} (counted from 0: {listed(rows, 5)})"
        )
    return codes.astype(np.int64)


class _OneLabel(Task):
    """What Binary and Multiclass share: classes, codes and the metrics on them."""

    classes: tuple[Any, ...]
    costs: tuple[tuple[float, ...], ...] | None
    losses = ("cross_entropy", "log_loss")
    metric = "accuracy"

    @abc.abstractmethod
    def codes(self, logits: Values) -> Values:
        """Return the class codes (..., N) that logits (..., N, O) predict."""

    @functools.cached_property
    def _labels(self) -> Values:
        return np.array(self.classes)

    @abc.abstractmethod
    def chosen(self, shares: Values) -> Values:
        """Return the class codes (..., N) that probabilities (..., N, C) predict."""

    def predict(self, logits: Values, *, loss: str | None = None) -> Values:
        return self._labels[self.codes(logits)]

    def strata(self, target: Values) -> Values | None:
        return target.astype(np.int64).reshape(-1)

    def scores(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, float]:
        truth, predicted, two = target.astype(np.int64).reshape(-1), self.codes(logits), len(self.classes) == 2
        out = {"accuracy": metrics.accuracy(truth, predicted, weight=weight)}
        if two:  # of the second class; of more classes the mean over those that occur
            out |= metrics.precision_recall_f1(truth, predicted, weight=weight)
        else:
            out |= _means(metrics.scores_by_class(truth, predicted, weight=weight))
        out["log_loss"] = metrics.log_loss(self.proba(logits)[np.arange(len(truth)), truth], weight=weight)
        area = metrics.roc_auc(truth == 1, logits[:, 0], weight=weight) if two and self.outputs == 1 else None
        if area is not None:  # where both classes occur
            out["auc"] = area
        if self.costs is not None:
            out["cost"] = float(np.average(np.array(self.costs)[truth, predicted], weights=weight))
        return out

    def details(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, Any]:
        truth, predicted = target.astype(np.int64).reshape(-1), self.codes(logits)
        out: dict[str, Any] = {"per_class": metrics.per_class(truth, predicted, classes=self.classes)}
        if len(self.classes) <= LARGEST_CONFUSION:
            out["confusion"] = metrics.confusion_matrix(truth, predicted, classes=len(self.classes)).tolist()
        return out

    def measure(self, metric: str, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> Any:
        truth = target.astype(np.int64).reshape(-1)
        if metric == "accuracy":
            return metrics.accuracy(truth, self.codes(logits), weight=weight)
        if metric == "log_loss":
            return metrics.log_loss(self.proba(logits)[..., np.arange(len(truth)), truth], weight=weight)
        positive = truth == 1 if weight is None else weight[truth == 1]
        if metric == "f1" and len(self.classes) == 2 and not positive.any():  # F1 would be 0 whatever is predicted
            return math.nan if logits.ndim == 2 else np.full(logits.shape[:-2], math.nan)
        return super().measure(metric, logits, target, loss=loss, weight=weight)

    def to_json(self) -> dict[str, Any]:
        costs = {} if self.costs is None else {"costs": [list(row) for row in self.costs]}
        return {"name": self.name, "classes": list(plain_labels(self.classes)), **costs}


@final
@dataclasses.dataclass(frozen=True)
class Binary(_OneLabel):
    """Two classes: one raw score per row, the log-odds of classes[1]; the target is (N, 1) of 0 and 1.

    threshold: the probability above which classes[1] is predicted. costs: what predictions cost, [true class][predicted class], if the threshold
    is that of costs; `evaluate` then has the mean cost of a row.

    >>> task = Binary(("no", "yes"))
    >>> task.outputs, task.encode(np.array(["yes", "no"])).tolist()
    (1, [[1.0], [0.0]])
    """

    classes: tuple[Any, ...]
    threshold: float = 0.5
    costs: tuple[tuple[float, ...], ...] | None = dataclasses.field(default=None, repr=False)

    name = "binary"
    outputs = 1
    metrics = ("accuracy", "f1", "log_loss", "roc_auc")

    @classmethod
    def of(cls, y: Any) -> Binary:
        """Return the task for y, whose two distinct labels become the classes in sorted order."""
        classes = _classes(y)
        if len(classes) != 2:
            numbers = len(classes) > MOST_INFERRED_CLASSES and not any(isinstance(label, str) for label in classes)
            what = f"{len(classes)} different numbers" if numbers else f"{len(classes)} classes"
            other = "regression" if numbers else "multiclass"
            raise DataError(f"y holds {what}, but the task 'binary' has two classes; use task={other!r}")
        return cls(classes)

    @property
    def cut(self) -> float:
        """The log-odds above which classes[1] is predicted."""
        return math.log(self.threshold) - math.log1p(-self.threshold) if self.threshold != 0.5 else 0.0

    def codes(self, logits: Values) -> Values:
        return (logits[..., 0] > self.cut).astype(np.int64)

    def chosen(self, shares: Values) -> Values:
        return shares.argmax(axis=-1) if self.threshold == 0.5 else (shares[..., 1] > self.threshold).astype(np.int64)

    def encode(self, y: Any) -> Values:
        return _codes(y, self.classes).astype(np.float64)[:, None]

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | ({} if self.threshold == 0.5 else {"threshold": self.threshold})

    def proba(self, logits: Values) -> Values:
        return np.concatenate([_sigmoid(-logits), _sigmoid(logits)], axis=-1)


@final
@dataclasses.dataclass(frozen=True)
class Multiclass(_OneLabel):
    """C classes: one raw score each, softmax; the target is (N,) of class codes. y may be a one-hot matrix of the classes 0, 1, ...

    costs: what predictions cost, [true class][predicted class], (C, C). The class with the least expected cost is predicted,
    argmin over j of sum over i of p_i costs[i][j]; None: the class with the largest probability. `evaluate` then has the mean cost of a row.
    Source: Elkan 2001, "The Foundations of Cost-Sensitive Learning".

    >>> task = Multiclass(("a", "b", "c"))
    >>> task.outputs, task.encode(np.array(["c", "a"])).tolist()
    (3, [2, 0])
    >>> careful = Multiclass(("a", "b", "c"), costs=((0, 1, 1), (1, 0, 1), (9, 9, 0)))
    >>> [one.chosen(np.array([[0.6, 0.2, 0.2]])).tolist() for one in (task, careful)]
    [[0], [2]]
    """

    classes: tuple[Any, ...]
    costs: tuple[tuple[float, ...], ...] | None = None

    name = "multiclass"
    metrics = ("accuracy", "f1", "log_loss")

    @classmethod
    def of(cls, y: Any) -> Multiclass:
        """Return the task for y, whose distinct labels become the classes in sorted order; of a one-hot matrix 0, 1, ..."""
        array = as_target(y)
        return cls(tuple(range(array.shape[1])) if is_one_hot(array) else _classes(array))

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def encode(self, y: Any) -> Values:
        array = as_target(y)
        if array.ndim == 2 and self.classes == tuple(range(array.shape[1])) and is_one_hot(array):
            return np.asarray(array.argmax(axis=1), dtype=np.int64)
        return _codes(array, self.classes)

    def codes(self, logits: Values) -> Values:
        return logits.argmax(axis=-1) if self.costs is None else self.chosen(self.proba(logits))

    def expected_costs(self, shares: Values) -> Values:
        """Return what the prediction of each class costs (N, C), expected with probabilities (N, C); only with costs."""
        return shares @ np.array(self.costs)

    def chosen(self, shares: Values) -> Values:
        return shares.argmax(axis=-1) if self.costs is None else self.expected_costs(shares).argmin(axis=-1)

    def proba(self, logits: Values) -> Values:
        return softmax(logits)


@final
@dataclasses.dataclass(frozen=True)
class Multilabel(Task):
    """Any subset of `count` labels: y (N, O) of 0 and 1; one raw score each, its log-odds.

    >>> task = Multilabel(3)
    >>> task.outputs, task.name
    (3, 'multilabel')
    """

    count: int

    name = "multilabel"
    losses = ("cross_entropy", "log_loss")
    metric = "accuracy"
    metrics = ("accuracy", "f1")

    @classmethod
    def of(cls, y: Any) -> Multilabel:
        """Return the task for y (N, O) of 0 and 1."""
        array = np.asarray(y)
        return cls(array.shape[1] if array.ndim == 2 else 1)

    @property
    def outputs(self) -> int:
        return self.count

    def encode(self, y: Any) -> Values:
        array = as_target(y)
        columns = array.reshape(len(array), -1)
        if columns.shape[1] != self.count:
            raise DataError(f"y has {columns.shape[1]} columns, but this model has {self.count} labels")
        if not np.isin(columns, (0, 1)).all():
            bad = plain(columns[~np.isin(columns, (0, 1))][0])
            raise DataError(f"y holds {bad!r}, but a multilabel target is 0 or 1 in each column")
        return columns.astype(np.float64)

    def proba(self, logits: Values) -> Values:
        return _sigmoid(logits)

    def predict(self, logits: Values, *, loss: str | None = None) -> Values:
        return (logits > 0).astype(np.int64)

    def scores(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, float]:
        predicted = self.predict(logits)
        return {
            "accuracy": metrics.accuracy(target, predicted, weight=weight),
            **_means([metrics.precision_recall_f1(target[:, i], predicted[:, i], weight=weight) for i in range(self.count)]),
        }

    def details(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, Any]:
        each = [self._label(i, logits[:, i], target[:, i].astype(np.int64), weight) for i in range(self.count)]
        return {"per_label": [one["accuracy"] for one in each], "label_metrics": each}

    def _label(self, number: int, scores: Values, truth: Values, weight: Values | None) -> dict[str, Any]:
        """Return the metrics of a label: counts, recall, precision and F1 of the rows that have it, with intervals, whatever the weights.

        Accuracy and the area under the ROC curve are weighted.
        """
        predicted = self.predict(scores)
        found = metrics.per_class(truth, predicted, classes=(False, True))[1]
        shares = {"accuracy": metrics.accuracy(truth, predicted, weight=weight), "recall": found.pop("accuracy")}
        del found["class"]
        return {"label": number, **found, **shares, "auc": metrics.roc_auc(truth == 1, scores, weight=weight)}

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "count": self.count}
