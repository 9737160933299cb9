"""How much memory the rows of a table may take, and what that allows."""

from __future__ import annotations

import re
from typing import NamedTuple

from manynets.errors import OptionError

_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
LEAST = 10**6
MOST_SAMPLED, FEWEST_SAMPLED = 100_000, 1_000


def memory_bytes(limit: int | float | str, *, what: str = "memory_limit") -> int:
    """Return a limit as bytes; OptionError for what is no number of bytes, or less than 1 MB.

    >>> memory_bytes("2GB"), memory_bytes("1.5 GiB"), memory_bytes(3e8)
    (2000000000, 1610612736, 300000000)
    """
    text = f"{limit}" if isinstance(limit, str) else "" if isinstance(limit, bool) else repr(limit)
    match = re.fullmatch(r"\s*([0-9._]+(?:e\+?[0-9]+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    try:
        found = int(float(match[1]) * _UNITS[match[2]]) if match else -1
    except (ValueError, KeyError, OverflowError):
        found = -1
    if found < LEAST:
        raise OptionError(f"{what} is {limit!r}, but must be at least 1 MB, such as '500MB', '2GB' or a number of bytes")
    return found


class Budget(NamedTuple):
    """How a limit is shared out: an eighth for the validation rows, a sixteenth for the sample that the encoder is fitted to, and what a
    row group needs while it is read; the rest is for two windows.
    """

    limit: int

    def sample_rows(self, row: int) -> int:
        """Return how many rows of so many bytes the sample may have."""
        return int(min(MOST_SAMPLED, max(FEWEST_SAMPLED, self.limit // (16 * row))))

    def validation_rows(self, row: int) -> int:
        """Return how many rows of so many bytes there may be to validate on."""
        return self.limit // (8 * row)

    def window_rows(self, row: int, group: int) -> int:
        """Return how many encoded rows of so many bytes a window may have, where the largest row group takes `group` bytes."""
        return (self.limit * 5 // 8 - group) // (2 * row)

    def least(self, row: int, group: int, window: int) -> int:
        """Return the least limit, in megabytes, in which a window has so many rows."""
        return -(-8 * (group + 2 * row * window) // (5 * 10**6))
