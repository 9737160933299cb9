"""Make columns of text numbers where they hold nothing else, and stray words among numbers or dates missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from manynets.display import counted
from manynets.tables.cells import GROUPED, NUMBER, fitting, numbers_in
from manynets.tables.dates import DateForm, dates_in
from manynets.tables.missing import MISSING_TOKENS, TEXT_MISSING, is_missing
from manynets.tables.texts import SAMPLE, different, meaning_of, meaning_of_all, text_counts
from manynets.tables.written import PLAIN, Meaning, Reading

if TYPE_CHECKING:
    import polars

HEAD_ROWS = 1000
MOST_WORDS = 0.02
"""A larger share of words, if they are more than one, makes a column one of words."""
FEWEST_NUMBERS = 3
"""Among fewer different numbers or dates words are values, too: "1", "2" and "other"."""
FEW = 20
"""Fewer numbers such as "1.234" on their own stay text: whether the point is one between thousands is for the encoder to know."""

_NUMBER = re.compile(NUMBER, re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_ZERO_IN_FRONT = re.compile(r"[+-]?0[0-9]", re.ASCII)
_COMMA_NUMBER = re.compile(r"^[+-]?[0-9]+(,[0-9]+)?([eE][+-]?[0-9]+)?$", re.ASCII)
_GROUPED = re.compile(GROUPED, re.ASCII)
_DIGIT = re.compile("[0-9]")


def type_of(cells: list[str], delimiter: str) -> str:
    """Return the type as which a column is read, from some of its cells. "text" may still turn out to be numbers, "words" not.

    >>> [type_of(cells, ",") for cells in (["1", "2"], ["1.5"], ["$1", "n/a"], ["a", "b"])]
    ['int', 'float', 'text', 'words']
    """
    present = [cell for cell in cells if cell]
    other = [cell for cell in present if not _NUMBER.match(cell)]
    if any(not is_missing(cell) and not (delimiter == ";" and _COMMA_NUMBER.match(cell)) for cell in other):
        return "text" if _may_have_meaning(present) else "words"
    if not present or other or any(_ZERO_IN_FRONT.match(cell) for cell in present):
        return "text"
    if all(_INTEGER.fullmatch(cell) for cell in present):
        return "int"
    if any(len(cell) > 18 and cell.lstrip("+-").isdigit() for cell in present):
        return "text"
    pointed = [cell for cell in present if "." in cell]
    return "text" if pointed and all(map(_GROUPED.match, pointed)) else "float"


def _may_have_meaning(cells: list[str]) -> bool:
    sample = [cell for cell in dict.fromkeys(cells) if not is_missing(cell)][:SAMPLE]
    if 2 * sum(1 for cell in sample if _DIGIT.search(cell)) <= len(sample):
        return False
    return meaning_of(dict.fromkeys(sample, 1)) is not None


def settled(cells: polars.Series, delimiter: str) -> tuple[polars.Series, str]:
    """Return a column of text as numbers if it holds nothing else, and with stray words as missing; and a note on these."""
    plain = _plain(cells, delimiter)
    if plain is not None:
        return plain, ""
    finite, note = _without_infinite(cells)
    if note and holds_numbers(finite, delimiter):
        return settled(finite, delimiter)[0], note
    import narwhals as nw

    comma_first, wrapped = delimiter == ";", nw.from_native(cells, series_only=True)
    if meaning_of_all(wrapped, comma_first=comma_first) is not None:
        return cells, ""
    once = different(wrapped)
    meaning = meaning_of(once, comma_first=comma_first)
    if meaning is not None and not meaning.words:
        return cells, ""
    counts = text_counts(wrapped)
    if meaning is None:
        meaning = meaning_of(counts, comma_first=comma_first)
    if meaning is None or len(once) - len(meaning.words) < FEWEST_NUMBERS:
        return without_text_tokens(cells), ""
    words = sum(counts[word] for word in meaning.words)
    if (words > 1 and words > MOST_WORDS * counts.total()) or (words and _has_codes(once, meaning)):
        return without_text_tokens(cells), ""
    if not words:
        return cells, ""
    cells, note = _without(cells.is_in(list(meaning.words)).fill_null(False), cells, counts.total(), meaning.form)
    plain = _plain(cells, delimiter)
    return (cells if plain is None else plain), note


def _without(odd: polars.Series, cells: polars.Series, total: int, form: Reading | DateForm) -> tuple[polars.Series, str]:
    """Return a column of text without the odd cells, and what to tell of them. total: how many cells are not missing."""
    what, count, first = "number" if isinstance(form, Reading) else "date", int(odd.sum()), int(odd.arg_max() or 0)
    note = (
        f"column {cells.name!r}: {count} of {total} cells {f'is no {what} and counts' if count == 1 else f'are not {what}s and count'}"
        f" as missing; the first is {cells[first]!r} in row {first} (counted from 0)"
    )
    return cells.set(odd, None), note


def odd_cells(cells: polars.Series, form: Reading | DateForm) -> list[int]:
    """Return the rows of a column of text that hold neither a number, or date, in this form nor a sign for a missing value."""
    import narwhals as nw

    wrapped = nw.from_native(cells, series_only=True)
    return numbers_in(wrapped, form)[1] if isinstance(form, Reading) else dates_in(wrapped, form)[1]


def settled_as(cells: polars.Series, form: Reading | DateForm) -> tuple[polars.Series, str]:
    """Return a column of text with odd cells as missing if they are few, of new rows for a column of this form; and a note on these."""
    import narwhals as nw
    import polars

    odd = odd_cells(cells, form)
    total = text_counts(nw.from_native(cells, series_only=True)).total() if odd else 0
    if not odd or len(odd) == total or (len(odd) > 1 and len(odd) > MOST_WORDS * total):
        return cells, ""
    return _without(polars.Series(range(len(cells))).is_in(odd), cells, total, form)


def _has_codes(texts: Iterable[str], meaning: Meaning[Any]) -> bool:
    """Return whether plain numbers among texts have a zero in front: then the others are no stray words, but codes such as "136A"."""
    words = set(meaning.words)
    return meaning.form == PLAIN and any(_ZERO_IN_FRONT.match(text) for text in texts if text not in words)


def _without_infinite(cells: polars.Series) -> tuple[polars.Series, str]:
    """Return a column of text without its infinite numbers, and what to tell of them."""
    infinite = cells.str.contains(r"^(?i:[+-]?(?:inf(?:inity)?|1\.#inf)|∞)$").fill_null(False)
    if not infinite.any():
        return cells, ""
    count, first = int(infinite.sum()), int(infinite.arg_max() or 0)
    note = (
        f"column {cells.name!r}: {counted(count, 'infinite number')} count{'' if count > 1 else 's'} as missing; the first is"
        f" {cells[first]!r} in row {first} (counted from 0)"
    )
    return cells.set(infinite, None), note


def holds_numbers(cells: polars.Series, delimiter: str) -> bool:
    """Return whether each cell of a column of text is a number, perhaps as people write it, or missing."""
    import narwhals as nw

    if _plain(cells, delimiter) is not None:
        return True
    meaning = meaning_of(different(nw.from_native(cells, series_only=True)), comma_first=delimiter == ";")
    return meaning is not None and not meaning.words and isinstance(meaning.form, Reading)


def without_text_tokens(cells: polars.Series) -> polars.Series:
    """Return a column of text with nulls for what is missing in such."""
    likely = cells.str.starts_with("#") | cells.str.starts_with("(")  # as all but the empty text begin, which is null already
    if not likely.any():
        return cells
    return cells.set(cells.str.to_lowercase().is_in(list(TEXT_MISSING)).fill_null(False), None)


def _plain(cells: polars.Series, delimiter: str) -> polars.Series | None:
    """Return the numbers of a column whose every cell is one, or missing; in files with semicolons with a decimal comma too."""
    commas = False
    if not _all_numbers(cells, NUMBER):
        pointed = with_points(cells) if delimiter == ";" else None
        if pointed is None:
            return None
        cells, commas = pointed, True
    facts = NumberFacts()
    facts.add(cells)
    kind = facts.kind(doubt=not commas)
    return None if kind is None else as_numbers(cells, whole=kind == "int")


def with_points(cells: polars.Series) -> polars.Series | None:
    """Return numbers with a decimal comma with a point instead, None where other text is among them."""
    return cells.str.replace(",", ".", literal=True) if _all_numbers(cells, _COMMA_NUMBER.pattern) else None


class NumberFacts:
    """What the cells of a column of text have in common as numbers, found at once or block by block."""

    def __init__(self) -> None:
        self._numbers = self._points = 0
        self._only_numbers = self._whole = self._grouped = True
        self._codes = self._above_thousand = self._below_thousand = self._zero_at_end = False

    def add(self, cells: polars.Series) -> None:
        """Look at some more cells."""
        fine = cells.str.contains(NUMBER).fill_null(False)
        numbers = cells.filter(fine)
        others = cells.filter(~fine).drop_nulls()
        pointed = numbers.filter(numbers.str.contains(".", literal=True))
        self._numbers += len(numbers)
        self._points += len(pointed)
        self._only_numbers = self._only_numbers and bool(others.str.to_lowercase().is_in(list(MISSING_TOKENS)).all())
        self._whole = self._whole and bool(numbers.str.contains(r"^[+-]?[0-9]+$").all())
        self._grouped = self._grouped and bool(pointed.str.contains(GROUPED).all())
        self._codes = self._codes or bool(numbers.str.contains(r"^[+-]?(?:0[0-9]|[0-9]{19,}$)").any())
        if self._grouped and not self._above_thousand:
            self._above_thousand = bool(numbers.str.contains(r"^[+-]?[0-9]{4,}$").any())
        if self._grouped and not self._above_thousand:
            self._below_thousand = self._below_thousand or bool(numbers.str.contains(r"^[+-]?[0-9]{1,3}$").any())
            self._zero_at_end = self._zero_at_end or bool(pointed.str.ends_with("0").any())

    def kind(self, *, doubt: bool = True) -> Literal["int", "float"] | None:
        """Return the type of the numbers, or None where not all cells are numbers or missing, or some are codes, as with a zero in front.

        doubt: whether points may stand between thousands. They may where each is before three digits, and there are few of them, or numbers
        below 1000 have none and one ends in a zero.
        """
        if not self._only_numbers or not self._numbers or self._codes:
            return None
        possible = self._points > 0 and self._grouped and not self._above_thousand
        if doubt and possible and (self._points < FEW or (self._below_thousand and self._zero_at_end)):
            return None
        return "int" if self._whole else "float"


def as_numbers(cells: polars.Series, *, whole: bool) -> polars.Series:
    """Return a column of text as numbers, null where a cell is none. whole: as integers."""
    import polars

    fine = cells.str.contains(NUMBER).fill_null(True)
    numbers = cells if fine.all() else cells.set(~fine, None)
    return numbers.str.strip_prefix("+").cast(polars.Int64 if whole else polars.Float64)


def _all_numbers(cells: polars.Series, pattern: str) -> bool:
    some = (cells.head(HEAD_ROWS), cells)  # most columns of words show themselves at once
    return all(fitting(one, pattern).all() for one in some)
