"""Which rows of a stream train, which validate and which test: by a hash of the row's number, or of its value in a column.

A row's part depends on the seed, the shares and this alone: not on how the file is divided into row groups, nor on other rows.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import OptionError
from manynets.rng import GOLDEN, mix64, step_words, stream_key

if TYPE_CHECKING:
    import polars

TRAIN, VALIDATION, TEST = 0, 1, 2


def row_words(seed: int, first: int, rows: int, *, purpose: int = 0) -> NDArray[np.uint64]:
    """Return a random word (N,) for each of the rows from number `first` on; another one for another purpose."""
    keys = np.array([stream_key(seed, "split", 1 + purpose)], dtype=np.uint64)
    return step_words(keys, first, rows)[:, 0]


class HashSplit:
    """Parts by hash. validation, test: shares of the rows. group: rows with the same value in this column are in one part."""

    def __init__(self, *, seed: int, validation: float = 0.0, test: float = 0.0, group: str | None = None) -> None:
        for name, share in (("validation", validation), ("test", test)):
            if not 0 <= share < 1:
                raise OptionError(f"{name} is {share!r}, but of a stream it is a share of the rows: at least 0 and below 1")
        if validation + test >= 1:
            raise OptionError(f"validation is {validation:g} and test {test:g}, which leaves no rows to train on")
        self.seed, self.validation, self.test, self.group = seed, validation, test, group
        self._key = stream_key(seed, "split", 0)

    def parts(self, frame: polars.DataFrame, first: int) -> NDArray[np.int8]:
        """Return the part (N,) of each row of a frame, whose first row has the number `first` in the stream.

        >>> import polars
        >>> frame = polars.DataFrame({"person": ["a", "b", "a", "c", "b"]})
        >>> parts = HashSplit(seed=0, test=0.5, group="person").parts(frame, 0)
        >>> bool(parts[0] == parts[2]), bool(parts[1] == parts[4])
        (True, True)
        """
        if self.group is None:
            words = row_words(self.seed, first, frame.height)
        else:
            words = self._words_of(frame[self.group])
        share = (words >> np.uint64(11)) * 2.0**-53
        out = np.zeros(frame.height, dtype=np.int8)
        out[share < self.test + self.validation] = VALIDATION
        out[share < self.test] = TEST
        return out

    def _words_of(self, column: polars.Series) -> NDArray[np.uint64]:
        """Return a word (N,) for each value; equal values have equal words, in all files and on all machines."""
        import polars

        values = column.unique()
        words = np.array([self._word_of(value) for value in values.to_list()], dtype=np.uint64)
        table = polars.DataFrame({"value": values, "word": polars.Series(words)})
        found = polars.DataFrame({"value": column}).join(table, on="value", how="left", nulls_equal=True, maintain_order="left")
        return found["word"].to_numpy()

    def _word_of(self, value: Any) -> int:
        digest = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
        return mix64(self._key + GOLDEN * (1 + int.from_bytes(digest, "little")))
