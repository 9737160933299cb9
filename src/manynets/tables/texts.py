"""What a column of text holds: numbers or durations, dates or times of day, or words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from manynets.tables.cells import fitting, text_list
from manynets.tables.dates import DateForm, find_form
from manynets.tables.missing import is_missing
from manynets.tables.written import Meaning, Reading, find_duration, find_reading, simple_pattern

if TYPE_CHECKING:
    import narwhals as nw

HEAD = 1000
"""So many cells are taken for the first ones of a column."""
SAMPLE = 100
"""So many different texts are looked at before all of them are."""


def text_counts(cells: nw.Series[Any]) -> Counter[str]:
    """Return how often each text occurs in a column, without what is missing in a column of numbers or dates."""
    counts = Counter(text_list(cells))
    return Counter({text: count for text, count in counts.items() if text is not None and not is_missing(text)})


def different(cells: nw.Series[Any]) -> Counter[str]:
    """Return each text of a column once, as `text_counts` would, but faster."""
    return text_counts(cells.unique(maintain_order=True))


def meaning_of_all(cells: nw.Series[Any], *, comma_first: bool = False) -> Meaning[Reading] | Meaning[DateForm] | None:
    """Return the meaning of a long column of which each cell is a number as the first ones are, and these leave no doubt, or None.

    What has another meaning, or any doubt, is for `meaning_of`.
    """
    meaning = meaning_of(different(cells[:HEAD]), comma_first=comma_first)
    if meaning is None or meaning.words or meaning.note or not isinstance(meaning.form, Reading):
        return None
    pattern = simple_pattern(meaning.form)
    if pattern is None:
        return None
    return meaning if fitting(cells, pattern).all() else None


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
