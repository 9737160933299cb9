"""The fits of a search over our estimators: planned one by one, trained together."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from manynets.data.batches import Rows
from manynets.data.tensors import to_tensor
from manynets.errors import DataError
from manynets.estimators import MLPClassifier, MLPRegressor, settings
from manynets.estimators.fitted import accept, check_finite
from manynets.estimators.plan import FitData, FitPlan, FitRows, plan_fit
from manynets.prepare import RowNumbers, TrainingData
from manynets.search.folds import FoldData, SearchFolds, SharedRows
from manynets.search.groups import DataGroup, train_groups
from manynets.search.processes import train_in_processes
from manynets.spec import Constant, Exponential, InverseScaling, PiecewiseConstant, Recipe, StepDecay, Warmup
from manynets.targets import row_weights
from manynets.tasks import Task
from manynets.training.events import Callback
from manynets.training.groups import Failure
from manynets.training.torch_settings import find_device
from manynets.training.trial import Outcome, Problem

ENDLESS = (Constant, Warmup, StepDecay, Exponential, InverseScaling, PiecewiseConstant)
"""Schedules that do not depend on the number of epochs, so that a training can be continued with more of them."""
FIT_PARAMS = ("sample_weight", "groups")
PLAIN = (str, int, float, np.generic, type(None))
"""Settings of the first steps of a pipeline that are the same where they are equal; others, such as arrays, only where they are the same object."""
Earlier = Mapping[tuple[int, int], "CandidateFit"]


def last_step(estimator: Any) -> tuple[str, Any]:
    """Return what a pipeline ends in, after what its parameters' names begin with; an estimator itself after ""."""
    if isinstance(estimator, Pipeline) and estimator.steps:
        name, last = estimator.steps[-1]
        return f"{name}__", last
    return "", estimator


def can_share(estimator: Any, fit_params: Mapping[str, Any]) -> bool:
    """Return whether fits of this estimator (ours, or a pipeline that ends in it) can be trained with others."""
    if isinstance(estimator, Pipeline) and (type(estimator) is not Pipeline or estimator.memory is not None):
        return False
    prefix, estimator = last_step(estimator)
    if type(estimator) not in (MLPClassifier, MLPRegressor) or set(fit_params) - {f"{prefix}{name}" for name in FIT_PARAMS}:
        return False
    try:
        settings.check(estimator)
    except Exception:  # scikit-learn's way says what is wrong
        return False
    return not (estimator.solver == "lbfgs" or estimator.verbose or estimator.callbacks)


@dataclasses.dataclass(eq=False)
class CandidateFit:
    """One candidate on one fold. step: the name of the estimator in its pipeline. ended: outcomes by network; error: why there are none.

    Where planning did not fail it has a plan, and of the training rows their numbers among the shared ones, encoded target and weights.
    """

    candidate: int
    fold: int
    estimator: Any
    step: str = ""
    ended: dict[int, Outcome] = dataclasses.field(default_factory=dict)
    error: Exception | None = None
    seconds: float = 0.0
    data: FoldData = dataclasses.field(init=False)
    plan: FitPlan = dataclasses.field(init=False)
    rows: RowNumbers = dataclasses.field(init=False)
    encoded: NDArray[Any] = dataclasses.field(init=False)
    weight: NDArray[np.float64] | None = dataclasses.field(init=False)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of the networks, in their order."""
        return [self.ended[k] for k in sorted(self.ended)]

    def fitted(self) -> Any:
        """Return the estimator, or the pipeline, as fit would have left it."""
        if not hasattr(self.estimator, "model_"):
            accept(self.estimator, self.plan, self.outcomes)
        if self.data.steps is None:
            return self.estimator
        return Pipeline([*self.data.steps.steps, (self.step, self.estimator)])


# ------------------------------------------------------------------------------------------------------------------ planning


def plan_fits(given: Mapping[int, Any], candidates: Sequence[Mapping[str, Any]], folds: SearchFolds) -> list[CandidateFit]:
    """Return the fits of estimators on every fold; what cannot be planned has its error.

    given: the estimator, or the pipeline that ends in it, of some candidates by their index.
    """
    fits: list[CandidateFit] = []
    for c, estimator in given.items():
        steps, step = None, ""
        key: Hashable = ()
        if isinstance(estimator, Pipeline):
            first, (step, estimator) = estimator[:-1], estimator.steps[-1]
            if any(one not in (None, "passthrough") for _, one in first.steps):
                steps = first
                key = tuple(
                    (name, type(value), value if isinstance(value, PLAIN) else id(value))
                    for name, value in sorted(candidates[c].items())
                    if not name.startswith(f"{step}__")
                )
        for f in range(len(folds.splits)):
            own = clone(estimator) if isinstance(estimator.random_state, np.random.RandomState) else copy.copy(estimator)
            fit, began = CandidateFit(c, f, own, step), time.perf_counter()
            try:
                _plan(fit, folds, None if steps is None else clone(steps), key)
            except Exception as error:
                fit.error = error
            fit.seconds = time.perf_counter() - began
            fits.append(fit)
    return fits


def _plan(fit: CandidateFit, folds: SearchFolds, steps: Any, key: Hashable) -> None:
    fit.data = fold = folds.fold(fit.fold, steps, key, fit.estimator)
    data = folds.read(fold, fit.estimator)
    own = data.y

    def rows_of(data: FitData, base: Recipe, task: Task) -> FitRows:
        assert data.rows is not None
        fit.rows, y = data.rows, data.y  # which may be merged copies of the fold's own
        fit.encoded = fold.once(task, lambda: task.encode(y)) if y is own else task.encode(y)
        fit.weight = row_weights(task, fit.encoded, len(data.y), data.weight, data.class_weight)
        rows = data.rows if data.train is None else data.rows[data.train]  # the same array for all fits of the same rows
        total = float(len(rows))
        if fit.weight is not None:
            weights = fit.weight if data.train is None else fit.weight[data.train]
            total = float(weights.astype(base.dtype).sum(dtype=np.float64))
        return FitRows(rows, None if data.validation is None else data.rows[data.validation], len(rows), total)

    fit.plan = plan_fit(fit.estimator, data, rows_of=rows_of)


# ------------------------------------------------------------------------------------------------------------------ training


def train_fits(
    fits: Sequence[CandidateFit],
    folds: SearchFolds,
    *,
    earlier: Earlier,
    resumable: bool = False,
    n_jobs: int | None = None,
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
) -> None:
    """Train the networks of all planned fits, those on the same data and for the same task together.

    earlier: fits by (candidate, fold) with the same parameters but fewer epochs, which are continued where that is the same as
    training anew. resumable: whether these fits may be such; then their outcomes have the state of the optimizer.
    """
    planned = [fit for fit in fits if fit.error is None]
    for fit in planned:
        _continue(fit, earlier.get((fit.candidate, fit.fold)))
    owners: list[tuple[CandidateFit, int]] = []  # by the number of a network: its fit, and which of the fit's networks it is
    groups = _grouped(planned, folds, owners, resumable=resumable)

    def train_group(group: DataGroup, listeners: Sequence[Callback]) -> None:
        began = time.perf_counter()
        results = train_in_processes(
            group.data.problem, group.members, n_jobs=n_jobs, callbacks=listeners, memory_limit=memory_limit
        )
        share = (time.perf_counter() - began) / max(1, len(group.members))
        for result in results:
            fit, k = owners[result.number]
            fit.seconds += share
            if isinstance(result, Failure):
                fit.error = result.error
            else:
                fit.ended[k] = _joined(fit.ended.get(k), result)

    train_groups(groups, train_group, callbacks=callbacks)
    for fit in planned:
        if fit.error is None:
            try:
                for outcome in fit.outcomes:
                    check_finite(fit.estimator, outcome, fit.plan.held_out)
            except DataError as error:
                fit.error = error


def _continue(fit: CandidateFit, earlier: CandidateFit | None) -> None:
    """Let a fit go on from an earlier one with fewer epochs, where that is the same as training anew."""
    if earlier is None or fit.plan.held_out or not isinstance(fit.plan.recipe.schedule, ENDLESS):
        return
    fit.ended = dict(earlier.ended)
    for k, before in earlier.ended.items():
        if before.stopped == "done":
            assert before.progress is not None
            member = fit.plan.members[k]
            fit.plan.members[k] = dataclasses.replace(
                member,
                recipe=dataclasses.replace(earlier.plan.members[k].recipe, epochs=member.recipe.epochs),
                initial=before.parameters,
                progress=before.progress,
                start=int(before.history["step"][-1]),
            )


def _grouped(
    fits: Sequence[CandidateFit], folds: SearchFolds, owners: list[tuple[CandidateFit, int]], *, resumable: bool
) -> list[DataGroup]:
    """Return the networks to train, in groups with the same columns, dtype, device and task; add them to `owners`."""
    alike: dict[tuple[Any, ...], list[CandidateFit]] = {}
    for fit in fits:
        recipe = fit.plan.recipe
        alike.setdefault((fit.plan.columns, recipe.dtype, recipe.device, fit.plan.task), []).append(fit)
    out = []
    for (columns, dtype, device, task), same in alike.items():
        try:
            problem = _problem(folds.shared[columns, dtype], find_device(device), task, same)
        except Exception as error:
            for fit in same:
                fit.error = error
            continue
        out.append(group := DataGroup(TrainingData(problem, columns, None, None)))
        weights: dict[tuple[bytes, bytes], NDArray[np.float64]] = {}  # fits with the same weights share the array
        for fit in same:
            fit.plan.prepared = dataclasses.replace(group.data, encoder=fit.estimator.encoder_)
            weight = None
            if fit.weight is not None:
                key = fit.rows.tobytes(), fit.weight.tobytes()
                if key not in weights:
                    weights[key] = np.zeros(len(problem.rows))
                    weights[key][fit.rows] = fit.weight
                weight = weights[key]
            for k, member in enumerate(fit.plan.members):
                if k not in fit.ended or fit.ended[k].stopped == "done":
                    own = dataclasses.replace(member, number=len(owners), weight=weight, resumable=resumable)
                    fit.plan.members[k] = own
                    group.members.append(own)
                    owners.append((fit, k))
    return out


def _joined(before: Outcome | None, after: Outcome) -> Outcome:
    """Return the outcome of a training in two parts, or in one."""
    if before is None:
        return after
    entries = len(before.history["step"])
    history = {name: [*before.history[name], *column] for name, column in after.history.items()}
    return dataclasses.replace(after, history=history, best=entries + after.best, seconds=before.seconds + after.seconds)


def _problem(shared: SharedRows, device: torch.device, task: Task, fits: Sequence[CandidateFit]) -> Problem:
    """Return all shared rows as a problem for a task; the target of rows that no fit of it trains on stays 0."""
    x, first = shared.tensor(device), fits[0].encoded
    target = np.zeros((shared.length, *first.shape[1:]), dtype=first.dtype)
    for fit in fits:
        target[fit.rows] = fit.encoded
    kind = torch.long if target.dtype.kind == "i" else x.dtype
    return Problem(task, Rows(x, to_tensor(target, device=device, dtype=kind, what="y"), None))
