"""The option --threshold: the probability above which the second of two classes is predicted."""

from __future__ import annotations

import dataclasses
from typing import Any

from manynets.errors import OptionError
from manynets.saved_model import SavedModel
from manynets.tasks import Binary
from manynets.tasks.thresholds import THRESHOLD_METRICS, threshold_of

__all__ = ["read_threshold", "with_threshold"]


def read_threshold(text: str, *, metrics: bool = False) -> Any:
    """Return what --threshold says, for `threshold_of`: a number, costs, or where they are allowed the name of a metric.

    >>> read_threshold("0.3"), read_threshold("1:4"), read_threshold("f1", metrics=True)
    (0.3, [[0.0, 1.0], [4.0, 0.0]], 'f1')
    """
    if text in THRESHOLD_METRICS:
        if metrics:
            return text
        raise OptionError(f"--threshold is {text!r}, which is found on held-out rows in training; use it with manynets train")
    try:
        numbers = [float(part) for part in text.split(":")]
        found: Any = numbers[0] if len(numbers) == 1 else [[0.0, numbers[0]], [numbers[1], 0.0]]
        if len(numbers) > 2:
            raise ValueError(text)
        threshold_of(found, None, None)
    except (ValueError, OptionError):
        names = f", or {' or '.join(THRESHOLD_METRICS)}" if metrics else ""
        raise OptionError(
            f"--threshold is {text!r}, but must be a number above 0 and below 1, or what a false alarm and a missed row cost, such as 1:5{names}"
        ) from None
    return found


def with_threshold(model: Any, text: str) -> Any:
    """Return a model, or one as its file has it, with the threshold of --threshold, which needs no rows."""
    found = threshold_of(read_threshold(text), None, None)
    if not isinstance(model.task, Binary):
        raise OptionError(f"--threshold is {text!r}, but is for two classes")
    task = dataclasses.replace(model.task, threshold=found)
    return dataclasses.replace(model, task=task) if isinstance(model, SavedModel) else model.with_threshold(found)
