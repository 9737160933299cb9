"""The parts that all programs share: the data, specifications as Python, and the length of the training so far."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from manynets.playground.problem import Experiment
from manynets.playground.setup import Drawn, Images, TableChoice, Toy
from manynets.playground.terms import expressions
from manynets.playground.training import LiveTraining
from manynets.spec import Cosine, OneCycle, Recipe


def source_of(value: Any) -> str:
    """Return a specification as Python, with the fields that differ from their defaults.

    >>> from manynets.spec import MLP
    >>> source_of(MLP(hidden=(8, 8), activation="tanh"))
    "mn.MLP(hidden=(8, 8), activation='tanh')"
    """
    if not dataclasses.is_dataclass(value):
        return repr(value)
    given = []
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if item != default:
            given.append(f"{field.name}={source_of(item)}")
    return f"mn.{type(value).__name__}({', '.join(given)})"


def recipe_so_far(training: LiveTraining) -> Recipe:
    """Return the recipe with the length that the training has reached. With a schedule over all steps it has its full length, unless the
    learning rate was changed by hand."""
    recipe, step, every = training.experiment.setup.recipe, training.sample.step, training.steps_per_epoch
    if not torch.cuda.is_available():
        recipe = dataclasses.replace(recipe, device="auto")
    whole = isinstance(recipe.schedule, Cosine | OneCycle) and not training.rates
    if whole or not step:
        return recipe
    if step % every == 0 and recipe.iterations is None:
        return dataclasses.replace(recipe, epochs=step // every)
    return dataclasses.replace(recipe, epochs=None, iterations=step)


def rates_by_step(training: LiveTraining) -> dict[int, float]:
    """Return the learning rates (before the schedule) by the steps after which they changed: by hand, or on a plateau of a single network."""
    rates, falls = {0: training.experiment.setup.recipe.lr, **dict(training.rates)}, {0: 1.0, **dict(training.falls)}

    def latest(values: dict[int, float], step: int) -> float:
        return values[max(at for at in values if at <= step)]

    steps = sorted({step for step, _ in [*training.rates, *training.falls]})
    return {step: latest(rates, step) * latest(falls, step) for step in steps}


def data_code(experiment: Experiment) -> tuple[list[str], str, str, str]:
    """Return the lines that load the data, and as code: X and y, the validation rows, the task."""
    setup, source = experiment.setup, experiment.source
    data, task = setup.data, source.task
    plain = setup.terms == ("x1", "x2")
    share = f"{setup.validation:g}" if source.validation is not None else "None"
    terms = [] if plain or isinstance(data, TableChoice | Images) else _inputs_function(experiment)
    if isinstance(data, Toy):
        lines = [f"data = mn.datasets.load({data.name!r}, points={data.points}, noise={data.noise!r}, seed={data.seed})", *terms]
        if plain:
            return lines, "data.X, data.y", "(data.X_validation, data.y_validation)", repr(task)
        return lines, "inputs(data.X), data.y", "(inputs(data.X_validation), data.y_validation)", repr(task)
    if isinstance(data, Drawn):
        rows = ", ".join(f"({a!r}, {b!r}, {c:g})" for a, b, c in data.rows)
        kind = "np.float32" if data.task == "regression" else "np.int64"
        lines = [f"rows = np.array([{rows}], dtype=np.float32)", f"points, y = rows[:, :2], rows[:, 2].astype({kind})", *terms]
        return lines, "points, y" if plain else "inputs(points), y", share, repr(task)
    if isinstance(data, Images):
        lines = [f"data = mn.datasets.load({data.name!r})", f"X, y = data.X[:{data.rows}], data.y[:{data.rows}]"]
        return lines, "X, y", share, repr(task)
    return _table_code(experiment, data), "X, y", share, "None"


def _inputs_function(experiment: Experiment) -> list[str]:
    made = ", ".join(expressions(experiment.setup.terms))
    return [
        "",
        "",
        "def inputs(points):",
        "    x1, x2 = points[:, 0], points[:, 1]",
        f"    return np.column_stack([{made}])",
        "",
        "",
    ]


def _table_code(experiment: Experiment, data: TableChoice) -> list[str]:
    table = experiment.source.table
    assert table is not None
    sheet = "" if table.sheet is None else f", sheet={table.sheet!r}"
    lines = [f"table = mn.tables.read_table({table.shown!r}{sheet})"]
    if data.columns:
        lines.append(f"table = table.select({[*(name for name in data.columns if name != data.target), data.target]!r})")
    lines.append(f"X, y, _ = mn.tables.split_target(table, {data.target!r}, drop_missing_target=True)")
    more = experiment.setup.more_terms
    if more:
        lines.append(f"x1, x2 = X[{data.x!r}].to_numpy().astype(float), X[{data.y!r}].to_numpy().astype(float)")
        made = [f"pl.Series({term!r}, {code}, nan_to_null=True)" for term, code in zip(more, expressions(more), strict=True)]
        lines.append(f"X = X.with_columns({', '.join(made)})")
    return lines
