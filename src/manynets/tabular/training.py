"""Train the default for tables; see `manynets.tabular`."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.check import as_numpy, is_frame
from manynets.errors import DataError, OptionError, one_of
from manynets.model import Model
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.prepare import (
    ClassWeight,
    Split,
    SplitBy,
    TrainingData,
    copies_held_out,
    encode_table,
    find_target,
    network_splits,
    prepare,
    report_copies,
    validation_split,
)
from manynets.results import model_of, system_of
from manynets.spec import MLP, Recipe
from manynets.tables import TableEncoder
from manynets.tabular.calibration import fit_temperature
from manynets.tabular.changes import Changes, check_changes
from manynets.tabular.recipe import (
    PRESETS,
    PresetName,
    encoder_options,
    initial_weights,
    prior_scores,
    tabular_network,
    tabular_recipe,
)
from manynets.tasks import Regression, Task
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.events import Callback
from manynets.training.groups import train_members
from manynets.training.progress import Show, progress_callbacks
from manynets.training.trial import Member, Outcome

__all__ = ["TabularFit", "train_ensemble", "train_tabular"]

Array = NDArray[Any]

FEWEST_ROWS = 2  # of each fold
TEMPERATURE_OF_MEAN, TEMPERATURES = 0.9, (0.2, 5.0)
PREDICTED_ROWS = 8192
TIMED_STEPS, FEWEST_STEPS = 24, 24


@dataclasses.dataclass(frozen=True, eq=False)
class TabularFit:
    """A trained ensemble.

    out_of_fold: the scores (N, O) of the training rows, each by the networks that did not train on it; None with a validation set.
    temperature: what the networks' scores were divided by; 1 for numbers.
    """

    model: Model
    out_of_fold: Array | None
    temperature: float


def train_tabular(
    X: Any,
    y: Any,
    *,
    task: str | Task | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    encoder: TableEncoder | None = None,
    seed: int = 0,
    device: str = "auto",
    by: SplitBy | None = None,
    **options: Any,
) -> TabularFit:
    """Train the default ensemble on a table or an array (N, D), in which NaN is a gap, and y.

    validation: None, by which each network validates on another fold; or what `manynets.train` takes, for all networks.
    encoder: one that is fitted already. by: how the rows are split. options: of `train_ensemble`. For the other arguments see `manynets.train`.
    """
    began, base = time.perf_counter(), Recipe(seed=seed, device=device)
    target = find_target(y, task)
    if isinstance(validation, tuple) and len(validation) in (2, 3):
        own, rows = validation, None
    else:
        own, rows = None, validation_split(target, validation, seed=seed, by=by).train
    if not is_frame(X):
        X = as_numpy(X)
    if len(X) != len(target):
        raise DataError(f"X has {len(X)} rows and y has {len(target)}; they must have the same number")
    fitting = {} if encoder is not None else encoder_options(len(target) if rows is None else len(rows), X.shape[1])
    matrix, encoder = encode_table(X, y, rows=rows, encoder=encoder, target=target.encoded, **fitting)
    if own is not None:
        validation = (encoder.transform(own[0]), *own[1:])
    data = prepare(
        matrix, y, base, task=target.task, validation=validation, sample_weight=sample_weight, class_weight=class_weight, by=by
    )
    data = dataclasses.replace(data, encoder=encoder)
    return train_ensemble(data, by=by, seed=seed, device=device, began=began, **options)


def train_ensemble(
    data: TrainingData,
    *,
    n_networks: int = 8,
    hidden: tuple[int, ...] | None = None,
    preset: PresetName = "default",
    time_limit: float | None = None,
    changes: Changes | None = None,
    calibrate: bool = True,
    by: SplitBy | None = None,
    seed: int = 0,
    device: str = "auto",
    began: float | None = None,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    warn_of_copies: bool = True,
) -> TabularFit:
    """Train the default ensemble on data whose encoder was fitted with `encoder_options`.

    hidden: units of each hidden layer, None for those of the recipe. preset: "default", or "fast" with about a quarter of its steps.
    time_limit: seconds, of which a few steps are timed to find out how many fit. began: when they started to count, now if left out.
    changes: options of the network and the recipe that differ from the default (`manynets.tabular.changes`).
    calibrate: whether classes get a temperature. by: how the folds are split. warn_of_copies: whether to count rows that are validated on
    although an identical one is trained on. For the other arguments see `manynets.train`.
    """
    began = time.perf_counter() if began is None else began
    one_of(preset, PRESETS, what="preset")
    if isinstance(n_networks, bool) or not isinstance(n_networks, int | np.integer) or n_networks < 1:
        raise OptionError(f"n_networks is {n_networks!r}, but must be a whole number of at least 1")
    if time_limit is not None and not time_limit > 0:
        raise OptionError(f"time_limit is {time_limit!r}, but must be a number of seconds above 0, or None")
    rows = len(data.problem.rows if data.rows is None else data.rows)
    changes = dict(changes or {}) if hidden is None else {**(changes or {}), "hidden": hidden}
    check_changes(changes)
    spec = tabular_network(data.problem.task, rows, changes=changes)
    splits = _splits(data, int(n_networks), seed, by)
    if warn_of_copies:
        report_copies(*copies_held_out(data, splits))
    members = _members(spec, data, splits, preset, Recipe(seed=seed, device=device), changes)
    if time_limit is not None:
        members = _within(data, members, began + time_limit)
    keeper = None
    if checkpoint is not None or resume is not None:
        keeper = Checkpoints(data.problem, members, checkpoint=checkpoint, resume=resume, system=system_of(data))
    listeners = [*progress_callbacks(progress), *callbacks]
    outcomes = train_members(data.problem, members, callbacks=listeners, keeper=keeper)
    return _finish(spec, data, members, outcomes, calibrate=calibrate)


def _splits(data: TrainingData, n_networks: int, seed: int, by: SplitBy | None) -> list[Split]:
    """Return the rows of each network: those of another fold to validate on, unless there are other rows for it, or too few."""
    rows = len(data.problem.rows)
    folds = min(n_networks, rows // FEWEST_ROWS)
    if by is not None and by.groups is not None:
        folds = min(folds, len(np.unique(by.groups)))
    if data.problem.validation is not None or data.validation_rows is not None or folds < 2:
        return [Split(data.rows, data.validation_rows)] * n_networks
    splits = network_splits(data.problem, folds, seed=seed, by=by, by_value=True)
    return [splits[k % len(splits)] for k in range(n_networks)]


def _members(
    spec: MLP, data: TrainingData, splits: Sequence[Split], preset: PresetName, base: Recipe, changes: Changes
) -> list[Member]:
    """Return the networks, each with its start, its recipe and its rows."""
    rows, task = data.problem.rows, data.problem.task
    variances = rows.x.double().var(0, unbiased=False).cpu().numpy()
    target = rows.target.cpu().numpy()
    weight = None if rows.weight is None else rows.weight.double().cpu().numpy()
    prior = prior_scores(task, target, weight)
    assert data.encoder is not None
    columns = {"piecewise": data.encoder.piecewise, "hashed": data.encoder.hashed}
    fewest = min(len(rows) if split.train is None else len(split.train) for split in splits)
    recipe = tabular_recipe(spec, task, variances, fewest, PRESETS[preset], base, changes=changes)
    members = []
    for k, split in enumerate(splits):
        own = dataclasses.replace(recipe, seed=recipe.seed + k)
        start = initial_weights(spec, task.outputs, variances, prior, own.seed, **columns)
        members.append(Member(k, spec, own, start, split.train, split.held_out))
    return members


def _within(data: TrainingData, members: Sequence[Member], end: float) -> list[Member]:
    """Return the networks with as many steps as fit until `end`, of those that they were to make.

    Some steps are made with one evaluation, and again with one after each: so both are timed.
    """

    def seconds(every: int) -> float:
        start = time.perf_counter()
        train_members(data.problem, _with_length(members, TIMED_STEPS, every))
        return time.perf_counter() - start

    seconds(TIMED_STEPS)  # what comes with the first call is not timed
    few, many = seconds(TIMED_STEPS), seconds(1)
    evaluation = max(0.0, (many - few) / (TIMED_STEPS - 1))
    step = max(1e-9, (few - evaluation) / TIMED_STEPS)
    recipe = members[0].recipe
    assert recipe.iterations is not None
    assert recipe.evaluate_every is not None
    evaluations = -(-recipe.iterations // recipe.evaluate_every)
    left = end - time.perf_counter() - evaluations * evaluation
    steps = int(min(max(left / step, FEWEST_STEPS), recipe.iterations))
    return _with_length(members, steps, -(-steps // evaluations))


def _with_length(members: Sequence[Member], steps: int, every: int) -> list[Member]:
    return [
        dataclasses.replace(member, recipe=dataclasses.replace(member.recipe, iterations=steps, evaluate_every=every))
        for member in members
    ]


# ------------------------------------------------------------------------------------------------------- after the training


def _finish(
    spec: MLP, data: TrainingData, members: Sequence[Member], outcomes: Sequence[Outcome], *, calibrate: bool
) -> TabularFit:
    """Return the model, its output layers divided by the temperature; regression stays within the range of the target."""
    problem, recipe = data.problem, members[0].recipe
    task, target = problem.task, problem.rows.target.cpu().numpy()
    scores = None if problem.validation is not None else _out_of_fold(spec, data, members, outcomes)
    temperature = 1.0
    if isinstance(task, Regression):
        data = dataclasses.replace(data, problem=dataclasses.replace(problem, task=task.clamped_to(target)))
    elif calibrate and scores is not None:
        seen = np.isfinite(scores).all(axis=1)
        weight = None if problem.rows.weight is None else problem.rows.weight.cpu().numpy()[seen]
        found = fit_temperature(scores[seen], target[seen], task, weight)
        scores = scores / found
        temperature = float(np.clip(found * (TEMPERATURE_OF_MEAN if len(outcomes) > 1 else 1.0), *TEMPERATURES))
        outcomes = [dataclasses.replace(outcome, parameters=_cooled(outcome.parameters, temperature)) for outcome in outcomes]
    model = model_of(spec, recipe, data, outcomes)
    model.info["temperature"] = temperature
    return TabularFit(model, scores, temperature)


def _cooled(parameters: Mapping[str, Array], temperature: float) -> dict[str, Array]:
    """Return the parameters with all scores divided by a temperature."""
    return {
        name: (value / temperature).astype(value.dtype) if name.startswith("output.") else value
        for name, value in parameters.items()
    }


def _out_of_fold(spec: MLP, data: TrainingData, members: Sequence[Member], outcomes: Sequence[Outcome]) -> Array | None:
    """Return the mean scores (N, O) of each row by the networks that validated on it, NaN for rows that none did; None without any."""
    if all(member.validation_rows is None for member in members):
        return None
    x, shape = data.problem.rows.x, Shape.of(spec, data.in_features, data.problem.task.outputs)
    sums, counts = np.zeros((len(x), shape.out_features)), np.zeros((len(x), 1))
    for member, outcome in zip(members, outcomes, strict=True):
        held_out = member.validation_rows
        assert held_out is not None
        population = Population.start(shape, [outcome.parameters], device=x.device, dtype=x.dtype)
        for start in range(0, len(held_out), PREDICTED_ROWS):
            rows = held_out[start : start + PREDICTED_ROWS]
            sums[rows] += population.scores(x[torch.from_numpy(rows).to(x.device)])[0].double().cpu().numpy()
            counts[rows] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
