"""What the name of a column says of its values: that they are ids, codes, numbers of rows, dates or other times."""

from __future__ import annotations

import re

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
