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
Owners = list[tuple["CandidateFit", int, Outcome | None]]
"""By the number of a network: its fit, which of the fit's networks it is, and what an earlier training made of it, from which it goes on."""


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

    rows, encoded, weight: of the training rows, their numbers among the shared ones, encoded target and weights.
    """

    candidate: int
    fold: int
    estimator: Any
    step: str = ""
    data: FoldData | None = None
    plan: FitPlan | None = None
    rows: RowNumbers | None = None
    encoded: NDArray[Any] | None = None
    weight: NDArray[np.float64] | None = None
    ended: dict[int, Outcome] = dataclasses.field(default_factory=dict)
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of the networks, in their order."""
        return [self.ended[k] for k in sorted(self.ended)]

    def fitted(self) -> Any:
        """Return the estimator, or the pipeline, as fit would have left it."""
        assert self.plan is not None
        if not hasattr(self.estimator, "model_"):
            accept(self.estimator, self.plan, self.outcomes)
        if self.data is None or self.data.steps is None:
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
    owners: Owners = []
    groups = _grouped([fit for fit in fits if fit.error is None], folds, earlier, resumable, owners)

    def train_group(group: DataGroup, listeners: Sequence[Callback]) -> None:
        began = time.perf_counter()
        results = train_in_processes(
            group.data.problem, group.members, n_jobs=n_jobs, callbacks=listeners, memory_limit=memory_limit
        )
        share = (time.perf_counter() - began) / max(1, len(group.members))
        for result in results:
            fit, k, before = owners[result.number]
            fit.seconds += share
            if isinstance(result, Failure):
                fit.error = result.error
            else:
                fit.ended[k] = _joined(before, result)

    train_groups(groups, train_group, callbacks=callbacks)
    for fit in fits:
        if fit.error is None and fit.plan is not None:
            try:
                for outcome in fit.outcomes:
                    check_finite(fit.estimator, outcome, fit.plan.held_out)
            except DataError as error:
                fit.error = error


def _grouped(
    fits: Sequence[CandidateFit], folds: SearchFolds, earlier: Earlier, resumable: bool, owners: Owners
) -> list[DataGroup]:
    """Return the networks of the fits, in groups with the same columns, dtype, device and task; add them to `owners`."""
    alike: dict[tuple[Any, ...], list[CandidateFit]] = {}
    for fit in fits:
        assert fit.plan is not None
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
            _add_networks(group, fit, weights, earlier.get((fit.candidate, fit.fold)), resumable, owners)
    return out


def _add_networks(
    group: DataGroup,
    fit: CandidateFit,
    weights: dict[tuple[bytes, bytes], NDArray[np.float64]],
    earlier: CandidateFit | None,
    resumable: bool,
    owners: Owners,
) -> None:
    """Add the networks of a fit to its group, except those of an earlier fit that stopped before its last epoch."""
    assert fit.plan is not None
    fit.plan.prepared = dataclasses.replace(group.data, encoder=fit.estimator.encoder_)
    weight = None
    if fit.weight is not None and fit.rows is not None:
        same = fit.rows.tobytes(), fit.weight.tobytes()
        if same not in weights:
            weights[same] = np.zeros(len(group.data.problem.rows))
            weights[same][fit.rows] = fit.weight
        weight = weights[same]
    for k, member in enumerate(fit.plan.members):
        own = dataclasses.replace(member, number=len(owners), weight=weight, resumable=resumable)
        before = earlier.ended.get(k) if earlier is not None and _can_continue(fit) else None
        if before is not None and before.stopped != "done":
            fit.ended[k] = before
            continue
        if earlier is not None and before is not None:
            assert earlier.plan is not None
            assert before.progress is not None
            own = dataclasses.replace(
                own,
                recipe=dataclasses.replace(earlier.plan.members[k].recipe, epochs=member.recipe.epochs),
                initial=before.parameters,
                progress=before.progress,
                start=int(before.history["step"][-1]),
            )
        fit.plan.members[k] = own
        group.members.append(own)
        owners.append((fit, k, before))


def _can_continue(fit: CandidateFit) -> bool:
    """Return whether continuing an earlier fit with fewer epochs is the same as training anew."""
    return fit.plan is not None and not fit.plan.held_out and isinstance(fit.plan.recipe.schedule, ENDLESS)


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
    assert first is not None
    target = np.zeros((shared.length, *first.shape[1:]), dtype=first.dtype)
    for fit in fits:
        target[fit.rows] = fit.encoded
    kind = torch.long if target.dtype.kind == "i" else x.dtype
    return Problem(task, Rows(x, to_tensor(target, device=device, dtype=kind, what="y"), None))
