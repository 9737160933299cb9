"""Columns of dates and times: how they are written, the moments they name and on which clock, and the parts of these as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError
from manynets.tables.cells import number_cells, numbered, text_cells
from manynets.tables.missing import is_missing
from manynets.tables.moments import Moment, read_moment, read_time
from manynets.tables.names import named_as_date
from manynets.tables.table import Table
from manynets.tables.written import Meaning

if TYPE_CHECKING:
    import narwhals as nw

DateOrder = Literal["ymd", "dmy", "mdy", "time", "compact", "seconds", "milliseconds"]
PartName = Literal["year", "month", "day", "weekday", "hour", "minute", "second"]
PARTS: tuple[PartName, ...] = get_args(PartName)
CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
"""Parts that come round again, and after how many steps."""

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)
_ORDERS: tuple[tuple[DateOrder, ...], ...] = (("ymd",), ("dmy", "mdy"), ("time",))
"""In which order they are tried, until all cells are dates."""

LONGEST_ZONE = 40
"""A longer text is not the name of a zone."""
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_IN_A_SECOND: dict[DateOrder, float] = {"seconds": 1.0, "milliseconds": 1e3}

Seconds = NDArray[np.datetime64]
NAT = np.datetime64("NaT", "s")
DAY_SECONDS = 86400


@dataclass(frozen=True, kw_only=True)
class DateForm:
    """How the dates of a column are written.

    Attributes:
        order: "ymd", "dmy" or "mdy" of day, month and year where all three are digits; month names and years of four digits in
            front are read with each. "time": a time of day. "compact": numbers such as 20240131. "seconds", "milliseconds":
            numbers, since 1970.
        zone: the clock that moments with an offset are converted to: "UTC", an offset such as "+02:00", or a name such as
            "Europe/Berlin". Empty: the clock is read as it stands.
    """

    order: DateOrder = "ymd"
    zone: str = ""

    @property
    def as_written(self) -> bool:
        """Whether a file's cells are to be left as text: the dates are no numbers."""
        return self.order in ("ymd", "dmy", "mdy", "time")

    def __str__(self) -> str:
        names = {
            "ymd": "",
            "dmy": "the day first",
            "mdy": "the month first",
            "time": "times of day",
            "compact": "written as YYYYMMDD",
            "seconds": "seconds since 1970",
            "milliseconds": "milliseconds since 1970",
        }
        parts = [names[self.order], f"on the clock of {self.zone}" if self.zone else ""]
        return ", ".join(part for part in parts if part)


def find_form(counts: Mapping[str, int]) -> Meaning[DateForm] | None:
    """Return in which way more than half of these cells are dates or times of day, or None.

    Args:
        counts: how often each text occurs, without blanks around it; missing ones left out.

    The order of day and month is the one in which most cells are dates. If both are, the day is first with points, as nobody
    writes 12.31.2024; else the one that is always the same is the day, as in monthly data; else the day is first, and the note
    says so.

    >>> find_form({"01/02/11": 1, "31/12/12": 1})[0], find_form({"5-Jan-2024": 1})[0].order
    (DateForm(order='dmy', zone=''), 'ymd')
    """
    labels = list(counts)
    if labels and _iso_moments(labels) is not None:
        return Meaning(DateForm(), (), "")
    total = sum(counts.values())
    read: dict[DateOrder, dict[str, Moment]] = {}
    size: dict[DateOrder, int] = {}
    for group in _ORDERS:
        if max(size.values(), default=0) < total:
            for order in group:
                read[order] = {text: moment for text in labels if (moment := _read(text, order)) is not None}
                size[order] = sum(counts[text] for text in read[order])
    most = max(size.values(), default=0)
    if 2 * most <= total:
        return None
    best = [order for order in size if size[order] == most]
    order, note = (best[0], "") if len(best) == 1 or best[0] == "ymd" else _day_or_month(read["dmy"])
    moments = read[order]
    zone, more = one_clock([moment.offset for moment in moments.values()])
    words = tuple(text for text in labels if text not in moments)
    return Meaning(DateForm(order=order, zone=zone), words, "; ".join(part for part in (note, more) if part))


def _iso_moments(labels: Sequence[str]) -> Seconds | None:
    """Return the moments of texts such as 2024-12-31, or None where not all are such."""
    if not all(map(_ISO.fullmatch, labels)):
        return None
    try:
        return np.array(labels, dtype="datetime64[s]")
    except ValueError:  # a day that does not exist
        return None


def _read(text: str, order: DateOrder) -> Moment | None:
    return read_time(text) if order == "time" else read_moment(text, order)


def _day_or_month(moments: Mapping[str, Moment]) -> tuple[DateOrder, str]:
    """Return the order of dates that both orders can read."""
    if all("." in label.split(" ")[0] for label in moments):
        return "dmy", ""
    first, second = ({getattr(moment.when, part) for moment in moments.values()} for part in ("day", "month"))
    if len(first) == 1 < len(second):
        return "dmy", "the day is taken to be the first number, which is always the same"
    if len(second) == 1 < len(first):
        return "mdy", "the day is taken to be the second number, which is always the same"
    if all(moment.when.day == moment.when.month for moment in moments.values()):
        return "dmy", ""
    return "dmy", "day and month could be either way round and are read day first: write 2024-12-31 if that is wrong"


def order_of_numbers(name: str, present: NDArray[np.float64]) -> DateOrder | None:
    """Return in which way the numbers of a column are dates, or None.

    YYYYMMDD: each is a day of the calendar, and 5 differ or the name is that of a date. Seconds from 2001 to 2033: the name is
    that of a date, or 20 differ. Milliseconds likewise.
    """
    low, high = float(present.min()), float(present.max())
    named = named_as_date(name)
    if low >= 19000101 and high <= 21001231:
        if not np.array_equal(present, np.floor(present)) or (not named and np.unique(present).size < 5):
            return None
        return None if np.isnat(_of_compact(present)).any() else "compact"
    for order, unit in _IN_A_SECOND.items():
        if 1e9 * unit <= low and high < 2e9 * unit:
            return order if named or (np.array_equal(present, np.floor(present)) and np.unique(present).size >= 20) else None
    return None


def _of_compact(values: NDArray[np.float64]) -> Seconds:
    """Return the days of numbers such as 20240131, NaT where there is no such day; 240131 is none of them, as nobody means the year 24."""
    whole = np.where(np.isnan(values) | (np.abs(values) > 99991231), 0, values).astype(np.int64)
    year, month, day = whole // 10000, whole // 100 % 100, whole % 100
    fine = (year >= 1000) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (values == whole)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    fine &= days.astype("datetime64[M]") == months
    return np.where(fine, days.astype("datetime64[s]"), NAT)


def date_cells(table: Table, name: str, form: DateForm) -> Seconds:
    """Return a column of dates, or of text or numbers in the given form, as datetime64[s] (N,), NaT where missing.

    Errors: DataError with the first text that is not a date, and its row.
    """
    storage = table.storage(name)
    if storage == "date":
        return _stored_dates(table.series(name), form)
    if not form.as_written:
        return _dates_of_numbers(table, name, form)
    if storage == "duration" and form.order == "time":  # the time since midnight, as some databases give it
        return _since_midnight(table, name)
    if storage not in ("text", "category", "mixed", "time", "empty"):
        raise DataError(f"column {name!r} should hold dates, but holds numbers; give dates, or text such as 2024-12-31")
    cells = text_cells(table, name)
    moments, odd = dates_in(cells, form)
    if odd:
        raise DataError(
            f"column {name!r} should hold {'times of day' if form.order == 'time' else f'dates (as {form.order})'}, but"
            f" {table.row(odd[0])} holds {cells[odd[0]]!r}; correct the cell, or leave it empty to count as missing"
        )
    return moments


def _stored_dates(series: nw.Series[Any], form: DateForm) -> Seconds:
    import narwhals as nw

    later = 0  # minutes; moments without a zone are on the clock of the column
    if series.dtype == nw.Datetime and getattr(series.dtype, "time_zone", None):
        if form.zone:
            ahead = minutes_ahead(form.zone)
            series = series.dt.convert_time_zone(form.zone if ahead is None else "UTC")
            later = ahead or 0
        series = series.dt.replace_time_zone(None)
    moments = np.asarray(series.cast(nw.Datetime("us")).to_numpy()).astype("datetime64[s]")
    return (moments + np.timedelta64(later, "m")).astype("datetime64[s]")


def _since_midnight(table: Table, name: str) -> Seconds:
    seconds = number_cells(table, name)
    outside = (seconds < 0) | (seconds >= DAY_SECONDS)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"column {name!r} should hold times of day, but {table.row(row)} holds {seconds[row] / 3600:g} hours; correct it"
        )
    return np.where(np.isnan(seconds), NAT, np.nan_to_num(seconds).astype(np.int64).astype("datetime64[s]"))


def _dates_of_numbers(table: Table, name: str, form: DateForm) -> Seconds:
    values = number_cells(table, name)
    missing = np.isnan(values)
    if form.order == "compact":
        moments = _of_compact(values)
    else:
        seconds = np.where(missing, 0.0, values) / _IN_A_SECOND[form.order]
        fine = np.abs(seconds) < 2.5e11  # within the years of a datetime
        moments = np.where(fine, np.floor(np.where(fine, seconds, 0)).astype(np.int64).astype("datetime64[s]"), NAT)
        moments[missing] = NAT
    bad = np.flatnonzero(np.isnat(moments) & ~missing)
    if bad.size:
        raise DataError(
            f"column {name!r} should hold dates ({form}), but {table.row(int(bad[0]))} holds {values[bad[0]]:.15g}; correct the cell,"
            " or leave it empty to count as missing"
        )
    return moments


def dates_in(cells: nw.Series[Any], form: DateForm) -> tuple[Seconds, list[int]]:
    """Return the moments in a column of text (N,), NaT where there is none, and where that is neither a date nor missing."""
    labels, codes = numbered(cells)
    known = [index for index, label in enumerate(labels) if not is_missing(label)]
    moments = np.full(len(labels) + 1, NAT)  # the last entry, which code -1 finds, is "missing"
    moments[known] = _read_all([labels[index] for index in known], form)
    bad = [index for index in known if np.isnat(moments[index])]
    return moments[codes], np.flatnonzero(np.isin(codes, bad)).tolist()


def _read_all(labels: Sequence[str], form: DateForm) -> Seconds:
    """Return the moments of the texts on the clock of the form, NaT for what is not a date."""
    if form.order == "ymd" and (iso := _iso_moments(labels)) is not None:
        return iso
    moments = np.full(len(labels), NAT)
    for index, label in enumerate(labels):
        moment = _read(label, form.order)
        if moment is not None:
            moments[index] = on_clock(moment, form.zone)
    return moments


def date_parts(moments: Seconds) -> dict[str, NDArray[np.float64]]:
    """Return year, month (1-12), day (1-31), weekday (Monday 0), hour, minute and second, each (N,), NaN where missing.

    >>> {part: values.item() for part, values in date_parts(np.array(["2024-12-31T23:59"], "datetime64[s]")).items()}
    {'year': 2024.0, 'month': 12.0, 'day': 31.0, 'weekday': 1.0, 'hour': 23.0, 'minute': 59.0, 'second': 0.0}
    """
    gone = np.isnat(moments)
    filled = np.where(gone, np.datetime64(0, "s"), moments)
    days, months = filled.astype("datetime64[D]"), filled.astype("datetime64[M]")
    seconds = filled.astype(np.int64) % DAY_SECONDS
    whole = {
        "year": filled.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": (days.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
        "hour": seconds // 3600,
        "minute": seconds % 3600 // 60,
        "second": seconds % 60,
    }
    return {part: np.where(gone, np.nan, values.astype(np.float64)) for part, values in whole.items()}


# ------------------------------------------------------------------------------------------------------------------ clocks


def one_clock(offsets: Sequence[int | None]) -> tuple[str, str]:
    """Return the zone for these offsets, and a note where they differ."""
    found = set(offsets)
    if found <= {None}:
        return "", ""
    if len(found) == 1:
        offset = next(iter(found)) or 0
        sign, size = "-" if offset < 0 else "+", abs(offset)
        return (f"{sign}{size // 60:02d}:{size % 60:02d}" if offset else "UTC"), ""
    return "UTC", "the offsets differ: all are converted to UTC" + (
        ", which those without one are taken for" if None in found else ""
    )


def on_clock(moment: Moment, zone: str) -> datetime:
    """Return a moment on the clock of a zone; as it stands where the zone is empty, or the moment without an offset."""
    if moment.offset is None or not zone:
        return moment.when
    utc = moment.when - timedelta(minutes=moment.offset)
    ahead = minutes_ahead(zone)
    if ahead is not None:
        return utc + timedelta(minutes=ahead)
    return utc.replace(tzinfo=UTC).astimezone(_zone_named(zone)).replace(tzinfo=None)


@cache
def minutes_ahead(zone: str) -> int | None:
    """Return the minutes that an offset such as "+02:00", or UTC, is ahead of UTC; None for a zone with a name.

    >>> minutes_ahead("-02:30"), minutes_ahead("UTC"), minutes_ahead("Europe/Berlin")
    (-150, 0, None)
    """
    if zone == "UTC":
        return 0
    found = _OFFSET.fullmatch(zone)
    return None if found is None else (-1 if found[1] == "-" else 1) * (60 * int(found[2]) + int(found[3]))


def is_zone(zone: str) -> bool:
    """Return whether a text can be the zone of a `DateForm`; one of a hostile file may not be a path."""
    return len(zone) <= LONGEST_ZONE and (_OFFSET.fullmatch(zone) or _ZONE_NAME.fullmatch(zone)) is not None


@cache
def _zone_named(zone: str) -> ZoneInfo:
    """Return a time zone. Errors: DataError for an unknown name."""
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"the time zone {zone!r} is not known on this machine; install the package tzdata, or give UTC") from error
