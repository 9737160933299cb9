"""Partial dependence: the mean prediction when a column has one value in all rows, over the values of that column.

    PD(v) = mean over rows i of prediction(x_i with the column set to v)

The curve of a single row (ICE) is its prediction over the same values. Source: Friedman 2001; Goldstein et al. 2015.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats.mstats import mquantiles

from manynets.data.check import as_weights
from manynets.display import html_table
from manynets.errors import DataError, OptionError, check_count
from manynets.explain.blocks import CELLS_AT_ONCE, SourceRows, check_seed, model_of, some_rows, source_rows
from manynets.explain.changed import ChangedRows, output_names
from manynets.explain.values import CategoryValues, column_values, moment_texts
from manynets.model import Model
from manynets.tables import open_table
from manynets.tables.columns import DateColumn
from manynets.tasks import Binary, Multilabel, Regression

Array: TypeAlias = NDArray[Any]

MOST_LEVELS = 50


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dependence:
    """How the prediction follows one column, or two.

    columns: their names.
    grid: the values of each column, in its own unit; None stands for an empty cell of a column of categories.
    mean: the mean prediction at each point of the grid, (G,) for one column and (G, H) for two; for classes with a last axis of C
        probabilities.
    rows: the predictions of single rows, (R, G) or (R, G, C), for one column.
    outputs: names along the last axis.
    probabilities: whether the predictions are probabilities.
    two_classes: whether the last axis holds the two classes of a binary task, of which pictures show the second.
    several_labels: whether the outputs are labels, of which a row may have several or none.

    >>> import manynets as mn
    >>> data = mn.datasets.load("xor", points=400, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(8,)), mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=30), progress=False)
    >>> found = mn.explain.partial_dependence(model, data.X, "x0", n_grid=5)
    >>> found
    <Dependence on x0: 5 values>
    >>> found.mean.shape
    (5, 2)
    """

    columns: tuple[str, ...]
    grid: tuple[list[Any], ...]
    mean: NDArray[np.float64]
    rows: NDArray[np.float64] | None
    outputs: tuple[str, ...]
    probabilities: bool = False
    two_classes: bool = False
    several_labels: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        return {
            "columns": list(self.columns),
            "grid": [list(map(_plain, values)) for values in self.grid],
            "mean": self.mean.tolist(),
            "rows": None if self.rows is None else self.rows.tolist(),
            "outputs": list(self.outputs),
        }

    @property
    def what(self) -> str:
        """A word for what is predicted."""
        return "probability" if self.probabilities else "prediction"

    @property
    def output_kind(self) -> str:
        """What an output is: a target, a class or a label."""
        return "label" if self.several_labels else "class" if self.probabilities else "target"

    def by_output(self) -> NDArray[np.float64]:
        """Return the mean predictions with a last axis for the outputs, even if there is only one: (G, O) or (G, H, O)."""
        return self.mean.reshape(*map(len, self.grid), len(self.outputs))

    @property
    def shown(self) -> int:
        """The output that a picture of one shows: of two classes the second, else the one that changes most."""
        flat = self.by_output().reshape(-1, len(self.outputs))
        return 1 if self.two_classes else int(np.ptp(flat, axis=0).argmax())

    def by_target(self) -> list[Dependence]:
        """Return this for each target, as targets have units of their own; classes and labels, whose probabilities have not, stay together."""
        if self.probabilities or len(self.outputs) == 1:
            return [self]
        rows = [None if self.rows is None else self.rows[..., j] for j in range(len(self.outputs))]
        return [
            dataclasses.replace(self, outputs=(name,), mean=self.mean[..., j], rows=rows[j]) for j, name in enumerate(self.outputs)
        ]

    def title(self, output: int) -> str:
        """Return the title of a picture of an output, such as "Mean probability of yes over age and sex"."""
        of = "prediction" if self.outputs == ("prediction",) else f"{self.what} of {self.outputs[output]}"
        return f"Mean {of} over {' and '.join(self.columns)}"

    @property
    def kinds(self) -> list[Literal["number", "date", "category"]]:
        """What the values of each column are."""
        return [_kind(values) for values in self.grid]

    def texts(self) -> list[list[str]]:
        """Return the values of each column as texts that differ; dates without a time where all are at midnight, and times without a date."""
        return [_texts(values) if _kind(values) == "number" else _words(values) for values in self.grid]

    def gathered(self) -> Dependence:
        """Return this for pictures: categories of one column that have the same mean, such as all that were not seen in training, are merged."""
        means = self.by_output()
        if self.kinds != ["category"]:
            return self
        size = max(float(np.abs(means).max()), np.finfo(np.float64).tiny)
        _, first, which = np.unique(np.round(means / size, 6), axis=0, return_index=True, return_inverse=True)
        texts, order = self.texts()[0], np.sort(first)
        others = np.bincount(which.ravel())[which.ravel()[order]] - 1
        names = [
            texts[at] if not more else f"{texts[at]} and {more} other{'s' if more > 1 else ''}"
            for at, more in zip(order.tolist(), others.tolist(), strict=True)
        ]
        rows = None if self.rows is None else self.rows[:, order]
        return dataclasses.replace(self, grid=(names,), mean=self.mean[order], rows=rows)

    def _repr_html_(self) -> str:
        texts, lines = self.texts(), self.by_output()
        heads, title = list(self.outputs), "Mean prediction"
        if len(texts) == 2:
            heads, lines, title = texts[1], lines[..., self.shown], self.title(self.shown)
        rows = [(text, *line) for text, line in zip(texts[0], lines.tolist(), strict=True)]
        return html_table([" \\ ".join(self.columns), *heads], rows, title=title)

    def __repr__(self) -> str:
        return f"<Dependence on {' and '.join(self.columns)}: {' x '.join(str(len(values)) for values in self.grid)} values>"


def _kind(values: list[Any]) -> Literal["number", "date", "category"]:
    if all(isinstance(value, int | float) for value in values):
        return "number"
    return "date" if all(re.match(r"\d{4}-\d\d-\d\dT", str(value)) for value in values) else "category"


def _texts(numbers: list[Any]) -> list[str]:
    """Return numbers as texts, with only as many digits as it takes to tell them apart, and without an exponent if that is short."""
    found: list[str] = []
    for digits in (3, 4, 6, 9, 17):
        found = [f"{number:.{digits}g}" for number in numbers]
        if len(set(found)) == len(found) and not any("e+" in text for text in found):
            break
    return found


def _words(values: list[Any]) -> list[str]:
    """Return dates or categories as texts."""
    return ["(missing)" if value is None else value for value in values] if None in values else moment_texts([*map(str, values)])


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def partial_dependence(
    model: Model,
    X: Any,
    columns: str | Sequence[str],
    *,
    n_grid: int = 30,
    n_rows: int = 50,
    sample_weight: Any = None,
    seed: int = 0,
) -> Dependence:
    """Return the mean prediction of rows X (N, D), or a frame, over the values of one column or of two.

    The grid of a numeric column has `n_grid` values evenly spaced from its 5% to its 95% quantile, rounded if the column holds whole numbers
    only; or all its values, if there are fewer; or `n_grid` of these, if both quantiles are the same frequent value. Dates get `n_grid`
    quantiles, categories all levels, and None if some cells are empty. n_rows: how many single rows are kept beside the mean. Predictions are in
    the unit of the target, or probabilities.

    Errors: OptionError for an unknown column and for more than two.

    >>> import manynets as mn
    >>> data = mn.datasets.load("xor", seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=1), progress=False)
    >>> partial_dependence(model, data.X, "x0", n_grid=5)
    <Dependence on x0: 5 values>
    """
    names = (columns,) if isinstance(columns, str) or not isinstance(columns, Iterable) else tuple(columns)
    if not all(isinstance(name, str) for name in names):
        raise OptionError(f"columns is {columns!r}, but must be names; those of an array are 'x0', 'x1', ...")
    if not 1 <= len(names) <= 2 or len(set(names)) < len(names):
        raise OptionError(f"columns is {columns!r}, but must be the name of one column, or two different ones")
    check_count(n_grid, what="n_grid", least=2)
    check_count(n_rows, what="n_rows", least=0)
    check_seed(seed)
    model = model_of(model)
    X, _, sample_weight = model.read_given(X, sample_weight=sample_weight)
    rows = source_rows(model, X)
    weight = as_weights(sample_weight, len(rows.matrix))
    grids, encoded = zip(*(_grid(model, X, rows, name, n_grid) for name in names), strict=True)
    shape = tuple(len(values) for values in grids)
    points = np.indices(shape).reshape(len(names), -1)
    values = np.concatenate([each[index] for each, index in zip(encoded, points, strict=True)], axis=1)
    values = values.astype(rows.matrix.dtype, copy=False)
    some = some_rows(len(rows.matrix), n_rows if len(names) == 1 else 0, seed=seed)
    mean, rows_alone = _predictions(rows, ChangedRows(model, rows.matrix), rows.columns(names), values, some, weight)
    mean, single = mean.reshape(*shape, -1), rows_alone if len(names) == 1 else None
    outputs = output_names(model, mean.shape[-1])
    if outputs == ("prediction",):
        mean, single = mean[..., 0], None if single is None else single[..., 0]
    return Dependence(
        names,
        tuple(list(values) for values in grids),
        mean,
        single,
        outputs,
        probabilities=not isinstance(model.task, Regression),
        two_classes=isinstance(model.task, Binary),
        several_labels=isinstance(model.task, Multilabel),
    )


def _predictions(
    rows: SourceRows, predictor: ChangedRows, block: Array, values: Array, some: Array, weight: Array | None
) -> tuple[Array, Array]:
    """Return the mean predictions (V, C) over all rows with each of the values (V, B) in a block of columns (B,), and those of some rows (r, V, C)."""
    means, singles = [], []
    step = max(1, CELLS_AT_ONCE // (len(rows.matrix) * max(rows.matrix.shape[1], predictor.model.task.outputs)))
    for start in range(0, len(values), step):
        predicted = predictor.outputs(block, values[start : start + step])
        means.append(np.average(predicted, axis=1, weights=weight))
        singles.append(predicted[:, some])
    return np.concatenate(means), np.concatenate(singles).transpose(1, 0, 2)


def _grid(model: Model, X: Any, rows: SourceRows, name: str, n_grid: int) -> tuple[list[Any], Array]:
    """Return the values of a column, and each of them encoded (G, width)."""
    block = rows.block(name)
    if model.encoder is None:
        values = _between(rows.matrix[:, block.start].astype(np.float64), n_grid)
        return values.tolist(), values[:, None]
    column = next(column for column in model.encoder.columns if column.name == name)
    if column.kind == "text":
        raise DataError(f"column {name!r} is text of many words, which have no order to follow; choose another column")
    ((_, known),) = column_values(model, X, [name])
    if isinstance(known, CategoryValues):
        found: list[Any] = sorted(known.labels[code] for code in known.frequent(MOST_LEVELS))
        found = [*found, None] if found and (known.codes < 0).any() else found
        cells: Any = found
    elif known.dates:
        cells = _spread(np.unique(known.there), n_grid).astype(np.int64).astype("datetime64[s]")
        found = np.datetime_as_string(cells).tolist()
    else:
        cells = _between(known.there, n_grid)
        found = cells.tolist()
    if not found:
        raise DataError(f"column {name!r} has no value in these rows")
    return found, _encoded(column, cells)


def _between(values: NDArray[np.float64], n_grid: int) -> NDArray[np.float64]:
    """Return the grid of scikit-learn's partial_dependence: all values where there are few, else evenly from the 5% to the 95% quantile.

    Where both are one frequent value, which scikit-learn refuses, the grid is taken from all values. Of whole numbers, such as hours, it has
    whole numbers, as the model has seen no others.
    """
    different = np.unique(values)
    if len(different) <= n_grid:
        return different
    low, high = mquantiles(values, [0.05, 0.95])
    if low >= high:
        return _spread(different, n_grid)
    grid = np.linspace(low, high, n_grid)
    return np.unique(np.rint(grid)) if np.array_equal(different, np.rint(different)) else grid


def _spread(ordered: NDArray[Any], n_grid: int) -> NDArray[Any]:
    """Return at most `n_grid` of these different values in order, from the first to the last."""
    return ordered[np.linspace(0, len(ordered) - 1, min(n_grid, len(ordered))).round().astype(np.int64)]


def _encoded(column: Any, cells: Any) -> Array:
    """Return cells of one column as the model reads them, (G, width)."""
    import polars

    if isinstance(column, DateColumn) and column.form.order == "time":
        cells = [text[11:] for text in np.datetime_as_string(cells).tolist()]
    elif isinstance(column, DateColumn):
        cells = cells.astype("datetime64[us]")
    series = polars.Series(cells)  # of a list, polars would rename a column without a name
    table = open_table(polars.DataFrame({column.name: series}), known=[column.name])
    out = np.zeros((table.rows, len(column.features)), dtype=np.float32)
    column.fill_in(table, out)
    return out
