"""What is in a table: each column and how it was read, what it says about the target, what is left out, and what to do about it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted
from manynets.tables.association import are_classes, target_scores
from manynets.tables.cells import factorise
from manynets.tables.frames import open_table
from manynets.tables.informative import explained_share, sample_rows
from manynets.tables.kinds import LEFT_OUT, Column, holds_dates, numbers_of
from manynets.tables.labels import spelled_alike
from manynets.tables.names import named_as_id
from manynets.tables.schema import FEWEST_FOR_AN_ID, understand
from manynets.tables.table import Table, storage_of
from manynets.tables.target import split_target

FEWEST_ROWS = 30
"""In fewer rows, what a column explains of the target is chance."""
RARE = 0.05
"""A class with fewer rows than this share, and than half the mean of all classes, is rare."""
MOSTLY = 0.5
"""A column is mostly missing above this share."""
NEARLY_ALL = 0.95
"""A column that explains more of the target than this may have been written after it."""
FEWEST_OTHERS = 10
"""Among fewer different values none is far from the others."""
SKEWED = 1.0
"""A positive target with a skewness above this has a heavy tail."""


@dataclass(frozen=True, kw_only=True)
class InspectedColumn:
    """A column, as it was understood.

    Attributes:
        column: see `Column`.
        association: share of the spread of the target that the column explains in rows not used to find it out, from 0 to 1: R2 of
            ranks, or of classes. None without a target, for text, and in fewer than 30 rows.
    """

    column: Column
    association: float | None = None

    @property
    def read_as(self) -> str:
        """How its cells are read; empty where they are plain numbers or words."""
        return self.column.part or str(self.column.form or "")

    def to_json(self) -> dict[str, Any]:
        """Return the column as JSON types."""
        fields = ("name", "kind", "missing", "distinct", "example", "note", "leak")
        state = {field: getattr(self.column, field) for field in fields}
        return {**state, "read_as": self.read_as, "association": self.association}


@dataclass(frozen=True, kw_only=True)
class InspectedTarget:
    """A target.

    Attributes:
        name: name of its column.
        missing: number of rows without a target, which are not looked at.
        classes: number of rows of each class, the most frequent first; None for numbers.
        quartiles: minimum, quartiles and maximum of numbers; None for classes.
        skewness: skewness of numbers, above 1 for a heavy upper tail; None for classes.
    """

    name: str
    missing: int
    classes: dict[str, int] | None = None
    quartiles: tuple[float, ...] | None = None
    skewness: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the target as JSON types."""
        return {**vars(self), "quartiles": None if self.quartiles is None else list(self.quartiles)}


@dataclass(frozen=True, kw_only=True, repr=False)
class Inspection:
    """What `inspect_table` found.

    Attributes:
        rows: how many rows of the table have a target.
        columns: what was found in each column but the target.
        targets: the same for each target that was named.
        duplicates: how many rows equal an earlier one in all columns, including the target and the columns that are left out.
        suggestions: what to do, and how the target is read, one sentence each.

    >>> import polars
    >>> frame = polars.DataFrame({"size": [float(i) for i in range(40)], "price": [3.0 * i + 1 for i in range(40)]})
    >>> found = inspect_table(frame, "price")
    >>> found.rows, [one.column.kind for one in found.columns], found.duplicates
    (40, ['numeric'], 0)
    """

    rows: int
    columns: tuple[InspectedColumn, ...]
    targets: tuple[InspectedTarget, ...]
    duplicates: int
    suggestions: tuple[str, ...]

    def __repr__(self) -> str:
        counts = ((self.columns, "column"), (self.targets, "target"), (self.suggestions, "suggestion"))
        words = [counted(len(some), noun) for some, noun in counts]
        return f"<Inspection: {counted(self.rows, 'row')}, {', '.join(words)}>"

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        return {
            "rows": self.rows,
            "duplicates": self.duplicates,
            "columns": [column.to_json() for column in self.columns],
            "targets": [target.to_json() for target in self.targets],
            "suggestions": list(self.suggestions),
        }


def inspect_table(
    frame: Any,
    target: str | Sequence[str] | None = None,
    *,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    text: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Inspection:
    """Return what was understood of a frame, column by column.

    Args:
        target: the column, or columns, to predict. With one, each column shows how much of it it explains, ids that say something are
            used, and columns that give it away are named.
        categorical, numeric, text, drop: as in `understand`.

    Errors: as `understand` and `split_target`.

    >>> import polars
    >>> found = inspect_table(polars.DataFrame({"price": ["$5", "$9"], "color": ["red", "red"]}))
    >>> [(one.column.name, one.column.kind, one.read_as) for one in found.columns]
    [('price', 'numeric', "numbers: unit '$'"), ('color', 'categorical', '')]
    >>> found.suggestions
    ("'color' has one value in all rows: it says nothing",)
    """
    table = whole = open_table(frame)
    names = [] if target is None else [target] if isinstance(target, str) else list(target)
    y, targets, said = None, [], []
    if names:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table, y, _ = split_target(table, names, drop_missing_target=True)
        targets = [_target(name, column, whole.rows - table.rows) for name, column in zip(names, y.T, strict=True)]
        said = [str(warning.message) for warning in caught]
        if y.shape[1] == 1 and y.dtype.kind in "iuf" and len(classes := targets[0].classes or ()) > 2:
            said.append(
                f"{names[0]!r} holds {len(classes)} different whole numbers and is taken as classes; for numbers give task='regression'"
            )
    schema = understand(table, categorical=categorical, numeric=numeric, text=text, drop=drop, y=y, target_names=names)
    columns = [InspectedColumn(column=column) for column in schema]
    if y is not None and table.rows >= FEWEST_ROWS:
        rows = sample_rows(table.rows)
        some, scores = table.take(rows), target_scores(y[rows])
        columns = [InspectedColumn(column=column, association=explained_share(some, column, scores)) for column in schema]
    duplicates = _duplicates(replace(whole, rows=table.rows, taken=table.taken))
    return Inspection(
        rows=table.rows,
        columns=tuple(columns),
        targets=tuple(targets),
        duplicates=duplicates,
        suggestions=(*said, *_suggestions(table, columns, targets, duplicates)),
    )


def _target(name: str, y: NDArray[Any], missing: int) -> InspectedTarget:
    labels, counts = np.unique(y, return_counts=True)
    if are_classes(labels):
        order = np.argsort(-counts, kind="stable")
        return InspectedTarget(name=name, missing=missing, classes={str(labels[i]): int(counts[i]) for i in order})
    values = y.astype(np.float64)
    size = float(np.abs(values).max()) or 1.0
    unit = values / size
    spread = float(unit.std())
    skewness = float(np.mean(((unit - unit.mean()) / spread) ** 3)) if spread > 0.0 else 0.0
    quartiles = tuple(float(q) for q in np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0]))
    return InspectedTarget(name=name, missing=missing, quartiles=quartiles, skewness=skewness)


def _duplicates(table: Table) -> int:
    """Return how many rows are the same as an earlier one."""
    import narwhals as nw

    if table.array is not None:
        rows = table.array if table.taken is None else table.array[table.taken]
        return table.rows - len(np.unique(rows, axis=0))
    frame = table.as_frame()
    objects = [series for series in frame.iter_columns() if storage_of(series) in ("mixed", "other")]  # which may have no hash
    texts = [nw.new_series(one.name, [*map(repr, one.to_list())], nw.String, backend=one.implementation) for one in objects]
    return table.rows - len(frame.with_columns(*texts).unique())


# -------------------------------------------------------------------------------------------------------------- suggestions


def _suggestions(
    table: Table, columns: Sequence[InspectedColumn], targets: Sequence[InspectedTarget], duplicates: int
) -> Iterator[str]:
    """Yield what to do about the columns and targets of a table, and about so many duplicate rows, one sentence each, leaks first."""
    rows, several = table.rows, len(targets) > 1
    for one in columns:
        name = one.column.name
        if one.column.leak:
            yield f"{name!r} gives the target away: {one.column.leak}; unless it is known before the target, drop=[{name!r}]"
        elif (one.association or 0.0) > NEARLY_ALL:
            of = "targets" if several else "target"
            yield f"{name!r} explains {one.association:.0%} of the {of} by itself: make sure that it is known before the {of}"
    for one in columns:
        yield from _of_column(rows, one.column)
    for target in targets:
        yield from _of_target(target)
    if duplicates:
        yield (
            f"{duplicates:,} of {rows:,} rows are the same as an earlier one: unless that is how the data come, remove them, as they may be"
            " on both sides of a split"
        )
    dates = [one.column.name for one in columns if holds_dates(one.column)]
    if dates and targets:
        yield f"if new rows will be later than these, split by time: times=frame[{dates[0]!r}]"
    for one in columns:
        yield from _of_values(table, one.column)


def _of_column(rows: int, column: Column) -> Iterator[str]:
    name, present = column.name, rows - column.missing
    if column.kind != "dropped" and present and column.distinct == 1 and not column.missing:
        yield f"{name!r} has one value in all rows: it says nothing"
    if column.kind != "dropped" and column.missing > MOSTLY * rows:
        yield f"{name!r} is missing in {column.missing / rows:.0%} of the rows"
    looks_like_an_id = (column.kind == "dropped" and column.note != LEFT_OUT) or bool(column.part)
    named = named_as_id(name) and column.distinct >= FEWEST_FOR_AN_ID and column.note != LEFT_OUT
    if (looks_like_an_id or named) and 1 < column.distinct <= 0.95 * present:
        yield f"if the rows of one {name!r} belong together, do not split them: groups=frame[{name!r}]"


def _of_values(table: Table, column: Column) -> Iterator[str]:
    if column.kind == "categorical" and column.distinct and not column.part:
        for alike in spelled_alike(factorise(table, column.name)[0]):
            yield f"{column.name!r} has the levels {', '.join(map(repr, alike))}: if they are one, write them alike"
    values = numbers_of(table, column) if column.kind == "numeric" else None
    for value, count in () if values is None else _far_values(values[~np.isnan(values)]):
        yield (
            f"{column.name!r} is {value:g} in {counted(count, 'row')}, far from all its other values: if that stands for a missing value, leave"
            " those cells empty"
        )


def _far_values(values: NDArray[np.float64]) -> list[tuple[float, int]]:
    """Return the least or the largest of many values, and its rows, where it occurs several times, farther away than the others spread.

    >>> _far_values(np.array([-999.0, -999.0, *range(20)]))
    [(-999.0, 2)]
    """
    different, counts = np.unique(values, return_counts=True)
    if different.size < FEWEST_OTHERS:
        return []
    ends = (
        (0, different[1] - different[0], different[-1] - different[1]),
        (-1, different[-1] - different[-2], different[-2] - different[0]),
    )
    return [(float(different[at]), int(counts[at])) for at, gap, spread in ends if gap > spread and counts[at] > 1]


def _of_target(target: InspectedTarget) -> Iterator[str]:
    if target.missing:
        yield f"the target {target.name!r} is missing in {counted(target.missing, 'row')}: drop_missing_target=True leaves them out"
    if (target.classes is not None and len(target.classes) == 1) or (
        target.quartiles and target.quartiles[0] == target.quartiles[-1]
    ):
        yield f"the target {target.name!r} has one value in all rows: there is nothing to predict"
    if target.classes is not None and len(target.classes) > 1:
        label, count = min(target.classes.items(), key=lambda item: item[1])
        rows = sum(target.classes.values())
        if count < RARE * rows and 2 * count * len(target.classes) < rows:
            yield f"the class {label!r} of {target.name!r} has {counted(count, 'row')}: look at its own accuracy, not at that of all rows"
    if target.quartiles is not None and target.quartiles[0] > 0.0 and (target.skewness or 0.0) > SKEWED:
        yield f"the target {target.name!r} is positive with a heavy tail: try target_transform='log'"
