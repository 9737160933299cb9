"""The clock on which the moments of a column are read: a time zone, or an offset from UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from manynets.errors import DataError
from manynets.tables.moments import Moment

LONGEST = 40
"""A longer text is not the name of a zone."""
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", re.ASCII)


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
    return len(zone) <= LONGEST and (_OFFSET.fullmatch(zone) or _NAME.fullmatch(zone)) is not None


@cache
def _zone_named(zone: str) -> ZoneInfo:
    """Return a time zone. Errors: DataError for an unknown name."""
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"the time zone {zone!r} is not known on this machine; install the package tzdata, or give UTC") from error
