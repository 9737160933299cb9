"""What to do about what `manynets.tables.inspection` finds in a table, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted
from manynets.tables.cells import factorise
from manynets.tables.kinds import LEFT_OUT, Column, holds_dates, numbers_of
from manynets.tables.labels import spelled_alike
from manynets.tables.names import named_as_id
from manynets.tables.schema import FEWEST_FOR_AN_ID
from manynets.tables.table import Table

if TYPE_CHECKING:
    from manynets.tables.inspection import InspectedColumn, InspectedTarget

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


def suggestions(
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
            f"{duplicates} of {rows} rows are the same as an earlier one: unless that is how the data come, remove them, as they may be"
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
