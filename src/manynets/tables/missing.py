"""What people write where a value is missing: in one cell, in the cells of a column (of narwhals or polars), as a Python object."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

MISSING_TOKENS = (
    *("", "na", "n/a", "#n/a", "#na", "n.a.", "n.a", "<na>", "nan", "-nan", "nat", "null", "(null)", "nil", "none", "missing"),
    *("-", "--", "---", "–", "—", ".", "..", "...", "?", "??", "(blank)", "blank", "−", "- -", "…", ":", "*", "**", "***"),
    *("unknown", "undefined", "not available", "not applicable", "tbd", "0000-00-00", "0000-00-00 00:00:00"),
    *("#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!", "#spill!", "#calc!", "#getting_data", "#n/a n/a"),
    *("#nv", "#wert!", "#bezug!", "1.#ind", "-1.#ind", "1.#qnan", "\\n", "[null]", "<null>", "{null}", "(none)", "(unknown)"),
    *("(empty)", "empty", "n/d", "n.d.", "n/k", "k.a.", "k. a.", "keine angabe", "no data", "not reported", "tba"),
    *("$-", "$ -", "€-", "€ -", "£-", "£ -", "-€", "- €", "-%", "- %"),
)
"""What stands for a missing value in a column of numbers or dates, in any case; blanks around a cell do not count."""

TEXT_MISSING = ("", "#n/a", "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!", "(blank)")
"""What stands for a missing value in a column of text, in any case: "NA" and "None" are values there."""

_TOKENS = frozenset(MISSING_TOKENS)
_TEXT = frozenset(TEXT_MISSING)


def is_missing(cell: str) -> bool:
    """Return whether a cell of a column of numbers or dates has no value.

    >>> [is_missing(cell) for cell in ("N/A", "", "None", "0")]
    [True, True, True, False]
    """
    return cell.lower() in _TOKENS


def is_missing_text(cell: str) -> bool:
    """Return whether a cell of a column of text has no value.

    >>> [is_missing_text(cell) for cell in ("#N/A", "", "None", "0")]
    [True, True, False, False]
    """
    return cell.lower() in _TEXT


def missing_numbers(cells: Any) -> Any:
    """Return which cells of a column of numbers or dates in text have no value, as `is_missing` has it."""
    return cells.str.to_lowercase().is_in(list(MISSING_TOKENS)).fill_null(True)


def missing_texts(cells: Any) -> Any:
    """Return which cells of a column of text have no value, as `is_missing_text` has it."""
    blank, tokens = cells.is_null() | (cells == ""), text_tokens(cells)
    return blank if tokens is None else blank | tokens


def text_tokens(cells: Any) -> Any:
    """Return which cells of a column of text have no value though something is written in them; None where it is seen at once that none is."""
    if not (cells.str.starts_with("#") | cells.str.starts_with("(")).any():  # as all of them begin
        return None
    return cells.str.to_lowercase().is_in(list(TEXT_MISSING)).fill_null(True)


def as_missing(count: int, total: int, what: str = "number") -> str:
    """Return how to tell that so many of the cells of a column are not what it holds.

    >>> as_missing(1, 2000)
    '1 of 2000 cells is no number and counts as missing'
    """
    return f"{count} of {total} cells {f'is no {what} and counts' if count == 1 else f'are not {what}s and count'} as missing"


def is_missing_value(cell: Any) -> bool:
    """Return whether a Python object stands for a missing value: None, NA, and NaN and NaT of Python, NumPy and pandas."""
    if isinstance(cell, float | Decimal | np.generic):
        return bool(cell != cell)
    return cell is None or type(cell).__name__ in {"NAType", "NaTType"}
