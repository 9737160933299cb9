"""Columns of unusual types as plain ones, such as pandas' Sparse, Period and Interval, and lists or arrays of equal length."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from manynets.display import counted
from manynets.errors import DataError
from manynets.tables.missing import is_missing_value


def plain_columns(frame: Any, known: Collection[str] = ()) -> Any:
    """Return a pandas, polars or pyarrow frame in which such columns are plain: the same object where there are none.

    - Sparse: the numbers.
    - Period: the moment at which it starts.
    - Interval: the number or moment in the middle, or the finite end.
    - Numbers in the byte order of another machine: in that of this one.
    - Whole numbers of 128 bits: those of 64 bits, or floats where they are larger.
    - Arrow's views and run-end encoded columns: the same values, plainly stored.
    - Objects that are all durations: in microseconds; objects of pandas that are all numbers: these numbers.
    - Structs, and dicts in pandas: a column `name.field` for each field, at any depth.
    - Lists and arrays of numbers, all of one length n: n columns called `name[0]`, `name[1]`, ... An empty list is missing.

    known: the columns that an encoder has. Lists become columns where they did when it was fitted, and must have the length that they had then.

    Errors: DataError for lists of another length, and for a column that is called as one of those of a list or struct.
    """
    kind = type(frame).__module__.split(".")[0]
    if kind == "pandas" and hasattr(frame, "columns"):
        return _plain_pandas(frame, known)
    if kind == "polars" and hasattr(frame, "get_columns"):
        return _plain_polars(frame, known)
    if kind == "pyarrow" and hasattr(frame, "schema"):
        return _plain_arrow(frame, known)
    return frame


def _plain_pandas(frame: Any, known: Collection[str]) -> Any:
    changed: dict[str, dict[str, Any]] = {}
    nested, absent = False, _absent_fields(known, frame.columns)
    for index, (name, dtype) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        kind, foreign = type(dtype).__name__, isinstance(dtype, np.dtype) and not dtype.isnative
        unusual = kind in ("SparseDtype", "PeriodDtype", "IntervalDtype", "ArrowDtype") or str(dtype) == "object" or foreign
        if not unusual and not _length(name, known) and name not in absent:
            continue
        column = frame.iloc[:, index]
        if foreign:
            changed[name] = {name: column.astype(dtype.newbyteorder("="))}
        elif kind == "SparseDtype":
            changed[name] = {name: column.sparse.to_dense()}
        elif kind == "PeriodDtype":
            changed[name] = {name: column.dt.to_timestamp()}
        elif kind == "IntervalDtype":
            dates = getattr(dtype.subtype, "kind", "") in "mM"
            changed[name] = {name: column.array.mid if dates else _middles(column)}
        elif fields := _fields(name, column, absent):
            nested, changed[name] = True, _free(name, "fields", fields, frame.columns)
        elif (lists := _lists(name, column, known)) is not None:
            changed[name] = _apart(name, lists, frame.columns)
        elif (durations := _durations(column)) is not None:
            changed[name] = {name: durations}
        elif (numbers := _numbers(column)) is not None:
            changed[name] = {name: numbers}
    if not changed:
        return frame
    import pandas

    pieces: dict[str, Any] = {}
    for index, name in enumerate(frame.columns):
        pieces |= changed.get(name) or {name: frame.iloc[:, index]}
    plain = pandas.DataFrame(pieces, index=frame.index)
    return _plain_pandas(plain, known) if nested else plain  # what was in dicts may be so, too


def _numbers(column: Any) -> Any:
    """Return Python objects that are all numbers, or missing, as numbers; None where they are not, or are too large."""
    from pandas.api.types import infer_dtype

    found = {"integer": "Int64", "floating": "Float64", "mixed-integer-float": "Float64"}
    kind = found.get(infer_dtype(column, skipna=True)) if str(column.dtype) == "object" else None
    if kind == "Float64" and any(isinstance(cell, int) and abs(cell) > 2**53 for cell in column):
        return None  # as floats some would be the same
    try:
        return None if kind is None else column.astype(kind)
    except (OverflowError, TypeError, ValueError):
        return None


def _middles(column: Any) -> Any:
    left, right = (np.asarray(ends, dtype=np.float64) for ends in (column.array.left, column.array.right))
    low, high = np.where(np.isinf(left), right, left), np.where(np.isinf(right), left, right)
    return low / 2 + high / 2


def _fields(name: str, column: Any, absent: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the fields of dicts in a column of pandas by their new names, None where missing; none where it holds other objects."""
    import pandas

    first = next((cell for cell in column if isinstance(cell, dict) or not is_missing_value(cell)), None)
    if not isinstance(first, dict):
        return {} if first is not None else {field: pandas.Series(math.nan, index=column.index) for field in absent.get(name, ())}
    cells = [cell if isinstance(cell, dict) else {} for cell in column]
    keys = dict.fromkeys(key for cell in cells for key in cell)
    return {f"{name}.{key}": pandas.Series([cell.get(key) for cell in cells], index=column.index) for key in keys}


def _absent_fields(known: Collection[str], names: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns of an encoder that new rows lack, by what precedes a point in them: a struct, whose rows may all be missing."""
    found: dict[str, list[str]] = {}
    for field in {field for field in known if "." in field}.difference(names):
        for end, sign in enumerate(field):
            if sign == ".":
                found.setdefault(field[:end], []).append(field)
    return found


def _lists(name: str, column: Any, known: Collection[str]) -> np.ndarray[Any, Any] | None:
    """Return the numbers (N, n) in a column of lists or arrays of length n, NaN where missing, or None where it holds none."""
    first = next((cell for cell in column if _is_list(cell) or not is_missing_value(cell)), None)
    return _matrix(name, list(column), known) if _is_list(first) or (first is None and _length(name, known)) else None


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _length(name: str, known: Collection[str]) -> int:
    """Return of how many columns an encoder has read a column of lists, 0 for none."""
    return next(j for j in itertools.count() if f"{name}[{j}]" not in known)


def _durations(cells: Iterable[Any]) -> np.ndarray[Any, Any] | None:
    """Return durations (N,) in microseconds, NaT where missing, or None where other objects are among the cells."""
    found = []
    for cell in cells:
        missing = is_missing_value(cell)
        if not missing and not isinstance(cell, datetime.timedelta | np.timedelta64):
            return None
        found.append(None if missing else cell)
    return np.array(found, dtype="timedelta64[us]") if any(cell is not None for cell in found) else None


def _matrix(name: str, cells: Sequence[Any], known: Collection[str]) -> np.ndarray[Any, Any] | None:
    size = 0 if name in known else _length(name, known)
    lengths = [len(cell) or None if _is_list(cell) else None for cell in cells]  # None: missing, as an empty list is
    other = next((row for row, length in enumerate(lengths) if length not in (None, size)), None) if size else None
    if other is not None:
        raise DataError(
            f"column {name!r} held lists of {counted(size, 'number')} in training, but row {other} (counted from 0) holds one of {lengths[other]};"
            " give an empty list where they are missing"
        )
    sizes = {length for length in lengths if length is not None}
    size = sizes.pop() if not size and len(sizes) == 1 and name not in known else size
    if not size:
        return None
    try:
        values = np.array(
            [[math.nan] * size if n is None else cell for cell, n in zip(cells, lengths, strict=True)], dtype=np.float64
        )
    except (TypeError, ValueError):
        return None
    return values if values.shape == (len(cells), size) else None


def _apart(name: str, lists: np.ndarray[Any, Any], names: Collection[str]) -> dict[str, Any]:
    """Return lists (N, n) as n columns by name. Errors: DataError where one of the names is that of another column."""
    return _free(name, "lists", {f"{name}[{j}]": values for j, values in enumerate(lists.T)}, names)


def _free(name: str, what: str, columns: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the columns that a column becomes. Errors: DataError where one of them is called as another column."""
    taken = next((one for one in columns if one in names), None)
    if taken is not None:
        called = f"{name}[0], {name}[1], ..." if what == "lists" else ", ".join(columns)
        raise DataError(
            f"the {what} in column {name!r} are read as columns called {called}, but there is a column {taken!r} too; rename one of the two"
        )
    return columns


def unnested(frame: Any) -> Any:
    """Return a frame of polars, lazy or not, with a column `name.field` for each field of a struct, at any depth.

    Errors: DataError for a column that is called as one of them.
    """
    import polars

    while structs := {name: dtype for name, dtype in frame.collect_schema().items() if isinstance(dtype, polars.Struct)}:
        names = frame.collect_schema().names()
        for name, dtype in structs.items():
            _free(name, "fields", {f"{name}.{field.name}": field for field in dtype.fields}, names)
        frame = frame.unnest(polars.selectors.by_name(*structs), separator=".")
    return frame


def _plain_polars(frame: Any, known: Collection[str]) -> Any:
    import polars

    frame = usual_integers(unnested(frame))
    for name, fields in _absent_fields(known, frame.columns).items():
        if name in frame.columns and frame.get_column(name).null_count() == frame.height:
            frame = frame.with_columns(polars.lit(None).alias(field) for field in fields).drop(name)
    for name in [name for name, dtype in frame.schema.items() if dtype == polars.Object]:
        if (durations := _durations(frame.get_column(name).to_list())) is not None:
            frame = frame.with_columns(polars.Series(name, durations))
    lists_in = [
        name
        for name, dtype in frame.schema.items()
        if isinstance(dtype, polars.List | polars.Array)
        or (_length(name, known) and frame.get_column(name).null_count() == frame.height)
    ]
    if not lists_in:
        return frame
    columns: list[Any] = []
    for series in frame.get_columns():
        lists = _matrix(series.name, series.to_list(), known) if series.name in lists_in else None
        parts = {} if lists is None else _apart(series.name, lists, frame.columns)
        columns += [polars.Series(name, row, nan_to_null=True) for name, row in parts.items()] or [series]
    return polars.DataFrame(columns)


def usual_integers(frame: Any) -> Any:
    """Return a polars frame with integers of 128 bits as those of 64 bits, or as floats where they are larger."""
    import polars

    changed = []
    for name, dtype in frame.schema.items():
        if str(dtype) in ("Int128", "UInt128"):
            series = frame.get_column(name)
            narrow = series.cast(polars.Int64, strict=False)
            changed.append(series.cast(polars.Float64) if narrow.null_count() > series.null_count() else narrow)
    return frame.with_columns(changed) if changed else frame


def _plain_arrow(frame: Any, known: Collection[str]) -> Any:
    import pyarrow  # type: ignore[import-untyped]

    types = pyarrow.types
    while structs := [field for field in frame.schema if types.is_struct(field.type)]:
        for field in structs:
            _free(field.name, "fields", {f"{field.name}.{inner.name}": inner for inner in field.type}, frame.column_names)
        frame = frame.flatten()
    for name, fields in _absent_fields(known, frame.column_names).items():
        if name in frame.column_names and frame.column(name).null_count == len(frame):
            for field in fields:
                frame = frame.append_column(field, pyarrow.nulls(len(frame)))
    frame = _with_usual_arrow_types(frame)
    listed = [
        types.is_list(field.type)
        or types.is_large_list(field.type)
        or types.is_fixed_size_list(field.type)
        or (_length(field.name, known) and column.null_count == len(column))
        for field, column in zip(frame.schema, frame.columns, strict=True)
    ]
    if not any(listed):
        return frame
    columns: dict[str, Any] = {}
    for name, column, is_list in zip(frame.column_names, frame.columns, listed, strict=True):
        lists = _matrix(name, column.to_pylist(), known) if is_list else None
        columns |= {name: column} if lists is None else _apart(name, lists, frame.column_names)
    return pyarrow.table(columns)


def _with_usual_arrow_types(frame: Any) -> Any:
    """Return the table with views and run-end encoded columns as ordinary ones, which have more functions."""
    import pyarrow
    from pyarrow import compute

    types = pyarrow.types
    usual = {"string_view": pyarrow.large_string(), "binary_view": pyarrow.large_binary()}
    for index, field in enumerate(frame.schema):
        column = frame.column(index)
        if types.is_run_end_encoded(field.type):
            column = compute.run_end_decode(column)
        elif getattr(types, "is_list_view", lambda kind: False)(field.type):
            column = pyarrow.array(column.to_pylist(), pyarrow.list_(field.type.value_type))
        elif str(field.type) in usual:
            column = column.cast(usual[str(field.type)])
        else:
            continue
        frame = frame.set_column(index, field.name, column)
    return frame
