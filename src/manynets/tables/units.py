"""Units behind or before a number: when two of them are one, and how a unit of the metric system is converted to another.

And durations as people write them, in seconds: "3 days 04:00:00", "PT3H", "2h 30m", "26:30:00".
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_APART = frozenset({"m", "g", "k", "b", "t", "mw", "mb", "mv", "ma", "mj", "mm", "mbit", "mhz", "mwh"})
"""Units in which a capital letter may mean another one: mW and MW."""

_SIZES = {
    "mass": {"μg": 1e-9, "mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3},
    "length": {"nm": 1e-9, "μm": 1e-6, "mm": 1e-3, "cm": 1e-2, "dm": 1e-1, "m": 1.0, "km": 1e3},
    "area": {"mm2": 1e-6, "cm2": 1e-4, "m2": 1.0, "ha": 1e4, "km2": 1e6},
    "volume": {"ml": 1e-3, "cl": 1e-2, "dl": 1e-1, "l": 1.0, "hl": 1e2, "m3": 1e3},
    "power": {"mW": 1e-3, "w": 1.0, "kw": 1e3, "MW": 1e6, "gw": 1e9},
    "energy": {"wh": 1.0, "kwh": 1e3, "MWh": 1e6, "gwh": 1e9},
    "frequency": {"hz": 1.0, "khz": 1e3, "MHz": 1e6, "ghz": 1e9},
    "voltage": {"mV": 1e-3, "v": 1.0, "kv": 1e3},
    "current": {"mA": 1e-3, "a": 1.0},
    "pressure": {"pa": 1.0, "hpa": 1e2, "mbar": 1e2, "kpa": 1e3, "bar": 1e5},
    "data": {"kb": 1e3, "MB": 1e6, "gb": 1e9, "tb": 1e12},
}
_SIZE_OF = {unit: (quantity, size) for quantity, units in _SIZES.items() for unit, size in units.items()}


def same_unit(one: str, other: str) -> bool:
    """Return whether two units are the same. Blanks, points and the plural do not count, nor the case where it means no other unit.

    >>> same_unit("Days", "day"), same_unit("sq. ft.", "sq ft"), same_unit("m²", "m2"), same_unit("mW", "MW")
    (True, True, True, False)
    """
    return folded(one) == folded(other)


def conversion(unit: str, other: str) -> float | None:
    """Return the factor that converts a number in `unit` to the other unit, or None where it is not known.

    >>> conversion("g", "kg"), conversion("km", "m"), conversion("days", "day"), conversion("lb", "kg")
    (0.001, 1000.0, 1.0, None)
    """
    one, two = folded(unit), folded(other)
    if one == two:
        return 1.0
    quantity, size = _SIZE_OF.get(one, ("", 0.0))
    wanted, base = _SIZE_OF.get(two, (None, 1.0))
    return size / base if quantity == wanted else None


def is_metric(unit: str) -> bool:
    """Return whether a unit is one that can be converted."""
    return folded(unit) in _SIZE_OF


@cache
def folded(unit: str) -> str:
    """Return a spelling that is the same for all spellings of a unit."""
    plain = re.sub(r"[\s.^]", "", unicodedata.normalize("NFKC", unit))  # m² and m^2 are m2, and both signs of micro one
    low = plain.casefold()
    if low in _APART:
        return plain
    return low.removesuffix("s") if len(low) > 3 else low


# --------------------------------------------------------------------------------------------------------------- durations

_NAMES = {
    31557600.0: ("y", "yr", "yrs", "year", "years"),
    2629800.0: ("mo", "mos", "month", "months"),
    604800.0: ("w", "wk", "week", "weeks"),
    86400.0: ("d", "day", "days"),
    3600.0: ("h", "hr", "hrs", "hour", "hours"),
    60.0: ("m", "min", "mins", "minute", "minutes"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    0.001: ("ms", "millis", "milliseconds"),
}
_SECONDS = {name: seconds for seconds, names in _NAMES.items() for name in names}
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
"""A longer text is not a duration."""


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
        if part is None or part[2].lower() not in _SECONDS:
            return None
        size += _SECONDS[part[2].lower()] * float(part[1].replace(",", "."))
        start = part.end()
    return sign * size
