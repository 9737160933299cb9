"""The default for tables: an ensemble of small networks, each validated on another fold.

Inputs. Numbers are scaled by median and interquartile range and drawn in to (-3, 3) (`manynets.tables.scaling`); beside each stand its
piecewise-linear columns (`manynets.tables.piecewise`). Categories are one-hot.

Network. A learned factor per column (`MLP.input_scale`), then 128-128 units, SiLU, dropout 0.1. With v_j the variance of column j:

    first layer   W ~ N(0, 1 / sum of the plain columns' v_j), 0 for piecewise-linear columns
    hidden layer  W ~ N(0, 2 / 128)         output layer  W ~ N(0, 0.01 / 128)
    biases        0; of the output layer the score that predicts the training rows' mean, or the shares of the classes

Steps. AdamW (betas 0.9 and 0.95, weight decay 0.02, none of biases) on batches of 64 rows, 1,500 steps, with a warm-up over a twentieth
of them and a cosine to 0. The rate L is divided by sqrt(fan-in) for weights (of the first layer sqrt(max(sum of v_j, 4))), multiplied
by 6 for the column factors and by 0.1 for biases. Classes are smoothed by 0.1.

Choice. The networks are evaluated 24 times; all keep their weights of the evaluation at which the mean validation loss was lowest. Classes get one
temperature, which minimises the log loss of the out-of-fold scores (Guo et al. 2017); the output layers are divided by it. Numbers
are clamped to the range seen in training.

Sources: Holzmueller et al. 2024 (RealMLP), Gorishniy et al. 2022 and 2025 (piecewise-linear embeddings, TabM).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.spec import MLP, AdamW, Cosine, ParameterGroup, Recipe
from manynets.tables.piecewise import ranges_for
from manynets.tasks import Multiclass, Regression, Task

__all__ = ["encoder_options", "fit_temperature", "initial", "network", "recipe"]

HIDDEN = (128, 128)
STEPS, EVALUATIONS, BATCH = 1500, 24, 64
RATES = {"regression": 0.04}
RATE_OF_CLASSES = 0.08

Array = NDArray[Any]


def encoder_options(rows: int) -> dict[str, Any]:
    """Return the options of `fit_encoder` for so many training rows."""
    return {"scaling": "smooth", "max_levels": 50, "min_count": 3 if rows >= 200 else 1, "ranges": ranges_for(rows)}


def network(hidden: tuple[int, ...] = HIDDEN) -> MLP:
    """Return the specification of one network."""
    return MLP(hidden=hidden, activation="silu", dropout=0.1, input_scale=True)


def recipe(task: Task, variances: Array, rows: int, **changes: Any) -> Recipe:
    """Return how the networks are trained. variances: of the input columns (D,). rows: that each of them trains on."""
    spec = network()
    first, *others = [f"hidden{i}" for i in range(len(spec.hidden))] + ["output"]
    widths = dict(zip(others, spec.hidden, strict=True))
    groups = [
        ParameterGroup(names="input_scale.weight", lr_factor=6.0),
        ParameterGroup(names="*.bias", lr_factor=0.1, decay_factor=0.0),
        ParameterGroup(names=f"{first}.weight", lr_factor=1 / math.sqrt(max(float(variances.sum()), 4.0))),
        *(ParameterGroup(names=f"{name}.weight", lr_factor=1 / math.sqrt(width)) for name, width in widths.items()),
    ]
    return Recipe(
        optimizer=AdamW(lr=RATES.get(task.name, RATE_OF_CLASSES), betas=(0.9, 0.95), weight_decay=0.02),
        schedule=Cosine(warmup=0.05),
        groups=tuple(groups),
        iterations=STEPS,
        evaluate_every=math.ceil(STEPS / EVALUATIONS),
        batch_size=min(BATCH, rows),
        label_smoothing=0.0 if task.name == "regression" else 0.1,
        **changes,
    )


def initial(spec: MLP, task: Task, target: Array, variances: Array, plain: NDArray[np.bool_], seed: int) -> dict[str, Array]:
    """Return the parameters that one network starts from. plain: which columns are not piecewise-linear (D,)."""
    widths = (len(variances), *spec.hidden, task.outputs)
    out: dict[str, Array] = {}
    for i, (d_in, d_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        last = i == len(spec.hidden)
        name = "output" if last else f"hidden{i}"
        size = 0.1 / math.sqrt(d_in) if last else math.sqrt(2 / d_in)
        if i == 0:
            size = 1 / math.sqrt(max(float(variances[plain].sum()), 1e-12)) * (0.1 if last else 1.0)
        weight = rng.generator(seed, "init", i).standard_normal((d_out, d_in)) * size
        if i == 0:
            weight[:, ~plain] = 0.0
        out[f"{name}.weight"], out[f"{name}.bias"] = weight, np.zeros(d_out)
    out["output.bias"] = prior_scores(task, target)
    out["input_scale.weight"] = np.ones(len(variances))
    return out


def prior_scores(task: Task, target: Array) -> Array:
    """Return the scores (O,) that predict the mean of an encoded target, or the shares of its classes."""
    if isinstance(task, Regression):
        return np.asarray(target.mean(axis=0))
    if isinstance(task, Multiclass):
        return np.log(np.maximum(np.bincount(target, minlength=task.outputs), 0.5) / len(target))
    share = np.clip(target.mean(axis=0), 0.5 / len(target), 1 - 0.5 / len(target))
    return np.asarray(np.log(share / (1 - share)))


def fit_temperature(scores: Array, target: Array, task: Task) -> float:
    """Return the T that minimises the mean log loss of scores / T, for scores (N, O) of rows that were not trained on."""
    def loss(temperature: float) -> float:
        probability = task.proba(scores / temperature)
        if isinstance(task, Multiclass):
            right = probability[np.arange(len(target)), target]
        else:
            positive = probability[:, 1:] if task.name == "binary" else probability
            right = np.where(target > 0.5, positive, 1 - positive)
        return float(-np.log(np.maximum(right, 1e-300)).mean())

    return min(np.exp(np.linspace(-3, 3, 241)).tolist(), key=loss)
