"""What a fit trains: from data that were read to networks, with the very draws and rows of scikit-learn."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from manynets import rng
from manynets.data.check import is_frame
from manynets.encoding import column_options, embedded_columns, needs_encoder
from manynets.errors import DataError, warn_user
from manynets.estimators import inputs, settings
from manynets.nn.shape import Shape
from manynets.prepare import RowNumbers, SplitBy, TrainingData, encode_table, holdout, prepare
from manynets.recorded import Recorded
from manynets.rng import Shuffles
from manynets.spec import MLP, DType, PiecewiseLinear, Recipe
from manynets.tables import TableEncoder
from manynets.targets import Target, row_weights
from manynets.tasks import Task
from manynets.tasks.prior import prior_scores
from manynets.training.trial import FitState, Member

AUTO_BATCH = 200
Draws: TypeAlias = tuple[dict[str, NDArray[Any]], Shuffles, int]
"""What one network draws: its initial weights, the orders of its rows, and the seed of everything else."""


@dataclasses.dataclass(eq=False)
class FitData:
    """What a fit trains on. x: (N, D); y: as the user has it; weight: (N,) or None; train, validation: row numbers or None.

    targets: the names of several targets. groups: (N,), what stays together where rows are held out. class_weight: what the weights do not contain yet. validation_set: X
    and y of the user's own validation set. encoder: of a frame, or of an array that is scaled or gets piecewise-linear columns. The
    other fields are for fits that share rows of one matrix (a search): rows: the numbers of these rows in it; add_rows: adds encoded
    rows to it; known: what fits of the same rows have encoded and drawn before, by all that it depends on.
    """

    x: Any
    y: NDArray[Any]
    weight: NDArray[np.float64] | None
    targets: Sequence[str] = ()
    groups: Any = None
    class_weight: Any = None
    train: RowNumbers | None = None
    validation: RowNumbers | None = None
    validation_set: tuple[Any, ...] | None = None
    encoder: TableEncoder | None = None
    rows: RowNumbers | None = None
    add_rows: Callable[[NDArray[Any]], RowNumbers | None] = lambda x: None
    known: dict[Hashable, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class FitRows:
    """The rows of a fit in its problem: `count` training rows with the total weight `total`, and those to validate on.

    prepared: None where the problem is made later.
    """

    rows: RowNumbers | None
    validation_rows: RowNumbers | None
    count: int
    total: float
    prepared: TrainingData | None = None


@dataclasses.dataclass(eq=False)
class FitPlan:
    """The networks of one fit, and what turns their outcomes into a fitted estimator. prepared: as in FitRows."""

    network: MLP
    recipe: Recipe
    task: Task
    members: list[Member]
    prepared: TrainingData | None
    rows: int
    columns: int
    scale: float
    held_out: bool
    fresh: bool


RowsOf: TypeAlias = Callable[[FitData, Recipe, Task], FitRows]


def read_fit(e: Any, X: Any, y: Any, *, fresh: bool = True, incremental: bool = False) -> tuple[Any, NDArray[Any]]:
    """Return X and y checked as scikit-learn checks them; the estimator takes over columns and, if fresh, classes."""
    x = inputs.read_rows(e, X, reset=fresh)
    return x, e._read_target(y, x, first=fresh, incremental=incremental)


def own_problem(data: FitData, base: Recipe, task: Task) -> FitRows:
    """Return the data of one fit as a problem of their own."""
    validation = data.validation_set if data.validation_set is not None else data.validation
    prepared = prepare(
        data.x, data.y, base, task=task, validation=validation, sample_weight=data.weight, class_weight=data.class_weight
    )
    rows = prepared.rows if data.train is None else data.train  # rows without weight are in neither part
    prepared = dataclasses.replace(prepared, rows=rows, encoder=data.encoder)
    count = len(data.x) if rows is None else len(rows)
    total, weights = float(count), prepared.problem.rows.weight
    if weights is not None:
        total = float((weights if rows is None else weights[rows]).sum(dtype=torch.float64))
    return FitRows(rows, prepared.validation_rows, count, total, prepared)


def plan_fit(
    e: Any,
    data: FitData,
    *,
    fresh: bool = True,
    incremental: bool = False,
    X_val: Any = None,
    y_val: Any = None,
    rows_of: RowsOf = own_problem,
) -> FitPlan:
    """Return the plan of a fit to data that were read."""
    random = settings.random_of(e)
    if fresh:
        e.t_, e._no_improvement_count = 0, 0
        e.__dict__.pop("_progress", None)
        e._task_ = None
    frame = is_frame(data.x)
    if not frame:
        data.x = inputs.dense(data.x)
    first = getattr(e, "_task_", None) is None  # later fits (warm_start, partial_fit) keep it
    if first:
        e._encodes, e._task_ = frame, e._task(data.y)
    task: Task = e._task_
    encodes = needs_encoder(data.x, None, e.embedding, scaling=e.scaling)
    if encodes:
        _hold_out(e, data, task, random, X_val is not None)
        task = _standardised(e, data, task) if first else task
        data.x = _encoded(e, data, task)
    network = embedded_columns(settings.network_of(e), e.encoder_)
    # the draws of one network with a seed and without held-out rows are known: fits of the same rows make them once
    again = fresh and isinstance(e.random_state, Integral) and not e.early_stopping and e.n_networks == 1
    key = ("draws", e.random_state, e.init, e.activation, network, data.x.shape[1], data.x.dtype, task.outputs)
    if again and key in data.known:
        draws = data.known[key]
    else:
        initial = _start(e, network, data.x, task, random, fresh)
        if not encodes:
            _hold_out(e, data, task, random, X_val is not None)
        draws = initial, *_orders(e, random)
        if again:
            data.known[key] = draws
    if first and not encodes:
        task = _standardised(e, data, task)
    if X_val is not None:
        data.validation_set = _read_validation(e, X_val, y_val)
    if e.batch_norm or np.any(e.dropout) or e.input_dropout:
        _merge_copies(data, task)
    return _members(e, network, data, task, draws, random, rows_of, fresh=fresh, incremental=incremental)


def _standardised(e: Any, data: FitData, task: Task) -> Task:
    """Return the task of a first fit, one of numbers standardised by its training rows.

    A training that version 0.1 began, which standardised by all rows, goes on so.
    """
    whole, checkpoint = e._standardised(task, data.y, data.weight), settings.checkpoint_of(e)
    e._task_ = whole
    if data.train is not None and not Recorded(None if checkpoint is None else checkpoint.folder).has_task(whole):
        e._task_ = e._standardised(task, data.y[data.train], None if data.weight is None else data.weight[data.train])
    return e._task_


def _encoded(e: Any, data: FitData, task: Task) -> NDArray[Any]:
    """Return the encoded columns; the encoder is fitted to the training rows, if there is none yet."""
    if e.encoder_ is not None:
        x = encode_table(data.x, encoder=e.encoder_).matrix
    else:
        embedding = e.embedding if isinstance(e.embedding, PiecewiseLinear) else None
        key = ("encoded", None if data.train is None else data.train.tobytes(), embedding, e.scaling, e.category_means)
        if key not in data.known:
            options = column_options(data.x, embedding, scaling=e.scaling, category_means=e.category_means)
            options["target_names"] = data.targets
            data.known[key] = encode_table(data.x, data.y, rows=data.train, target=task.encode(data.y), **options)
        x, e.encoder_, _ = data.known[key]
    data.rows = data.add_rows(x)
    return x


def _hold_out(e: Any, data: FitData, task: Task, random: np.random.RandomState, validated: bool) -> None:
    """Hold out rows for early stopping, where there is no validation set."""
    if not e.early_stopping or validated or e.solver == "lbfgs":
        return
    codes = task.encode(data.y)
    if data.groups is not None:
        counted = None if data.weight is None else np.flatnonzero(data.weight > 0)
        by, seed = SplitBy.of(len(codes), groups=data.groups), int(random.randint(2**31 - 1))
        data.train, data.validation = holdout(Target(task, codes), float(e.validation_fraction), seed=seed, rows=counted, by=by)
        return
    names = e._split_names(task)
    split = inputs.split_for_stopping(
        None if is_frame(data.x) else data.x,
        codes[:, 0] if codes.ndim == 2 and codes.shape[1] == 1 else codes,
        data.weight,
        fraction=float(e.validation_fraction),
        random=random,
        stratify=names is not None and task.outputs == 1,
        names=names,
    )
    if split is not None:
        data.train, data.validation = split


def _read_validation(e: Any, X_val: Any, y_val: Any) -> tuple[Any, ...]:
    x = inputs.validation_rows(lambda rows: inputs.read_rows(e, rows, reset=False), X_val)
    y = e._read_target(y_val, x, first=False, incremental=True)
    x = x if is_frame(x) else inputs.dense(x)
    return x if e.encoder_ is None else encode_table(x, encoder=e.encoder_).matrix, y


def _merge_copies(data: FitData, task: Task) -> None:
    """Merge the copies of a training row into one row with their total weight.

    Then k copies equal weight k even where the rows of a batch interact (batch norm) or differ by chance (dropout).
    """
    train = np.arange(len(data.x)) if data.train is None else data.train
    weight = None if data.weight is None else data.weight[train]
    found = inputs.distinct_rows(data.x[train], task.encode(data.y)[train], weight)
    if found is None or len(found[0]) < 2:
        return
    first, _, total = found
    rows = train[first]
    if data.validation is not None:
        validation = data.validation
        total = np.concatenate([total, np.ones(len(validation)) if data.weight is None else data.weight[validation]])
        rows = np.concatenate([rows, validation])
        data.train, data.validation = np.arange(len(first)), np.arange(len(first), len(rows))
    else:
        data.train = None
    data.x, data.y, data.weight = data.x[rows], data.y[rows], total
    data.rows = None if data.rows is None else data.rows[rows]


# ----------------------------------------------------------------------------------------------------------------- networks


def _start(
    e: Any, network: MLP, x: NDArray[Any], task: Task, random: np.random.RandomState, fresh: bool, number: int = 0
) -> dict[str, NDArray[Any]]:
    """Return the weights that one network starts from: new ones, or those of the last fit."""
    dtype = np.float32 if x.dtype == np.float32 else np.float64
    if fresh:
        return settings.start_of(e, network, x.shape[1], task.outputs, dtype, random)
    out = dict(e.model_.members[number]) if hasattr(e, "model_") and number < e.model_.size else {}
    widths = [Shape.of(network, x.shape[1], task.outputs).inputs, *network.hidden, task.outputs]
    found = [np.shape(weight) for weight in e.coefs_]
    axis = () if e.n_networks == 1 else (e.n_networks,)
    if found != [(*axis, *pair) for pair in itertools.pairwise(widths)]:
        many = f" of {e.n_networks} networks" if axis else ""
        raise DataError(
            f"the weights of the last fit have shapes {found}, but layers of {widths} units{many} are asked for; to start anew, call fit with warm_start=False"
        )
    for layer, (weight, bias) in enumerate(zip(e.coefs_, e.intercepts_, strict=True)):
        name = "output" if layer == len(network.hidden) else f"hidden{layer}"
        own_weight, own_bias = (weight[number], bias[number]) if axis else (weight, bias)
        out[f"{name}.weight"], out[f"{name}.bias"] = np.asarray(own_weight, dtype=dtype).T, np.asarray(own_bias, dtype=dtype)
        if network.batch_norm and name != "output":
            out.setdefault(f"norm{layer}.weight", np.ones(widths[layer + 1], dtype))
            out.setdefault(f"norm{layer}.bias", np.zeros(widths[layer + 1], dtype))
    return out


def _prior(data: FitData, task: Task, loss: str | None, dtype: DType) -> NDArray[Any]:
    """Return the output biases that predict the mean of the training rows' target."""
    rows = np.arange(len(data.x)) if data.train is None else data.train
    weight = row_weights(task, task.encode(data.y), len(data.x), data.weight, data.class_weight)
    scores = prior_scores(task, task.encode(data.y)[rows], None if weight is None else weight[rows], loss=loss)
    return scores.astype(dtype)


def _orders(e: Any, random: np.random.RandomState) -> tuple[Shuffles, int]:
    """Return the random draws of a network in training: the orders of its rows, drawn as scikit-learn does, and the seed of the rest."""
    return Shuffles(random), (int(random.randint(2**31 - 1)) + e.t_) % (2**31)


def _recipe(
    e: Any, task: Task, rows: int, total: float, *, incremental: bool, base: Recipe, held_out: bool, seed: int
) -> tuple[Recipe, float]:
    """Return the recipe for `rows` training rows with the total weight `total`, and the weight of a full batch."""
    lbfgs = e.solver == "lbfgs"
    batch = rows if lbfgs else min(AUTO_BATCH, rows)
    if not lbfgs and e.batch_size != "auto":
        if e.batch_size > rows:
            warn_user("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        batch = min(int(e.batch_size), rows)
    if e.batch_norm and rows < 2:
        raise DataError("batch_norm needs at least 2 training rows, but there is 1 sample")
    per_row = batch * total / rows  # what scikit-learn divides the penalty of a full batch by
    halves = base.loss == "half_squared_error"
    changes: dict[str, Any] = {"batch_size": batch, "l2": float(e.alpha) / per_row, "l1": float(e.l1) / per_row}
    if not lbfgs:
        changes |= {
            "optimizer": settings.optimizer_of(e),
            "schedule": settings.schedule_of(e, rows=rows, seen=e.t_, incremental=incremental),
            "stopping": settings.stopping_of(e, outputs=task.outputs if halves and not e.early_stopping else 1),
            "epochs": 1 if incremental else int(e.max_iter),
            "clip_norm": None if e.clip_norm is None else float(e.clip_norm),
        }
    recipe = dataclasses.replace(
        base,
        **changes,
        seed=seed,
        shuffle=bool(e.shuffle) and not lbfgs,
        # accuracy that is weighted by class soon reaches its maximum, the loss does not
        watch="objective" if not held_out else ("metric" if getattr(e, "class_weight", None) is None else "loss"),
        keep="best" if held_out else "last",
    )
    return recipe, per_row


def _members(
    e: Any,
    network: MLP,
    data: FitData,
    task: Task,
    draws: Draws,
    random: np.random.RandomState,
    rows_of: RowsOf,
    *,
    fresh: bool,
    incremental: bool,
) -> FitPlan:
    """Return the networks to train; the first of an ensemble, which has the given draws, is the one that is trained alone."""
    dtype: DType = "float32" if data.x.dtype == np.float32 else "float64"
    base = Recipe(device=e.device, dtype=dtype, **e._recipe_fields())
    data.encoder, (data.weight, data.class_weight) = e.encoder_, e._class_weights(data)
    found = rows_of(data, base, task)
    held_out = bool(e.early_stopping) and (data.validation_set is not None or data.validation is not None)
    initial, shuffles, seed = draws
    recipe, per_row = _recipe(e, task, found.count, found.total, incremental=incremental, base=base, held_out=held_out, seed=seed)
    before = getattr(e, "_progress", [])
    members = []
    for number in range(int(e.n_networks)):
        own = recipe
        if number:
            initial = _start(e, network, data.x, task, random, fresh, number)
            shuffles, seed = _orders(e, random)
            own = dataclasses.replace(recipe, seed=seed)
        rows = found.rows
        if network.prior and fresh:
            initial = {**initial, "output.bias": _prior(data, task, base.loss, dtype)}
        if e.bootstrap:
            chosen = rng.generator(seed, "bootstrap").integers(found.count, size=found.count)
            rows = chosen if rows is None else rows[chosen]
        progress = before[number] if number < len(before) else FitState()
        if not incremental:  # warm_start keeps the patience, not the optimizer
            progress = FitState(best=progress.best, bad=progress.bad)
        members.append(
            Member(
                number, network, own, initial, rows, found.validation_rows, progress, resumable=True,
                penalty_rows=per_row, shuffles=shuffles,
            )
        )  # fmt: skip
    scale = 1.0 / task.outputs if base.loss == "half_squared_error" else 1.0  # scikit-learn's loss is a mean over outputs
    return FitPlan(
        network, members[0].recipe, task, members, found.prepared, rows=found.count, columns=data.x.shape[1], scale=scale,
        held_out=held_out, fresh=fresh,
    )  # fmt: skip
