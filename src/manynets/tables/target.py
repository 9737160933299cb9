"""The columns of a table that are no features: the target, the weights of the rows, and those by which rows are split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted, listed
from manynets.errors import DataError, warn_user
from manynets.tables.cells import number_cells, plain_label, text_cells
from manynets.tables.dates import DateForm
from manynets.tables.frames import open_table
from manynets.tables.kinds import plain_values
from manynets.tables.labels import spelled_alike
from manynets.tables.meaning import different, meaning_of
from manynets.tables.missing import is_missing, missing_texts
from manynets.tables.numerals import WHOLE, bad_number, points_in_doubt
from manynets.tables.schema import refuse_a_mixture, understand
from manynets.tables.table import Table, native_type, require
from manynets.tables.written import PLAIN, Meaning, Reading, is_currency, read_number

NEARLY_A_NUMBER = r"^[+-]?[$€£¥]? ?[+-]?(?:[0-9]{1,3}(?:[,.' ][0-9]{3})+|[0-9]+)(?:[.,][0-9]*)? ?(?:[%$€£¥]|[A-Z]{3})?$"
"""A number, maybe with separators of thousands, a decimal comma, a currency or a percent sign."""

MOST_CLASSES = 20


def split_target(
    frame: Any,
    target: str | Sequence[str],
    *,
    weight: str | None = None,
    drop: Sequence[str] = (),
    drop_missing_target: bool = False,
) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
    """Return the features (a frame of the same kind), y, and the weights (N,) or None.

    Args:
        target: one column gives y (N,), a list of columns y (N, T).
        weight: a column of finite numbers, none below 0, that are not all 0.
        drop: columns to leave out of the features; an unknown one is an error.
        drop_missing_target: leave out the rows without a target instead of refusing them.

    y keeps whole numbers as int64 (uint64 where larger) and other numbers as float64, bool as bool; text that holds numbers as people write them, such
    as "$1,000" or "12 %", is read as numbers, and a warning says how; all else is text, without the blanks around it. A few whole
    numbers followed by a word, such as "2 stars", stay text: classes. There is a warning if most
    of the text is nearly a number.

    Errors: DataError for unknown columns with the nearest name, a missing or infinite target with its rows, labels that mix text
    and numbers, weights that cannot be used, and no feature or no row left.

    >>> import polars
    >>> frame = polars.DataFrame({"size": [80.0, 120.0, None], "town": ["Bern", "Basel", "Bern"], "price": [500, 800, 450]})
    >>> X, y, weight = split_target(frame, "price")
    >>> X.columns, y.tolist(), weight
    (['size', 'town'], [500, 800, 450], None)
    """
    table = open_table(frame)
    targets = _names(table, target)
    require(drop, table.names, what="column to drop")
    table = _with_targets(table, targets, drop_missing_target)
    if not table.rows:
        raise DataError(
            f"target {', '.join(map(repr, targets))}: the table has 0 data rows in which it is known, but at least 1 is needed; choose"
            " another target, or fill it in"
        )
    ys = [_target(table, name) for name in targets]
    weights = None if weight is None else row_weights(table, weight)
    excluded = {*targets, *drop, *([] if weight is None else [weight])}
    features = [name for name in table.names if name not in excluded]
    if not features:
        raise DataError(f"no column is left to learn from besides {', '.join(sorted(excluded))}")
    X = table.select(features)
    y = ys[0] if isinstance(target, str) else np.stack(ys, axis=1)
    return X if isinstance(frame, Table) else X.as_frame().to_native(), y, weights


def rows_with_target(frame: Any, target: str | Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows (N,) of a frame have a target; of several targets, all of them. Errors: those of `split_target` for the names.

    >>> import polars
    >>> rows_with_target(polars.DataFrame({"price": [500, None, 450]}), "price").tolist()
    [True, False, True]
    """
    table = open_table(frame)
    return ~_lacking(table, _names(table, target))


def _names(table: Table, target: Any) -> list[str]:
    """Return the targets as a list; DataError for what are not columns of the table."""
    if table.array is not None:
        raise DataError("target is the name of a column, but the columns of an array have no names; give X and y separately")
    if not isinstance(target, str) and (str(target) in table.names or not isinstance(target, Iterable)):
        fix = f"write target={str(target)!r}" if str(target) in table.names else f"the columns are: {listed(table.names, 20)}"
        raise DataError(f"target is {target!r}, but must be the name of a column as text, or a list of names; {fix}")
    targets = [target] if isinstance(target, str) else list(target)
    if not targets:
        raise DataError(f"target is {target!r}, but must name at least one column; the columns are: {listed(table.names, 20)}")
    require(targets, table.names, what="target")
    return targets


def refuse_text_targets(names: Sequence[str], y: NDArray[Any]) -> None:
    """Raise DataError for the first of several targets (N, T), as `split_target` returns them, that is text."""
    if y.ndim < 2 or y.dtype.kind != "U":
        return
    for name, cells in zip(names, y.T, strict=True):
        try:
            cells[~np.isin(cells, ("True", "False"))].astype(np.float64)
        except ValueError:
            raise DataError(
                f"target {name!r} holds {str(cells[0])!r}, but several targets must all be numbers; leave it out, or train a model of its own for it"
            ) from None


def unit_of_target(frame: Any, target: str) -> str | None:
    """Return the unit that a target is written in, such as "CHF" or "%"; None where there is none.

    >>> import polars
    >>> unit_of_target(polars.DataFrame({"price": ["CHF 1'200", "CHF 950", "CHF 1'010.50"]}), "price")
    'CHF'
    """
    table = open_table(frame)
    if table.storage(target) not in ("text", "mixed"):
        return None
    found = _numbers_in(table, target, text_cells(table, target))
    return (found.form.unit or None) if found is not None else None


def _with_targets(table: Table, targets: Sequence[str], drop_missing_target: bool) -> Table:
    """Return the table without the rows that lack a target, or refuse them."""
    missing = _lacking(table, targets)
    if not missing.any():
        return table
    if not drop_missing_target:
        rows = np.flatnonzero(missing)
        what = "target" if len(targets) == 1 else "one of the targets"
        raise DataError(
            f"{what} {', '.join(map(repr, targets))} is missing in {rows.size:,} of {table.rows:,} rows (counted from 0): {listed(rows, 10)};"
            " fill them, or leave them out with drop_missing_target"
        )
    return table.take(np.flatnonzero(~missing))


def _lacking(table: Table, targets: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows (N,) lack any of the targets."""
    missing = np.zeros(table.rows, dtype=bool)
    for name in targets:
        _refuse_records(table, name)
        missing |= _missing(table, name)
    return missing


def _refuse_records(table: Table, name: str) -> None:
    """Raise DataError for a target whose cells have fields of their own."""
    import narwhals as nw

    if table.storage(name) == "other" and table.series(name).dtype == nw.Struct:
        raise DataError(f"target {name!r} has the type {native_type(table.series(name))}; make a column of the field to predict")


def _missing(table: Table, name: str) -> NDArray[np.bool_]:
    if table.storage(name) in ("number", "bool", "duration"):
        return np.isnan(number_cells(table, name))
    cells = text_cells(table, name)
    found = _numbers_in(table, name, cells)
    if found is not None:  # numbers written as text: their missing tokens count
        return np.isnan(number_cells(table, name, found.form))
    return np.asarray(missing_texts(cells).to_numpy(), dtype=bool)


def _numbers_in(table: Table, name: str, cells: Any) -> Meaning[Reading] | None:
    """Return how the text of a target is read as numbers, or None where it holds classes."""
    plain = bad_number(cells) is None
    if table.storage(name) not in ("text", "mixed") or (plain and not points_in_doubt(cells)):
        return Meaning(PLAIN, (), "") if plain else None
    meaning = meaning_of(counts := different(cells), comma_first=name in table.commas)
    if meaning is None or meaning.words or not isinstance(meaning.form, Reading):
        return None
    word = meaning.form.unit[:1].isalpha() and not is_currency(meaning.form.unit)
    whole = all(text[:1].isdigit() and not any(sign in text for sign in ".,") for text in counts)
    return None if word and whole and len(counts) <= MOST_CLASSES else meaning


def _target(table: Table, name: str) -> NDArray[Any]:
    storage = table.storage(name)
    if storage == "mixed":
        refuse_a_mixture(table, name)
    if storage in ("number", "bool", "duration"):
        values = number_cells(table, name)
        if table.dtype(name).is_integer():
            return _whole(table.series(name))
        return values.astype(bool) if storage == "bool" else values
    kind = native_type(table.series(name))
    if kind.startswith("complex"):
        raise DataError(f"target {name!r} is of type {kind}; targets must be real numbers or labels")
    cells = text_cells(table, name)
    found = _numbers_in(table, name, cells)
    if found is not None:
        reading = found.form
        if reading != PLAIN or found.note:
            index, first = bad_number(cells) or (0, str(cells[0]))
            example = f"{first!r} in {table.row(index)} is {read_number(first, reading)}"
            more = f"; {found.note}" if found.note else ""
            warn_user(
                f"target {name!r} is read as {reading}: {example}{more}; if classes are meant, write them as words", UserWarning
            )
        values = number_cells(table, name, reading)
        whole = reading == PLAIN and cells.str.contains(WHOLE).all() and np.abs(values).max() < 2**53
        return values.astype(np.int64) if whole else values
    bad = bad_number(cells)
    assert bad is not None
    labels = cells.unique()
    if 2 * int(labels.str.contains(NEARLY_A_NUMBER).sum()) > len(labels):
        warn_user(
            f"target {name!r} is taken as text: its {len(labels)} different values are classes, as {table.row(bad[0])} holds"
            f" {bad[1]!r}; if numbers are meant, write them plainly, such as 1000 for 1,000, $1000 or 12 for 12%",
            UserWarning,
        )
    if len(labels) > MOST_CLASSES and (storage == "date" or _dates_in_text(cells)):
        warn_user(
            f"target {name!r} holds dates: its {len(labels)} different values are classes; if moments are to be predicted, make them"
            " numbers, such as days",
            UserWarning,
        )
    y = np.array([plain_label(cell) for cell in cells.to_list()])
    _remark_on_classes(name, y)
    return y


def _dates_in_text(cells: Any) -> bool:
    meaning = meaning_of(different(cells))
    return meaning is not None and isinstance(meaning.form, DateForm) and not meaning.words


def _remark_on_classes(name: str, y: NDArray[Any]) -> None:
    """Warn of classes that may be one, or that may stand for a missing value."""
    classes, counts = np.unique(y, return_counts=True)
    for alike in spelled_alike(classes.tolist()):
        warn_user(f"target {name!r} has the classes {', '.join(map(repr, alike))}: if they are one, write them alike", UserWarning)
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        if is_missing(label):
            warn_user(
                f"target {name!r} has the class {label!r} in {counted(count, 'row')}: if that stands for a missing value, leave the cells empty",
                UserWarning,
            )


def _whole(series: Any) -> NDArray[Any]:
    """Return whole numbers (N,) as int64, or as uint64 where they are beyond that."""
    import narwhals as nw

    if series.dtype == nw.UInt64 and series.max() > np.iinfo(np.int64).max:
        return np.asarray(series.to_numpy(), dtype=np.uint64)
    return np.asarray(series.cast(nw.Int64).to_numpy(), dtype=np.int64)


def row_weights(table: Table, name: str) -> NDArray[np.float64]:
    """Return the weights (N,) in a column. Errors: those of `split_target`."""
    require([name], table.names, what="weight")
    text = table.storage(name) in ("text", "mixed")
    found = _numbers_in(table, name, text_cells(table, name)) if text else None
    weights = number_cells(table, name, PLAIN if found is None else found.form)
    bad = np.flatnonzero(~(weights >= 0.0))
    if bad.size:
        raise DataError(f"weight {name!r} is {weights[bad[0]]} in {table.row(int(bad[0]))}, but must be a number of at least 0")
    if not weights.any():
        raise DataError(f"weight {name!r} is 0 in every row; at least one must be above 0")
    return weights


def columns_to_split_by(table: Table, named: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the values (N,) of columns, as `understand` reads them. named: groups, times or stratify, each with the name of a column.

    Errors: DataError for a name that is no column, and for times that are neither dates nor numbers.

    >>> import polars
    >>> from manynets.tables import open_table
    >>> table = open_table(polars.DataFrame({"sold": ["2024-01-31", "2024-07-01"], "town": ["Bern", "Basel"]}))
    >>> columns_to_split_by(table, {"times": "sold"})["times"].round(2).tolist()
    [2024.08, 2024.5]
    """
    require(named.values(), table.names, what="column to split by")
    values = {}
    for what, name in named.items():
        [column] = understand(table.select([name]), categorical=[name] if what == "groups" else [])
        values[what] = plain_values(table, column)
    times = values.get("times")
    if times is not None and times.dtype.kind not in "biuf":
        raise DataError(f"times is {named['times']!r}, but that column holds {times[0]!r}, and must hold dates or numbers")
    return values


def match_labels(labels: NDArray[Any], known: Sequence[Any] | NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return the labels of a test file in the spelling of the training file, and a note of what was changed, empty for nothing.

    One difference is known and corrected: a point at the end of each unknown label, as in the published test file of "adult", where
    `<=50K` is written `<=50K.`.

    Errors: DataError that lists the labels that training did not have.

    >>> match_labels(np.array(["no.", "yes."]), ["no", "yes"])
    (array(['no', 'yes'], dtype='<U3'), "a point was taken off the end of 2 labels: 'no.', 'yes.'")
    """
    names = list(known)
    unknown = [label for label in np.unique(labels).tolist() if label not in names]
    if not unknown:
        return labels, ""
    if all(isinstance(label, str) and label.endswith(".") and label[:-1] in names for label in unknown):
        shorter = np.array([label[:-1] if label in unknown else label for label in labels.tolist()])
        return shorter, f"a point was taken off the end of {len(unknown)} labels: {', '.join(map(repr, unknown))}"
    rows = np.flatnonzero(np.isin(labels, unknown))
    raise DataError(
        f"{counted(rows.size, 'row')} of {len(labels):,} {'have labels' if rows.size > 1 else 'has a label'} that training did not have:"
        f" {listed(map(repr, unknown), 10)} (rows with a target, counted from 0: {listed(rows, 5)}); it had {listed(map(repr, names), 20)};"
        " leave such rows out, as manynets evaluate does with --drop-unseen-classes, or train with some of them"
    )
