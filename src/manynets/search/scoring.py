"""Score the fits of a search: many networks at once where the scorer is a known one, otherwise one by one with scikit-learn."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.metrics import _scorer as scorers
from sklearn.model_selection._validation import _check_method_params, _score
from sklearn.utils import _safe_indexing

from manynets.data.tensors import to_tensor
from manynets.estimators import inputs
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.search.fits import CandidateFit
from manynets.search.folds import SearchFolds
from manynets.tasks import Regression, Task
from manynets.training.threads import most_threads
from manynets.training.torch_settings import torch_modes, torch_settings

LONG_WORK = 3e8  # multiplications from which several threads pay
SCORED_NUMBERS = 1 << 18  # in the widest layer of the rows that are scored at a time

Array = NDArray[Any]
Judge = Callable[[Task, Array, Array, str | None], Array]


def _accuracy(task: Task, scores: Array, y: Array, _loss: str | None) -> Array:
    """Return the share (K,) of rows that scores (K, n, O) predict correctly."""
    if task.name == "multilabel":
        right = ((scores > 0) == (y > 0)).all(axis=2)
    else:
        codes = (scores[..., 0] > 0).astype(np.int64) if task.outputs == 1 else scores.argmax(axis=2)
        right = np.array(task.classes)[codes] == y  # type: ignore[attr-defined]
    return np.asarray(right.mean(axis=1))


def _log_loss(task: Task, scores: Array, y: Array, _loss: str | None) -> Array:
    codes = np.searchsorted(np.array(task.classes), y)  # type: ignore[attr-defined]
    tiny = np.finfo(scores.dtype).eps
    proba = np.clip(task.proba(scores), tiny, 1 - tiny)
    return np.asarray(-np.log(proba[:, np.arange(len(y)), codes]).mean(axis=1))


def _by_column(metric: Callable[..., Array], task: Regression, scores: Array, y: Array, loss: str | None) -> Array:
    """Return a metric of numbers for all networks from one call, in which the outputs of each are columns."""
    each = [task.in_type_of(scores, task.predict(one, loss=loss)).reshape(len(y), -1) for one in scores]
    truth = np.tile(y.reshape(len(y), -1), len(each))
    columns = np.concatenate(each, axis=1).astype(np.float64)
    return metric(truth, columns, multioutput="raw_values").reshape(len(each), -1).mean(axis=1)


OF_CLASSES: dict[Any, Judge] = {metrics.accuracy_score: _accuracy, metrics.log_loss: _log_loss}
OF_NUMBERS: dict[Any, Judge] = {
    metric: functools.partial(_by_column, metric)
    for metric in (metrics.r2_score, metrics.mean_squared_error, metrics.root_mean_squared_error, metrics.mean_absolute_error)
}


def known_scores(scorer: Any, task: Task, y: Array) -> Callable[[Array, str | None], list[Any]] | None:
    """Return a function of raw scores (K, n, O) and the name of the loss: a score, or a dict of scores, for each network.

    None for a scorer that is not known, and for y (n,) or (n, O) on which it is not defined.
    """
    if isinstance(scorer, scorers._MultimetricScorer):
        each = {name: known_scores(one, task, y) for name, one in scorer._scorers.items()}
        if not all(each.values()):
            return None

        def several(raw: Array, loss: str | None) -> list[Any]:
            columns = {name: judge(raw, loss) for name, judge in each.items() if judge is not None}
            return [{name: column[k] for name, column in columns.items()} for k in range(len(raw))]

        return several
    regression = task.name == "regression"
    if isinstance(scorer, scorers._PassthroughScorer):
        metric, sign = metrics.r2_score if regression else metrics.accuracy_score, 1
    elif isinstance(scorer, scorers._Scorer) and not scorer._kwargs:
        metric, sign = scorer._score_func, scorer._sign
    else:
        return None
    judge = (OF_NUMBERS if regression else OF_CLASSES).get(metric)
    if judge is None or len(y) < 2:
        return None
    if judge is _log_loss and (task.name == "multilabel" or not np.array_equal(np.unique(y), np.array(task.classes))):  # type: ignore[attr-defined]
        return None
    return lambda raw, loss: (sign * judge(task, raw, y, loss)).tolist()


# -------------------------------------------------------------------------------------------------------------- fits


def score_fits(
    fits: Sequence[CandidateFit],
    folds: SearchFolds,
    scorer: Any,
    *,
    score_params: Mapping[str, Any],
    error_score: Any,
    train_scores: bool,
) -> dict[tuple[int, int], dict[str, Any]]:
    """Return what scikit-learn's `_fit_and_score` returns, by candidate and fold."""
    sides = ("test", "train") if train_scores else ("test",)
    together = {side: {} if score_params else _scores_together(fits, side, scorer) for side in sides}
    out: dict[tuple[int, int], dict[str, Any]] = {}
    for i, fit in enumerate(fits):
        train, test = folds.splits[fit.fold]
        one: dict[str, Any] = {"fit_error": None, "fit_time": fit.seconds, "score_time": 0.0, "n_test_samples": len(test)}
        out[fit.candidate, fit.fold] = one
        if fit.error is not None:
            if error_score == "raise":
                raise fit.error
            one["fit_error"] = "".join(traceback.format_exception(fit.error))
        for side, rows in zip(sides, (test, train), strict=False):
            if fit.error is not None:
                names = getattr(scorer, "_scorers", None)
                one[f"{side}_scores"] = error_score if names is None else dict.fromkeys(names, error_score)
                continue
            if i in together[side]:
                one[f"{side}_scores"], seconds = together[side][i]
            else:
                began = time.perf_counter()
                parameters = _check_method_params(folds.X, params=dict(score_params), indices=rows)
                x, y = _safe_indexing(folds.X, rows), fit.data.sides[side][1]
                one[f"{side}_scores"] = _score(fit.fitted(), x, y, scorer, parameters, error_score)
                seconds = time.perf_counter() - began
            if side == "test":
                one["score_time"] = seconds
    return out


def _scores_together(fits: Sequence[CandidateFit], side: str, scorer: Any) -> dict[int, tuple[Any, float]]:
    """Return (score, seconds) by index of the fits whose scorer is known; networks of a shape share one prediction."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, fit in enumerate(fits):
        if fit.error is None and len(fit.outcomes) == 1:
            plan, recipe = fit.plan, fit.plan.members[0].recipe
            shape = Shape.of(plan.network, plan.columns, plan.task.outputs)
            key = (id(fit.data), id(fit.estimator.encoder_), shape, plan.task, recipe.dtype, recipe.loss)
            groups.setdefault(key, []).append(i)
    out: dict[int, tuple[Any, float]] = {}
    for (_, _, shape, task, dtype, loss), indices in groups.items():
        began = time.perf_counter()
        data, estimator = fits[indices[0]].data, fits[indices[0]].estimator
        read = inputs.numbers if task.name == "regression" else inputs.labels
        try:
            truth = data.sides[side][1]
            judge = known_scores(scorer, task, read(estimator, truth, truth))
            if judge is None:
                continue
            x = data.columns_of(estimator, side)
            scores = judge(_raw_scores(shape, [fits[i].outcomes[0].parameters for i in indices], x, dtype), loss)
        except Exception:  # scikit-learn's way says what is wrong
            continue
        seconds = (time.perf_counter() - began) / len(indices)
        out |= {i: (score, seconds) for i, score in zip(indices, scores, strict=True)}
    return out


def _raw_scores(shape: Shape, parameters: Sequence[Mapping[str, Array]], x: Array, dtype: str) -> Array:
    """Return the raw scores (K, n, O) of networks of one shape."""
    kind, cpu = torch.float32 if dtype == "float32" else torch.float64, torch.device("cpu")
    population = Population.start(shape, parameters, device=cpu, dtype=kind)
    widest = max(shape.out_features, *shape.hidden, 1)
    work = float(len(x) * len(parameters) * shape.multiplications)
    # several threads only where they pay: all but the first are slow on subnormal numbers, which they do not flush to 0
    with torch_settings(threads=1 if work < LONG_WORK else most_threads()), torch_modes(cpu, autograd=False):
        tensor = to_tensor(x, device=cpu, dtype=kind)
        raw = tensor.new_empty(len(parameters), len(tensor), shape.out_features)
        population.scorer().write(tensor, raw, max(1, SCORED_NUMBERS // (widest * len(parameters))))
    return np.asarray(raw.numpy())
