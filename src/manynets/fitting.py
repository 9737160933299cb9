"""`train`: from a table or an array to a Model."""

from __future__ import annotations

import copy
import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from manynets.data.duplicates import report_copies
from manynets.encoding import array_scaling, embedded_columns
from manynets.engines import EngineName
from manynets.errors import OptionError
from manynets.given import declared_columns, named_splits, read_given, refuse_target, splits_of_kept_rows, targets_by_name
from manynets.model import Model
from manynets.nn.initial import given_parameters
from manynets.nn.shape import Shape
from manynets.plan import ensemble
from manynets.prepare import (
    Split,
    SplitBy,
    TrainingData,
    copies_held_out,
    counted_rows,
    network_splits,
    prepare,
    split_by,
    with_metric,
)
from manynets.progress import Show, progress_callbacks
from manynets.recorded import Recorded
from manynets.results import checkpoints_of, model_of, with_residuals, with_target_names
from manynets.spec import METRICS, MLP, LossName, MetricName, Recipe
from manynets.spec.lessons import with_advice
from manynets.spec.metadata import plain_number
from manynets.spec.own import is_own, without_function
from manynets.spec.ported import check_watch
from manynets.spec.recipe import goes_by_name
from manynets.streaming import files_to_stream, open_ensemble, open_stream, share_of, train_stream, train_stream_ensemble
from manynets.tabular import PresetName, train_tabular
from manynets.targets import ClassWeight, find_target
from manynets.tasks import Regression, Task
from manynets.tasks.find import with_positive
from manynets.tasks.losses import levels_of
from manynets.tasks.objectives import OwnLoss
from manynets.tasks.own_metric import Metric, own_metric
from manynets.train_arguments import check_callbacks, check_options, with_loss
from manynets.training.checkpoint import Checkpoint
from manynets.training.events import Callback
from manynets.training.groups import check_fits, train_members
from manynets.training.module import ready_for
from manynets.training.other_engines import train_with
from manynets.training.trial import Member
from manynets.training.validation import without_validation

if TYPE_CHECKING:
    from manynets.tables import TableEncoder
    from manynets.tables.scaling import Scaling


@with_advice
def train(
    X: Any,
    y: Any = None,
    spec: MLP | nn.Module | Model | None = None,
    recipe: Recipe | None = None,
    *,
    target: str | Sequence[str] | None = None,
    drop: Sequence[str] = (),
    drop_missing_target: bool = False,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    task: str | Task | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    groups: Any = None,
    times: Any = None,
    stratify: Any = None,
    target_transform: Literal["log", "auto"] | None = None,
    positive: Any = None,
    encoder: TableEncoder | None = None,
    scaling: Scaling | Literal[False] | None = None,
    category_means: bool = False,
    initial: Mapping[str, NDArray[Any]] | Sequence[Mapping[str, NDArray[Any]]] | None = None,
    seed: int | None = None,
    n_networks: int | None = None,
    preset: PresetName | None = None,
    loss: LossName | OwnLoss | None = None,
    metric: MetricName | Metric | Callable[..., Any] | None = None,
    time_limit: float | None = None,
    engine: EngineName = "torch",
    memory_limit: int | str | None = None,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    allow_world_size: bool = False,
) -> Model:
    """Train one network, or several that predict together, and return a Model.

    Without spec and recipe it trains the default ensemble of `manynets.tabular`, as `TabularClassifier`, `TabularRegressor` and
    `manynets train TABLE` do. Its columns are scaled, and in arrays NaN is a gap.

    X: (N, D) numbers, an array or a torch tensor; or a frame (pandas, polars, pyarrow), which is encoded; or the path of a table, as
        `mn.tables.read_table` reads it, which also takes its sheet, encoding and delimiter. y: (N,), (N, 1) or (N, O); see
        `manynets.tasks.find_task`. target: the column of X, or the columns, to predict, in place of y.
    drop, categorical, numeric: columns of a table to leave out, or to read as categories or numbers whatever they look like: what is no
        number is missing then.
        drop_missing_target: leave out the rows without a target instead of refusing them. Row numbers and masks in validation, and arrays
        such as groups and sample_weight, are those of the whole table.
    spec: the network, or a torch module of your own that maps (n, D) to raw scores (n, O) and is trained in place by autograd. Or a
        Model, which is trained further: its networks start from their weights, with its encoder, task and recipe (unless you give
        another), and a new Model is returned. recipe: how it is trained. With only one of them the other is MLP() or Recipe().
    task: "regression", "binary", "multiclass", "multilabel", a Task, or None to find it from y. The target of a regression is standardised
        by the mean and standard deviation of the rows that are trained on.
    validation: None; a fraction of the rows (of each class, for classes); row numbers or a mask; or a set (X, y) or
        (X, y, sample_weight) of your own; or "folds", for several networks: each validates on another fold of the rows, so that
        every row trains some of them.
    groups, times, stratify: columns (N,) that say how rows are split, where validation is a fraction or "folds". The rows of a group
        are all trained on or all validated on; the latest rows are validated on, by all networks; both parts get the same share of
        each value of stratify, in place of each class. Each may be the name of a column of the table X, as for `manynets train`. That of
        groups is then left out of the features, as new rows have new groups; those of times and stratify are features too.
    target_transform: "log" trains on the logarithm of a positive target, "auto" does so where its tail is heavy; predictions are in
        its own unit. See `manynets.Regression`.
    positive: of two classes the one that precision, recall, F1 and threshold are about, and the last of `classes_`. None: the last when sorted.
        scikit-learn's tools, which want sorted classes, take `mn.estimator(model)`.
    encoder: turns a frame into numbers; if left out, `manynets.tables.fit_encoder` fits one to the training rows. The model
        stores it, so that it predicts from frames too. An array given together with an encoder is taken as encoded already.
    scaling: of numeric columns, of a frame and of an array alike: "standard" (if left out: mean 0, standard deviation 1), "robust",
        "quantile", "smooth" or "none" (`manynets.tables.fit_encoder`), fitted to the training rows. The model stores it as its
        encoder, for which NaN is a missing value, and a value far beyond the range of the training rows counts as its end. False leaves
        the columns of an array as they are, without an encoder or a copy, as for a comparison with plain torch. A module of your own
        gets the array as it is, unless this is given.
    category_means: a categorical column with many levels also gets the mean of the target over the rows of a level
        (`manynets.tables.means`); the rows that are trained on get means without their own target. The default ensemble always does so.
    sample_weight: (N,), how much each row counts in the loss, or with target the name of a column. class_weight: the same by class; with "balanced" all classes count
        the same.
    initial: parameters by name to start from, such as another model's `members[0]` or the state_dict of a torch module with the same names;
        of several networks a list, such as a model's `members`.
        They are applied to the scaled columns: give scaling=False for weights that were trained on the columns as they are.
    seed: replaces recipe.seed.
    n_networks: how many networks are trained together, with the seeds recipe.seed, recipe.seed + 1, ...; the Model predicts their mean.
        None: 8 for the default ensemble, 1 for a spec or recipe of your own.
    preset, time_limit: of the default ensemble: "default", "fast" or "best", and the seconds until it is trained (`TabularClassifier`).
    loss: a name for `Recipe.loss`, which it replaces, or a function of your own, loss(scores, targets), that returns the loss of each row (N,) of a
        batch by torch. scores: (N, O), as the network gives them; targets: as the task encodes them, class codes (N,), 0 and 1 (N, O), or standardised
        numbers (N, O). Autograd trains by it; the recipe and the model file have its name only. With a loss, spec and recipe are MLP() and
        Recipe() where they are left out, not the default ensemble.
    metric: decides which weights are best and when to stop early: a name for `Recipe.watch`, which it replaces, a `Metric` of your own, or a function of
        y_true and y_pred that is called as in scikit-learn: *_score is to be large, *_error, *_loss and *_deviance small. None: the recipe's, or the loss.
    engine: the library that trains: "torch", "numpy" (gradients written out by hand, always in float64), "jax" or "keras". All
        start from the same weights, see the same batches, and return the same history and kind of Model (`manynets.engines`).
    memory_limit: bytes, or such as "2GB", that the rows of the file X (Parquet, several such files, or Arrow) may take. A table that
        needs more is streamed: see "Data larger than memory" in docs/scaling.md. All networks share the stream, those of the default ensemble
        too, and validation is a fraction of the rows, chosen by hash. sample_weight may be the name of a column. A text file
        with more bytes than the limit is converted first, to NAME.csv.parquet beside it.
    progress: "auto" shows a live display on a terminal and lines elsewhere, False nothing.
    callbacks: functions that are called with each event (`mn.Event`). One that raises StopIteration ends the training as Ctrl-C does,
        without a warning; info["stopped"] is then "callback" for each network that was not through.
    checkpoint: where and how often to write the state of training, such as Checkpoint(folder="run", every_epochs=1).
    resume: a folder of checkpoints, or one of them: training continues from the newest that is intact, bit for bit as if it had
        never stopped (on the same machine, with the same versions and thread count). All other arguments must be the same; an
        OptionError lists what differs.
    allow_world_size: resume in another number of processes too; the result is then the same up to rounding.

    In a process group of torch.distributed all ranks call this with the same arguments. They share the rows of each batch and get the
    same Model, that of one process up to rounding; rank 0 alone shows progress, calls the callbacks and writes checkpoints. If one
    fails, the others raise a RankError.

    Raises DataError for data that cannot be used and OptionError for options that do not fit. When the loss stops being finite, a
    DivergenceWarning says where, and the last finite weights are returned. Ctrl-C ends training with an InterruptedWarning and the
    best weights so far (info["stopped"]); a second one stops at once. With a checkpoint, SIGTERM writes it first.

    >>> import manynets as mn
    >>> X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 10
    >>> y = ["same", "different", "different", "same"] * 10
    >>> recipe = mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=100)
    >>> model = mn.train(X, y, mn.MLP(hidden=(8,)), recipe, seed=0, progress=False)
    >>> model.predict([[0.0, 1.0], [1.0, 1.0]]).tolist()
    ['different', 'same']
    """
    ran = {"began": time.perf_counter(), "time_limit": time_limit, "progress": progress, "callbacks": callbacks}
    check_callbacks(callbacks)
    columns: dict[str, Any] = {"groups": groups, "times": times, "stratify": stratify}
    of_table: dict[str, Any] = {"drop": drop, "categorical": categorical, "numeric": numeric}
    refuse_target(target, **of_table)
    keeping: dict[str, Any] = {"checkpoint": checkpoint, "resume": resume, "allow_world_size": allow_world_size}
    if memory_limit is not None and (model := _train_streamed(locals())) is not None:
        return model
    X, y, sample_weight, kept = read_given(X, y, target, sample_weight, drop_missing_target=drop_missing_target)
    columns, validation = splits_of_kept_rows(kept, columns, validation)
    columns, left_out = named_splits(X, columns, spec if isinstance(spec, Model) else encoder)
    y, validation, names = targets_by_name(y, validation, target, known=getattr(spec, "target_names", ()))  # of a Model
    task = task if positive is None else with_positive(y, positive, task=task)
    if isinstance(spec, Model):
        spec, recipe, task, encoder, initial, n_networks = _further(spec, recipe, X, y, task, encoder, initial, n_networks, scaling)
        scaling = False
    named = declared_columns(X, encoder, **of_table | {"drop": [*drop, *left_out]}) | {"target_names": names}
    common: dict[str, Any] = {"task": task, "encoder": encoder, "target_transform": target_transform, "declared": named}
    common |= {"sample_weight": sample_weight, "class_weight": class_weight}
    if spec is None and recipe is None and engine == "torch" and initial is None and loss is None:
        common |= {"preset": "default" if preset is None else preset, "metric": metric, **ran, **keeping}
        common |= {"seed": _default_seed(seed), "n_networks": 8 if n_networks is None else n_networks}
        return with_target_names(_train_default(X, y, scaling=scaling, validation=validation, columns=columns, **common), names)
    _refuse_ensemble_options(preset=preset, time_limit=time_limit)
    spec, recipe = MLP() if spec is None else spec, Recipe() if recipe is None else recipe
    n_networks = 1 if n_networks is None else plain_number(n_networks)
    check_options(spec, recipe, engine=engine, n_networks=n_networks, initial=initial, checkpoint=checkpoint, resume=resume)
    recipe, own = with_loss(_with_given(recipe, seed=seed, metric=metric), loss, engine=engine)
    recorded = Recorded(resume)
    if encoder is None and isinstance(spec, MLP):
        scaling = array_scaling(X, scaling, recorded)
    common |= _recorded_target(y, task, target_transform, recipe, recorded)
    by_fold = _by_fold(validation, n_networks)
    by = split_by(y, validation, **columns)
    common |= {"validation": None if by_fold else validation, "by": by, "category_means": category_means, "loss": own}
    where = recipe if engine == "torch" else dataclasses.replace(recipe, device="cpu")
    data = with_metric(prepare(X, y, where, embedding=getattr(spec, "embedding", None), scaling=scaling or None, **common), metric)
    spec, data, initial = _ready(spec, recipe, data, initial, recorded, n_networks=n_networks, by_fold=by_fold)
    splits = _splits(data, n_networks, recipe.seed, by_fold=by_fold, by=by)
    members = ensemble(spec, recipe, data, n_networks, splits=splits, initial=initial)
    listeners = [*progress_callbacks(progress), *callbacks]
    return with_target_names(_trained(engine, spec, recipe, data, members, listeners, keeping), names)


def _trained(
    engine: EngineName,
    spec: MLP | nn.Module,
    recipe: Recipe,
    data: TrainingData,
    members: Sequence[Member],
    listeners: Sequence[Callback],
    keeping: Mapping[str, Any],
) -> Model:
    """Return the model of networks that are trained by the engine. keeping: options of `checkpoints_of`."""
    if engine == "torch":
        keeper = checkpoints_of(data, **keeping)
        outcomes = train_members(data.problem, members, callbacks=listeners, keeper=keeper)
        return with_residuals(model_of(spec, recipe, data, outcomes), data, members)
    outcome, more = train_with(engine, data.problem, members[0], callbacks=listeners)
    model = with_residuals(model_of(spec, recipe, data, [outcome]), data, members)
    model.info |= {**more, "versions": model.info["versions"] | more["versions"]}
    return model


def _recorded_target(
    y: Any, task: str | Task | None, transform: Literal["log", "auto"] | None, recipe: Recipe, recorded: Recorded
) -> dict[str, Any]:
    """Return the task of all of y, as an option of `prepare`, if the checkpoints to go on from recorded that; else no option."""
    if not recorded.identities or isinstance(task, Task):
        return {}
    whole = find_target(y, task, target_transform=transform, loss=recipe.loss, quantiles=recipe.quantiles).task
    return {"task": whole, "target_transform": None} if recorded.has_task(whole) else {}


def _by_fold(validation: Any, n_networks: int) -> bool:
    """Return whether each network validates on another fold; OptionError for a single network."""
    by_fold = isinstance(validation, str) and validation == "folds"
    if by_fold and n_networks == 1:
        raise OptionError("validation='folds' is for several networks; give n_networks=8, or a fraction of the rows as validation")
    return by_fold


def _ready(
    spec: MLP | nn.Module, recipe: Recipe, data: TrainingData, initial: Any, recorded: Recorded, *, n_networks: int, by_fold: bool
) -> tuple[MLP | nn.Module, TrainingData, Any]:
    """Return the network with the columns that it embeds, the data as it takes them, without training rows of weight 0, and initial parameters.

    OptionError for what does not fit: initial parameters, what to watch, networks that no memory holds.
    """
    _check_watch(recipe, data, by_fold=by_fold)
    if not recorded.has_rows(data.rows):
        data = dataclasses.replace(data, rows=counted_rows(data.problem, data.rows))
    if isinstance(spec, nn.Module):
        return spec, dataclasses.replace(data, problem=ready_for(spec, data.problem, seed=recipe.seed)), None
    spec = embedded_columns(spec, data.encoder)
    check_fits(spec, data.in_features, data.problem.task.outputs, n_networks=n_networks)
    if initial is not None:
        initial = given_parameters(initial, Shape.of(spec, data.in_features, data.problem.task.outputs), recipe.dtype)
    return spec, data, initial


def _refuse_ensemble_options(**options: Any) -> None:
    """Raise OptionError for options of the default ensemble that were given with a network, a recipe or an engine."""
    for name, value in options.items():
        if value is not None:
            raise OptionError(f"{name} is {value!r}, but is for the default ensemble; leave it out, or spec, recipe and engine")


def _default_seed(seed: int | None) -> int:
    """Return the seed of the default ensemble, checked as that of a recipe."""
    return _with_given(Recipe(), seed=seed, metric=None).seed


def _with_given(recipe: Recipe, *, seed: int | None, metric: Any) -> Recipe:
    """Return the recipe with the seed and the metric that were given; OptionError for one with the name of a metric which was not given."""
    own = own_metric(metric)
    if own is not None:
        recipe = dataclasses.replace(recipe, watch=f"{own.name}()")
    elif metric is not None:
        check_watch(metric, METRICS, what="metric")
        recipe = dataclasses.replace(recipe, watch=metric)
    if own is None and is_own(recipe.watch):
        raise OptionError(without_function(recipe.watch, field="watch", option="metric"))
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)


def _check_watch(recipe: Recipe, data: TrainingData, *, by_fold: bool) -> None:
    """Raise OptionError for a metric that only validation rows have, where there are none."""
    validated = by_fold or data.problem.validation is not None or data.validation_rows is not None
    if goes_by_name(recipe.watch) and recipe.watch != data.problem.task.metric and not validated:
        raise OptionError(without_validation(recipe.watch, data.problem.task))


def _splits(data: TrainingData, n_networks: int, seed: int, *, by_fold: bool, by: SplitBy | None) -> list[Split]:
    """Return the rows of each network; warn of those to validate on that are identical to one that is trained on."""
    splits = [Split(data.rows, data.validation_rows)] * n_networks
    if by_fold:
        splits = network_splits(data.problem, n_networks, seed=seed, by=by)
    report_copies(*copies_held_out(data, splits))
    return splits


def _train_streamed(given: Mapping[str, Any]) -> Model | None:
    """Train on a stream of rows (`manynets.streaming`); return None for a table that fits the limit. given: the arguments of `train`."""

    def chosen(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names}

    spec, recipe, engine, validation = given["spec"], given["recipe"], given["engine"], given["validation"]
    ensemble = spec is None and recipe is None and given["initial"] is None and given["loss"] is None
    refused = chosen("y", "class_weight", "encoder", "positive", "time_limit", "times", "stratify")
    refused["engine"] = None if engine == "torch" else engine
    named = chosen(
        "target", "sample_weight", "groups", "drop", "categorical", "numeric", "drop_missing_target", "scaling", "category_means"
    )
    found = files_to_stream(given["X"], given["memory_limit"], spec, refused=refused, ensemble=ensemble, **named)
    if found is None:
        return None
    files, columns = found
    of_rows = chosen("task", "target_transform", "memory_limit")
    keeping = chosen("checkpoint", "resume", "allow_world_size")
    keeping["callbacks"] = [*progress_callbacks(given["progress"]), *given["callbacks"]]
    if ensemble:
        if (own_one := own_metric(given["metric"])) is not None:
            raise OptionError(
                f"metric is {own_one.name}, a function of your own, which takes a spec or recipe where rows are streamed; give one"
            )
        shared: dict[str, Any] = {
            "preset": given["preset"] or "default",
            "metric": given["metric"],
            "seed": _default_seed(given["seed"]),
        }
        share = None if validation is None else share_of(validation, columns)
        stream = open_ensemble(files, columns, validation=share, **shared, **of_rows)
        stream.warn_of_columns()
        n_networks = 8 if given["n_networks"] is None else given["n_networks"]
        return train_stream_ensemble(stream, n_networks=n_networks, **shared, **keeping)
    _refuse_ensemble_options(preset=given["preset"])
    spec, recipe = MLP() if spec is None else spec, Recipe() if recipe is None else recipe
    options = {"initial": given["initial"], "n_networks": given["n_networks"] or 1}
    check_options(spec, recipe, engine="torch", **chosen("checkpoint", "resume"), **options)
    recipe, own = with_loss(_with_given(recipe, seed=given["seed"], metric=given["metric"]), given["loss"])
    stream = open_stream(files, columns, recipe, spec=spec, validation=share_of(validation, columns), loss=own, **of_rows)
    stream = dataclasses.replace(stream, data=with_metric(stream.data, given["metric"]))
    _check_watch(recipe, stream.data, by_fold=False)
    stream.warn_of_columns()
    return train_stream(stream, spec, recipe, **options, **keeping)


def _train_default(
    X: Any, y: Any, *, columns: dict[str, Any], validation: Any, scaling: Scaling | Literal[False] | None, **options: Any
) -> Model:
    """Train the default ensemble (`manynets.tabular`)."""
    if scaling is not None:
        raise OptionError(f"scaling is {scaling!r}, but the default ensemble has its own; give a spec, such as mn.MLP()")
    by_fold = validation is None or (isinstance(validation, str) and validation == "folds")
    by = split_by(y, "folds" if by_fold else validation, **columns)
    return train_tabular(X, y, validation=None if by_fold else validation, by=by, **options).model


def _further(
    model: Model, recipe: Recipe | None, X: Any, y: Any, task: Any, encoder: Any, initial: Any, n_networks: int | None, scaling: Any
) -> tuple[MLP | nn.Module, Recipe, Any, Any, Any, int]:
    """Return spec, recipe, task, encoder, initial and n_networks with which a model is trained further on y."""
    if scaling:
        raise OptionError(f"scaling is {scaling!r}, but a Model is trained further with its own; leave it out")
    if task is not None or encoder is not None or initial is not None or n_networks not in (None, model.size):
        raise OptionError("a Model is trained further with its own task, encoder, weights and networks; leave out those arguments")
    model.warn_of_array(X)
    own = model.task
    if isinstance(own, Regression) and isinstance(recipe, Recipe):
        levels_of(own, recipe)  # the outputs of the model are for its quantiles
    if isinstance(own, Regression) and own.limits is not None:  # predictions may then reach as far as the new rows do
        wider = own.clamped_to(np.concatenate([np.array(own.limits).T, own.encode(y)]))
        own = dataclasses.replace(own, limits=wider.limits)
    if model.spec is None:
        assert model.module is not None
        return copy.deepcopy(model.module), recipe or model.recipe, own, model.encoder, None, 1
    start: Any = model.members if model.size > 1 else model.members[0]
    return model.spec, recipe or model.recipe, own, model.encoder, start, model.size
