"""Parts of a code: the first characters, the first word, the length, the digits in it.

A code such as "DE-2024-00171" differs in every row and says nothing as a whole, but one of its parts may.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

CodePart = Literal["", "first 1", "first 2", "first 3", "last 1", "last 2", "first word", "last word", "length"]
PARTS_OF_CODES: tuple[CodePart, ...] = get_args(CodePart)
"""The parts by name; the empty one is the whole."""

_WORDS = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"[0-9]{1,15}(?![0-9])")


def described(part: CodePart) -> str:
    """Return the words for a part.

    >>> described("first 2"), described("length"), described("")
    ('the first 2 characters', 'its length', 'its value')
    """
    if part[-1:].isdigit():
        return f"the {part} characters" if part[-1] > "1" else f"the {part.split()[0]} character"
    return f"its {part or 'value'}"


def cut(labels: Sequence[str], part: CodePart) -> list[str]:
    """Return this part of each label.

    >>> [cut(["DE-0171"], part)[0] for part in ("first 2", "last 1", "first word", "length")]
    ['DE', '1', 'DE', '7']
    """
    if not part:
        return list(labels)
    if part == "length":
        return [str(len(label)) for label in labels]
    end, what = part.split()
    if what == "word":
        words = [_WORDS.findall(label) or [""] for label in labels]
        return [found[0 if end == "first" else -1] for found in words]
    count = int(what)
    return [label[:count] if end == "first" else label[-count:] for label in labels]


def merged(labels: list[str], codes: NDArray[np.int64], part: CodePart) -> tuple[list[str], NDArray[np.int64]]:
    """Return labels, and the number of each row's (N,), with those made one that have this part in common."""
    if not part:
        return labels, codes
    number: dict[str, int] = {}
    of_part = [number.setdefault(one, len(number)) for one in cut(labels, part)]
    return list(number), np.array([*of_part, -1], dtype=np.int64)[codes]


def digits_of(label: str) -> float | None:
    """Return the last digits in a code as a number, or None where there are none.

    >>> digits_of("user-0171"), digits_of("A2-x"), digits_of("x")
    (171.0, 2.0, None)
    """
    found = _DIGITS.findall(label)
    return float(found[-1]) if found else None
