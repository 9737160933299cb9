"""Before a column is left out: does it say anything about the target? And the opposite: does a column give the target away?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets.tables.association import MOST_CLASSES, Association, Codes, association, binned, plain_target, target_scores
from manynets.tables.cells import factorise, number_cells, part_codes
from manynets.tables.kinds import Column, numbers_of
from manynets.tables.meaning import meaning_of
from manynets.tables.missing import is_missing
from manynets.tables.names import named_as_row_number
from manynets.tables.parts import PARTS_OF_CODES, CodePart, described, digits_of, merged
from manynets.tables.table import Table
from manynets.tables.written import Reading

SAMPLE = 20_000
"""Rows of a longer table that are looked at, spread evenly over it."""
FEWEST_FOR_A_COPY, FEWEST_ALONE = 30, 100
"""In fewer rows a copy of the target, or a column that predicts it perfectly alone, may be chance or a good column."""
FEWEST_OF_A_CLASS = 5
FEWEST_CODES, ROWS_PER_CODE, NEIGHBOURS = 17, 10, 4
"""Codes have so many different values, so many rows of each, and so many neighbours are taken together to see whether they are alike."""
FEW_VALUES = 64
"""The least values of a column that must predict numbers perfectly before all of them are looked at."""
GAIN_OF_CODES, TIMES_OF_CODES = 0.02, 3.0
"""What single values must explain beyond groups of neighbours: so much more of the target, and so many times as much."""


class _Use(NamedTuple):
    """A way to use a column that looks like an id."""

    found: Association
    kind: Literal["numeric", "categorical"]
    form: Reading | None
    part: CodePart
    what: str


def sample_rows(rows: int) -> NDArray[np.int64]:
    """Return the rows that are looked at: all, or as many as suffice."""
    return np.arange(rows) if rows <= SAMPLE else np.linspace(0, rows - 1, SAMPLE).astype(np.int64)


def reconsidered(table: Table, column: Column, scores: NDArray[np.float64]) -> Column:
    """Return what is done with a column that looks like an id, or like text that says nothing, given a target.

    Used, if its value, or one part of it, says something about the target on the rows of the table; else it is left out as before.
    Numbers of the rows of a sorted table are left out all the same, as those of new rows mean nothing, and the note says so.

    Args:
        table: the training rows, or some of them.
        scores: of their target, see `target_scores`.
    """
    uses = [use for use in _uses(table, column, scores) if use.found.informative]
    if not uses:
        return column
    best = max(uses, key=lambda use: use.found.share)
    best = next((use for use in uses if use.kind == "numeric" and 2.0 * use.found.share >= best.found.share), best)
    (why, *more), share = column.note.split("; "), f"{best.found.share:.0%}"
    if _numbers_the_rows(table, column):
        return replace(
            column,
            note=f"{why}; but the target changes with the order of the rows, which explains {share} of it: declare it numeric if the"
            " numbers of new rows mean something too",
        )
    more = more[:-1]  # the last says how to keep it
    if best.form is not None and (
        without := next((label for label in factorise(table, column.name)[0] if digits_of(label) is None), "")
    ):
        more.append(f"values without a number, such as {without!r}, count as missing")
    note = "; ".join(
        [f"used, though it looks like {why}: {share} of the target follows from {best.what}", *more, "drop it to leave it out"]
    )
    return replace(column, kind=best.kind, form=best.form, part=best.part, note=note)


def as_codes(table: Table, column: Column, scores: NDArray[np.float64]) -> Column:
    """Return a numeric column as categories where its whole numbers are codes: each says far more about the target than it and its neighbours.

    table: the training rows, or some of them; scores: of their target, see `target_scores`.
    """
    if (
        column.form is not None
        or not FEWEST_CODES <= column.distinct <= table.rows // ROWS_PER_CODE
        or table.storage(column.name) != "number"
    ):
        return column
    values = number_cells(table, column.name)
    if not np.array_equal(values, np.floor(values), equal_nan=True):
        return column
    codes = np.where(np.isnan(values), -1, _ranks(values))
    alone, together = association(codes, scores), association(codes // NEIGHBOURS, scores)
    if not alone.informative or alone.share < max(TIMES_OF_CODES * together.share, together.share + GAIN_OF_CODES):
        return column
    note = f"taken as codes: {alone.share:.0%} of the target follows from single values, {max(together.share, 0):.0%} from groups of neighbours"
    return replace(column, kind="categorical", note=f"{note}; declare it numeric if it is a number")


def _numbers_the_rows(table: Table, column: Column) -> bool:
    if table.storage(column.name) != "number" or not named_as_row_number(column.name):
        return False
    values = number_cells(table, column.name)
    steps = np.diff(values[~np.isnan(values)])
    return bool((steps > 0).all() or (steps < 0).all())


def _uses(table: Table, column: Column, scores: NDArray[np.float64]) -> Iterator[_Use]:
    """Yield each way to use a column, and what it says about the target."""
    name = column.name
    labels, codes = factorise(table, name)
    if table.storage(name) == "number":
        yield _Use(association(binned(number_cells(table, name)), scores), "numeric", None, "", "its value")
    elif not _numbers_with_words(labels):
        digits = [digits_of(label) for label in labels]
        numbers = np.array([*(np.nan if value is None else value for value in digits), np.nan])
        reading = Reading(digits=True)
        yield _Use(association(binned(numbers[codes]), scores), "numeric", reading, "", "the number in it")
    for part in PARTS_OF_CODES:
        parts, of_part = merged(labels, codes, part)
        if 2 * len(parts) <= table.rows or not part:
            yield _Use(association(of_part, scores), "categorical", None, part, described(part))


def _numbers_with_words(labels: Sequence[str]) -> bool:
    """Return whether most of these are numbers or dates, and some words: those are no codes.

    >>> _numbers_with_words(["171", "5.5", "oops"]), _numbers_with_words(["A-171", "B-22", "C-"])
    (True, False)
    """
    meaning = meaning_of(dict.fromkeys((label for label in labels if not is_missing(label)), 1))
    return meaning is not None and bool(meaning.words)


def explained_share(table: Table, column: Column, scores: NDArray[np.float64]) -> float | None:
    """Return the share of the target that a column explains, as it is understood; None of text and of what cannot be used."""
    if column.kind == "text" or not column.distinct:
        return None
    values = numbers_of(table, column)
    codes = part_codes(table, column.name, column.part)[1] if values is None else binned(values)
    return max(0.0, association(codes, scores).share)


class Truth(NamedTuple):
    """A target (N,) that columns may give away: its name in messages, as float64 where it holds numbers, its scores, its classes and their counts."""

    name: str
    numbers: NDArray[np.float64] | None
    scores: NDArray[np.float64]
    classes: Codes
    counts: NDArray[np.int64]


def truths_of(y: Any, names: Sequence[str] = ()) -> list[Truth]:
    """Return what `leak_of` needs to know of each target in y, (N,) or (N, T). names: of several targets; without them they have numbers.

    >>> [truth.name for truth in truths_of([[1, 2]], ["rent", "price"])], truths_of([1, 2])[0].name
    (["the target 'rent'", "the target 'price'"], 'the target')
    """
    found, out = plain_target(y), []
    targets = found.reshape(len(found), -1).T
    for number, target in enumerate(targets):
        name = f"the target {names[number]!r}" if len(names) == len(targets) else f"target {number} (counted from 0)"
        classes = _ranks(target)
        numbers = target.astype(np.float64) if target.dtype.kind in "biuf" else None
        out.append(Truth(name if len(targets) > 1 else "the target", numbers, target_scores(target), classes, np.bincount(classes)))
    return out


def leak_of(table: Table, column: Column, truths: Sequence[Truth]) -> str:
    """Return how a column gives a target away, or nothing: a copy of it, or what predicts it alone, on the rows of the table."""
    if table.rows < FEWEST_FOR_A_COPY or column.kind == "text" or not column.distinct:
        return ""
    values = numbers_of(table, column)
    codes = _ranks(part_codes(table, column.name, column.part)[1] if values is None else values)
    return next((found for truth in truths if (found := _leak(values, codes, truth))), "")


def _ranks(values: NDArray[Any]) -> Codes:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _leak(values: NDArray[np.float64] | None, codes: Codes, truth: Truth) -> str:
    """Return how a column gives a target away. values: its numbers (N,), None for a column of labels; codes: the ranks of its values (N,)."""
    classes, counts, scores, rows, groups = truth.classes, truth.counts, truth.scores, len(truth.classes), int(codes.max()) + 1
    if len(counts) < 2 or groups < 2:
        return ""
    if values is not None and truth.numbers is not None and np.array_equal(values, truth.numbers):
        return f"it is a copy of {truth.name}"
    if len(counts) <= MOST_CLASSES:
        if counts.min() < FEWEST_OF_A_CLASS:
            return ""
        pure = len(np.unique(codes * len(counts) + classes)) == groups  # each value has one class
        if pure and groups == len(counts):
            return f"it is {truth.name} under other names"
        by_value = classes[np.argsort(codes, kind="stable")]
        intervals = values is not None and int(np.count_nonzero(np.diff(by_value))) + 1 == len(counts)
        alone = pure and (intervals or 5 * groups <= rows)
    elif 5 * groups <= rows:
        means = np.bincount(codes, weights=scores[:, 0]) / np.bincount(codes)
        alone = float(np.mean(np.square(scores[:, 0] - means[codes]))) <= 1e-6 * float(np.var(scores))
    else:
        alone = values is not None and truth.numbers is not None and _interpolates(values, truth.numbers)
    return f"it predicts {truth.name} perfectly alone" if alone and rows >= FEWEST_ALONE else ""


def _interpolates(values: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Return whether each target is on the line between those of the next smaller and the next larger value."""
    if len(values) > 2 * FEW_VALUES:  # the least values say so of most columns that are far from it
        few = values < np.partition(values, FEW_VALUES)[FEW_VALUES]
        size = float(np.abs(y).max()) or 1.0
        target, line = _interpolated(values[few], y[few])
        if np.square(target / size - line / size).sum() > 2e-6 * len(y) * np.var(y / size):
            return False
    present = ~np.isnan(values)
    if np.count_nonzero(present) < 0.99 * len(values):
        return False
    target, line = _interpolated(values[present], y[present])
    size = float(np.abs(y[present]).max()) or 1.0
    scaled, line = target / size, line / size
    return bool(np.mean(np.square(scaled - line)) <= 1e-6 * np.var(scaled))


def _interpolated(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the targets of all but the least and the largest value (n - 2,), and what the line between their neighbours has there."""
    order = np.lexsort((y, x))
    x, target = x[order], y[order]
    width = x[2:] - x[:-2]
    share = np.divide(x[1:-1] - x[:-2], width, out=np.full(len(width), 0.5), where=width > 0)
    return target[1:-1], target[:-2] + share * (target[2:] - target[:-2])
