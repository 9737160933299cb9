"""From a setup to the data, the plane, and the networks with their initial weights."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import datasets
from manynets.data.batches import Rows
from manynets.encoding import embedded_columns
from manynets.errors import DataError, OptionError, warn_user
from manynets.nn.shape import Shape
from manynets.plan import ensemble, starting_parameters
from manynets.playground.files import Files, StoredTable, caught_warnings
from manynets.playground.plane import COARSE, Plane, component_plane, slice_plane, term_plane
from manynets.playground.setup import MOST_NUMBERS, MOST_WEIGHTS, Drawn, Images, PlaygroundSetup, TableChoice, Toy
from manynets.playground.terms import term_columns
from manynets.prepare import TrainingData, prepare
from manynets.spec import BATCH_SIZE, MLP, Recipe
from manynets.tables import split_target
from manynets.tasks import Regression
from manynets.training.trial import Member

LEAST_DRAWN = 5
"""Drawn points that each class needs for some of them to be set aside for validation."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PlaygroundData:
    """The data: X (N, D), an array or a frame, and y (N,). validation: as for `manynets.train`.

    points: the two columns (N, 2) that the terms are computed from. table: the table that X is from.
    """

    X: Any
    y: Any
    task: str | None = None
    validation: Any = None
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None
    points: NDArray[Any] | None = None
    table: StoredTable | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Experiment:
    """Data, plane and networks that are ready to be trained. notes: the warnings about the data."""

    setup: PlaygroundSetup
    source: PlaygroundData
    data: TrainingData
    spec: MLP
    members: list[Member]
    plane: Plane
    notes: list[str]

    @functools.cached_property
    def classes(self) -> list[str]:
        """The names of the classes, [] for a regression."""
        known = getattr(self.data.problem.task, "classes", None)
        return [] if known is None else [str(name) for name in (self.source.class_names or known)][: len(known)]

    @functools.cached_property
    def inputs(self) -> list[str]:
        """The names of the network's inputs."""
        if self.data.encoder is not None:
            return list(self.data.encoder.feature_names)
        if self.source.points is not None:
            return list(self.setup.terms)
        return [f"pixel {i}" for i in range(self.data.in_features)]

    @functools.cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows to train on."""
        return training_rows(self.data)

    @property
    def validation(self) -> tuple[Rows, NDArray[np.int64]] | None:
        """The rows to validate on, as some of these rows by their numbers; None where there are none."""
        problem, held_out = self.data.problem, self.data.validation_rows
        if problem.validation is not None:
            return problem.validation, np.arange(len(problem.validation))
        return None if held_out is None else (problem.rows, np.asarray(held_out))

    def truth(self, target: NDArray[Any]) -> NDArray[Any]:
        """Return encoded targets as (N,): class codes, or the first of the numbers in their own unit."""
        task = self.data.problem.task
        own = task.own_unit(target) if isinstance(task, Regression) else target
        return np.asarray(own).reshape(len(target), -1)[:, 0]


def training_rows(data: TrainingData) -> NDArray[np.int64]:
    """Return the numbers of the rows to train on."""
    return np.arange(len(data.problem.rows)) if data.rows is None else np.asarray(data.rows)


def make_experiment(setup: PlaygroundSetup, files: Files) -> Experiment:
    """Return the problem that the setup describes. Errors: OptionError and DataError for what cannot be used."""
    with caught_warnings() as caught:
        source = _source(setup, files)
        data = prepare(
            source.X, source.y, setup.recipe, task=source.task, validation=source.validation, embedding=setup.network.embedding
        )
        spec = embedded_columns(setup.network, data.encoder)
        setup = _fitting_batches(setup, data)
        _check_size(setup, spec, data)
        members = _members(setup, spec, data)
    notes = list(dict.fromkeys(str(one.message) for one in caught))
    if source.table is not None:
        notes = [*source.table.notes, *notes]
    return Experiment(
        setup=setup, source=source, data=data, spec=spec, members=members, plane=_plane(setup, source, data), notes=notes
    )


def varied(setup: PlaygroundSetup, spec: MLP) -> list[tuple[MLP, Recipe]]:
    """Return the specification and the recipe of each network."""
    count, vary = setup.networks.count, setup.networks.vary
    if vary == "lr" and count > 1:
        factors = np.geomspace(0.01, 10.0, count)
        rates = [float(f"{setup.recipe.lr * factor:.4g}") for factor in factors]
        optimizer = setup.recipe.optimizer
        return [(spec, dataclasses.replace(setup.recipe, optimizer=dataclasses.replace(optimizer, lr=rate))) for rate in rates]
    if vary == "hidden" and count > 1:
        if not spec.hidden:
            raise OptionError("networks that differ in the units of their layers need a hidden layer; add one")
        return [(dataclasses.replace(spec, hidden=(units,) * len(spec.hidden)), setup.recipe) for units in range(1, count + 1)]
    return [(spec, dataclasses.replace(setup.recipe, seed=setup.recipe.seed + k)) for k in range(count)]


def _members(setup: PlaygroundSetup, spec: MLP, data: TrainingData) -> list[Member]:
    if setup.networks.vary == "seed" or setup.networks.count == 1:
        return ensemble(spec, setup.recipe, data, setup.networks.count)
    return [
        Member(k, own, recipe, starting_parameters(own, recipe, data, data.rows), data.rows, data.validation_rows)
        for k, (own, recipe) in enumerate(varied(setup, spec))
    ]


def _fitting_batches(setup: PlaygroundSetup, data: TrainingData) -> PlaygroundSetup:
    """Return the setup with batches of all rows, where there are fewer rows than in a batch."""
    rows = len(training_rows(data))
    size = setup.recipe.batch_size
    if size is None or size <= rows:
        return setup
    warn_user(f"a batch was to have {size:,} rows, but there are {rows:,} to train on; each batch has all of them")
    return dataclasses.replace(setup, recipe=dataclasses.replace(setup.recipe, batch_size=None if rows <= BATCH_SIZE else rows))


def _check_size(setup: PlaygroundSetup, spec: MLP, data: TrainingData) -> None:
    outputs = data.problem.task.outputs
    shapes = [Shape.of(own, data.in_features, outputs) for own, _ in varied(setup, spec)]
    weights = sum(shape.multiplications for shape in shapes)
    if weights > MOST_WEIGHTS:
        raise OptionError(
            f"the networks have {weights:,} weights, but the page takes at most {MOST_WEIGHTS:,}; use fewer or smaller ones"
        )
    rows = len(training_rows(data))
    at_once = max(min(rows, setup.recipe.batch_size or BATCH_SIZE), COARSE**2)
    numbers = at_once * sum(sum(shape.hidden) + outputs + (0 if shape.embedding is None else shape.widest) for shape in shapes)
    if numbers > MOST_NUMBERS:
        raise OptionError(
            f"the layers of the networks have {numbers:,} outputs for {at_once:,} rows at a time, but the page takes at most"
            f" {MOST_NUMBERS:,}; use smaller batches, or fewer or smaller networks"
        )


# -------------------------------------------------------------------------------------------------------------------- sources


def _source(setup: PlaygroundSetup, files: Files) -> PlaygroundData:
    data = setup.data
    if isinstance(data, Toy):
        found = datasets.load(data.name, points=data.points, noise=data.noise, seed=data.seed)
        assert found.X_validation is not None
        return PlaygroundData(
            X=term_columns(found.X, setup.terms),
            y=found.y,
            task=found.task,
            validation=(term_columns(found.X_validation, setup.terms), found.y_validation),
            class_names=found.class_names or (),
            points=found.X,
        )
    if isinstance(data, Drawn):
        rows = np.array(data.rows, dtype=np.float32)
        y = rows[:, 2] if data.task == "regression" else rows[:, 2].astype(np.int64)
        task = "regression" if data.task == "regression" else "binary" if len(np.unique(y)) == 2 else "multiclass"
        fewest = len(rows) // 4 if data.task == "regression" else np.unique(y, return_counts=True)[1].min()
        validation = setup.validation if setup.validation and fewest >= LEAST_DRAWN else None
        return PlaygroundData(X=term_columns(rows[:, :2], setup.terms), y=y, task=task, validation=validation, points=rows[:, :2])
    if isinstance(data, Images):
        found = _images(data.name, data.rows)
        return PlaygroundData(
            X=found.X,
            y=found.y,
            task="multiclass",
            validation=setup.validation or None,
            class_names=found.class_names or (),
            image_shape=found.image_shape,
        )
    return _table_source(setup, data, files)


@functools.lru_cache(maxsize=2)
def _images(name: str, rows: int) -> datasets.Dataset:
    """Return the first rows of a set of images, without a reference to the others."""
    found = datasets.load(name)
    X, y = found.X[:rows].copy(), found.y[:rows].copy()
    return dataclasses.replace(found, X=X, y=y, X_test=None, y_test=None, X_validation=None, y_validation=None)


def _table_source(setup: PlaygroundSetup, data: TableChoice, files: Files) -> PlaygroundData:
    table = files.get(data.file)
    if not data.target:
        raise OptionError("choose the target: the column to predict")
    frame = table.frame
    if data.columns:
        wanted = [name for name in data.columns if name != data.target]
        for name in wanted:
            if name not in frame.columns:
                raise OptionError(f"the table has no column {name!r}")
        frame = frame.select([*wanted, *([data.target] if data.target in frame.columns else [])])
    X, y, _ = split_target(frame, data.target, drop_missing_target=True)
    X = _table_terms(X, setup, data)
    return PlaygroundData(X=X, y=y, validation=setup.validation or None, table=table)


def _table_terms(X: Any, setup: PlaygroundSetup, data: TableChoice) -> Any:
    """Return the frame with the terms of its two axes as further columns."""
    more = setup.more_terms
    if not more:
        return X
    for name in (data.x, data.y):
        if name not in X.columns or not X[name].dtype.is_numeric():
            raise OptionError("powers and products need two axes that hold numbers; choose the axes")
    taken = next((term for term in more if term in X.columns), None)
    if taken is not None:
        raise OptionError(
            f"the table has a column {taken!r}, so no input can have this name; rename the column, or leave the input out"
        )
    pair = np.column_stack([X[data.x].to_numpy(), X[data.y].to_numpy()]).astype(np.float64)
    made = term_columns(pair, more)
    import polars

    return X.with_columns(polars.Series(term, made[:, i], nan_to_null=True) for i, term in enumerate(more))


# ---------------------------------------------------------------------------------------------------------------------- plane


def _plane(setup: PlaygroundSetup, source: PlaygroundData, data: TrainingData) -> Plane:
    matrix = data.problem.rows.x.numpy()
    if source.points is not None:
        return term_plane(source.points, lambda points: term_columns(points, setup.terms))
    choice = setup.data
    if isinstance(choice, TableChoice) and choice.view == "slice":
        numeric = [name for name in source.X.columns if source.X[name].dtype.is_numeric() and source.X[name].n_unique() > 1]
        x = choice.x or next(iter(numeric), "")
        y = choice.y or next((name for name in numeric if name != x), "")
        for name in (x, y):
            if name and name not in numeric:
                raise OptionError(f"{name!r} cannot be an axis: it must be a column of different numbers that the network reads")
        if x and y and x != y:
            assert data.encoder is not None
            encoder, columns = data.encoder, source.X.drop(setup.more_terms)
            return slice_plane(columns, x, y, encode=lambda frame: encoder.transform(_table_terms(frame, setup, choice)))
    if matrix.shape[1] == 0:
        raise DataError("no column is left to learn from")
    return component_plane(matrix)
