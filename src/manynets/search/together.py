"""Many fits of our estimators as one training: candidates x folds, planned one by one, trained and scored together."""

from __future__ import annotations

import copy
import dataclasses
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import _validation as sk
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from manynets.data.batches import Rows
from manynets.data.check import is_frame, to_tensor
from manynets.errors import DataError
from manynets.estimators import MLPClassifier, MLPRegressor, inputs, settings
from manynets.estimators.plan import Data, Drawn, Plan, Ready
from manynets.fitting import Prepared, row_weights
from manynets.nn.population import Population, Shape
from manynets.search.processes import train_in_processes
from manynets.search.scoring import known_scores
from manynets.spec import Constant, Exponential, InverseScaling, Recipe, StepDecay, Warmup
from manynets.tasks import Task
from manynets.training.events import Callback
from manynets.training.groups import Failure, Relay
from manynets.training.threads import most_threads
from manynets.training.torch_settings import find_device, torch_settings
from manynets.training.trial import Member, Outcome, Problem

__all__ = ["Fit", "Folds", "can_share", "fit_together", "score_together"]

Numbers = NDArray[np.int64]
LONG_WORK = 3e8  # multiplications
SCORED_NUMBERS = 1 << 18  # in the widest layer of the rows that are scored at a time
LASTING = (Constant, Warmup, StepDecay, Exponential, InverseScaling)
"""Schedules that do not know the end of training: they go on as they were when it is put off."""


def can_share(estimator: Any, fit_params: Mapping[str, Any]) -> bool:
    """Return whether fits of this estimator (ours, or a pipeline that ends in it) can be trained with others."""
    prefix = ""
    if type(estimator) is Pipeline:
        if estimator.memory is not None or not estimator.steps:
            return False
        prefix, estimator = f"{estimator.steps[-1][0]}__", estimator.steps[-1][1]
    known = {f"{prefix}sample_weight"}
    if type(estimator) not in (MLPClassifier, MLPRegressor) or set(fit_params) - known:
        return False
    return not (estimator.solver == "lbfgs" or estimator.verbose or estimator.callbacks)


class _Table:
    """Rows of one width and type that networks train on by number: blocks one after the other."""

    def __init__(self) -> None:
        self.blocks: list[NDArray[Any]] = []
        self.numbers: dict[int, Numbers] = {}
        self.length = 0
        self.tensors: dict[torch.device, torch.Tensor] = {}

    def place(self, x: NDArray[Any]) -> Numbers:
        """Return the numbers of a block's rows, which takes its place at the first call."""
        if id(x) not in self.numbers:
            self.blocks.append(x)
            self.numbers[id(x)] = np.arange(self.length, self.length + len(x))
            self.length += len(x)
            self.tensors.clear()
        return self.numbers[id(x)]

    def tensor(self, device: torch.device) -> torch.Tensor:
        """Return all rows on a device."""
        if device not in self.tensors:
            whole = self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)
            self.tensors[device] = to_tensor(whole, device=device, dtype=_dtype(whole))
        return self.tensors[device]


def _dtype(x: NDArray[Any]) -> torch.dtype:
    return torch.float32 if x.dtype == np.float32 else torch.float64


@dataclasses.dataclass(eq=False)
class _Part:
    """A fold after the first steps of a pipeline: what the last step is given, read once for all candidates."""

    train_x: Any
    test_x: Any
    train_y: Any
    test_y: Any
    weight: NDArray[np.float64] | None
    head: Any = None
    rows: Numbers | None = None
    read: dict[type, tuple[NDArray[Any], Any, dict[str, Any]]] = dataclasses.field(default_factory=dict)
    encoded: dict[bytes, Any] = dataclasses.field(default_factory=dict)
    drawn: dict[tuple[Any, ...], Drawn] = dataclasses.field(default_factory=dict)
    targets: dict[Task, NDArray[Any]] = dataclasses.field(default_factory=dict)
    columns: dict[tuple[str, int], NDArray[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(eq=False)
class Fit:
    """One candidate on one fold. outcomes: of its networks (found: by their numbers, as they come); error: why there are none."""

    candidate: int
    fold: int
    estimator: Any
    pipeline: Any = None
    part: _Part | None = None
    plan: Plan | None = None
    own: tuple[Numbers, NDArray[np.float64]] | None = None
    target: tuple[Numbers, NDArray[Any]] | None = None
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    found: dict[int, Outcome] = dataclasses.field(default_factory=dict)
    error: BaseException | None = None
    trace: str = ""
    seconds: float = 0.0
    published: bool = False

    def fail(self, error: BaseException) -> None:
        """Note why this fit has no outcome."""
        self.error = error
        self.trace = "".join(traceback.format_exception(error))

    def fitted(self) -> Any:
        """Return the estimator, or the pipeline, as fit would have left it."""
        assert self.plan is not None
        if not self.published:
            self.estimator._accept(self.plan, self.outcomes)
            self.published = True
        if self.pipeline is None or self.part is None:
            return self.estimator
        return Pipeline([*self.part.head.steps, (self.pipeline.steps[-1][0], self.estimator)])


class Folds:
    """The folds of X and y as parts, shared by all candidates with the same first steps of a pipeline.

    splits: rows of training and test sets by number; fit_params: what `fit` is given, of which only weights are known.
    """

    def __init__(self, X: Any, y: Any, splits: Sequence[tuple[Numbers, Numbers]], fit_params: Mapping[str, Any]) -> None:
        self.X, self.y, self.splits = X, y, splits
        self.weight = next(iter(fit_params.values()), None)
        self.parts: dict[tuple[int, str], _Part] = {}
        self.tables: dict[tuple[int, str], _Table] = {}
        self.whole: NDArray[Any] | None = None

    def table_of(self, x: NDArray[Any]) -> _Table:
        """Return the table for rows of this width and type."""
        return self.tables.setdefault((x.shape[1], "float32" if x.dtype == np.float32 else "float64"), _Table())

    def place(self, x: NDArray[Any]) -> Numbers:
        """Return the numbers of rows in their table."""
        return self.table_of(x).place(x)

    def part(self, fold: int, head: Any, key: str, reader: Any) -> _Part:
        """Return a fold, its X after `head`, which is fitted on the training rows once for each key."""
        if (fold, key) in self.parts:
            return self.parts[fold, key]
        train, test = self.splits[fold]
        train_y, test_y = (None if self.y is None else _safe_indexing(self.y, rows) for rows in (train, test))
        weight = None if self.weight is None else _safe_indexing(self.weight, train)
        if head is None and not is_frame(self.X):
            if self.whole is None:
                self.whole = inputs.dense(inputs.read_rows(clone(reader), self.X, reset=True))
            numbers = self.place(self.whole)
            part = _Part(self.whole[train], self.whole[test], train_y, test_y, weight, rows=numbers[train])
        else:
            train_x, test_x = (_safe_indexing(self.X, rows) for rows in (train, test))
            if head is not None:
                train_x = head.fit_transform(train_x, train_y)
                test_x = head.transform(test_x)
            part = _Part(train_x, test_x, train_y, test_y, weight, head)
        self.parts[fold, key] = part
        return part


def _plan(fit: Fit, folds: Folds, head: Any, key: str) -> None:
    """Read the fold's data, or take them as they were read before, and plan the fit of its estimator."""
    estimator = fit.estimator
    fit.part = part = folds.part(fit.fold, head, key, estimator)
    kind = type(estimator)
    if kind not in part.read:
        reader = clone(estimator)
        x = inputs.read_rows(reader, part.train_x, reset=True)
        if not is_frame(x):
            x = inputs.dense(x)
            if part.rows is None:
                part.rows = folds.place(x)
        target = reader._read_target(part.train_y, x, first=True, incremental=False)
        learnt = {name: value for name, value in reader.__dict__.items() if name.endswith("_") and not name.startswith("_")}
        part.read[kind] = target, x, learnt
    target, x, learnt = part.read[kind]
    estimator.__dict__.update(learnt)
    estimator.encoder_ = None
    weight = inputs.weights(part.weight, len(target))
    data = Data(x, target, weight, rows=part.rows, encoded=part.encoded, place=folds.place, drawn=part.drawn)

    def ready(data: Data, base: Recipe, task: Task, *, weight: Any, class_weight: Any, **_: Any) -> Ready:
        if data.y is not target:
            encoded = task.encode(data.y)
        else:
            if task not in part.targets:
                part.targets[task] = task.encode(target)
            encoded = part.targets[task]
        own = row_weights(task, encoded, len(data.y), weight, class_weight)
        assert data.rows is not None
        fit.target = data.rows, encoded
        rows = data.rows if data.train is None else data.rows[data.train]
        total = float(len(rows))
        if own is not None:
            fit.own = data.rows, own
            total = float((own if data.train is None else own[data.train]).astype(base.dtype).sum(dtype=np.float64))
        return Ready(rows, None if data.validation is None else data.rows[data.validation], len(rows), total)

    fit.plan = estimator._plan(data, get_ready=ready)


def fit_together(
    base: Any,
    folds: Folds,
    candidates: Sequence[Mapping[str, Any]],
    *,
    kept: Mapping[tuple[int, int], Fit],
    goes_on: bool = False,
    n_jobs: int | None = None,
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
) -> list[Fit]:
    """Return the fits of every candidate on every fold, candidates first.

    kept: earlier fits by (candidate, split) of the same parameters but with fewer epochs, which go on where that is the same as
    training anew. goes_on: whether these may be such fits; then their outcomes hold the optimizer's state.
    """
    fits: list[Fit] = []
    for c, parameters in enumerate(candidates):
        given = clone(base).set_params(**clone(parameters, safe=False))
        pipeline, head, key, name = None, None, "", ""
        if isinstance(given, Pipeline):
            name = given.steps[-1][0]
            pipeline, head = given, given[:-1] if len(given.steps) > 1 else None
            if head is not None and all(step in (None, "passthrough") for _, step in head.steps):
                head = None
            key = repr(sorted((k, repr(v)) for k, v in parameters.items() if not k.startswith(f"{name}__")))
        estimator = given if pipeline is None else given.steps[-1][1]
        wrong: Exception | None = None
        try:
            settings.check(estimator)
        except Exception as error:
            wrong = error
        for f in range(len(folds.splits)):
            last = clone(estimator) if isinstance(estimator.random_state, np.random.RandomState) else copy.copy(estimator)
            fit = Fit(c, f, last, None if head is None else pipeline)
            fits.append(fit)
            if wrong is not None:
                fit.fail(wrong)
                continue
            began = time.perf_counter()
            try:
                _plan(fit, folds, None if head is None else clone(head), "" if head is None else key)
            except Exception as error:
                fit.fail(error)
            fit.seconds = time.perf_counter() - began
    _train(fits, folds, kept, goes_on, n_jobs, callbacks, memory_limit)
    return fits


def _train(
    fits: Sequence[Fit],
    folds: Folds,
    kept: Mapping[tuple[int, int], Fit],
    goes_on: bool,
    n_jobs: int | None,
    callbacks: Sequence[Callback],
    memory_limit: int | None,
) -> None:
    """Train the networks of all planned fits, those on the same data and for the same task together."""
    groups: dict[tuple[Any, ...], list[Fit]] = {}
    for fit in fits:
        if fit.plan is not None and fit.error is None:
            recipe = fit.plan.recipe
            key = (fit.plan.columns, recipe.dtype, recipe.device, fit.plan.task)
            groups.setdefault(key, []).append(fit)
    jobs = []
    for (columns, dtype, device, task), group in groups.items():
        try:
            problem = _problem(folds.tables[columns, dtype], find_device(device), task, group)
        except Exception as error:
            for fit in group:
                fit.fail(error)
            continue
        members: list[Member] = []
        owners: dict[int, tuple[Fit, int]] = {}
        weighted: dict[tuple[bytes, bytes], NDArray[np.float64]] = {}  # fits with the same weights share them, and their order
        for fit in group:
            assert fit.plan is not None
            fit.plan.prepared = Prepared(problem, columns, None, None, fit.estimator.encoder_)
            earlier = kept.get((fit.candidate, fit.fold))
            weights = None
            if fit.own is not None:
                same = fit.own[0].tobytes(), fit.own[1].tobytes()
                if same not in weighted:
                    weighted[same] = np.zeros(len(problem.rows))
                    weighted[same][fit.own[0]] = fit.own[1]
                weights = weighted[same]
            for k, member in enumerate(fit.plan.members):
                number = len(owners)
                owners[number] = fit, k
                before = _earlier(fit, earlier, k)
                if before is not None and before[1].stopped != "done":
                    fit.found[k] = before[1]
                    continue
                changes: dict[str, Any] = {"number": number, "weight": weights, "resumable": goes_on}
                if before is not None and before[1].progress is not None:
                    first, outcome = before
                    recipe = dataclasses.replace(first.recipe, epochs=member.recipe.epochs)
                    changes |= {"recipe": recipe, "initial": outcome.parameters, "progress": outcome.progress}
                    changes |= {"start": int(outcome.history["step"][-1])}
                fit.plan.members[k] = dataclasses.replace(member, **changes)
                members.append(fit.plan.members[k])
        jobs.append((problem, members, owners))
    networks = sum(len(members) for _, members, _ in jobs)
    relay = Relay(jobs[0][0].task.metric, networks, callbacks) if len(jobs) > 1 else None
    for problem, members, owners in jobs:
        began = time.perf_counter()
        watching = list(callbacks) if relay is None else [relay]
        results = train_in_processes(problem, members, n_jobs=n_jobs, callbacks=watching, memory_limit=memory_limit)
        share = (time.perf_counter() - began) / max(1, len(members))
        if relay is not None:
            relay.done(len(members))
        for result in results:
            fit, k = owners[result.number]
            fit.seconds += share
            if isinstance(result, Failure):
                fit.fail(result.error)
            else:
                fit.found[k] = result
    if relay is not None:
        relay.finish()
    for fit in fits:
        if fit.plan is None or fit.error is not None:
            continue
        earlier = kept.get((fit.candidate, fit.fold))
        for k, member in enumerate(fit.plan.members):
            before = _earlier(fit, earlier, k)
            went_on = member.start and before is not None
            fit.outcomes.append(_joined(before[1], fit.found[k]) if went_on and before is not None else fit.found[k])
        try:
            for outcome in fit.outcomes:
                fit.estimator._check_finite(outcome, fit.plan.held_out)
        except DataError as error:
            fit.fail(error)


def _earlier(fit: Fit, earlier: Fit | None, k: int) -> tuple[Member, Outcome] | None:
    """Return network k of an earlier fit with fewer epochs, if going on from there is the same as training anew."""
    if earlier is None or earlier.plan is None or fit.plan is None or k >= len(earlier.outcomes):
        return None
    if fit.plan.held_out or not isinstance(fit.plan.recipe.schedule, LASTING):
        return None
    return earlier.plan.members[k], earlier.outcomes[k]


def _joined(before: Outcome, after: Outcome) -> Outcome:
    """Return the outcome of a training in two parts."""
    entries = len(before.history["step"])
    history = {name: [*before.history[name], *column] for name, column in after.history.items()}
    return dataclasses.replace(after, history=history, best=entries + after.best, seconds=before.seconds + after.seconds)


def _problem(table: _Table, device: torch.device, task: Task, group: Sequence[Fit]) -> Problem:
    """Return all rows of a table as a problem for a task; the target of rows that no fit of it trains on stays 0."""
    x = table.tensor(device)
    whole: NDArray[Any] | None = None
    for fit in group:
        if fit.target is not None:
            rows, encoded = fit.target
            if whole is None:
                whole = np.zeros((table.length, *encoded.shape[1:]), dtype=encoded.dtype)
            whole[rows] = encoded
    assert whole is not None
    kind = torch.long if whole.dtype.kind == "i" else x.dtype
    return Problem(task, Rows(x, to_tensor(whole, device=device, dtype=kind, what="y"), None))


# ------------------------------------------------------------------------------------------------------------------ scores


def score_together(
    fits: Sequence[Fit],
    folds: Folds,
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
        known = {} if score_params else _known(fits, side, scorer)
        for place, fit in enumerate(fits):
            if fit.error is not None:
                continue
            began = time.perf_counter()
            if place in known:
                out[place][f"{side}_scores"], spent = known[place]
            else:
                rows = folds.splits[fit.fold][1 if side == "test" else 0]
                part = fit.part
                assert part is not None
                parameters = sk._check_method_params(folds.X, params=dict(score_params), indices=rows)
                y = part.test_y if side == "test" else part.train_y
                out[place][f"{side}_scores"] = sk._score(
                    fit.fitted(), _safe_indexing(folds.X, rows), y, scorer, parameters, error_score
                )
                spent = time.perf_counter() - began
            if side == "test":
                out[place]["score_time"] = spent
    return out


def _known(fits: Sequence[Fit], side: str, scorer: Any) -> dict[int, tuple[Any, float]]:
    """Return (score, seconds) by place of the fits whose scorer is known, from one prediction for all networks of a shape."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, fit in enumerate(fits):
        if fit.error is None and fit.plan is not None and len(fit.outcomes) == 1:
            plan, member = fit.plan, fit.plan.members[0]
            shape = Shape.of(plan.network, plan.columns, plan.task.outputs)
            key = (id(fit.part), id(fit.estimator.encoder_), shape, plan.task, member.recipe.dtype, member.recipe.loss)
            groups.setdefault(key, []).append(place)
    out: dict[int, tuple[Any, float]] = {}
    for (_, _, shape, task, dtype, loss), places in groups.items():
        began = time.perf_counter()
        first = fits[places[0]]
        part, estimator = first.part, first.estimator
        assert part is not None
        try:
            truth = part.test_y if side == "test" else part.train_y
            y = inputs.numbers(estimator, truth, truth) if task.name == "regression" else inputs.labels(estimator, truth, truth)
            judge = known_scores(scorer, task, y)
            if judge is None:
                continue
            x = _columns(part, estimator, side)
        except Exception:  # scikit-learn's way says what is the matter
            continue
        kind = torch.float32 if dtype == "float32" else torch.float64
        parameters = [fits[place].outcomes[0].parameters for place in places]
        population = Population.start(shape, parameters, device=torch.device("cpu"), dtype=kind)
        widest = max(shape.out_features, *shape.hidden, 1)
        work = float(len(x) * len(places) * shape.multiplications)
        # several threads only for what takes long: they do not take numbers too small for their type as 0
        with torch_settings(threads=1 if work < LONG_WORK else most_threads()), torch.inference_mode():
            tensor = to_tensor(x, device=torch.device("cpu"), dtype=kind)
            raw = tensor.new_empty(len(places), len(tensor), shape.out_features)
            population.write_scores(tensor, raw, max(1, SCORED_NUMBERS // (widest * len(places))))
        scores = judge(raw.numpy(), loss)
        spent = (time.perf_counter() - began) / len(places)
        out |= {place: (score, spent) for place, score in zip(places, scores, strict=True)}
    return out


def _columns(part: _Part, estimator: Any, side: str) -> NDArray[Any]:
    """Return the X of one side of a fold as the estimator's networks take it."""
    key = (side, id(estimator.encoder_))
    if key not in part.columns:
        x = inputs.read_rows(estimator, part.test_x if side == "test" else part.train_x, reset=False)
        part.columns[key] = inputs.dense(x) if estimator.encoder_ is None else estimator.encoder_.transform(x)
    return part.columns[key]
