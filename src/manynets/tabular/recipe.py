"""The network, the training and the initial weights of the default for tables."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.spec import MLP, AdamW, Cosine, EarlyStopping, ParameterGroup, PiecewiseLinear, Recipe
from manynets.tables import TableEncoder
from manynets.tables.piecewise import FEWEST_BINS, bins_for
from manynets.tabular.changes import Changes, changed_network, changed_recipe
from manynets.tasks import Multiclass, Regression, Task

Array = NDArray[Any]
PresetName = Literal["fast", "default", "best"]

HIDDEN, HIDDEN_OF_CLASSES = (128, 128), (256, 256)  # the latter for more than two
DROPOUT, MOST_DROPOUT = 0.1, 0.25
EVALUATIONS, PATIENCE, BATCH = 24, 5, 64
RATE_OF_NUMBERS, RATE_OF_CLASSES = 0.04, 0.08
RACE = 1.1  # networks without piecewise-linear columns stop above this many times the best loss (`EarlyStopping.race`)
FULL_ROWS = 8000  # with fewer, dropout grows; with more, steps and batches do
MOST_GROWTH = 4.0
MOST_CELLS = 1 << 29  # of piecewise-linear columns, 2 GiB: larger tables get fewer bins a column,
MOST_WIDTH, MOST_BINS_IN_ALL = 1 << 13, 2600  # and no table more outputs, or bins, than that;
# each column has at least FEWEST_BINS, or none has any, as where there are more columns than rows
FEWEST_LEVELS, MOST_LEVELS = 50, 256  # of a category, with an output of their own: half of what width and cells allow
TEXT_SCALE = 0.25  # the factor that columns of text start with; from 0 they never count, as their weights start at 0, too


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What rates of the recipe are multiplied by, and whether columns of text, and piecewise-linear ones, count."""

    lr: float = 1.0
    dropout: float = 1.0
    weight_decay: float = 1.0
    text: bool = True
    piecewise: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How long the networks train, and in which settings. steps: of each of them, for up to 8,000 rows.

    tries_plain: whether other networks are trained without piecewise-linear columns, which count where they are better.
    """

    steps: int
    settings: tuple[Setting, ...] = (Setting(),)
    tries_plain: bool = True

    def settings_for(self, encoder: TableEncoder, rows: int, *, validated: bool) -> tuple[Setting, ...]:
        """Return the settings for so many rows of a table.

        There is one more without piecewise-linear columns, where there are any and rows to validate on, and one without columns of text,
        where there are any and the table is small.
        """
        plain = (Setting(piecewise=False, dropout=0.5),) if self.tries_plain and validated and encoder.piecewise.any() else ()
        return self.settings + plain + ((Setting(text=False),) if encoder.hashed.any() and rows <= FULL_ROWS else ())


PRESETS: dict[PresetName, Preset] = {
    "fast": Preset(steps=400, tries_plain=False),
    "default": Preset(steps=1500),
    "best": Preset(steps=1500, settings=(Setting(), Setting(lr=0.5, dropout=1.5), Setting(weight_decay=5.0))),
}


def encoder_options(rows: int, columns: int) -> dict[str, Any]:
    """Return the options of `fit_encoder` for so many training rows and columns of a table.

    >>> [encoder_options(*size)["embedding"].bins for size in ((1_000_000, 50), (8_000, 50), (8_000, 1_000))]
    [10, 48, 4]
    >>> [encoder_options(*size)["max_levels"] for size in ((1_000_000, 50), (8_000, 10), (8_000, 30))]
    [50, 256, 136]
    >>> encoder_options(100, 10_000)["embedding"] is None
    True
    """
    room = min(MOST_CELLS // (rows * columns), MOST_WIDTH // columns)  # outputs of each column
    bins = max(min(bins_for(rows), room, MOST_BINS_IN_ALL // columns), FEWEST_BINS)
    return {
        "scaling": "smooth",
        "max_levels": max(min(MOST_LEVELS, room // 2), FEWEST_LEVELS),
        "min_count": 1 if rows < 200 else 3,
        "embedding": PiecewiseLinear(bins=bins) if columns * FEWEST_BINS <= MOST_WIDTH and columns <= rows else None,
        "category_means": True,
    }


def tabular_network(task: Task, rows: int, *, changes: Changes | None = None) -> MLP:
    """Return the specification of the networks for so many training rows. changes: what differs from the default (`changed_network`).

    >>> tabular_network(Regression.of([1.0, 2.0]), 8000).hidden
    (128, 128)
    """
    changes = changes or {}
    hidden = changes.get("hidden", HIDDEN_OF_CLASSES if isinstance(task, Multiclass) else HIDDEN)
    dropout = min(max(DROPOUT * math.sqrt(FULL_ROWS / rows), DROPOUT), MOST_DROPOUT)
    spec = MLP(hidden=hidden, activation="silu", dropout=dropout if hidden else 0.0, input_scale=True)
    return changed_network(spec, changes)


def tabular_recipe(
    spec: MLP, task: Task, variances: Array, rows: int, base: Recipe, *, steps: int, changes: Changes | None = None
) -> Recipe:
    """Return how each network is trained on so many rows. variances: of the input columns (D,). base: seed, device and what to watch.

    steps: for up to 8,000 rows. changes: what differs from the default (`changed_recipe`); the evaluations follow the steps.
    """
    changes = changes or {}
    growth = math.sqrt(min(max(rows / FULL_ROWS, 1.0), MOST_GROWTH**2))
    steps = changes.get("iterations", round(steps * growth))
    numbers = isinstance(task, Regression)
    names = [*(f"hidden{i}" for i in range(len(spec.hidden))), "output"]
    sizes = [max(float(variances.sum()), 4.0), *spec.hidden]
    groups = [
        ParameterGroup(names="input_scale.weight", lr_factor=6.0),
        ParameterGroup(names="*.bias", lr_factor=0.1, decay_factor=0.0),
        *(ParameterGroup(names=f"{name}.weight", lr_factor=1 / math.sqrt(size)) for name, size in zip(names, sizes, strict=True)),
    ]
    recipe = dataclasses.replace(
        base,
        optimizer=AdamW(lr=RATE_OF_NUMBERS if numbers else RATE_OF_CLASSES, betas=(0.9, 0.95), weight_decay=0.02),
        schedule=Cosine(warmup=0.05),
        stopping=EarlyStopping(patience=PATIENCE, cool_down=0.6, shared=True),
        groups=tuple(groups),
        iterations=steps,
        evaluate_every=math.ceil(steps / EVALUATIONS),
        batch_size=min(round(BATCH * growth), rows),
        label_smoothing=0.0 if numbers else 0.1,
    )
    return changed_recipe(recipe, changes)


def varied(spec: MLP, recipe: Recipe, setting: Setting) -> tuple[MLP, Recipe]:
    """Return a network and its training in a setting. A dropout at most halves the share of the units that are left.

    >>> varied(MLP(dropout=0.1), Recipe(optimizer=AdamW(lr=0.04)), Setting(lr=0.5, dropout=2.0))[1].lr
    0.02
    """
    rates = recipe.optimizer
    assert isinstance(rates, AdamW)
    rates = dataclasses.replace(rates, lr=rates.lr * setting.lr, weight_decay=rates.weight_decay * setting.weight_decay)
    dropout = (
        tuple(min(rate * setting.dropout, (1 + rate) / 2) for rate in spec.dropouts) if setting.dropout != 1.0 else spec.dropout
    )
    stopping = recipe.stopping
    if stopping is not None and not setting.piecewise:
        stopping = dataclasses.replace(stopping, race=RACE)
    return dataclasses.replace(spec, dropout=dropout), dataclasses.replace(recipe, optimizer=rates, stopping=stopping)


def initial_weights(
    spec: MLP,
    outputs: int,
    variances: Array,
    prior: Array,
    seed: int,
    *,
    piecewise: NDArray[np.bool_],
    hashed: NDArray[np.bool_],
    setting: Setting = Setting(),
) -> dict[str, Array]:
    """Return the parameters that a network starts from. piecewise, hashed: which columns are piecewise-linear, and of text, (D,)."""
    plain = ~(piecewise | hashed)
    widths = (len(variances), *spec.hidden, outputs)
    scale = np.where(hashed, TEXT_SCALE * setting.text, np.where(piecewise, float(setting.piecewise), 1.0))
    out: dict[str, Array] = {"input_scale.weight": scale}
    for i, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
        last = i == len(spec.hidden)
        name = "output" if last else f"hidden{i}"
        size = 0.1 / math.sqrt(d_in) if last else math.sqrt(2 / d_in)
        if i == 0 and not last:
            size = 1 / math.sqrt(max(float(variances[plain].sum()), 1e-6))
        weight = rng.generator(seed, "init", i).standard_normal((d_out, d_in)) * size
        if i == 0:
            weight[:, ~plain] = 0.0
        out |= {f"{name}.weight": weight, f"{name}.bias": np.zeros(d_out)}
    return out | {"output.bias": prior}
