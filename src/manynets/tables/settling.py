"""Make columns of text numbers where they hold nothing else, and stray words among numbers or dates missing."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from manynets.display import counted
from manynets.tables.cells import numbers_in
from manynets.tables.dates import DateForm, dates_in
from manynets.tables.meaning import SAMPLE, meaning_of, meaning_of_column, text_counts
from manynets.tables.missing import as_missing, is_missing, text_tokens
from manynets.tables.numerals import CODE, COMMA_NUMBER, GROUPED, NUMBER, SHORT_WHOLE, ZERO_IN_FRONT, as_numbers, kind_of_numbers
from manynets.tables.written import PLAIN, Meaning, Reading

if TYPE_CHECKING:
    import polars

MOST_WORDS = 0.02
"""A larger share of words, if they are more than one, makes a column one of words."""
FEWEST_NUMBERS = 3
"""Among fewer different numbers or dates words are values, too: "1", "2" and "other"."""

_NUMBER, _COMMA_NUMBER, _SHORT_WHOLE, _CODE, _ZERO_IN_FRONT, _GROUPED = map(
    re.compile, (NUMBER, COMMA_NUMBER, SHORT_WHOLE, CODE, ZERO_IN_FRONT, GROUPED)
)
_DIGIT = re.compile("[0-9]")


def type_of(cells: list[str], *, commas: bool) -> str:
    """Return the type as which a column is read, from some of its cells. "text" may still turn out to be numbers, "words" not.

    >>> [type_of(cells, commas=False) for cells in (["1", "2"], ["1.5"], ["$1", "n/a"], ["a", "b"])]
    ['int', 'float', 'text', 'words']
    """
    present = [cell for cell in cells if cell]
    other = [cell for cell in present if not _NUMBER.match(cell)]
    if any(not is_missing(cell) and not (commas and _COMMA_NUMBER.match(cell)) for cell in other):
        return "text" if _may_have_meaning(present) else "words"
    if not present or other or any(map(_CODE.match, present)):
        return "text"
    if all(map(_SHORT_WHOLE.match, present)):
        return "int"
    pointed = [cell for cell in present if "." in cell]
    return "text" if pointed and all(map(_GROUPED.match, pointed)) else "float"


def _may_have_meaning(cells: list[str]) -> bool:
    sample = [cell for cell in dict.fromkeys(cells) if not is_missing(cell)][:SAMPLE]
    if 2 * sum(1 for cell in sample if _DIGIT.search(cell)) <= len(sample):
        return False
    return meaning_of(dict.fromkeys(sample, 1)) is not None


def settled(cells: polars.Series, *, commas: bool) -> tuple[polars.Series, str]:
    """Return a column of text as numbers if it holds nothing else, and with stray words as missing; and a note on these."""
    kind = kind_of_numbers(cells, commas=commas)
    if kind is not None:
        return as_numbers(cells, kind), ""
    finite, note = _without_infinite(cells)
    if note and holds_numbers(finite, commas=commas):
        return settled(finite, commas=commas)[0], note
    import narwhals as nw

    wrapped = nw.from_native(cells, series_only=True)
    meaning = meaning_of_column(wrapped, comma_first=commas)
    if meaning is not None and not meaning.words:
        return cells, ""
    counts = text_counts(wrapped)
    meaning = meaning or meaning_of(counts, comma_first=commas)
    if meaning is None or not _are_stray(meaning, counts):
        return without_text_tokens(cells), ""
    if not meaning.words:
        return cells, ""
    cells, note = _without(cells.is_in(list(meaning.words)).fill_null(False), cells, counts.total(), meaning.form)
    kind = kind_of_numbers(cells, commas=commas)
    return (cells if kind is None else as_numbers(cells, kind)), note


def _are_stray(meaning: Meaning[Any], counts: Counter[str]) -> bool:
    """Return whether the words among numbers or dates are so few that they are no values of their own.

    Beside plain numbers with a zero in front they are not: then all are codes, such as "0136" and "136A".
    """
    words = sum(counts[word] for word in meaning.words)
    if len(counts) - len(meaning.words) < FEWEST_NUMBERS or (words > 1 and words > MOST_WORDS * counts.total()):
        return False
    numbers = counts.keys() - set(meaning.words)
    return not words or meaning.form != PLAIN or not any(map(_ZERO_IN_FRONT.match, numbers))


def _without(odd: polars.Series, cells: polars.Series, total: int, form: Reading | DateForm) -> tuple[polars.Series, str]:
    """Return a column of text without the odd cells, and what to tell of them. total: how many cells are not missing."""
    what, count, first = "number" if isinstance(form, Reading) else "date", int(odd.sum()), int(odd.arg_max() or 0)
    note = f"{as_missing(count, total, what)}; the first is {cells[first]!r} in row {first} (counted from 0)"
    return cells.set(odd, None), f"column {cells.name!r}: {note}"


def is_lenient(form: Reading | DateForm | None) -> bool:
    """Return whether what is not of this form counts as missing."""
    return isinstance(form, Reading) and form.lenient


def odd_cells(cells: polars.Series, form: Reading | DateForm) -> list[int]:
    """Return the rows of a column of text that hold neither a number, or date, in this form nor a sign for a missing value."""
    import narwhals as nw

    wrapped = nw.from_native(cells, series_only=True)
    return numbers_in(wrapped, form)[1] if isinstance(form, Reading) else dates_in(wrapped, form)[1]


def settled_as(cells: polars.Series, form: Reading | DateForm) -> tuple[polars.Series, str]:
    """Return a column of text with odd cells as missing if they are few, of new rows for a column of this form; and a note on these.

    A lenient form says that they are missing however many they are.
    """
    import narwhals as nw
    import polars

    odd = odd_cells(cells, form)
    if not odd:
        return cells, ""
    total = text_counts(nw.from_native(cells, series_only=True)).total()
    few = len(odd) < total and (len(odd) == 1 or len(odd) <= MOST_WORDS * total)
    if not few and not is_lenient(form):
        return cells, ""
    return _without(polars.Series(range(len(cells))).is_in(odd), cells, total, form)


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


def holds_numbers(cells: polars.Series, *, commas: bool) -> bool:
    """Return whether each cell of a column of text is a number, perhaps as people write it, or missing."""
    import narwhals as nw

    if kind_of_numbers(cells, commas=commas) is not None:
        return True
    meaning = meaning_of_column(nw.from_native(cells, series_only=True), comma_first=commas)
    return meaning is not None and not meaning.words and isinstance(meaning.form, Reading)


def without_text_tokens(cells: polars.Series) -> polars.Series:
    """Return a column of text with nulls for what is missing in such."""
    tokens = text_tokens(cells)
    return cells if tokens is None else cells.set(tokens, None)
