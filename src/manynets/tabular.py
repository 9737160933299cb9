"""The default for tables: an ensemble of small networks, each validated on another fold.

Inputs. Numbers are scaled by median and interquartile range and drawn in to (-3, 3) (`manynets.tables.scaling`); beside each stand its
piecewise-linear columns (`manynets.tables.piecewise`). Categories are one-hot.

Networks. A learned factor per column (`MLP.input_scale`), then 128-128 units, or 256-256 for more than two classes, SiLU, and dropout of
0.1 sqrt(8,000 / rows), from 0.1 to 0.25. With v_j the variance of column j, H the units of a layer:

    first layer   W ~ N(0, 1 / sum of the plain columns' v_j), 0 for piecewise-linear columns
    hidden layer  W ~ N(0, 2 / H)           output layer  W ~ N(0, 0.01 / H)
    biases        0; of the output layer the score that predicts the training rows' mean, or the shares of the classes

Steps. AdamW (betas 0.9 and 0.95, weight decay 0.02, none of biases) on batches of 64 rows, 1,500 steps, with a warm-up over a twentieth of
them and a cosine to 0. The learning rate L, 0.04 for numbers and 0.08 for classes, is divided by sqrt(H) for weights (of the first layer by
sqrt(max(sum of v_j, 4))), multiplied by 6 for the column factors and by 0.1 for biases. Labels of classes are smoothed by 0.1.

Choice. The networks are evaluated 24 times; all return to the weights of the evaluation at which the mean validation loss was lowest. After
5 evaluations without a better one they go back there and cool down early (`EarlyStopping.cool_down`). Classes get one temperature, which
minimises the log loss of the out-of-fold scores (Guo et al. 2017): the output layers are divided by 0.9 of it, as the mean of several
networks is less sure than the one network that it was found for. Numbers are clamped to the range seen in training.

Sources: Holzmueller et al. 2024 (RealMLP), Gorishniy et al. 2022 and 2025 (piecewise-linear embeddings, TabM).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from manynets import rng
from manynets.errors import OptionError, one_of
from manynets.model import Model
from manynets.nn.population import Population, Shape
from manynets.prepare import ClassWeight, Split, TrainingData, encode_table, find_target, network_splits, prepare, validation_split
from manynets.results import model_of, system_of
from manynets.spec import MLP, AdamW, Cosine, EarlyStopping, ParameterGroup, Recipe
from manynets.tables import TableEncoder
from manynets.tables.piecewise import ranges_for
from manynets.tasks import Multiclass, Regression, Task
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.events import Callback
from manynets.training.groups import train_members
from manynets.training.progress import Show, progress_callbacks
from manynets.training.trial import Member, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PRESETS", "Preset", "TabularFit", "train_tabular"]

Array = NDArray[Any]
PresetName = Literal["fast", "default"]

HIDDEN, HIDDEN_OF_CLASSES = (128, 128), (256, 256)  # the latter for more than two
DROPOUT, MOST_DROPOUT, DROPOUT_ROWS = 0.1, 0.25, 8000
TEMPERATURE_OF_MEAN, TEMPERATURES = 0.9, (0.2, 5.0)
EVALUATIONS, PATIENCE, BATCH = 24, 5, 64
RATE_OF_NUMBERS, RATE_OF_CLASSES = 0.04, 0.08
FEWEST_ROWS = 2
PREDICTED_ROWS = 8192


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How long the networks train. steps: of each of them."""

    steps: int


PRESETS: dict[PresetName, Preset] = {"fast": Preset(steps=400), "default": Preset(steps=1500)}


@dataclasses.dataclass(frozen=True, eq=False)
class TabularFit:
    """A trained ensemble.

    out_of_fold: the scores (N, O) of the training rows, each by the networks that did not train on it; None with a validation set.
    temperature: what the scores were divided by; 1 for numbers.
    """

    model: Model
    out_of_fold: Array | None
    temperature: float


def train_tabular(
    X: Any,
    y: Any,
    *,
    task: str | Task | None = None,
    n_networks: int = 8,
    hidden: tuple[int, ...] | None = None,
    preset: PresetName = "default",
    calibrate: bool = True,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    encoder: TableEncoder | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> TabularFit:
    """Train the default ensemble on a table or an array (N, D) and y; the module's docstring says how.

    hidden: units of each hidden layer, None for those of the recipe. calibrate: whether classes get a temperature. encoder: one that is fitted already.
    validation: None, by which each network validates on another fold; or what `manynets.train` takes, for all networks.
    For the other arguments see `manynets.train`.
    """
    one_of(preset, PRESETS, what="preset")
    if isinstance(n_networks, bool) or not isinstance(n_networks, int | np.integer) or n_networks < 1:
        raise OptionError(f"n_networks is {n_networks!r}, but must be a whole number of at least 1")
    base = Recipe(seed=seed, device=device)
    data = _data(X, y, base, task, validation, sample_weight, class_weight, encoder)
    spec = _spec(data, hidden)
    splits = _splits(data, int(n_networks), seed)
    members = _members(spec, data, splits, PRESETS[preset], base)
    keeper = None
    if checkpoint is not None or resume is not None:
        keeper = Checkpoints(data.problem, members, checkpoint=checkpoint, resume=resume, system=system_of(data))
    listeners = [*progress_callbacks(progress), *callbacks]
    outcomes = train_members(data.problem, members, callbacks=listeners, keeper=keeper)
    return _finish(spec, data, members, outcomes, calibrate=calibrate)


def _data(
    X: Any,
    y: Any,
    base: Recipe,
    task: str | Task | None,
    validation: Any,
    sample_weight: Any,
    class_weight: ClassWeight,
    encoder: TableEncoder | None,
) -> TrainingData:
    """Return the data of all networks; the encoder is fitted to the rows that are not set apart for validation."""
    target = find_target(y, task)
    if isinstance(validation, tuple) and len(validation) in (2, 3):
        own, rows = validation, None
    else:
        own, rows = None, validation_split(target, validation, seed=base.seed).train
    options = {} if encoder is not None else encoder_options(len(target) if rows is None else len(rows))
    matrix, encoder = encode_table(X, rows=rows, encoder=encoder, **options)
    if own is not None:
        validation = (encoder.transform(own[0]), *own[1:])
    data = prepare(matrix, y, base, task=target.task, validation=validation, sample_weight=sample_weight, class_weight=class_weight)
    return dataclasses.replace(data, encoder=encoder)


def encoder_options(rows: int) -> dict[str, Any]:
    """Return the options of `fit_encoder` for so many training rows."""
    return {"scaling": "smooth", "max_levels": 50, "min_count": 1 if rows < 200 else 3, "ranges": ranges_for(rows)}


def _splits(data: TrainingData, n_networks: int, seed: int) -> list[Split]:
    """Return the rows of each network: those of another fold to validate on, unless there are other rows for it, or too few."""
    rows = len(data.problem.rows)
    if data.problem.validation is not None or data.validation_rows is not None or min(n_networks, rows // FEWEST_ROWS) < 2:
        return [Split(data.rows, data.validation_rows)] * n_networks
    folds = network_splits(data.problem, min(n_networks, rows // FEWEST_ROWS), seed=seed, by_value=True)
    return [folds[k % len(folds)] for k in range(n_networks)]


# -------------------------------------------------------------------------------------------------------------- the recipe


def _spec(data: TrainingData, hidden: tuple[int, ...] | None) -> MLP:
    """Return the specification of the networks."""
    if hidden is None:
        hidden = HIDDEN_OF_CLASSES if isinstance(data.problem.task, Multiclass) else HIDDEN
    rows = len(data.problem.rows if data.rows is None else data.rows)
    dropout = min(max(DROPOUT * math.sqrt(DROPOUT_ROWS / rows), DROPOUT), MOST_DROPOUT)
    return MLP(hidden=hidden, activation="silu", dropout=dropout if hidden else 0.0, input_scale=True)


def _members(spec: MLP, data: TrainingData, splits: Sequence[Split], preset: Preset, base: Recipe) -> list[Member]:
    """Return the networks, each with its start, its recipe and its rows."""
    rows, task = data.problem.rows, data.problem.task
    variances = rows.x.double().var(0, unbiased=False).cpu().numpy()
    target = rows.target.cpu().numpy()
    weight = None if rows.weight is None else rows.weight.double().cpu().numpy()
    prior = prior_scores(task, target, weight)
    assert data.encoder is not None
    plain = ~data.encoder.piecewise
    fewest = min(len(rows) if split.train is None else len(split.train) for split in splits)
    recipe = _recipe(spec, task, variances, fewest, preset, base)
    members = []
    for k, split in enumerate(splits):
        own = dataclasses.replace(recipe, seed=recipe.seed + k)
        start = _initial(spec, task.outputs, variances, plain, prior, own.seed)
        members.append(Member(k, spec, own, start, split.train, split.held_out))
    return members


def _recipe(spec: MLP, task: Task, variances: Array, rows: int, preset: Preset, base: Recipe) -> Recipe:
    """Return how each network is trained on so many rows. variances: of the input columns (D,)."""
    numbers = isinstance(task, Regression)
    names = [*(f"hidden{i}" for i in range(len(spec.hidden))), "output"]
    sizes = [max(float(variances.sum()), 4.0), *spec.hidden]
    groups = [
        ParameterGroup(names="input_scale.weight", lr_factor=6.0),
        ParameterGroup(names="*.bias", lr_factor=0.1, decay_factor=0.0),
        *(ParameterGroup(names=f"{name}.weight", lr_factor=1 / math.sqrt(size)) for name, size in zip(names, sizes, strict=True)),
    ]
    return dataclasses.replace(
        base,
        optimizer=AdamW(lr=RATE_OF_NUMBERS if numbers else RATE_OF_CLASSES, betas=(0.9, 0.95), weight_decay=0.02),
        schedule=Cosine(warmup=0.05),
        stopping=EarlyStopping(patience=PATIENCE, cool_down=0.6, shared=True),
        groups=tuple(groups),
        iterations=preset.steps,
        evaluate_every=math.ceil(preset.steps / EVALUATIONS),
        batch_size=min(BATCH, rows),
        label_smoothing=0.0 if numbers else 0.1,
    )


def _initial(spec: MLP, outputs: int, variances: Array, plain: NDArray[np.bool_], prior: Array, seed: int) -> dict[str, Array]:
    """Return the parameters that a network starts from. plain: which columns are not piecewise-linear (D,)."""
    widths = (len(variances), *spec.hidden, outputs)
    out: dict[str, Array] = {"input_scale.weight": np.ones(len(variances))}
    for i, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
        last = i == len(spec.hidden)
        name = "output" if last else f"hidden{i}"
        size = math.sqrt(2 / d_in)
        if i == 0:
            size = 1 / math.sqrt(max(float(variances[plain].sum()), 1e-6))
        if last:
            size = 0.1 / math.sqrt(d_in)
        weight = rng.generator(seed, "init", i).standard_normal((d_out, d_in)) * size
        if i == 0:
            weight[:, ~plain] = 0.0
        out |= {f"{name}.weight": weight, f"{name}.bias": np.zeros(d_out)}
    return out | {"output.bias": prior}


def prior_scores(task: Task, target: Array, weight: Array | None = None) -> Array:
    """Return the scores (O,) that predict the (weighted) mean of an encoded target, or the shares of its classes.

    >>> prior_scores(Multiclass(("a", "b", "c")), np.array([0, 0, 1, 2])).round(3).tolist()
    [-0.693, -1.386, -1.386]
    """
    rows = len(target)
    if isinstance(task, Regression):
        return np.asarray(np.average(target, axis=0, weights=weight), dtype=np.float64)
    if isinstance(task, Multiclass):
        counts = np.bincount(target, weights=weight, minlength=task.outputs)
        return np.log(np.maximum(counts / counts.sum(), 0.5 / rows))
    share = np.clip(np.average(target, axis=0, weights=weight), 0.5 / rows, 1 - 0.5 / rows)
    return np.asarray(np.log(share / (1 - share)))


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


def fit_temperature(scores: Array, target: Array, task: Task, weight: Array | None = None) -> float:
    """Return the T that minimises the (weighted) mean log loss of scores / T, for scores (N, O) of rows that were not trained on."""

    def loss(temperature: float) -> float:
        probability = task.proba(scores / temperature)
        if isinstance(task, Multiclass):
            right = probability[np.arange(len(target)), target]
        else:
            positive = probability[:, 1:] if task.name == "binary" else probability
            right = np.where(target > 0.5, positive, 1 - positive)
        losses = -np.log(np.maximum(right, 1e-300)).reshape(len(target), -1).mean(axis=1)
        return float(np.average(losses, weights=weight))

    return float(min(np.exp(np.linspace(-3, 3, 241)), key=loss))
