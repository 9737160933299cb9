"""Train the default for tables; see `manynets.tabular`."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np

from manynets.data.check import as_numpy, is_frame, rows_with_weight
from manynets.data.duplicates import report_copies
from manynets.data.tensors import column_variances
from manynets.distributed import current_ranks
from manynets.encoding import validation_matrix
from manynets.errors import OptionError, check_count, one_of, warn_user
from manynets.given import check_lengths, own_validation
from manynets.prepare import (
    Split,
    SplitBy,
    TrainingData,
    copies_held_out,
    counted_rows,
    encode_table,
    network_splits,
    prepare,
    validation_split,
    with_metric,
)
from manynets.progress import Show, progress_callbacks
from manynets.results import checkpoints_of
from manynets.spec import MLP, Recipe
from manynets.tables import TableEncoder
from manynets.tabular.changes import Changes, check_changes
from manynets.tabular.finish import TabularFit, finish
from manynets.tabular.linear import better_linear_models, linear_models, linear_networks
from manynets.tabular.recipe import (
    PRESETS,
    Preset,
    PresetName,
    Setting,
    encoder_options,
    initial_weights,
    tabular_network,
    tabular_recipe,
    varied,
)
from manynets.tabular.timing import FEWEST_STEPS, spread_rows, within
from manynets.targets import ClassWeight, find_target, row_weights, standardised_by
from manynets.tasks import Task, with_quantiles
from manynets.tasks.own_metric import own_metric
from manynets.tasks.prior import prior_scores
from manynets.training.checkpoint import Checkpoint
from manynets.training.deadline import Deadline
from manynets.training.events import Callback
from manynets.training.groups import check_fits, train_members
from manynets.training.trial import Member

FEWEST_ROWS = 2  # of each fold
LATE_ROWS = 10_000  # that the variances of the columns are found on once more than half of a time limit is over
LINEAR = 0.5  # share of the time left that linear models take at most


def train_tabular(
    X: Any,
    y: Any,
    *,
    task: str | Task | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    encoder: TableEncoder | None = None,
    declared: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    device: str = "auto",
    by: SplitBy | None = None,
    target_transform: Literal["log", "auto"] | None = None,
    began: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    **options: Any,
) -> TabularFit:
    """Train the default ensemble on a table or an array (N, D), in which NaN is a gap, and y.

    validation: None, by which each network validates on another fold; or what `manynets.train` takes, for all networks.
    encoder: one that is fitted already. declared: drop, categorical and numeric. by: how the rows are split. began: see `train_ensemble`.
    options: of `train_ensemble`. For the other arguments see `manynets.train`.
    """
    began, base = clock() if began is None else began, Recipe(seed=seed, device=device)
    check_time_limit(options.get("time_limit"))
    target = find_target(y, task, target_transform=target_transform)
    own = own_validation(validation)
    if not is_frame(X):
        X = as_numpy(X)
    check_lengths(X, len(target))
    weight = row_weights(target.task, target.encoded, len(target), sample_weight, class_weight)
    rows = None if own is not None else validation_split(target, validation, seed=seed, by=by, weight=weight).train
    rows = rows_with_weight(rows, weight)
    fitting = {} if encoder is not None else encoder_options(len(target) if rows is None else len(rows), X.shape[1])
    if not isinstance(task, Task):
        target = standardised_by(target, y, rows)
    matrix, encoder, hashes = encode_table(X, y, rows=rows, encoder=encoder, target=target.encoded, **fitting, **(declared or {}))
    if own is not None:
        validation = (validation_matrix(own[0], encoder, columns=encoder.width, of_frame=is_frame(X)), *own[1:])
    data = prepare(
        matrix, y, base, task=target.task, validation=validation, sample_weight=sample_weight, class_weight=class_weight, by=by
    )
    data = dataclasses.replace(data, encoder=encoder, hashes=hashes)
    return train_ensemble(data, by=by, seed=seed, device=device, began=began, clock=clock, **options)


def train_ensemble(
    data: TrainingData,
    *,
    n_networks: int = 8,
    hidden: tuple[int, ...] | None = None,
    preset: PresetName = "default",
    metric: Any = None,
    time_limit: float | None = None,
    changes: Changes | None = None,
    calibrate: bool = True,
    by: SplitBy | None = None,
    seed: int = 0,
    device: str = "auto",
    began: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    allow_world_size: bool = False,
    warn_of_copies: bool = True,
) -> TabularFit:
    """Train the default ensemble on data whose encoder was fitted with `encoder_options`.

    hidden: units of each hidden layer, None for those of the recipe. preset: "default"; "fast" with about a quarter of its steps; or "best",
        in which so many networks are trained in each of several settings.
    metric: what the best weights and settings go by, one of `Task.metrics` or the user's own; with "f1", the threshold of two classes, too. None: the loss.
    time_limit: seconds after `began` (now, if left out), by `clock`: fewer steps are made where they would take longer, and with less care
        (`manynets.tabular.timing`). Where it is over before the first step, a warning says so, and as little as possible is done.
    changes: options of the network and the recipe that differ from the default (`manynets.tabular.changes`).
    calibrate: whether scores are calibrated out of fold (`manynets.tabular.calibration`). by: how the folds are split. warn_of_copies: whether
        to count rows that are validated on although an identical one is trained on. For the other arguments see `manynets.train`.
    """
    began = clock() if began is None else began
    one_of(preset, PRESETS, what="preset")
    data, own = with_metric(data, metric), own_metric(metric)
    if metric is not None and own is None:
        one_of(metric, data.problem.task.metrics, what=f"metric of the task {data.problem.task.name!r}")
    check_count(n_networks, what="n_networks")
    check_time_limit(time_limit)
    limit = Deadline(math.inf if time_limit is None else began + time_limit, clock=clock)
    data = dataclasses.replace(data, rows=counted_rows(data.problem, data.rows))
    rows = len(data.problem.rows if data.rows is None else data.rows)
    changes = dict(changes or {}) if hidden is None else {**(changes or {}), "hidden": hidden}
    check_changes(changes)
    if "quantile" in changes:
        levels = Recipe(loss="quantile", quantile=changes["quantile"]).quantiles
        data = dataclasses.replace(data, problem=dataclasses.replace(data.problem, task=with_quantiles(data.problem.task, levels)))
    spec = tabular_network(data.problem.task, rows, changes=changes)
    check_fits(spec, data.in_features, data.problem.task.outputs, n_networks=int(n_networks))
    base = Recipe(seed=seed, device=device, watch="loss" if metric is None else metric if own is None else f"{own.name}()")
    splits = _splits(data, int(n_networks), seed, by)
    settings = _settings(data, PRESETS[preset], splits[0])
    if warn_of_copies and limit.left > 0:
        report_copies(*copies_held_out(data, splits))
    late = limit.left < clock() - began
    members = _members(
        spec, data, PRESETS[preset].steps, settings, base, int(n_networks), by, changes, most=LATE_ROWS if late else None
    )
    enough = limit.share(math.inf if late else LINEAR)  # a linear model takes less time than the fewest steps
    models = [] if changes else linear_models(data, members[: int(n_networks)], late=enough)
    problem, trained, deadline = data.problem, members, limit
    if time_limit is not None:
        fewest = 1 if models else FEWEST_STEPS
        problem, trained, deadline = within(data.problem, members, limit, fewest=fewest)
        usual = [member for member in members if settings[member.team].piecewise]
        if trained[0].recipe != members[0].recipe and len(usual) < len(members):
            members = usual
            problem, trained, deadline = within(data.problem, members, limit, fewest=fewest)
        if limit.left < 0:
            _warn_of_limit(time_limit, clock() - began, trained[0].recipe, members[0].recipe, linear=bool(models))
    keeper = checkpoints_of(data, checkpoint=checkpoint, resume=resume, allow_world_size=allow_world_size)
    listeners = [*progress_callbacks(progress), *callbacks]
    outcomes = train_members(problem, trained, callbacks=listeners, keeper=keeper, deadline=deadline)
    whole = trained[0].recipe == members[0].recipe and limit.left > 0
    members = [dataclasses.replace(member, recipe=own.recipe) for member, own in zip(members, trained, strict=True)]
    if not changes and not models and whole:
        models = better_linear_models(data, members[: int(n_networks)], outcomes, late=limit.share(LINEAR))
    linear = linear_networks(models, outcomes)
    members, outcomes = [*members, *members[: len(linear)]], [*outcomes, *linear]
    fit = finish(
        data, members, outcomes,
        n_networks=int(n_networks), calibrate=calibrate, metric=own or metric, linear=len(linear), limit=limit,
        if_better={number for number, setting in enumerate(settings) if not setting.piecewise},
    )  # fmt: skip
    fit.model.info |= {"preset": preset, "n_networks": int(n_networks)}  # in each setting, of which the model may have several
    if changes:
        fit.model.info["changes"] = changes
    return fit


def check_time_limit(time_limit: object) -> None:
    """Raise OptionError unless this is None, or a number of seconds by which one process trains."""
    if time_limit is not None and current_ranks().size > 1:
        raise OptionError(f"time_limit is {time_limit!r}, but {current_ranks().size} processes train together; leave it out")
    if time_limit is not None and not (isinstance(time_limit, Real) and float(time_limit) > 0):
        raise OptionError(f"time_limit is {time_limit!r}, but must be a number of seconds above 0, or None")


def _warn_of_limit(time_limit: float, seconds: float, made: Recipe, meant: Recipe, *, linear: bool) -> None:
    """Warn that the time limit was over before the training began."""
    what = f"the networks make {made.iterations} of {meant.iterations} steps" + (", beside linear models" if linear else "")
    warn_user(
        f"time_limit is {time_limit:g} s, but reading and encoding the table, and timing a step, took {seconds:.2g} s: {what}; give more time,"
        " fewer columns or fewer rows",
        UserWarning,
    )


def _splits(data: TrainingData, n_networks: int, seed: int, by: SplitBy | None) -> list[Split]:
    """Return the rows of each network: those of another fold to validate on, unless there are other rows for it, or too few."""
    rows = len(data.problem.rows if data.rows is None else data.rows)
    folds = min(n_networks, rows // FEWEST_ROWS)
    if by is not None and by.groups is not None:
        folds = min(folds, len(np.unique(by.groups if data.rows is None else by.groups[data.rows])))
    if data.problem.validation is not None or data.validation_rows is not None or folds < 2:
        return [Split(data.rows, data.validation_rows)] * n_networks
    splits = network_splits(data.problem, folds, seed=seed, by=by, by_value=True)
    return [splits[k % len(splits)] for k in range(n_networks)]


def _settings(data: TrainingData, preset: Preset, split: Split) -> tuple[Setting, ...]:
    """Return the settings in which networks are trained. split: that of the first network."""
    rows = data.problem.rows
    total = len(rows) if rows.weight is None else int(rows.weight.count_nonzero())
    assert data.encoder is not None
    validated = data.problem.validation is not None or split.held_out is not None
    return preset.settings_for(data.encoder, total, validated=validated)


def _members(
    spec: MLP,
    data: TrainingData,
    steps: int,
    settings: Sequence[Setting],
    base: Recipe,
    n_networks: int,
    by: SplitBy | None,
    changes: Changes,
    *,
    most: int | None = None,
) -> list[Member]:
    """Return the networks, n_networks in each setting, each with its start, its recipe and its rows.

    most: rows that the variances of the columns are found on, None for all.
    """
    rows, task = data.problem.rows, data.problem.task
    trained = slice(None) if data.rows is None else data.rows
    varied_on = data.rows if most is None else spread_rows(np.arange(len(rows)) if data.rows is None else data.rows, most)
    variances = column_variances(rows.x, varied_on)
    weight = None if rows.weight is None else rows.weight.double().cpu().numpy()[trained]
    prior = prior_scores(task, rows.target.cpu().numpy()[trained], weight)
    assert data.encoder is not None
    columns = {"piecewise": data.encoder.piecewise, "hashed": data.encoder.hashed}
    members: list[Member] = []
    splits = [_splits(data, n_networks, base.seed + number, by) for number in range(len(settings))]
    # the fewest rows of all, as networks race with those of the same steps only, and groups make folds of different sizes
    fewest = min(len(rows) if split.train is None else len(split.train) for several in splits for split in several)
    for number, setting in enumerate(settings):
        used = variances if setting.piecewise else np.where(data.encoder.piecewise, 0.0, variances)
        recipe = tabular_recipe(spec, task, used, fewest, base, steps=steps, changes=changes)
        own, recipe = varied(spec, recipe, setting)
        for split in splits[number]:
            mine = dataclasses.replace(recipe, seed=base.seed + len(members))
            start = initial_weights(spec, task.outputs, variances, prior, mine.seed, setting=setting, **columns)
            members.append(Member(len(members), own, mine, start, split.train, split.held_out, team=number))
    return members
