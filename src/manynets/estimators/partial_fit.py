"""partial_fit, an attribute only where the parameters allow it."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

__all__ = ["PartialFitError", "where_partial_fit_is"]


class PartialFitError(AttributeError, ValueError):
    """These parameters allow no partial_fit: `hasattr` is False, and calling it says why."""


class where_partial_fit_is:
    """A method that exists unless `_check_partial_fit` raises; like scikit-learn's `available_if`, with a reason."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None:
            return self.method
        owner._check_partial_fit()
        return types.MethodType(self.method, owner)
