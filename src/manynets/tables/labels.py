"""Labels that may be one, as people write it in several ways: "Berlin", "berlin" and "BERLIN."."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from manynets.display import listed, shortened

SHOWN, SHOWN_WORDS = 5, 3  # labels, and words among numbers, in a message
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])")
_WORD = re.compile(r"[^\W\d_]{2}")
_WHOLE = re.compile(r"\+?(-?[0-9]+)(?:\.0*)?")
_FRACTION = re.compile(r"-?[0-9]+\.[0-9]+(?:e[+-][0-9]+)?")
_BOOLS = {"0": "False", "1": "True"}


def _plain(label: str) -> str:
    """Return one spelling for all labels that are spelled alike. Codes and single letters have but their own: "A-1" and "A1", "A" and "a"."""
    return _BETWEEN_WORDS.sub(" ", label.casefold().strip(" .")) if _WORD.search(label) else label


def spelled_alike(labels: Iterable[str]) -> list[list[str]]:
    """Return the groups of labels that differ only in case, in what joins their words, and in a point at the end.

    >>> spelled_alike(["yes", "no", "Yes.", "no way", "no-way", "A", "a"])
    [['yes', 'Yes.'], ['no way', 'no-way']]
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(_plain(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def in_known_spelling(labels: list[str], known: Sequence[str]) -> list[str]:
    """Return labels, with one that stands for the same value as a known one in its spelling: the number 1 for 1.0, or for True, and 0.1 for
    the 0.10000000149011612 that a float32 makes of it.

    Other decimals may be codes: version 3.10 of a program is not version 3.1.

    >>> in_known_spelling(["1", "3.10"], ["1.0", "3.1"]), in_known_spelling(["1", "0"], ["False", "True"])
    (['1.0', '3.10'], ['True', 'False'])
    >>> in_known_spelling(["0.1", "0.5"], ["0.10000000149011612"])
    ['0.10000000149011612', '0.5']
    """
    seen = set(known)
    if seen.issuperset(labels):
        return labels
    if seen and seen <= {"False", "True"}:
        return [_BOOLS.get(_number(label), label) for label in labels]
    by_number = {_number(label): label for label in known}
    return [label if label in seen else by_number.get(_number(label), label) for label in labels]


def other_spellings(known: Sequence[str]) -> dict[str, str]:
    """Return how known labels may be written otherwise, each with the known one: what `in_known_spelling` does, as a table for exports.

    >>> other_spellings(["1.0", "2", "red"]), other_spellings(["True"]), other_spellings(["0.1"])
    ({'1': '1.0', '2.0': '2'}, {'1': 'True', '1.0': 'True'}, {'0.10000000149011612': '0.1'})
    """
    bools = bool(known) and {"False", "True"}.issuperset(known)
    numbers = _BOOLS if bools else {_number(label): label for label in known}
    wanted = ((text, label) for number, label in numbers.items() for text in _spellings(number))
    return {text: label for text, label in wanted if label in known and text not in known}


def _spellings(number: str) -> list[str]:
    """Return the texts of which `_number` makes this one, as far as numbers of some type are written so."""
    texts = [number, f"{number}.0", *(("-0", "-0.0") if number == "0" else ())]
    if _FRACTION.fullmatch(number):
        with np.errstate(over="ignore"):
            texts.append(repr(float(np.float32(float(number)))))
    return [text for text in texts if _number(text) == number]


def _number(label: str) -> str:
    """Return a whole number without decimal point and plus, 0 for -0, and one with all digits of a float32 with those that it needs."""
    if whole := _WHOLE.fullmatch(label):
        return "0" if whole[1] == "-0" else whole[1]
    if _FRACTION.fullmatch(label) and repr(value := float(label)) == label:
        with np.errstate(over="ignore"):
            short = np.float32(value)
        return repr(float(str(short))) if float(short) == value else label
    return label


def shown_words(words: Counter[str]) -> str:
    """Return the most frequent of some words with their counts.

    >>> shown_words(Counter({"unknown": 2, "see note": 8}))
    "'see note' (8), 'unknown' (2)"
    """
    return listed((f"{shortened(word)!r} ({count:,})" for word, count in words.most_common()), SHOWN_WORDS)


def shown_unseen(unseen: Iterable[str], known: Sequence[str]) -> str:
    """Return labels that a column did not have in training in words, each with the known one that is spelled alike.

    >>> shown_unseen(["berlin", "Ulm"], ["Berlin", "Bonn"])
    "'Ulm', 'berlin' (known is 'Berlin')"
    """
    labels = sorted(unseen)
    alike = {_plain(label): label for label in known}
    texts = (
        repr(shortened(label)) + (f" (known is {shortened(alike[key])!r})" if (key := _plain(label)) in alike else "")
        for label in labels
    )
    return listed(texts, SHOWN)
