"""partial_fit, which is there only where the parameters allow it."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

__all__ = ["PartialFitError", "where_partial_fit_is"]


class PartialFitError(AttributeError, ValueError):
    """With these parameters there is no partial_fit: `hasattr` says no, and who asks for it anyway is told why."""


class where_partial_fit_is:
    """A method that is there where `_check_partial_fit` does not object, like scikit-learn's `available_if` with its own reason."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None:
            return self.method
        owner._check_partial_fit()
        return types.MethodType(self.method, owner)
