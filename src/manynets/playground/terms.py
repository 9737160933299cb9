"""Inputs made of two columns: their powers, their product and their sines, as TensorFlow Playground has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

TERMS: Mapping[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "x1": ("x1", lambda x1, x2: x1),
    "x2": ("x2", lambda x1, x2: x2),
    "x1^2": ("x1**2", lambda x1, x2: x1**2),
    "x2^2": ("x2**2", lambda x1, x2: x2**2),
    "x1*x2": ("x1 * x2", lambda x1, x2: x1 * x2),
    "x1^3": ("x1**3", lambda x1, x2: x1**3),
    "x2^3": ("x2**3", lambda x1, x2: x2**3),
    "sin(x1)": ("np.sin(x1)", lambda x1, x2: np.sin(x1)),
    "sin(x2)": ("np.sin(x2)", lambda x1, x2: np.sin(x2)),
}
"""The terms by name: as Python for the programs that the page writes, and as a function of two columns."""


def term_columns(x: Array, terms: Sequence[str]) -> Array:
    """Return the terms (N, T) of two columns x (N, 2), in the type of x.

    >>> term_columns(np.array([[2.0, 3.0]]), ["x1", "x1*x2", "x2^2"]).tolist()
    [[2.0, 6.0, 9.0]]
    """
    return np.column_stack([TERMS[term][1](x[:, 0], x[:, 1]) for term in terms])


def expressions(terms: Sequence[str]) -> list[str]:
    """Return the terms as Python.

    >>> expressions(["x1", "x1*x2"])
    ['x1', 'x1 * x2']
    """
    return [TERMS[term][0] for term in terms]
