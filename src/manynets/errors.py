"""Exceptions and warnings of manynets.

Every message gives the offending value, what is allowed, and a fix. Errors about the user's input derive from `ValueError`, so code
written for scikit-learn catches them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointWarning",
    "ClaimedError",
    "DataError",
    "DataScaleWarning",
    "DivergenceError",
    "DivergenceWarning",
    "InterruptedWarning",
    "LeakWarning",
    "ManynetsError",
    "MissingExtraError",
    "ModelFileError",
    "OptionError",
    "one_of",
]


class ManynetsError(Exception):
    """Base class of the exceptions of manynets."""


class OptionError(ManynetsError, ValueError):
    """An option of a specification, a recipe, a function or a command has an invalid value."""


class ClaimedError(OptionError):
    """Another process writes to the same file or folder; the message names it."""


class DataError(ManynetsError, ValueError):
    """The data (X, y, weights, a file) cannot be used; the message names the column, row or file."""


class ModelFileError(ManynetsError, ValueError):
    """A model file or checkpoint cannot be loaded; the message gives path, field and remedy."""


class DivergenceError(ManynetsError, ArithmeticError):
    """The loss stopped being finite before anything was learned; the message says where, and what may help."""


class MissingExtraError(ManynetsError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed; run: pip install 'manynets[{extra}]'")
        self.package = package
        self.extra = extra


class DataScaleWarning(UserWarning):
    """Columns of very different size, or far from 1, ruin a network; the message names them and says what to do."""


class LeakWarning(UserWarning):
    """A column gives the target away: a copy of it, or what predicts it perfectly alone."""


class DivergenceWarning(UserWarning):
    """A network's loss stopped being finite; its last finite weights are returned."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, was damaged and skipped, or is resumed with other versions or threads."""


class InterruptedWarning(UserWarning):
    """Training was interrupted; the best weights so far are returned."""


def one_of(value: object, allowed: Iterable[str], *, what: str) -> str:
    """Return `value` if it is in `allowed`, else raise an OptionError that lists the valid names and the nearest one.

    >>> one_of("relu", ["relu", "tanh"], what="activation")
    'relu'
    >>> one_of("rleu", ["relu", "tanh"], what="activation")
    Traceback (most recent call last):
        ...
    manynets.errors.OptionError: activation is 'rleu', but must be one of relu, tanh; did you mean 'relu'?
    """
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"{what} is {value!r}, but must be one of {', '.join(names)}{hint}")
