"""The rows that a model got most wrong, and its errors against the prediction and each column."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.display import Records
from manynets.errors import DataError, check_count
from manynets.explain.blocks import encoded_target, model_of, source_rows
from manynets.explain.changed import output_names
from manynets.explain.slices import groups_of, row_losses
from manynets.model import Model
from manynets.tables import Table
from manynets.tasks import Multilabel, Regression
from manynets.tasks.base import plain

Array: TypeAlias = NDArray[Any]
BINS = 10


@dataclasses.dataclass(frozen=True)
class WorstRow:
    """A row with a wrong prediction.

    row: its number within the table or array, from 0. truth, predicted: the label, or the number. probability: of the predicted class; None for
    numbers and for several labels. loss: the absolute error, of several targets the mean of their errors in standard deviations of each; 1 for
    a wrong class; the share of wrong labels.

    >>> WorstRow(row=3, truth="yes", predicted="no", probability=0.98, loss=1.0).probability
    0.98
    """

    row: int
    truth: Any
    predicted: Any
    probability: float | None
    loss: float


def worst_first(model: Model, logits: Array, y: Any, *, most: int) -> tuple[Array, Array, Array | None]:
    """Return the rows with the largest errors, the worst first, (n,), their errors (n,), and the probabilities of the predicted classes (n,).

    Errors are absolute errors of numbers, the share of wrong labels, or 1 for a wrong class; the more probable the wrong classes, the worse. The
    probability of the predicted class is None for numbers and for several labels. logits: (K, N, O).
    """
    losses, predicted = row_losses(model, logits, y), model.predicted(logits)
    wrong = np.flatnonzero(losses > 0)
    losses = losses[wrong]
    if isinstance(model.task, Regression):
        order = np.argsort(-losses, kind="stable")[:most]
        return wrong[order], losses[order], None
    probabilities = model.probabilities(logits[:, wrong].astype(np.float64))  # in float32, many are 1
    if isinstance(model.task, Multilabel):
        away = np.abs(probabilities - encoded_target(model, y, rows=len(predicted))[wrong]).mean(axis=1)
        order = np.lexsort((-away, -losses))[:most]
        return wrong[order], losses[order], None
    # with a threshold or costs, the predicted class is not always the most probable one
    codes = model.task.encode(predicted).astype(np.int64).reshape(-1)[wrong]
    sure = probabilities[np.arange(len(wrong)), codes]
    order = np.argsort(-sure, kind="stable")[:most]
    return wrong[order], losses[order], sure[order]


def worst_rows(model: Model, X: Any, y: Any, *, most: int = 10) -> list[WorstRow]:
    """Return the rows X (N, D), or of a frame, with the largest errors, or that were most confidently put into a wrong class, the worst first.

    Look for wrong labels, special cases, and what the columns do not capture. Errors: OptionError for a `most` below 1.

    >>> import manynets as mn
    >>> X, y = np.arange(20.0)[:, None] / 10, np.arange(20.0)
    >>> model = mn.train(X, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    >>> [len(worst_rows(model, X, y, most=3)), worst_rows(model, X, y)[0].loss >= worst_rows(model, X, y)[1].loss]
    [3, True]
    """
    check_count(most, what="most")
    model = model_of(model)
    X, y, _ = model.read_given(X, y)
    logits = model.encoded_logits(source_rows(model, X).matrix)
    worst, losses, sure = worst_first(model, logits, y, most=most)
    truth, predicted = np.asarray(model.targets_in_order(y))[worst], model.predicted(logits[:, worst])
    numbers = X.row_numbers[worst] if isinstance(X, Table) else worst
    return Records(
        WorstRow(int(row), plain(true), plain(guess), None if sure is None else float(sure[i]), float(losses[i]))
        for i, (row, true, guess) in enumerate(zip(numbers, truth, predicted, strict=True))
    )


@dataclasses.dataclass(frozen=True)
class MeanError:
    """Errors y - prediction of a group of rows, in the unit of the target.

    column: "prediction" or a column. group: which rows, such as "61 to 80". rows: how many. mean: the mean error, 0 where the model is right on
    average; standard_error: of the mean; absolute: the mean absolute error. target: which of several targets, "" where there is one.

    >>> MeanError("size", "61 to 80", rows=40, mean=-1.5, standard_error=0.5, absolute=2.0).mean
    -1.5
    """

    column: str
    group: str
    rows: int
    mean: float
    standard_error: float
    absolute: float
    target: str = ""


def residuals(model: Model, X: Any, y: Any) -> list[MeanError]:
    """Return the errors of a model of numbers on rows X (N, D), or a frame, by bins of the prediction and of each column, in their order.

    Of several targets those of the first come first. Errors: DataError for classes.

    >>> import manynets as mn
    >>> X, y = np.arange(60.0)[:, None] / 10, np.arange(60.0)
    >>> model = mn.train(X, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    >>> sum(group.rows for group in residuals(model, X, y) if group.column == "prediction")
    60
    """
    model = model_of(model)
    task = model.task
    if not isinstance(task, Regression):
        raise DataError(
            f"errors by group are of a model that predicts numbers, but this one predicts classes ({task.name}); for these use worst_slices"
        )
    X, y, _ = model.read_given(X, y)
    logits = model.encoded_logits(source_rows(model, X).matrix)
    predicted = np.asarray(model.predicted(logits), dtype=np.float64).reshape(logits.shape[1], -1)
    error = task.own_unit(encoded_target(model, y, rows=len(predicted))).reshape(predicted.shape) - predicted
    names = output_names(model, task.targets) if task.targets > 1 else ("",)
    found: Records[MeanError] = Records()
    for j, name in enumerate(names):
        for column, group, taken in groups_of(model, X, predicted=predicted[:, j], bins=BINS):
            one = error[taken, j]
            if len(one) > 1:
                deviation = float(one.std(ddof=1)) / len(one) ** 0.5
                found.append(MeanError(column, group, len(one), float(one.mean()), deviation, float(np.abs(one).mean()), name))
    return found
