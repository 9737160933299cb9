"""Learn from the training rows of a table how its columns become a matrix (`TableEncoder`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.display import listed
from manynets.errors import DataError, LeakWarning, OptionError, one_of, warn_user
from manynets.spec import PiecewiseLinear
from manynets.tables.columns import ColumnEncoder, fit_categorical, fit_date, fit_numeric
from manynets.tables.dates import DateForm
from manynets.tables.encoder import TableEncoder
from manynets.tables.frames import open_table
from manynets.tables.hashed import fit_text
from manynets.tables.kinds import Column
from manynets.tables.means import targets_of
from manynets.tables.piecewise import bins_of
from manynets.tables.scaling import SCALINGS, Scaling
from manynets.tables.schema import TO_READ, understand
from manynets.tables.table import Table, require
from manynets.tables.written import PLAIN, Reading


def fit_encoder(
    frame: Any,
    *,
    schema: Sequence[Column] | None = None,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    text: Sequence[str] = (),
    drop: Sequence[str] = (),
    scaling: Scaling = "standard",
    max_levels: int = 64,
    min_count: int | None = None,
    embedding: PiecewiseLinear | None = None,
    category_means: bool = False,
    rows: NDArray[np.int64] | None = None,
    y: Any = None,
    target_names: Sequence[str] = (),
    target: NDArray[Any] | None = None,
) -> TableEncoder:
    """Learn from a frame, or an array (N, D) of numbers, how its columns become a matrix.

    Args:
        frame: features only; take the target off with `split_target`.
        schema: from `understand`, if you have looked at it; else it is found here with the overrides, and columns left out,
            columns used that look like ids, and columns without any value are named in a warning.
        scaling: of numeric columns, see `fit_spread`.
        max_levels: the most frequent levels of a categorical column that get an output of their own; the rest share one.
        min_count: levels that occur less often share it too. None: 1 below 200 rows, then 2, and a ten-thousandth of the rows
            from 20,000 on.
        embedding: each numeric column also gets piecewise-linear columns (`manynets.tables.piecewise`).
        category_means: a categorical column with more than 50 or `max_levels` levels also gets the mean of the target over the rows of a
            level (`manynets.tables.means`). The rows that a network is then trained on need `TableEncoder.cross_fit`.
        rows: numbers of the rows to learn from; None: all. What each column is, and how it is written, is found on all rows; its
            levels, centre and scale on these only.
        y: the target of all rows of the frame, for `understand`: no column that says something about it is left out, and one that
            gives it away is named in a LeakWarning.
        target_names: of several targets in y, for that warning.
        target: y as numbers (N,) or (N, O), or as numbers of classes (N,), for an embedding by a tree and for the means of categories;
            found from y if left out.

    Errors: DataError for no rows, for no column left, and for what `understand` and `transform` refuse; OptionError for options.

    >>> import polars
    >>> train = polars.DataFrame({"size": [1.0, 3.0, None], "color": ["red", "blue", "red"]})
    >>> encoder = fit_encoder(train)
    >>> encoder.feature_names
    ('size', 'size=missing', 'color=blue', 'color=red')
    >>> encoder.transform(train).tolist()
    [[-1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """
    one_of(scaling, SCALINGS, what="scaling")
    if max_levels < 1 or (min_count is not None and min_count < 1):
        raise OptionError(f"max_levels is {max_levels} and min_count {min_count}, but both must be at least 1")
    table = open_table(frame)
    if not table.rows:
        raise DataError("the table has 0 data rows; at least 1 is needed")
    declared = {"categorical": categorical, "numeric": numeric, "text": text, "drop": drop}
    if schema is not None and any(declared.values()):
        raise OptionError(
            "categorical, numeric, text and drop are read when the schema is found; with schema give them to understand()"
        )
    all_numbers = table.array is not None and schema is None and not any(declared.values())
    if all_numbers:
        found = tuple(Column(name=name, kind="numeric", missing=0, distinct=0) for name in table.names)
    elif schema is None:
        found = understand(table, **declared, y=y, target_names=target_names, rows=rows)
    else:
        found = tuple(schema)
        require([column.name for column in found], table.names, what="column of the schema")
    used = [column for column in found if column.kind != "dropped"]
    dropped = tuple((column.name, column.note) for column in found if column.kind == "dropped")
    unnamed = set(table.names) - {column.name for column in found}
    dropped += tuple((name, "not in the schema") for name in table.names if name in unnamed)
    if not used:
        raise DataError(f"no column is left to learn from; left out: {'; '.join(f'{name} ({why})' for name, why in dropped)}")
    table = table if rows is None else table.take(rows)
    by_tree = embedding is not None and embedding.by == "tree"
    splits = _target_of(y, target, rows, "PiecewiseLinear(by='tree')") if by_tree else None
    means = targets_of(_target_of(y, target, rows, "category_means")) if category_means and not all_numbers else None
    numbers: dict[str, Any] = {"scaling": scaling, "bins": bins_of(embedding, table.rows)}
    levels: dict[str, Any] = {"max_levels": max_levels, "min_count": min_count, "target": means, **numbers}
    fitted = [_fitted(table, column, {**numbers, "target": splits}, levels) for column in used]
    if schema is None:
        _warn(fitted, [item for item in dropped if item[0] not in drop])
        warn_of_targets(used)
    encoder = TableEncoder(columns=tuple(fitted), dropped=dropped, positional=table.array is not None)
    if not encoder.width:
        raise DataError(f"no column is left to learn from: {', '.join(encoder.column_names)} hold the same date in all rows")
    return encoder


def _target_of(y: Any, target: NDArray[Any] | None, rows: NDArray[np.int64] | None, what: str) -> NDArray[Any]:
    """Return the target of the rows to learn from as numbers, or as numbers of classes."""
    if target is None:
        if y is None:
            raise OptionError(f"{what} goes by the target; give y")
        found = np.asarray(y)
        target = found if found.dtype.kind in "biuf" else np.unique(found.astype(str), return_inverse=True)[1]
    return target if rows is None else target[rows]


def _fitted(table: Table, column: Column, numbers: Mapping[str, Any], levels: Mapping[str, Any]) -> ColumnEncoder:
    """Return the encoder of a column that is used. numbers, levels: options of `fit_numeric` and `fit_categorical`."""
    form = column.form
    if column.kind == "numeric":
        return fit_numeric(table, column.name, reading=form if isinstance(form, Reading) else PLAIN, **numbers)
    if column.kind == "date":
        if form is None:  # a schema written by hand
            form = understand(table.select([column.name]))[0].form
        return fit_date(table, column.name, form if isinstance(form, DateForm) else DateForm())
    if column.kind == "text":
        return fit_text(table, column.name)
    return fit_categorical(table, column.name, part=column.part, **levels)


def warn_of_targets(schema: Sequence[Column]) -> None:
    """Warn of columns that are used though they look like ids, nearly hold numbers, or hold words too, and of those that give the target away."""
    used = [
        f"column {column.name!r} is {'' if column.note.startswith('used, though') else f'{column.kind}: '}{column.note}"
        for column in schema
        if column.note.startswith("used, though")
        or (column.kind == "categorical" and TO_READ in column.note)
        or "as missing: " in column.note
    ]
    if used:
        warn_user("; ".join(used), UserWarning)
    for column in schema:
        if column.leak:
            warn_user(
                f"column {column.name!r} gives the target away: {column.leak}. If it is not known before the target is, take it out of X;"
                f" mn.train and fit_encoder do so with drop=[{column.name!r}]",
                LeakWarning,
            )


def _warn(columns: Sequence[ColumnEncoder], dropped: Sequence[tuple[str, str]]) -> None:
    empty = [column.name for column in columns if column.kind == "numeric" and column.fill is None]
    if dropped:
        left_out = "; ".join(f"{name} ({why})" for name, why in dropped)
        told = all("declare it" in why or "cannot be used" in why for _, why in dropped)
        hint = "" if told else ". Declare them numeric or categorical to use them"
        warn_user(f"left out: {left_out}{hint}", UserWarning)
    if empty:
        warn_user(f"all values are missing in {listed(empty)}: encoded as 0", UserWarning)
