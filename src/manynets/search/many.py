"""`train_many`: networks that may differ in anything, trained together on shared rows, folds or bootstraps."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_matrix, as_weights, is_frame
from manynets.data.split import split_rows
from manynets.errors import DataError, InterruptedWarning, ManynetsError, OptionError
from manynets.fitting import Prepared, prepare, system_of, versions
from manynets.model import Model
from manynets.nn.initial import initial_parameters
from manynets.nn.population import Population, Shape
from manynets.search.folds import Fold, folds_of
from manynets.spec import MLP, Recipe
from manynets.tasks import Task, find_task
from manynets.tasks.objectives import objective_for
from manynets.training.checkpoint import Checkpoint, Parts
from manynets.training.events import Callback
from manynets.training.groups import Failure, Relay, train_what_can
from manynets.training.progress import Show, progress_callbacks
from manynets.training.signals import Halt, listening
from manynets.training.torch_settings import find_device
from manynets.training.trial import Divergence, Member, Outcome, Problem
from manynets.training.validation import Validation

if TYPE_CHECKING:
    from manynets.tables import TableEncoder

__all__ = ["Candidate", "Result", "figures_on", "train_candidates", "train_many"]

Candidate: TypeAlias = tuple[MLP, Recipe]
Rows: TypeAlias = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What became of one candidate on one fold.

    stopped: "done", "early", "diverged", "interrupted", or "failed" with the `error`. history: columns, an entry for each
    evaluation; best: place in it of the entry whose weights these are. loss, score: on the fold's test rows (NaN without), `score`
    being the task's `metric`. seconds: until its training ended, that of the networks trained together with it included.
    """

    candidate: int
    fold: int
    spec: MLP
    recipe: Recipe
    task: Task
    stopped: str
    in_features: int = 0
    parameters: dict[str, NDArray[Any]] | None = None
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best: int = -1
    divergence: Divergence | None = None
    error: Exception | None = None
    loss: float = math.nan
    score: float = math.nan
    seconds: float = 0.0
    encoder: TableEncoder | None = None

    @property
    def metric(self) -> str:
        """The name of `score`."""
        return self.task.metric

    @functools.cached_property
    def model(self) -> Model | None:
        """The trained network, None where training failed. One that diverged has its last finite weights."""
        if self.parameters is None:
            return None
        info = {
            "engine": "torch",
            "versions": versions(),
            "stopped": [self.stopped],
            "seconds": self.seconds,
            "best": self.best,
            "device": str(find_device(self.recipe.device)),
        }
        return Model(
            spec=self.spec,
            task=self.task,
            recipe=self.recipe,
            in_features=self.in_features,
            members=[self.parameters],
            history=self.history,
            info=info,
            encoder=self.encoder,
        )


@dataclasses.dataclass(eq=False)
class _Job:
    """Members on one problem, and the place of each in the results."""

    prepared: Prepared
    members: list[Member]
    places: list[tuple[int, int]]


def train_many(
    X: Any,
    y: Any,
    candidates: Sequence[Candidate],
    *,
    cv: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    task: str | Task | None = None,
    validation: Any = None,
    encoder: TableEncoder | None = None,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> list[Result]:
    """Train every candidate on every fold, as many at once as can share their steps; return results, candidates x folds.

    X, y, task, encoder: as for `manynets.train`. candidates: pairs (MLP, Recipe), which may differ in anything. Networks of one
    shape, kind of optimizer, batch size and number of steps share each step; all else is a vector over them.
    cv: None (all rows train, none test); a number (rows are dealt at random, classes evenly); a splitter such as
        scikit-learn's, which gets `groups`; or pairs (training rows, test rows) of row numbers, repeated ones allowed, or masks.
    sample_weight: (N,), how much each row counts, or (C, N) for each candidate its own.
    validation: None; a fraction of each fold's training rows, split by the recipe's seed; or a set (X, y) or (X, y, sample_weight).
    memory_limit: bytes; what would take more is trained in parts, one after the other.
    checkpoint: where and how often to write the state of the part that is being trained, in a folder of its own that is removed
        once the part is through. resume: a folder of such parts, to go on from as if nothing had happened.

    Each result equals `train(X[rows], y[rows], spec, recipe, task=task, ...)` of its own, where the task is that of the whole y
    (with all its classes; the unit in which a regression target is learnt is the standard deviation of the whole y).
    Rows are gathered by index and never copied by fold. A frame is encoded by what the training rows of each fold show, so each
    fold (and each split for validation) of a frame is a problem of its own; give an `encoder` to share one.

    A candidate that does not fit the data, or the memory, has its error in its results, and one whose loss was not finite its
    divergence; the others are complete. Ctrl-C ends what is not through as "interrupted", with an InterruptedWarning; with a
    checkpoint, SIGTERM has it written first and then takes its course.
    Raises DataError and OptionError for what no candidate could be trained with.

    >>> import manynets as mn
    >>> X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    >>> tries = [(mn.MLP(hidden=(8,)), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=2)) for lr in (0.01, 0.1)]
    >>> [(r.candidate, r.fold, r.stopped) for r in mn.train_many(X, y, tries, cv=2, progress=False)]
    [(0, 0, 'done'), (0, 1, 'done'), (1, 0, 'done'), (1, 1, 'done')]
    """
    return train_candidates(
        X,
        y,
        candidates,
        cv=cv,
        groups=groups,
        sample_weight=sample_weight,
        task=task,
        validation=validation,
        encoder=encoder,
        progress=progress,
        callbacks=callbacks,
        memory_limit=memory_limit,
        checkpoint=checkpoint,
        resume=resume,
    )


def train_candidates(
    X: Any,
    y: Any,
    candidates: Sequence[Candidate],
    *,
    cv: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    task: str | Task | None = None,
    validation: Any = None,
    encoder: TableEncoder | None = None,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
    at_most: int | None = None,
    told: Callable[[Sequence[Result]], None] | None = None,
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    known: Mapping[tuple[int, int], Result] | None = None,
) -> list[Result]:
    """Train as `train_many`, part by part, for a caller that writes down each part.

    at_most: networks in a part. told: called with results as soon as they are there, a part at a time; only then is the part's
        folder of checkpoints removed.
    known: results by (candidate, fold) that an earlier call told; they are returned as they are. The parts are those of a call
        without them, so with all else as it was the other results have the same bits (same machine, versions, thread count
        and memory_limit).
    """
    pairs = _checked(candidates)
    frame = X if is_frame(X) and encoder is None else None
    if frame is None and not is_frame(X):
        X = as_matrix(X, columns=None if encoder is None else encoder.width)
    total = len(X)
    given = task
    whole = task if isinstance(task, Task) else find_task(y, name=task)
    target = whole.encode(y)
    if len(target) != total:
        raise DataError(f"X has {total} rows and y has {len(target)}; they must have the same number")
    split = folds_of(cv, X, y, groups, total=total, strata=whole.strata(target))
    common, each = _weights(sample_weight, total, len(pairs))
    if isinstance(validation, np.ndarray | list | bool):
        raise OptionError(
            f"validation is {validation!r}, but must be None, a fraction of each fold's training rows, or a set (X, y)"
        )

    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise OptionError(f"checkpoint is {checkpoint!r}, but must be a Checkpoint, such as Checkpoint(folder='many')")
    kept = Parts(checkpoint, resume) if checkpoint is not None or resume is not None else None
    earlier = dict(known or {})
    results: dict[tuple[int, int], Result] = {}
    jobs: dict[tuple[Any, ...], _Job | ManynetsError] = {}
    parts = _Parts(split, total, validation, whole, target)
    for c, (spec, recipe) in enumerate(pairs):
        for f in range(len(split)):
            rows, validation_rows = parts.of(f, recipe.seed)
            part = (f, id(rows)) if frame is not None else ()
            key = (str(recipe.device), recipe.dtype, recipe.loss == "poisson", *part)
            if key not in jobs:
                jobs[key] = _job(
                    X,
                    y,
                    recipe,
                    task=given if recipe.loss == "poisson" and not isinstance(given, Task) else whole,
                    validation=validation if isinstance(validation, tuple) else None,
                    sample_weight=common,
                    encoder=_encoder(frame, rows) if frame is not None else encoder,
                )
            job = jobs[key]
            if isinstance(job, ManynetsError):
                results[c, f] = Result(candidate=c, fold=f, spec=spec, recipe=recipe, task=whole, stopped="failed", error=job)
                continue
            initial = initial_parameters(spec, job.prepared.in_features, job.prepared.problem.task.outputs, seed=recipe.seed)
            number = c * len(split) + f
            weight = None if each is None else each[c]
            job.members.append(Member(number, spec, recipe, initial, rows, validation_rows, weight=weight))
            job.places.append((c, f))
    ready = [job for job in jobs.values() if isinstance(job, _Job)]
    if not ready:
        raise next(job for job in jobs.values() if isinstance(job, ManynetsError))
    results = {place: result for place, result in results.items() if place not in earlier}
    if told is not None and results:
        told(list(results.values()))
    results |= earlier

    watching = [*progress_callbacks(progress), *callbacks]
    relay = Relay(whole.metric, sum(len(job.members) for job in ready), watching) if len(ready) > 1 else None
    halt = Halt()
    for job in ready:
        by_number = {member.number: place for member, place in zip(job.members, job.places, strict=True)}

        def done(outcomes: Sequence[Outcome | Failure], job: _Job = job, by_number: dict[int, tuple[int, int]] = by_number) -> None:
            found = _results(job, outcomes, by_number, pairs, split)
            results.update({(result.candidate, result.fold): result for result in found})
            if told is not None:
                told(found)

        with listening(halt, (signal.SIGINT,) if checkpoint is None else (signal.SIGINT, signal.SIGTERM)):
            train_what_can(
                job.prepared.problem,
                job.members,
                callbacks=watching if relay is None else [relay],
                memory_limit=memory_limit,
                at_most=at_most,
                told=done,
                halt=halt,
                parts=kept,
                system=system_of(job.prepared),
                known=[number for number, place in by_number.items() if place in earlier],
            )
        if relay is not None:
            relay.done(len(job.members))
    if relay is not None:
        relay.finish()
    if halt.signal == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)
    if halt.asked:
        left = sum(result.stopped == "interrupted" for result in results.values())
        warnings.warn(f"training was interrupted; {left} of {len(results)} networks did not end", InterruptedWarning, stacklevel=3)
    return [results[c, f] for c in range(len(pairs)) for f in range(len(split))]


def _checked(candidates: Sequence[Candidate]) -> list[Candidate]:
    pairs = list(candidates)
    for number, pair in enumerate(pairs):
        good = isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], MLP) and isinstance(pair[1], Recipe)
        if not good:
            raise OptionError(f"candidate {number} is {pair!r}, but must be a pair (MLP, Recipe)")
    if not pairs:
        raise OptionError("candidates is empty; give at least one pair (MLP, Recipe)")
    return pairs


def _weights(sample_weight: Any, rows: int, candidates: int) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return weights (N,) for all, or (C, N) for each candidate."""
    if sample_weight is None or np.ndim(sample_weight) < 2:
        return as_weights(sample_weight, rows), None
    table = np.asarray(sample_weight, dtype=np.float64)
    if table.shape != (candidates, rows):
        raise DataError(
            f"sample_weight has shape {table.shape}, but must be ({rows},), or ({candidates}, {rows}): a line for each candidate"
        )
    for c, line in enumerate(table):
        as_weights(line, rows, what=f"sample_weight of candidate {c}")
    return None, table


class _Parts:
    """Training and validation rows by fold and seed; the same arrays for all networks that have the same rows."""

    def __init__(self, split: Sequence[Fold], total: int, validation: Any, task: Task, target: NDArray[Any]) -> None:
        self.split, self.total, self.task, self.target = split, total, task, target
        self.fraction = None if validation is None or isinstance(validation, tuple) else float(validation)
        self.found: dict[tuple[int, int], tuple[Rows | None, Rows | None]] = {}

    def of(self, fold: int, seed: int) -> tuple[Rows | None, Rows | None]:
        """Return rows to train and to validate on (None: all, none), of all rows."""
        train = self.split[fold][0]
        if self.fraction is None:
            return train, None
        if (fold, seed) not in self.found:
            target = self.target if train is None else self.target[train]
            names = getattr(self.task, "classes", None)
            rows, held = split_rows(len(target), self.fraction, strata=self.task.strata(target), seed=seed, names=names)
            self.found[fold, seed] = (rows, held) if train is None else (train[rows], train[held])
        return self.found[fold, seed]


def _encoder(frame: Any, rows: Rows | None) -> TableEncoder:
    """Return an encoder that was fitted on these rows of a frame."""
    from manynets.tables import fit_encoder

    return fit_encoder(frame, rows=rows)


def _job(
    X: Any,
    y: Any,
    recipe: Recipe,
    *,
    task: str | Task | None,
    validation: Any,
    sample_weight: NDArray[np.float64] | None,
    encoder: TableEncoder | None,
) -> _Job | ManynetsError:
    """Return the data on the recipe's device, or why that cannot be."""
    try:
        prepared = prepare(X, y, recipe, task=task, validation=validation, sample_weight=sample_weight, encoder=encoder)
    except ManynetsError as error:
        return error
    return _Job(prepared, [], [])


def _results(
    job: _Job,
    outcomes: Sequence[Outcome | Failure],
    by_number: dict[int, tuple[int, int]],
    pairs: Sequence[Candidate],
    split: Sequence[Fold],
) -> list[Result]:
    trained = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    weight_of = {member.number: member.weight for member in job.members}
    places = [by_number[outcome.number] for outcome in trained]
    figures = figures_on(
        job.prepared.problem,
        [(*pairs[c], split[f][1]) for c, f in places],
        [outcome.parameters for outcome in trained],
        [weight_of[outcome.number] for outcome in trained],
    )
    out = []
    measured = dict(zip((outcome.number for outcome in trained), figures, strict=True))
    task, width, encoder = job.prepared.problem.task, job.prepared.in_features, job.prepared.encoder
    for outcome in outcomes:
        c, f = by_number[outcome.number]
        spec, recipe = pairs[c]
        if isinstance(outcome, Failure):
            out.append(Result(candidate=c, fold=f, spec=spec, recipe=recipe, task=task, stopped="failed", error=outcome.error))
            continue
        loss, score = measured[outcome.number]
        out.append(
            Result(
                candidate=c,
                fold=f,
                spec=spec,
                recipe=recipe,
                task=task,
                stopped=outcome.stopped,
                in_features=width,
                parameters=outcome.parameters,
                history=outcome.history,
                best=outcome.best,
                divergence=outcome.divergence,
                loss=loss,
                score=score,
                seconds=outcome.seconds,
                encoder=encoder,
            )
        )
    return out


def figures_on(
    problem: Problem,
    networks: Sequence[tuple[MLP, Recipe, Rows | None]],
    parameters: Sequence[dict[str, NDArray[Any]]],
    weights: Sequence[NDArray[np.float64] | None],
) -> list[tuple[float, float]]:
    """Return loss and metric of each network on its own test rows (NaN where it has none), networks of a shape at once."""
    import torch

    out = [(math.nan, math.nan)] * len(networks)
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, (spec, recipe, rows) in enumerate(networks):
        if rows is not None:
            shape = Shape.of(spec, problem.rows.x.shape[1], problem.task.outputs)
            alike.setdefault((shape, recipe.loss, recipe.quantile, recipe.delta), []).append(place)
    for (shape, *_), places in alike.items():
        x = problem.rows.x
        population = Population.start(shape, [parameters[place] for place in places], device=x.device, dtype=x.dtype)
        widest = max(shape.in_features, shape.out_features, *shape.hidden, 1)
        objective = objective_for(problem.task, networks[places[0]][1])
        validation = Validation(
            problem.rows, [networks[place][2] for place in places], objective, widest=widest, weights=[weights[p] for p in places]
        )
        with torch.inference_mode():
            loss, score = validation.judge(population.scores)
        for place, one, other in zip(places, loss.tolist(), score.tolist(), strict=True):
            out[place] = (one, other)
    return out
