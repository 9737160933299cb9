"""`train`: from arrays to a Model. Checks and encodes the data, splits it, and hands members to the loop."""

from __future__ import annotations

import dataclasses
import numbers
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from manynets import core
from manynets.data.batches import Rows
from manynets.data.check import as_matrix, as_row_numbers, as_weights, is_frame, to_tensor
from manynets.data.split import even_folds, split_rows
from manynets.engines import ENGINES, EngineName
from manynets.errors import DataError, DivergenceWarning, OptionError, one_of
from manynets.model import Model
from manynets.nn.initial import initial_parameters
from manynets.nn.population import Shape
from manynets.spec import MLP, Recipe
from manynets.tasks import Regression, Task, find_task
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.events import Callback
from manynets.training.groups import train_members
from manynets.training.other_engines import train_with
from manynets.training.progress import Show, progress_callbacks
from manynets.training.torch_settings import find_device
from manynets.training.trial import Member, Outcome, Problem

if TYPE_CHECKING:
    from manynets.tables import TableEncoder

__all__ = ["Prepared", "mean_curve", "prepare", "row_weights", "system_of", "train", "versions"]


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A problem on its device, and the rows that its networks train and validate on (None: all, or a set apart).

    encoder: what made the columns of a frame into those of the problem; None for arrays.
    """

    problem: Problem
    in_features: int
    rows: NDArray[np.int64] | None
    validation_rows: NDArray[np.int64] | None
    encoder: TableEncoder | None = None


def train(
    X: Any,
    y: Any,
    spec: MLP | nn.Module | None = None,
    recipe: Recipe | None = None,
    *,
    task: str | Task | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
    encoder: TableEncoder | None = None,
    initial: Mapping[str, NDArray[Any]] | None = None,
    seed: int | None = None,
    n_networks: int = 1,
    engine: EngineName = "torch",
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> Model:
    """Train one network, or several that predict together, and return a Model.

    X: (N, D) numbers, an array or a torch tensor; or a frame (pandas, polars, pyarrow), which is encoded. y: (N,), (N, 1) or (N, O); see `manynets.tasks.find_task`.
    spec: the network, MLP() if left out, or a torch module of your own that maps (n, D) to raw scores (n, O) and is trained
        in place by autograd. recipe: how it is trained, Recipe() if left out.
    task: "regression", "binary", "multiclass", "multilabel", a Task, or None to find it from y.
    validation: None; a fraction of the rows (of each class, for classes); row numbers or a mask; or a set (X, y) or
        (X, y, sample_weight) of your own; or "folds", for several networks: each keeps another fold of the rows apart, so that
        none is lost to all.
    encoder: how a frame becomes numbers; left out, `manynets.tables.fit_encoder` learns it from the training rows. The model
        keeps it, so it predicts from frames too. An array given together with an encoder is taken as encoded already.
    sample_weight: (N,), how much each row counts in the loss. class_weight: the same by class; "balanced" makes classes count
        alike.
    initial: parameters by name to start from, such as another model's `members[0]`.
    seed: takes the place of recipe.seed.
    n_networks: so many are trained together, with the seeds recipe.seed, recipe.seed + 1, ...; the Model predicts their mean.
    engine: the library that trains it: "torch", or "numpy" (gradients by hand, always in float64), "jax" or "keras". From the
        same initial weights and the same batches all give the same history, and the same kind of Model (`manynets.engines`).
    progress: "auto" shows a live display on a terminal and lines elsewhere, False nothing.
    callbacks: functions that are called with each event (`mn.Event`).
    checkpoint: where and how often to write the state of training, such as Checkpoint(folder="run", every_epochs=1).
    resume: a folder of checkpoints, or one of them: training goes on from the newest that is whole, bit for bit as if it had
        never stopped (same machine, versions and thread count). All else must be as it was: other data, spec or recipe are an
        OptionError that lists the differences.

    Raises DataError for data that cannot be used and OptionError for options that do not fit; warns with DivergenceWarning
    when the loss stopped being finite, and returns the last finite weights. Ctrl-C ends training with an InterruptedWarning and
    the best weights so far (info["stopped"]); a second one stops at once. With a checkpoint, SIGTERM has it written first.
    """
    spec = MLP() if spec is None else spec
    recipe = Recipe() if recipe is None else recipe
    if not isinstance(spec, MLP | nn.Module):
        raise OptionError(f"spec is {spec!r}, but must be an MLP, such as MLP(hidden=(64, 64)), or a torch module")
    if not isinstance(recipe, Recipe):
        raise OptionError(f"recipe is {recipe!r}, but must be a Recipe, such as Recipe(epochs=20)")
    if seed is not None:
        recipe = dataclasses.replace(recipe, seed=seed)
    if isinstance(spec, nn.Module) and recipe.gradient in ("closed_form", "compiled"):
        raise OptionError(f"gradient={recipe.gradient!r} is for an MLP; a module of your own is trained with 'auto' or 'autograd'")
    one_of(engine, ENGINES, what="engine")
    if engine != "torch" and (checkpoint is not None or resume is not None):
        raise OptionError(
            f"checkpoints hold the state of torch's training, which the engine {engine!r} does not have; use engine='torch', or leave "
            "out checkpoint and resume"
        )
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise OptionError(f"checkpoint is {checkpoint!r}, but must be a Checkpoint, such as Checkpoint(folder='run')")
    if type(n_networks) is not int or n_networks < 1:
        raise OptionError(f"n_networks is {n_networks!r}, but must be a whole number of at least 1")
    if n_networks > 1 and (isinstance(spec, nn.Module) or initial is not None or engine != "torch"):
        what = "a module of your own" if isinstance(spec, nn.Module) else "initial" if initial is not None else f"engine={engine!r}"
        raise OptionError(f"n_networks is {n_networks}, but with {what} one network is trained; leave out n_networks")
    folds = isinstance(validation, str) and validation == "folds"
    if folds and n_networks == 1:
        raise OptionError("validation='folds' is for several networks; give n_networks=8, or a fraction of the rows as validation")
    prepared = prepare(
        X,
        y,
        recipe if engine == "torch" else dataclasses.replace(recipe, device="cpu"),
        task=task,
        validation=None if folds else validation,
        sample_weight=sample_weight,
        class_weight=class_weight,
        encoder=encoder,
    )
    problem = prepared.problem
    if isinstance(spec, nn.Module):
        if initial is not None:
            raise OptionError("initial is for an MLP; load the weights into your module before you give it to train")
    elif initial is not None:
        _check_initial(initial, Shape.of(spec, prepared.in_features, problem.task.outputs))
    own = _folds(problem, n_networks, recipe.seed) if folds else [(prepared.rows, prepared.validation_rows)] * n_networks
    members = []
    for k, (rows, validation_rows) in enumerate(own):
        each = dataclasses.replace(recipe, seed=recipe.seed + k)
        start = initial or {}
        if isinstance(spec, MLP) and initial is None:
            start = initial_parameters(spec, prepared.in_features, problem.task.outputs, seed=each.seed)
        members.append(Member(k, spec, each, start, rows, validation_rows))
    watching = [*progress_callbacks(progress), *callbacks]
    if engine == "torch":
        keeper = None
        if checkpoint is not None or resume is not None:
            keeper = Checkpoints(problem, members, checkpoint=checkpoint, resume=resume, system=system_of(prepared))
        return model_of(spec, recipe, prepared, train_members(problem, members, callbacks=watching, keeper=keeper))
    outcome, more = train_with(engine, problem, members[0], callbacks=watching)
    model = model_of(spec, recipe, prepared, [outcome])
    model.info |= {**more, "versions": model.info["versions"] | more["versions"]}
    return model


def _folds(problem: Problem, n_networks: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows that each network trains and validates on, of its own fold."""
    rows, task = problem.rows, problem.task
    strata = task.strata(rows.target.cpu().numpy())
    own = even_folds(len(rows), n_networks, strata=strata, seed=seed)
    if rows.weight is not None:
        weight = rows.weight.cpu().numpy()
        for k, parts in enumerate(own):
            if not all(weight[part].any() for part in parts):
                raise DataError(
                    f"sample_weight is zero for all rows of fold {k} of {n_networks}, or for all others; leave out rows without "
                    "weight, or give a fraction of the rows as validation"
                )
    return own


def model_of(spec: MLP | nn.Module, recipe: Recipe, prepared: Prepared, outcomes: Sequence[Outcome]) -> Model:
    """Return the Model of trained networks of one specification; warn of those whose loss was not finite."""
    for outcome in outcomes:
        at = outcome.divergence
        if at is not None:
            kept = "the initial weights" if outcome.best < 0 else f"the weights of epoch {outcome.history['epoch'][outcome.best]:g}"
            names = None if prepared.encoder is None else prepared.encoder.feature_names
            text = f"{at.where(names)}; training stopped and {kept} were kept; {at.remedy(names)}"
            warnings.warn(text, DivergenceWarning, stacklevel=3)
    first = outcomes[0]
    info = {
        "engine": "torch",
        "stopped": [outcome.stopped for outcome in outcomes],
        "seconds": max(outcome.seconds for outcome in outcomes),
        "best": first.best if len(outcomes) == 1 else [outcome.best for outcome in outcomes],
        "stepper": first.stepper,
        **system_of(prepared),
        "threads": first.threads,
    }
    module = None if isinstance(spec, MLP) else spec
    return Model(
        spec=spec if isinstance(spec, MLP) else None,
        task=prepared.problem.task,
        recipe=recipe,
        in_features=prepared.in_features,
        members=[outcome.parameters for outcome in outcomes],
        history=_mean_history([outcome.history for outcome in outcomes]),
        info=info,
        module=module,
        encoder=prepared.encoder,
    )


def _mean_history(histories: Sequence[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """Return the history of networks that predict together: when, of the one that was trained longest, and the means.

    One that was stopped before its first step has no columns.
    """
    histories = [history for history in histories if history] or [{}]
    longest = max(histories, key=lambda history: len(history.get("loss", ())))
    when = ("epoch", "step", "seconds", "lr")
    return {name: longest[name] if name in when else mean_curve([history[name] for history in histories]) for name in longest}


def mean_curve(curves: Sequence[list[float]]) -> list[float]:
    """Return the mean of curves, of which those that have ended keep their last value and those without any count for nothing.

    >>> mean_curve([[4.0, 2.0], [2.0, 1.0, 0.0], []])
    [3.0, 1.5, 1.0]
    """
    curves = [curve for curve in curves if curve] or [[]]
    if len(curves) == 1:
        return curves[0]
    longest = max(map(len, curves))
    return np.mean([curve + curve[-1:] * (longest - len(curve)) for curve in curves], axis=0).tolist()


def _check_initial(initial: Mapping[str, Any], shape: Shape) -> None:
    if not isinstance(initial, Mapping):
        raise OptionError(f"initial is a {type(initial).__name__}, but must be parameters by name, such as model.members[0]")
    for name in shape.parameters():
        if name not in initial:
            raise OptionError(f"initial has no {name!r}; it needs {', '.join(shape.parameters())}")
    for name, wanted in (shape.parameters() | shape.buffers()).items():
        value = np.asarray(initial.get(name, np.zeros(wanted)))
        if value.shape != wanted or not np.isfinite(value).all():
            raise OptionError(f"initial {name!r} has shape {value.shape}, but must be finite numbers of shape {wanted}")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from manynets import __version__

    return {
        "manynets": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }


def system_of(prepared: Prepared) -> dict[str, Any]:
    """Return what decides about the bits of a result besides data, spec and recipe: versions, core, threads and device."""
    device = str(prepared.problem.rows.x.device)
    return {"versions": versions(), "core": core.description(), "threads": torch.get_num_threads(), "device": device}


def prepare(
    X: Any,
    y: Any,
    recipe: Recipe,
    *,
    task: str | Task | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
    encoder: TableEncoder | None = None,
) -> Prepared:
    """Check data and options and move them to the device; see `train` for the arguments."""
    frame = X if is_frame(X) else None
    if frame is None:
        X = as_matrix(X, columns=None if encoder is None else encoder.width)
    total = len(X)
    found = len(y) if hasattr(y, "__len__") else np.asarray(y).size
    if found != total:
        raise DataError(f"X has {total} rows and y has {found}; they must have the same number")
    if not isinstance(task, Task):
        task = find_task(y, name=task)
        if isinstance(task, Regression) and recipe.loss == "poisson":
            task = Regression.of(y, standardise=False)
    target = task.encode(y)
    if recipe.loss == "poisson" and (target < 0).any():
        raise DataError(f"y holds {target.min():g}, but loss='poisson' is for counts and rates, which are not negative")
    weight = row_weights(task, target, total, sample_weight, class_weight)
    device = find_device(recipe.device)
    dtype = torch.float64 if recipe.dtype == "float64" else torch.float32

    def rows_of(matrix: Any, target: NDArray[Any], weight: NDArray[np.float64] | None) -> Rows:
        x = to_tensor(matrix, device=device, dtype=dtype)
        kind = torch.long if target.dtype.kind == "i" else dtype
        encoded = to_tensor(target, device=device, dtype=kind, what="y")
        return Rows(x, encoded, None if weight is None else to_tensor(weight, device=device, dtype=dtype, what="sample_weight"))

    rows = validation_rows = None
    several = isinstance(validation, tuple | list) and len(validation) in (2, 3)
    own = validation if several and not isinstance(validation[0], numbers.Real) else None
    if isinstance(validation, numbers.Real) and not isinstance(validation, bool):
        names = getattr(task, "classes", None)
        fraction = validation if isinstance(validation, int) else float(validation)
        rows, validation_rows = split_rows(total, fraction, strata=task.strata(target), seed=recipe.seed, names=names)
    elif own is None and validation is not None:
        validation_rows = as_row_numbers(validation, total, what="validation")
        rows = np.setdiff1d(np.arange(total), validation_rows)
        if len(rows) == 0:
            raise DataError(f"validation lists all {total} rows, so none is left to train on")
    for part, what in ((rows, "training"), (validation_rows, "validation")):
        if weight is not None and part is not None and not weight[part].any():
            raise DataError(f"sample_weight is zero for all {len(part)} {what} rows; at least one must count")
    if frame is not None:
        if encoder is None:
            from manynets.tables import fit_encoder

            encoder = fit_encoder(frame, rows=rows)
        X = as_matrix(encoder.transform(frame))
    apart: Rows | None = None
    if own is not None:
        own_matrix = encoder.transform(own[0]) if encoder is not None and is_frame(own[0]) else own[0]
        own_matrix = as_matrix(own_matrix, columns=X.shape[1])
        own_target = task.encode(own[1])
        if len(own_target) != own_matrix.shape[0]:
            raise DataError(
                f"the validation set has {own_matrix.shape[0]} rows of X and {len(own_target)} of y; they must be equally many"
            )
        own_weight = as_weights(own[2], len(own_target), what="validation weights") if len(own) == 3 else None
        apart = rows_of(own_matrix, own_target, own_weight)
    return Prepared(Problem(task, rows_of(X, target, weight), apart), X.shape[1], rows, validation_rows, encoder)


def row_weights(
    task: Task, target: NDArray[Any], rows: int, sample_weight: Any, class_weight: str | Mapping[Any, float] | None
) -> NDArray[np.float64] | None:
    """Return the weights (N,) of rows and of their classes, multiplied; None where all count alike."""
    weight = as_weights(sample_weight, rows)
    if class_weight is None:
        return weight
    codes = task.strata(target)
    if codes is None:
        raise OptionError(
            f"class_weight is {class_weight!r}, but the task {task.name!r} has no single class per row; use sample_weight"
        )
    classes: tuple[Any, ...] = task.classes  # type: ignore[attr-defined]
    if class_weight == "balanced":
        counts = np.bincount(codes, weights=weight, minlength=len(classes))
        by_class = counts.sum() / (len(classes) * np.where(counts > 0, counts, 1))
    elif isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in classes]
        if unknown:
            raise OptionError(f"class_weight names {unknown[0]!r}, but the classes are {', '.join(map(repr, classes))}")
        strange = [value for value in class_weight.values() if not isinstance(value, numbers.Real)]
        if strange:
            raise OptionError(f"class_weight is {dict(class_weight)!r}, but {strange[0]!r} is no number")
        by_class = np.array([float(class_weight.get(label, 1.0)) for label in classes])
        if not np.isfinite(by_class).all() or (by_class < 0).any():
            raise OptionError(f"class_weight is {dict(class_weight)!r}, but weights must be finite and not negative")
    else:
        raise OptionError(f"class_weight is {class_weight!r}, but must be 'balanced' or a dict from class to weight")
    return as_weights(by_class[codes] * (1.0 if weight is None else weight), rows)
