"""Dates: stored as such, or as text in a form that leaves no doubt; and their parts as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError
from manynets.tables.cells import Table, text_cells

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["CYCLES", "DATE_ORDERS", "PARTS", "DateOrder", "date_cells", "date_parts", "find_order", "looks_like_dates"]

DateOrder = Literal["ymd", "dmy", "mdy"]
DATE_ORDERS: tuple[DateOrder, ...] = ("ymd", "dmy", "mdy")
PARTS = ("year", "month", "day", "weekday", "hour", "minute")
CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
"""Parts that come round again, and after how many steps."""

_TIME = r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(?:Z|[+-]\d{2}:?\d{2})?)?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _TIME, re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})" + _TIME, re.ASCII)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)

Seconds = NDArray[np.datetime64]


def looks_like_dates(labels: Sequence[str]) -> bool:
    """Return whether every text has the shape of a date."""
    return bool(labels) and all(_YEAR_FIRST.fullmatch(label) or _YEAR_LAST.fullmatch(label) for label in labels)


def find_order(labels: Sequence[str]) -> DateOrder | None:
    """Return the only order of year, month and day in which all the texts are dates, or None where there is none or a doubt.

    With points between them the day is first, as nobody writes 12.31.2024.

    >>> find_order(["2024-02-29"]), find_order(["01/02/11", "31/12/12"]), find_order(["01/02/11"])
    ('ymd', 'dmy', None)
    """
    orders = [order for order in DATE_ORDERS if labels and _parse(labels, order)[1] is None]
    if len(orders) > 1 and all("." in label.split(" ")[0] for label in labels):
        return "dmy"
    return orders[0] if len(orders) == 1 else None


def _parse(labels: Sequence[str], order: DateOrder) -> tuple[Seconds, int | None]:
    """Return the moments of the texts, and the index of the first that is no date in that order, if any."""
    if order == "ymd" and all(_ISO.fullmatch(label) for label in labels):
        try:
            return np.array(labels, dtype="datetime64[s]"), None
        except ValueError:
            pass  # a day that does not exist; found below
    moments = np.full(len(labels), np.datetime64("NaT"), dtype="datetime64[s]")
    for index, label in enumerate(labels):
        moment = _moment(label, order)
        if moment is None:
            return moments, index
        moments[index] = moment
    return moments, None


def _moment(label: str, order: DateOrder) -> datetime | None:
    found = (_YEAR_FIRST if order == "ymd" else _YEAR_LAST).fullmatch(label)
    if found is None:
        return None
    first, _, second, third, *clock = found.groups()
    year, month, day = {"ymd": (first, second, third), "dmy": (third, second, first), "mdy": (third, first, second)}[order]
    century = (2000 if int(year) < 69 else 1900) if len(year) == 2 else 0  # as POSIX has it
    try:
        hour, minute, second = (int(part or 0) for part in clock)
        return datetime(century + int(year), int(month), int(day), hour, minute, second)
    except ValueError:
        return None


def date_cells(table: Table, name: str, order: DateOrder) -> Seconds:
    """Return a column of dates, or of text in the given order, as datetime64[s] (N,), NaT where missing. Time zones are cut off:
    the parts are those of the clock on the wall.

    Errors: DataError with the first text that is no date, and its row.
    """
    import narwhals as nw

    storage = table.storage(name)
    if storage == "empty":
        return np.full(table.rows, np.datetime64("NaT"), dtype="datetime64[s]")
    series = table.series(name) if table.array is None else None
    if series is not None and storage == "date":
        if series.dtype == nw.Datetime and getattr(series.dtype, "time_zone", None):
            series = series.dt.replace_time_zone(None)
        return np.asarray(series.cast(nw.Datetime("us")).to_numpy()).astype("datetime64[s]")
    if series is None or storage not in ("text", "category", "mixed"):
        raise DataError(f"column {name!r} should hold dates, but holds numbers; give dates, or text such as 2024-12-31")
    return _dates_of_text(table, name, text_cells(table, name), order)


def _dates_of_text(table: Table, name: str, cells: nw.Series[Any], order: DateOrder) -> Seconds:
    import narwhals as nw

    labels = cells.drop_nulls().unique().to_list()
    moments = np.full(table.rows, np.datetime64("NaT"), dtype="datetime64[s]")
    known = [label for label in labels if label]
    if not known:
        return moments
    parsed, bad = _parse(known, order)
    if bad is not None:
        rows = [index for index, cell in enumerate(cells.to_list()) if cell == known[bad]]
        raise DataError(
            f"column {name!r} should hold dates (as {order}), but {table.row(rows[0])} holds {known[bad]!r}; mend the cell, or"
            " leave it empty to count as missing"
        )
    number = {label: index for index, label in enumerate(known)}
    codes = cells.replace_strict(labels, [number.get(label, -1) for label in labels], return_dtype=nw.Int64)
    rows_of = codes.fill_null(-1).to_numpy().astype(np.int64)
    moments[rows_of >= 0] = parsed[rows_of[rows_of >= 0]]
    return moments


def date_parts(moments: Seconds) -> dict[str, NDArray[np.float64]]:
    """Return year, month (1-12), day (1-31), weekday (Monday 0), hour and minute, each (N,), NaN where missing.

    >>> {part: values.item() for part, values in date_parts(np.array(["2024-12-31T23:59"], "datetime64[s]")).items()}
    {'year': 2024.0, 'month': 12.0, 'day': 31.0, 'weekday': 1.0, 'hour': 23.0, 'minute': 59.0}
    """
    gone = np.isnat(moments)
    filled = np.where(gone, np.datetime64(0, "s"), moments)
    days, months = filled.astype("datetime64[D]"), filled.astype("datetime64[M]")
    seconds = filled.astype(np.int64) % 86400
    whole = {
        "year": filled.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": (days.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
        "hour": seconds // 3600,
        "minute": seconds % 3600 // 60,
    }
    return {part: np.where(gone, np.nan, values.astype(np.float64)) for part, values in whole.items()}
