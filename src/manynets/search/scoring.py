"""Score the fits of a search: many networks at once where the scorer is a known one, otherwise one by one with scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.metrics import _scorer as scorers
from sklearn.model_selection._validation import _check_method_params, _score
from sklearn.utils import _safe_indexing

from manynets.data.check import to_tensor
from manynets.estimators import inputs
from manynets.nn.population import Population, Shape
from manynets.search.fits import CandidateFit
from manynets.search.folds import SearchFolds
from manynets.tasks import Task
from manynets.training.settings import torch_settings
from manynets.training.threads import most_threads

__all__ = ["known_scores", "score_fits"]

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


def _residuals(task: Task, scores: Array, y: Array, loss: str | None) -> Array:
    """Return y (n,) or (n, O) minus the predictions, (K, n, O)."""
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


# -------------------------------------------------------------------------------------------------------------- fits


def score_fits(
    fits: Sequence[CandidateFit],
    folds: SearchFolds,
    scorer: Any,
    *,
    score_params: Mapping[str, Any],
    error_score: Any,
    train_scores: bool,
) -> list[dict[str, Any]]:
    """Return for each fit what scikit-learn's `_fit_and_score` returns."""
    out: list[dict[str, Any]] = []
    for fit in fits:
        one: dict[str, Any] = {"fit_error": None, "fit_time": fit.seconds, "score_time": 0.0}
        one["n_test_samples"] = len(folds.splits[fit.fold][1])
        out.append(one)
        if fit.error is not None:
            if error_score == "raise":
                raise fit.error
            names = getattr(scorer, "_scorers", None)
            blank: Any = error_score if names is None else dict.fromkeys(names, error_score)
            one |= {"fit_error": fit.trace, "test_scores": blank}
            if train_scores:
                one["train_scores"] = blank if names is None else dict(blank)
    for side in ("test", "train") if train_scores else ("test",):
        together = {} if score_params else _scores_together(fits, side, scorer)
        for i, fit in enumerate(fits):
            if fit.error is not None:
                continue
            if i in together:
                out[i][f"{side}_scores"], seconds = together[i]
            else:
                assert fit.data is not None
                began = time.perf_counter()
                rows = folds.splits[fit.fold][1 if side == "test" else 0]
                parameters = _check_method_params(folds.X, params=dict(score_params), indices=rows)
                x, y = _safe_indexing(folds.X, rows), fit.data.side(side)[1]
                out[i][f"{side}_scores"] = _score(fit.fitted(), x, y, scorer, parameters, error_score)
                seconds = time.perf_counter() - began
            if side == "test":
                out[i]["score_time"] = seconds
    return out


def _scores_together(fits: Sequence[CandidateFit], side: str, scorer: Any) -> dict[int, tuple[Any, float]]:
    """Return (score, seconds) by index of the fits whose scorer is known; networks of a shape share one prediction."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, fit in enumerate(fits):
        if fit.error is None and fit.plan is not None and len(fit.outcomes) == 1:
            plan, recipe = fit.plan, fit.plan.members[0].recipe
            shape = Shape.of(plan.network, plan.columns, plan.task.outputs)
            key = (id(fit.data), id(fit.estimator.encoder_), shape, plan.task, recipe.dtype, recipe.loss)
            groups.setdefault(key, []).append(i)
    out: dict[int, tuple[Any, float]] = {}
    for (_, _, shape, task, dtype, loss), indices in groups.items():
        began = time.perf_counter()
        data, estimator = fits[indices[0]].data, fits[indices[0]].estimator
        assert data is not None
        try:
            truth = data.side(side)[1]
            read = inputs.numbers if task.name == "regression" else inputs.labels
            judge = known_scores(scorer, task, read(estimator, truth, truth))
            if judge is None:
                continue
            x = data.columns_of(estimator, side)
        except Exception:  # scikit-learn's way says what is wrong
            continue
        raw = _raw_scores(shape, [fits[i].outcomes[0].parameters for i in indices], x, dtype)
        scores = judge(raw, loss)
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
    with torch_settings(threads=1 if work < LONG_WORK else most_threads()), torch.inference_mode():
        tensor = to_tensor(x, device=cpu, dtype=kind)
        raw = tensor.new_empty(len(parameters), len(tensor), shape.out_features)
        population.write_scores(tensor, raw, max(1, SCORED_NUMBERS // (widest * len(parameters))))
    return np.asarray(raw.numpy())
