"""Dates and times of day as people write them, one text at a time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

LONGEST = 60
"""A longer text is not a date."""

_MONTHS = (
    ("january", "jan", "januar", "jänner", "janvier", "janv", "enero", "ene", "gennaio", "gen", "janeiro", "januari"),
    ("february", "feb", "februar", "février", "févr", "fév", "febrero", "febbraio", "fevereiro", "fev", "februari"),
    ("march", "mar", "märz", "mär", "mrz", "mars", "marzo", "março", "maart", "mrt"),
    ("april", "apr", "avril", "avr", "abril", "abr", "aprile"),
    ("may", "mai", "mayo", "maggio", "mag", "maio", "mei"),
    ("june", "jun", "juni", "juin", "junio", "giugno", "giu", "junho"),
    ("july", "jul", "juli", "juillet", "juil", "julio", "luglio", "lug", "julho"),
    ("august", "aug", "août", "aoû", "agosto", "ago", "augustus"),
    ("september", "sep", "sept", "septembre", "septiembre", "settembre", "set", "setembro"),
    ("october", "oct", "oktober", "okt", "octobre", "octubre", "ottobre", "ott", "outubro", "out"),
    ("november", "nov", "novembre", "noviembre", "novembro"),
    ("december", "dec", "dezember", "dez", "décembre", "déc", "diciembre", "dic", "dicembre", "dezembro"),
)
_MONTH_OF = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}

_ABBREVIATIONS = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AEST": 10, "AEDT": 11,
}  # fmt: skip
"""Hours ahead of UTC."""
_ZONE = (
    rf"(?P<zone>(?:UTC|GMT)?[+\-\u2212]\d{{2}}(?::?\d{{2}})?|{'|'.join(sorted(_ABBREVIATIONS, key=len, reverse=True))})"
    r"(?:\[[A-Za-z_/]{3,40}\])?"
)
_CLOCK = (
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?)?"
    rf"(?: ?uhr|[ \u00a0\u202f]?(?P<half>[ap])\.? ?m\.?)?(?: ?{_ZONE})?"
)
_AFTER = rf"(?:(?:[T_]|,? +|:)(?:at |um )?{_CLOCK})?"
_NAME = r"(?P<name>[^\W\d_]{3,10})\.?"
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,? +)?"
_FLAGS = re.IGNORECASE

# The forms of a date, each with a text that it matches; _AFTER is the clock behind some of them.
_YEAR_FIRST = re.compile(  # 2024-01-05, 2024/1/5 13:15
    rf"(?P<year>\d{{4}})(?P<sign>[-/.])(?P<month>\d{{1,2}})(?P=sign)(?P<day>\d{{1,2}}){_AFTER}", _FLAGS
)
_COMPACT = re.compile(  # 20240105, 20240105T131500Z
    rf"(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}})(?:[T ]?(?P<hour>\d{{2}})(?P<minute>\d{{2}})(?P<second>\d{{2}})?(?: ?{_ZONE})?)?"
)
_COMPACT_CLOCK = re.compile(  # 20240105 13:15
    rf"(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}})[T ]{_CLOCK}", _FLAGS
)
_HOUR = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})[T ](?P<hour>\d{2})")  # 2024-01-05T13
_IDEOGRAPHS = re.compile(rf"(?P<year>\d{{4}})年(?P<month>\d{{1,2}})月(?P<day>\d{{1,2}})日{_AFTER}", _FLAGS)
_YEAR_LAST = re.compile(  # 05.01.2024, 1/5/24 1:15 pm
    rf"{_WEEKDAY}(?P<first>\d{{1,2}})(?P<sign>[-/.]) ?(?P<next>\d{{1,2}})(?P=sign) ?(?P<year>\d{{4}}|\d{{2}}){_AFTER}", _FLAGS
)
_DAY_NAME = re.compile(  # 5-Jan-2024, Fri, 5th of January 2024 13:15
    rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?(?:[-/., ]| of | de )*{_NAME}(?:[-/., ]| de )*(?P<year>\d{{4}}|\d{{2}}){_AFTER}",
    _FLAGS,
)
_NAME_DAY = re.compile(  # January 5, 2024
    rf"{_WEEKDAY}{_NAME}[-/. ]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? +|,|[-/])(?P<year>\d{{4}}){_AFTER}", _FLAGS
)
_NAME_YEAR = re.compile(rf"{_NAME}(?:[-/., ]+(?P<year>\d{{4}})|[-']+(?P<short>\d{{2}}))", _FLAGS)  # January 2024, Jan-24
_YEAR_MONTH = re.compile(r"(?P<year>\d{4})[-/](?P<month>\d{2})", re.ASCII)  # 2024-01
_MONTH_YEAR = re.compile(r"(?P<month>\d{1,2})[-/](?P<year>(?:19|20)\d{2})", re.ASCII)  # 1/2024
_QUARTER = re.compile(  # 2024-Q1, Q1 2024
    r"(?P<year>\d{4})[-/ ]?q(?P<of>[1-4])|q(?P<number>[1-4])[-/ ]?(?P<its>(?:19|20)\d{2})", re.ASCII | re.IGNORECASE
)
_YEAR_NAME = re.compile(  # 2024 Jan, 2024-Jan-05
    rf"(?P<year>\d{{4}})[-/. ]{_NAME}(?:[-/. ](?P<day>\d{{1,2}}){_AFTER})?", _FLAGS
)
_MAIL = re.compile(  # Fri Jan 05 13:15:00 2024, and with the zone before the year
    rf"{_WEEKDAY}{_NAME} +(?P<day>\d{{1,2}}) (?P<hour>\d{{2}}):(?P<minute>\d{{2}}):(?P<second>\d{{2}})(?: {_ZONE})? (?P<year>\d{{4}})",
    _FLAGS,
)
_TIME = re.compile(_CLOCK, _FLAGS)


class Moment(NamedTuple):
    """A date with its clock, and minutes that the clock is ahead of UTC, None where the text does not say."""

    when: datetime
    offset: int | None


@lru_cache(maxsize=1 << 14)  # a column is read to find its form, and again for its moments
def read_moment(text: str, order: str) -> Moment | None:
    """Return the moment that a text without blanks around it names, or None.

    Args:
        order: "ymd" reads no date of digits whose year is last; "dmy" and "mdy" say which of the first two is the day.

    >>> read_moment("5-Jan-2024 1:15 pm", "ymd")[0], read_moment("02/01/24", "dmy")[0]
    (datetime.datetime(2024, 1, 5, 13, 15), datetime.datetime(2024, 1, 2, 0, 0))
    """
    if not 6 <= len(text) <= LONGEST:
        return None
    for form in (_HOUR, _YEAR_FIRST, _COMPACT, _COMPACT_CLOCK, _IDEOGRAPHS):
        if found := form.fullmatch(text):
            return _moment(found, found["year"], found["month"], found["day"])
    if found := _YEAR_MONTH.fullmatch(text) or _MONTH_YEAR.fullmatch(text):
        return _moment(found, found["year"], found["month"], "1")
    if found := _QUARTER.fullmatch(text):
        return _moment(found, found["year"] or found["its"], str(3 * int(found["of"] or found["number"]) - 2), "1")
    if found := _YEAR_LAST.fullmatch(text):
        if order == "ymd":
            return None
        day, month = (found["first"], found["next"]) if order == "dmy" else (found["next"], found["first"])
        return _moment(found, found["year"], month, day)
    for form in (_DAY_NAME, _NAME_DAY, _YEAR_NAME, _MAIL, _NAME_YEAR):
        if (found := form.fullmatch(text)) and (named := _MONTH_OF.get(found["name"].lower())):
            parts = found.groupdict()
            return _moment(found, parts["year"] or parts["short"], str(named), parts.get("day") or "1")
    return None


def read_time(text: str) -> Moment | None:
    """Return the time of day that a text names as a moment of 1970-01-01, or None.

    >>> read_time("1:15 PM")[0].time(), read_time("25:00")
    (datetime.time(13, 15), None)
    """
    if len(text) > LONGEST or not (":" in text or text[-1:].lower() in ("m", ".")):
        return None
    found = _TIME.fullmatch(text)
    return None if found is None else _moment(found, "1970", "1", "1")


def _moment(found: re.Match[str], year: str, month: str, day: str) -> Moment | None:
    part = found.groupdict()
    century = (2000 if int(year) < 69 else 1900) if len(year) == 2 else 0  # as POSIX has it
    hour, minute, second = (int(part.get(name) or 0) for name in ("hour", "minute", "second"))
    half = (part.get("half") or "").lower()
    if part.get("hour") and part.get("minute", "") is None and not half:  # "8" alone; no form without minutes asks for them
        return None
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        late = timedelta(days=1) if (hour, minute, second) == (24, 0, 0) else timedelta()
        when = datetime(century + int(year), int(month), int(day), 0 if late else hour, minute, min(second, 59))
    except (ValueError, OverflowError):
        return None
    if second > 60 or when.year > 9998:
        return None
    return Moment(when + late, _offset(part.get("zone")))


def _offset(zone: str | None) -> int | None:
    """Return the minutes that a zone such as "+02:00" is ahead of UTC."""
    if not zone:
        return None
    if zone.upper() in _ABBREVIATIONS:
        return 60 * _ABBREVIATIONS[zone.upper()]
    digits = re.sub(r"\D", "", zone)
    minutes = 60 * int(digits[:2]) + int(digits[2:] or 0)
    return minutes if "+" in zone else -minutes
