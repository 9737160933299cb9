"""The few exceptions of manynets, and the one way a message is put together.

Every message gives the value that was met, what is allowed, and the fix. `ValueError` remains the base of all that concerns a
user's input, so code written for scikit-learn catches what it expects.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointWarning",
    "DataError",
    "DivergenceWarning",
    "InterruptedWarning",
    "ManynetsError",
    "MissingExtraError",
    "ModelFileError",
    "OptionError",
    "one_of",
]


class ManynetsError(Exception):
    """Base class of what manynets raises itself."""


class OptionError(ManynetsError, ValueError):
    """An option of a specification, a recipe, a function or a command has a value that is not allowed."""


class DataError(ManynetsError, ValueError):
    """The data given (X, y, weights, a file) cannot be used as it is; the message names column, row or file."""


class ModelFileError(ManynetsError, ValueError):
    """A model file or checkpoint is not one that can be loaded; the message names path, field and remedy."""


class MissingExtraError(ManynetsError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed; run: pip install 'manynets[{extra}]'")
        self.package = package
        self.extra = extra


class DivergenceWarning(UserWarning):
    """A network's loss stopped being finite; its last finite weights were kept."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, was damaged and passed over, or goes on under other versions or threads."""


class InterruptedWarning(UserWarning):
    """Training was interrupted; the best weights so far were kept."""


def one_of(value: object, allowed: Iterable[str], *, what: str) -> str:
    """Return `value` if it is among `allowed`, else raise OptionError that lists the valid names and the nearest one.

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
