"""Inputs made of two columns: their powers, their product and their sines, as TensorFlow Playground has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TERMS", "expressions", "term_columns"]

TERMS: Mapping[str, str] = {
    "x1": "x1",
    "x2": "x2",
    "x1^2": "x1**2",
    "x2^2": "x2**2",
    "x1*x2": "x1 * x2",
    "x1^3": "x1**3",
    "x2^3": "x2**3",
    "sin(x1)": "np.sin(x1)",
    "sin(x2)": "np.sin(x2)",
}
"""The terms by name, as Python of NumPy arrays x1 and x2: the code that the page exports computes them so, too."""


def term_columns(x: NDArray[Any], terms: Sequence[str]) -> NDArray[Any]:
    """Return the terms (N, T) of two columns x (N, 2), in the type of x.

    >>> term_columns(np.array([[2.0, 3.0]]), ["x1", "x1*x2", "x2^2"]).tolist()
    [[2.0, 6.0, 9.0]]
    """
    x1, x2 = x[:, 0], x[:, 1]
    made: dict[str, Callable[[], NDArray[Any]]] = {
        "x1": lambda: x1,
        "x2": lambda: x2,
        "x1^2": lambda: x1**2,
        "x2^2": lambda: x2**2,
        "x1*x2": lambda: x1 * x2,
        "x1^3": lambda: x1**3,
        "x2^3": lambda: x2**3,
        "sin(x1)": lambda: np.sin(x1),
        "sin(x2)": lambda: np.sin(x2),
    }
    return np.column_stack([made[term]() for term in terms])


def expressions(terms: Sequence[str]) -> list[str]:
    """Return the terms as Python.

    >>> expressions(["x1", "x1*x2"])
    ['x1', 'x1 * x2']
    """
    return [TERMS[term] for term in terms]
