"""From the trained networks of the default ensemble to its model: out-of-fold scores, settings, calibration and threshold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.early_stopping import Patience
from manynets.model import Model
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.prepare import TrainingData
from manynets.results import model_of, versions, with_residuals
from manynets.spec import MLP
from manynets.tabular.calibration import Calibrator, calibrators_of, log_losses
from manynets.tasks import Binary, Regression, Task
from manynets.tasks.losses import loss_for
from manynets.tasks.own_metric import Metric, lower_is_better, measured
from manynets.tasks.thresholds import best_threshold
from manynets.training.deadline import Deadline
from manynets.training.trial import Divergence, Member, Outcome

Array = NDArray[Any]

PREDICTED_ROWS = 8192
MARGIN = 0.5  # divided by the root of the rows that are validated on: the share by which a loss has to be lower, to be so not by chance alone
MEANS = ("squared_error", "half_squared_error")  # the losses of numbers whose predictions are means


@dataclasses.dataclass(frozen=True, eq=False)
class TabularFit:
    """A trained ensemble.

    out_of_fold: the scores (N, O) of the training rows, each by the networks that did not train on it; None with a validation set.
    temperature: what the networks' scores were divided by, in the best setting; 1 for numbers. divergence: of the first network that diverged, None for none.
    """

    model: Model
    out_of_fold: Array | None
    temperature: float
    divergence: Divergence | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Setting:
    """The networks of a setting, their scores of the rows that they did not train on (None without folds), and their calibrator.

    linear: whether they are linear models.
    """

    members: Sequence[Member]
    outcomes: Sequence[Outcome]
    scores: Array | None
    linear: bool
    calibrator: Calibrator = dataclasses.field(default_factory=Calibrator)


def finish(
    data: TrainingData,
    members: Sequence[Member],
    outcomes: Sequence[Outcome],
    *,
    n_networks: int,
    calibrate: bool,
    metric: str | Metric | None,
    linear: int = 0,
    if_better: Collection[int] = (),
    limit: Deadline | None = None,
) -> TabularFit:
    """Return the model, its output layers calibrated; regression stays within the range of the target.

    n_networks: of each setting. The settings that are kept are those whose mean is best out of fold (`_chosen`).
    linear: how many of the last networks are linear models; `info` has how many of these the model has. if_better: numbers of the teams that
    count only where what their networks watch is clearly better (MARGIN) than that of the first setting's. limit: when to be done.
    """
    problem, target = data.problem, data.problem.rows.target.cpu().numpy()
    task = problem.task
    if isinstance(task, Regression):
        task = task.clamped_to(target if data.rows is None else target[data.rows])
    settings = []
    needed = _value_to_beat(data, members[:n_networks], outcomes[:n_networks], task, metric) if if_better else math.inf
    for start in range(0, len(members), n_networks):
        cut = slice(start, start + n_networks)
        if members[start].team in if_better and _watched(members[cut], outcomes[cut], task, metric) >= needed:
            continue
        scores = None if problem.validation is not None else scores_out_of_fold(data, members[cut], outcomes[cut])
        settings.append(_Setting(members[cut], outcomes[cut], scores, linear=start >= len(members) - linear))
    seen = np.ones(len(target), dtype=bool)
    for setting in settings:
        seen &= True if setting.scores is None else np.isfinite(setting.scores).all(axis=1)
    weight = None if problem.rows.weight is None else problem.rows.weight.cpu().numpy()[seen]
    predicts_means = not isinstance(task, Regression) or loss_for(task, members[0].recipe).name in MEANS
    if calibrate and predicts_means:
        settings = [_calibrated(setting, task, target, seen, weight) for setting in settings]
    if all(setting.scores is not None for setting in settings):
        settings = _chosen(settings, task, target, seen, weight, metric)
    data = dataclasses.replace(data, problem=dataclasses.replace(problem, task=task))
    first, spec = settings[0], settings[0].members[0].spec
    assert isinstance(spec, MLP)
    ended = [outcome for setting in settings for outcome in setting.outcomes]
    model = model_of(spec, first.members[0].recipe, data, ended)
    temperature = 1.0 if isinstance(task, Regression) else float(first.calibrator.temperature)
    model.info["temperature"] = temperature
    if linear:
        model.info["versions"] = versions(linear=True)
    if kept := sum(len(setting.outcomes) for setting in settings if setting.linear):
        model.info["linear"] = kept
    late = None if limit is None or limit.end == math.inf else limit
    with_residuals(model, data, [member for setting in settings for member in setting.members], limit=late)
    known = [setting.scores for setting in settings if setting.scores is not None]
    out_of_fold = model.mean_logits(np.stack(known)) if known else None
    if metric == "f1" and isinstance(task, Binary) and out_of_fold is not None:
        share = task.proba(out_of_fold[seen])[:, 1]
        model.task = dataclasses.replace(task, threshold=best_threshold(share, target[seen, 0] > 0.5, weight))
    diverged = [outcome.divergence for outcome in ended if outcome.divergence is not None]
    return TabularFit(model, out_of_fold, temperature, next(iter(diverged), None))


def _watched(members: Sequence[Member], outcomes: Sequence[Outcome], task: Task, metric: str | Metric | None) -> float:
    """Return the mean of what networks watch, a small value being a good one, at their best weights; inf where one has none.

    Networks for whose validation rows it is not defined do not count; where it is for none of them, the loss counts, as in training.
    """
    if any(outcome.best < 0 for outcome in outcomes):
        return math.inf
    lower = lower_is_better(metric) if isinstance(metric, Metric) else None
    best = {name: np.array([one.history[name][one.best] for one in outcomes]) for name in outcomes[0].history}
    values = Patience([member.recipe for member in members], lower=lower).values(best, task.metric)
    defined = values < math.inf
    return float(values[defined].mean() if defined.any() else best["val_loss"].mean())


def _value_to_beat(
    data: TrainingData, members: Sequence[Member], outcomes: Sequence[Outcome], task: Task, metric: str | Metric | None
) -> float:
    """Return the value below which what networks watch is clearly better (MARGIN) than that of these.

    The margin is a share of the distance to the best possible value: 0, or -1 of the metrics of which 1 is best, which are watched with a minus
    sign. A metric of the user's own for which large values are good has no margin.
    """
    usual, own = _watched(members, outcomes, task, metric), data.problem.validation
    if usual == math.inf:
        return usual
    held_out = [member.validation_rows for member in members if member.validation_rows is not None]
    rows = len(own) if own is not None else len(np.unique(np.concatenate(held_out)))
    best = -1.0 if isinstance(metric, str) and not lower_is_better(metric) else 0.0
    return usual - MARGIN / math.sqrt(rows) * max(usual - best, 0.0)


def _calibrated(setting: _Setting, task: Task, target: Array, seen: Array, weight: Array | None) -> _Setting:
    """Return the setting, calibrated on its scores out of fold."""
    if setting.scores is None:
        return setting
    own, of_mean = calibrators_of([setting.scores[seen]], target[seen], task, weight, networks=len(setting.outcomes))
    return dataclasses.replace(
        setting, outcomes=of_mean.networks(setting.outcomes), scores=own.scores(setting.scores), calibrator=of_mean
    )


def _chosen(
    settings: Sequence[_Setting], task: Task, target: Array, seen: Array, weight: Array | None, metric: str | Metric | None
) -> list[_Setting]:
    """Return the best setting out of fold, and in the order of their own figures those that make the mean better.

    The figure is the metric, or the log loss, squared error or loss of several quantiles where there is none, or it is not defined.
    """
    if len(settings) == 1:
        return list(settings)

    def figure(chosen: Sequence[_Setting]) -> float:
        scores = [setting.scores[seen] for setting in chosen if setting.scores is not None]
        if isinstance(task, Regression):
            mean = np.mean([task.clamped(one) for one in scores], axis=0)
            if metric is None and task.quantiles:
                loss = loss_for(task, settings[0].members[0].recipe)
                return float(np.average(loss.rows(np, mean, loss.expand(target[seen])), weights=weight))
            if metric is None:
                return float(np.average(((mean - target[seen]) ** 2).mean(axis=1), weights=weight))
        else:
            share = np.mean([task.proba(one) for one in scores], axis=0)
            if metric is None:
                return float(np.average(log_losses(share, target[seen], task), weights=weight))
            positive = share[:, 1:] if task.name == "binary" else share
            mean = np.log(np.maximum(positive, 1e-300))
            mean = mean if task.name == "multiclass" else mean - np.log(np.maximum(1 - positive, 1e-300))
        value = measured(metric, task, mean, target[seen], weight=weight)
        return value if lower_is_better(metric) else -value

    if metric is not None and math.isnan(figure(settings[:1])):
        metric = None  # not defined on these rows, such as the area where all are of one class
    order = sorted(settings, key=lambda setting: figure([setting]))
    kept, best = order[:1], figure(order[:1])
    for setting in order[1:]:
        if (value := figure([*kept, setting])) < best:
            kept, best = [*kept, setting], value
    return kept


def scores_out_of_fold(data: TrainingData, members: Sequence[Member], outcomes: Sequence[Outcome]) -> Array | None:
    """Return the mean scores (N, O) of each row by the networks that validated on it, NaN for rows that none did; None without any."""
    spec = members[0].spec
    if all(member.validation_rows is None for member in members) or not isinstance(spec, MLP):
        return None
    x, shape = data.problem.rows.x, Shape.of(spec, data.in_features, data.problem.task.outputs)
    sums, counts = np.zeros((len(x), shape.out_features)), np.zeros((len(x), 1))
    taken = x.new_empty(min(PREDICTED_ROWS, len(x)), x.shape[1])  # once, as torch would not reuse the memory of smaller parts
    for member, outcome in zip(members, outcomes, strict=True):
        held_out = member.validation_rows
        assert held_out is not None
        scorer = Population.start(shape, [outcome.parameters], device=x.device, dtype=x.dtype).scorer()
        for start in range(0, len(held_out), PREDICTED_ROWS):
            rows = held_out[start : start + PREDICTED_ROWS]
            part = torch.index_select(x, 0, torch.from_numpy(rows).to(x.device), out=taken[: len(rows)])
            scores = x.new_empty(1, len(rows), shape.out_features)
            scorer.write(part, scores, len(rows))
            sums[rows] += scores[0].double().cpu().numpy()
            counts[rows] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
