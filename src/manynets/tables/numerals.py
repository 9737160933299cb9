"""Numbers as programs write them, in columns of text: "12", "-1.5", "3e8".

What a number is, whether a column holds nothing else, and the column as numbers. `manynets.tables.written` has the numbers as people
write them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from manynets.tables.missing import is_missing, missing_numbers

if TYPE_CHECKING:
    import narwhals as nw
    import polars

NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
"""Any number; like all patterns here for the `re` of Python and that of polars."""
COMMA_NUMBER = r"^[+-]?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
"""A number that may have a decimal comma."""
WHOLE = r"^[+-]?[0-9]+$"
SHORT_WHOLE = r"^[+-]?[0-9]{1,18}$"
"""A whole number that 64 bits hold, whatever its digits are."""
CODE = r"^[+-]?(?:0[0-9]|[0-9]{19,}$)"
"""A number that would not come back as it was written: with a zero in front, or too long."""
ZERO_IN_FRONT = r"^[+-]?0[0-9]"
GROUPED = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
"""A number whose point may stand before decimals or between thousands: "1.234"."""
ABOVE_THOUSAND = r"^[+-]?[0-9]{4,}$"
"""A whole number that has no point, though it is above 1000."""
BELOW_THOUSAND = r"^[+-]?[0-9]{1,3}$"
NUMBER_LIKE = r"^[+-]?[0-9.,]+(?:[eE][+-]?[0-9]+)?$"
"""What may be a number, whatever its points and commas mean."""

FEW = 20
"""Fewer numbers such as "1.234" on their own stay text: whether the point is one between thousands is for the encoder to know."""
HEAD_ROWS = 1000
"""Cells of a column that are looked at before all of them are, as most columns of words show themselves at once."""

NumberKind = Literal["int", "float", "comma"]
"""Of the numbers of a column: "comma" are those with a decimal comma."""

_NUMBER = re.compile(NUMBER)


def fitting(cells: Any, pattern: str) -> Any:
    """Return which cells of a column of text, of narwhals or polars, fit a pattern, or are missing in a column of numbers or dates."""
    fine = cells.is_null() | cells.str.contains(pattern).fill_null(True)
    return fine if fine.all() else fine | missing_numbers(cells)


def bad_number(cells: nw.Series[Any]) -> tuple[int, str] | None:
    """Return index and value of the first cell that is neither a missing token nor a number, or None."""
    first = cells[0] if len(cells) else None
    if isinstance(first, str) and not _NUMBER.fullmatch(first) and not is_missing(first):  # as in most columns of words
        return 0, first
    bad = ~np.asarray(fitting(cells, NUMBER).to_numpy(), dtype=bool)
    if not bad.any():
        return None
    index = int(np.argmax(bad))
    return index, str(cells[index])


def points_in_doubt(cells: nw.Series[Any]) -> bool:
    """Return whether the points in a column of numbers, each before three digits, may stand between thousands.

    They cannot where a number without a point has more than three digits.
    """
    numbers = cells.filter(cells.str.contains(NUMBER).fill_null(False))  # "n.a." has points, too
    pointed = numbers.filter(numbers.str.contains(".", literal=True))
    if not len(pointed) or not pointed.str.contains(GROUPED).all():
        return False
    return not cells.str.contains(ABOVE_THOUSAND).any()


class NumberFacts:
    """What the cells of a column of text have in common as numbers, found at once or block by block.

    commas: whether numbers may have a decimal comma, as in files with semicolons.
    """

    def __init__(self, *, commas: bool) -> None:
        self.only_numbers = True  # but for missing values
        self._may_have_commas = commas
        self._numbers = self._points = self._commas = 0
        self._whole = self._grouped = True
        self._codes = self._above_thousand = self._below_thousand = self._zero_at_end = False

    def add(self, cells: polars.Series) -> None:
        """Look at some more cells."""
        if not self.only_numbers or not len(cells):
            return
        fine = cells.str.contains(NUMBER).fill_null(False)
        if self._may_have_commas and not fine.all():
            with_comma = cells.str.contains(COMMA_NUMBER).fill_null(False) & ~fine
            self._commas += int(with_comma.sum())
            fine |= with_comma
        if not fine.all() and not missing_numbers(cells.filter(~fine)).all():
            self.only_numbers = False
            return
        numbers = cells.filter(fine)
        pointed = numbers.filter(numbers.str.contains(".", literal=True))
        self._numbers += len(numbers)
        self._points += len(pointed)
        self._whole = self._whole and bool(numbers.str.contains(WHOLE).all())
        self._grouped = self._grouped and bool(pointed.str.contains(GROUPED).all())
        self._codes = self._codes or bool(numbers.str.contains(CODE).any())
        if self._grouped and not self._above_thousand:
            self._above_thousand = bool(numbers.str.contains(ABOVE_THOUSAND).any())
        if self._grouped and not self._above_thousand:
            self._below_thousand = self._below_thousand or bool(numbers.str.contains(BELOW_THOUSAND).any())
            self._zero_at_end = self._zero_at_end or bool(pointed.str.ends_with("0").any())

    def kind(self) -> NumberKind | None:
        """Return the kind of the numbers, or None where not all cells are numbers or missing, where some are codes, and in doubt.

        Points may stand between thousands where each is before three digits, and there are few of them, or numbers below 1000 have none
        and one ends in a zero. Beside decimal commas they may too, whatever stands behind them.
        """
        if not self.only_numbers or not self._numbers or self._codes:
            return None
        if self._commas:
            return None if self._points else "comma"
        in_doubt = self._points > 0 and self._grouped and not self._above_thousand
        if in_doubt and (self._points < FEW or (self._below_thousand and self._zero_at_end)):
            return None
        return "int" if self._whole else "float"


def kind_of_numbers(cells: polars.Series, *, commas: bool) -> NumberKind | None:
    """Return `NumberFacts.kind` of a whole column."""
    facts = NumberFacts(commas=commas)
    facts.add(cells[:HEAD_ROWS])
    facts.add(cells[HEAD_ROWS:])
    return facts.kind()


def as_numbers(cells: polars.Series, kind: NumberKind) -> polars.Series:
    """Return a column of text as numbers, null where a cell is none."""
    import polars

    if kind == "comma":
        cells = cells.str.replace(",", ".", literal=True)
    fine = cells.str.contains(NUMBER).fill_null(True)
    numbers = cells if fine.all() else cells.set(~fine, None)
    return numbers.str.strip_prefix("+").cast(polars.Int64 if kind == "int" else polars.Float64)
