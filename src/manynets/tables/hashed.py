"""Text of many words: how often each word occurs, hashed to a fixed number of columns."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.tables.cells import text_cells, text_list
from manynets.tables.missing import is_missing_text, missing_texts
from manynets.tables.table import Table

if TYPE_CHECKING:
    import narwhals as nw

MOST_WIDTH, LEAST_WIDTH = 1 << 11, 1 << 5
MOST_CELLS = 1 << 26  # numbers of an encoded column of text, 256 MiB: longer tables get fewer columns
ALWAYS_WIDTH = 1 << 8  # columns that a table may have however long it is
FREQUENT, COLUMNS_PER_WORD = 10, 4
"""A word counts if it occurs in so many cells, and adds so many columns, so that few words share one."""
MOST_HASHED = 1 << 12
"""The most columns that the text of a stored encoder may have."""
SAMPLE, COUNTED = 1000, 20_000
"""Cells in which words are looked for, and in which they are counted to find the width."""
FEWEST_WORDS = 2.5
"""With fewer words in a cell, on average, a text is a name or a code."""

_WORD = re.compile(r"\w*[^\W\d_]\w*")
_TOKEN = re.compile(r"(?u)\b\w+\b")


@dataclass(frozen=True, kw_only=True)
class TextColumn:
    """Words, counted in `width` columns by scikit-learn's HashingVectorizer: signed, case ignored, each row of length 1.

    A row without words is all zeros, and 1 in a column of its own if there were missing ones at fit.

    Attributes:
        name: of the column.
        gaps: whether values were missing at fit.
        width: output columns for the words.
    """

    name: str
    gaps: bool
    width: int
    kind: Literal["text"] = field(default="text", init=False)
    form: None = field(default=None, init=False)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of the output columns."""
        names = tuple(f"{self.name}#{index}" for index in range(self.width))
        return (*names, f"{self.name}=missing") if self.gaps else names

    def fill_in(self, table: Table, out: NDArray[np.float32]) -> None:
        """Write the column into out (N, width), which holds zeros."""
        from sklearn.feature_extraction.text import HashingVectorizer

        texts = ["" if text is None or is_missing_text(text) else text for text in text_list(text_cells(table, self.name))]
        hashing = HashingVectorizer(n_features=self.width, token_pattern=_TOKEN.pattern, dtype=np.float32)
        out[:, : self.width] = hashing.transform(texts).toarray()
        if self.gaps:
            out[:, self.width] = [not text for text in texts]


def fit_text(table: Table, name: str) -> TextColumn:
    """Fit a column of text, with a power of two of columns: at least four for each word that occurs in ten cells, but at most 2,048."""
    cells = text_cells(table, name)
    some = text_list(cells.gather_every(-(-table.rows // COUNTED)))
    counts = Counter(word for text in some if text for word in set(_TOKEN.findall(text.lower())))
    wanted = COLUMNS_PER_WORD * sum(count >= FREQUENT for count in counts.values())
    most = min(MOST_WIDTH, max(ALWAYS_WIDTH, (1 << (MOST_CELLS // table.rows).bit_length()) >> 1))
    gaps = bool(missing_texts(cells).any())
    return TextColumn(name=name, width=min(max(1 << (wanted - 1).bit_length(), LEAST_WIDTH), most), gaps=gaps)


def holds_words(cells: nw.Series[Any]) -> bool:
    """Return whether the cells of a column of text, none of them missing, hold several words that occur in other cells too."""
    texts = [text for text in text_list(cells[:SAMPLE]) if text]
    words = [word for text in texts for word in _WORD.findall(text)]
    return len(words) >= FEWEST_WORDS * len(texts) and 2 * len(set(map(str.casefold, words))) <= len(words)
