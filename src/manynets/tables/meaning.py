"""What a column of text holds: numbers or durations, dates or times of day, or words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from manynets.tables.cells import text_list
from manynets.tables.dates import DateForm, find_form
from manynets.tables.missing import is_missing
from manynets.tables.numerals import HEAD_ROWS, fitting
from manynets.tables.written import Meaning, Reading, find_duration, find_reading, simple_pattern

if TYPE_CHECKING:
    import narwhals as nw

SAMPLE = 100
"""Different texts that are read before all of them are."""


def text_counts(cells: nw.Series[Any]) -> Counter[str]:
    """Return how often each text occurs in a column, without what is missing in a column of numbers or dates."""
    counts = Counter(text_list(cells))
    return Counter({text: count for text, count in counts.items() if text is not None and not is_missing(text)})


def different(cells: nw.Series[Any]) -> Counter[str]:
    """Return each text of a column once, as `text_counts` would, but faster."""
    return text_counts(cells.unique(maintain_order=True))


def meaning_of_column(cells: nw.Series[Any], *, comma_first: bool = False) -> Meaning[Reading] | Meaning[DateForm] | None:
    """Return `meaning_of` the different texts of a column.

    Of a long one they are not read one by one where each is a number as the first ones are, and these leave no doubt.
    """
    meaning = meaning_of(different(cells[:HEAD_ROWS]), comma_first=comma_first)
    if len(cells) <= HEAD_ROWS:
        return meaning
    if meaning is not None and not meaning.words and not meaning.note and isinstance(meaning.form, Reading):
        pattern = simple_pattern(meaning.form)
        if pattern is not None and fitting(cells, pattern).all():
            return meaning
    return meaning_of(different(cells), comma_first=comma_first)


def meaning_of(counts: Mapping[str, int], *, comma_first: bool = False) -> Meaning[Reading] | Meaning[DateForm] | None:
    """Return the form in which most of the texts, and more than half of them, are numbers or dates, or None.

    Args:
        counts: see `text_counts`.
        comma_first: see `find_reading`.

    >>> meaning_of({"2024-01-31": 2, "soon": 1}).words
    ('soon',)
    """
    best: Meaning[Reading] | Meaning[DateForm] | None = None
    fewest = sum(counts.values())
    sample = {text: counts[text] for text in islice(counts, SAMPLE)}
    for find in (partial(find_reading, comma_first=comma_first), find_form, find_duration):
        found = find(sample)
        if found is not None and len(sample) < len(counts):
            found = find(counts)
        words = fewest if found is None else sum(counts[text] for text in found.words)
        if found is not None and words < fewest:
            best, fewest = found, words
        if not fewest:
            break
    return best
