"""What the name of a column says of its values: that they are ids, codes, numbers of rows, dates or other times; and its other spellings."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ID = re.compile(r"(?:^|.*[\W_])(?:id|uuid|guid|key|index|rownum)$", re.IGNORECASE)
_CAMEL_ID = re.compile(r".*[a-z](?:Id|ID|Uuid|Guid|Key)$")
_CODE = re.compile(r".*(?:id|key|code|type|class|zip|category)$", re.IGNORECASE)
_ROW_NUMBER = re.compile(
    r"(?:|.*[\W_])(?:[pu]?id|index|idx|order|row|rownum|(?:seq)?no|nr|num|number|seq|obs|observation|case|record|unnamed_[0-9]+)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r".*(?:date|day|time|when|datum|fecha|ymd|stamp|epoch|unix|utc|_at|_ts|_dt|_on)$|^(?:ts|dt|at|t)$", re.IGNORECASE
)
_TIME = re.compile(r"(?:.*(?:year|month|week|day|time)s?|(?:.*[\W_])?(?:yr|date|t))(?:[\W_].*)?", re.IGNORECASE)

_UNNAMED = re.compile(r"(?:unnamed_|Unnamed: )([0-9]+)")
"""A column without a name, after its position, as `read_table` and pandas call it."""


def named_as_id(name: str) -> bool:
    """Return whether a column has the name of an id.

    >>> [named_as_id(name) for name in ("customer_id", "userId", "paid")]
    [True, True, False]
    """
    return bool(_ID.match(name) or _CAMEL_ID.match(name))


def named_as_code(name: str) -> bool:
    """Return whether a column has the name of a code, such as "zip"."""
    return _CODE.match(name) is not None


def named_as_row_number(name: str) -> bool:
    """Return whether a column has the name of what numbers rows, such as "order" or "unnamed_0"."""
    return _ROW_NUMBER.fullmatch(name) is not None


def named_as_date(name: str) -> bool:
    """Return whether a column has the name of a date, so that its numbers may be such: "sold_on"."""
    return _DATE.match(name) is not None


def named_as_time(name: str) -> bool:
    """Return whether a column has the name of a time, so that its numbers are no numbers of rows: "year", "week 2"."""
    return _TIME.fullmatch(name) is not None


def other_spelling(name: str, names: Iterable[str]) -> str | None:
    """Return the one of the names that is the same but for blanks around it, or for how a column without a name is called; None for none or several.

    A file has no blanks around names. A column without one is '' in polars, "Unnamed: 0" in pandas, and unnamed_0 in a file.

    >>> other_spelling("", ["size", "unnamed_0"]), other_spelling("Unnamed: 1", ["unnamed_0"]), other_spelling(" size", ["size"])
    ('unnamed_0', None, 'size')
    """
    position, bare = _position(name), name.strip()
    if position is None:
        found = [other for other in names if other != name and other.strip() == bare]
    else:
        found = [other for other in names if other != name and _same_position(position, _position(other))]
    return found[0] if len(found) == 1 else None


def spellings_in_files(name: str, count: int) -> list[str]:
    """Return how files can spell a name otherwise, of a table of `count` columns.

    >>> spellings_in_files("", 2), spellings_in_files("Unnamed: 0", 2), spellings_in_files("size ", 2), spellings_in_files("size", 2)
    (['unnamed_0', 'unnamed_1'], ['unnamed_0'], ['size'], [])
    """
    position = _position(name)
    if position is None:
        return [name.strip()] if name != name.strip() else []
    return [other for j in range(count) if _same_position(position, str(j)) and (other := f"unnamed_{j}") != name]


def _position(name: str) -> str | None:
    """Return the position in the name of a column without a name, "" where it has none; None for a column with a name."""
    found = _UNNAMED.fullmatch(name)
    return found[1] if found else None if name.strip() else ""


def _same_position(one: str, other: str | None) -> bool:
    return other is not None and (one == other or "" in (one, other))
