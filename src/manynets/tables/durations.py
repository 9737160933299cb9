"""Durations as people write them, in seconds: "3 days 04:00:00", "PT3H", "2h 30m", "26:30:00"."""

from __future__ import annotations

import re

_SECONDS = {"y": 31557600.0, "mo": 2629800.0, "w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NAMES = {
    "y": ("y", "yr", "yrs", "year", "years"),
    "mo": ("mo", "mos", "month", "months"),
    "w": ("w", "wk", "week", "weeks"),
    "d": ("d", "day", "days"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "millis", "milliseconds"),
}
_BY_NAME = {name: _SECONDS[unit] for unit, names in _NAMES.items() for name in names}
_CLOCK = r"(?P<csign>[+-])?(?P<hours>[0-9]{1,6}):(?P<minutes>[0-5][0-9])(?::(?P<seconds>[0-5][0-9](?:[.,][0-9]+)?))?"
_DAYS = re.compile(rf"(?P<dsign>[+-])?(?P<days>[0-9]{{1,7}}) ?(?:days?|d),?(?: {_CLOCK})", re.ASCII | re.IGNORECASE)
_LONG_CLOCK = re.compile(_CLOCK, re.ASCII)
_SHORT_CLOCK = re.compile(r"([0-9]{1,4}):([0-5][0-9][.,][0-9]+)", re.ASCII)
_FRENCH = re.compile(r"([0-9]{1,3}) ?h ?([0-5][0-9])", re.ASCII)
_ISO = re.compile(
    r"(?P<sign>[+-])?P(?:(?P<w>[0-9]+(?:[.,][0-9]+)?)W)?(?:(?P<d>[0-9]+(?:[.,][0-9]+)?)D)?"
    r"(?:T(?:(?P<h>[0-9]+(?:[.,][0-9]+)?)H)?(?:(?P<m>[0-9]+(?:[.,][0-9]+)?)M)?(?:(?P<s>[0-9]+(?:[.,][0-9]+)?)S)?)?",
    re.ASCII | re.IGNORECASE,
)
_PART = re.compile(r"([0-9]+(?:[.,][0-9]+)?) ?([a-z]+)\.?,?(?: and)? ?", re.ASCII | re.IGNORECASE)
LONGEST = 60


def duration_seconds(text: str) -> float | None:
    """Return the seconds that a text without blanks around it stands for, or None if it is not a duration.

    >>> [duration_seconds(text) for text in ("3 days 04:00:00", "PT3H", "2h 30m", "-1 days +23:00:00", "soon")]
    [273600.0, 10800.0, 9000.0, -3600.0, None]
    """
    if not text or len(text) > LONGEST:
        return None
    if found := _DAYS.fullmatch(text):
        days = 86400.0 * int(found["days"]) * (-1.0 if found["dsign"] == "-" else 1.0)
        return days + _clock(found)
    if found := _LONG_CLOCK.fullmatch(text):
        return _clock(found)
    if found := _SHORT_CLOCK.fullmatch(text):  # minutes and seconds
        return 60.0 * int(found[1]) + float(found[2].replace(",", "."))
    if found := _FRENCH.fullmatch(text):
        return 3600.0 * int(found[1]) + 60.0 * int(found[2])
    if text[0] in "Pp+-" and (found := _ISO.fullmatch(text)):
        given = {unit: part for unit in ("w", "d", "h", "m", "s") if (part := found[unit]) is not None}
        size = sum(_SECONDS[unit] * float(part.replace(",", ".")) for unit, part in given.items())
        return (-size if found["sign"] == "-" else size) if given else None
    return _named(text)


def _clock(found: re.Match[str]) -> float:
    seconds = float((found["seconds"] or "0").replace(",", "."))
    size = 3600.0 * int(found["hours"]) + 60.0 * int(found["minutes"]) + seconds
    return -size if found["csign"] == "-" else size


def _named(text: str) -> float | None:
    """Return the seconds of "2 h 30 min" and the like."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text.removeprefix("-")
    size, start = 0.0, 0
    while start < len(rest):
        part = _PART.match(rest, start)
        if part is None or part[2].lower() not in _BY_NAME:
            return None
        size += _BY_NAME[part[2].lower()] * float(part[1].replace(",", "."))
        start = part.end()
    return sign * size
