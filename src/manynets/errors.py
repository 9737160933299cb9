"""Exceptions and warnings of manynets.

Every message gives the offending value, what is allowed, and a fix. Errors about the user's input derive from `ValueError`, so code
written for scikit-learn catches them.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import numbers
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

__all__ = [
    "CheckpointWarning", "ClaimedError", "DataError", "DataScaleWarning", "DivergenceError", "DivergenceWarning",
    "InterruptedWarning", "LeakWarning", "ManynetsError", "MissingExtraError", "ModelFileError", "OptionError", "RankError",
    "WorkerError", "missing_file", "one_of", "require_packages", "warn_user", "warned_once",
]  # fmt: skip


class ManynetsError(Exception):
    """Base class of the exceptions of manynets.

    >>> import manynets as mn
    >>> try:
    ...     mn.MLP(dropout=2)
    ... except mn.ManynetsError as error:
    ...     print(error)
    MLP.dropout is 2, but a probability must be in [0, 1)
    """


class OptionError(ManynetsError, ValueError):
    """An option of a specification, a recipe, a function or a command has an invalid value.

    >>> import manynets as mn
    >>> mn.Recipe(epochs=0)
    Traceback (most recent call last):
        ...
    manynets.errors.OptionError: Recipe.epochs is 0, but must be a whole number from 1 to 1,000,000,000,000
    """


class ClaimedError(OptionError):
    """Another process writes to the same file or folder; the message names it.

    >>> issubclass(ClaimedError, OptionError), issubclass(ClaimedError, ValueError)
    (True, True)
    """


class DataError(ManynetsError, ValueError):
    """The data (X, y, weights, a file) cannot be used; the message names the column, row or file.

    >>> import manynets as mn
    >>> mn.train([[1.0], [2.0]], [0, 1, 1], mn.MLP())
    Traceback (most recent call last):
        ...
    manynets.errors.DataError: X has 2 rows and y has 3; they must have the same number
    """


class ModelFileError(ManynetsError, ValueError):
    """A model file or checkpoint cannot be loaded; the message gives path, field and remedy.

    >>> import manynets as mn
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "model.pt"
    >>> _ = path.write_bytes(b"PK" + bytes(100))
    >>> mn.load(path)
    Traceback (most recent call last):
        ...
    manynets.errors.ModelFileError: .../model.pt: this is a zip archive, such as torch.save writes, not a manynets model file; use another file
    """


class WorkerError(ManynetsError, RuntimeError):
    """The processes or machines that train networks fail again and again; the message has the last error.

    >>> raise WorkerError("4 workers died in a row")
    Traceback (most recent call last):
    manynets.errors.WorkerError: 4 workers died in a row
    """


class DivergenceError(ManynetsError, ArithmeticError):
    """The loss stopped being finite before anything was learned; the message says where, and what may help.

    >>> issubclass(DivergenceError, ArithmeticError)
    True
    """


class RankError(ManynetsError, RuntimeError):
    """Another process of a training in several processes has failed; the message names it by its rank.

    >>> raise RankError("rank 1 of 2 died, or its machine is out of reach")
    Traceback (most recent call last):
    manynets.errors.RankError: rank 1 of 2 died, or its machine is out of reach
    """


class MissingExtraError(ManynetsError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it.

    >>> print(MissingExtraError("onnx", extra="onnx", purpose="to_onnx"))
    to_onnx needs the package 'onnx', which is not installed; run: pip install 'manynets[onnx]'
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed; run: pip install 'manynets[{extra}]'")
        self.package = package
        self.extra = extra


def optional_module(name: str, *, extra: str, purpose: str, package: str = "") -> Any:
    """Return a module; raise MissingExtraError where its package, by default of the same name, is not installed.

    >>> optional_module("json", extra="serve", purpose="manynets serve").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(package or name, extra=extra, purpose=purpose) from error


def require_packages(*packages: str, extra: str, purpose: str) -> None:
    """Import packages; raise MissingExtraError for the first that is not installed.

    >>> require_packages("json", extra="serve", purpose="manynets serve")
    """
    for package in packages:
        optional_module(package, extra=extra, purpose=purpose)


class DataScaleWarning(UserWarning):
    """Columns of very different size, or far from 1, ruin a network; the message names them and says what to do.

    >>> import manynets as mn
    >>> X = [[1e6 * i, i % 2] for i in range(20)]
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = mn.MLPClassifier((4,), max_iter=1).fit(X, [0, 1] * 10)
    >>> [one.category.__name__ for one in caught if one.category is DataScaleWarning]
    ['DataScaleWarning']
    """


class LeakWarning(UserWarning):
    """A column gives the target away (it is a copy, or predicts it perfectly on its own), or rows are on both sides of a split.

    >>> import manynets as mn
    >>> import polars
    >>> frame = polars.DataFrame({"a": [float(i % 7) for i in range(60)], "copy": [float(i) for i in range(60)]})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = mn.tables.fit_encoder(frame, y=frame["copy"].to_numpy())
    >>> [one.category.__name__ for one in caught if one.category is LeakWarning]
    ['LeakWarning']
    """


class DivergenceWarning(UserWarning):
    """A network's loss stopped being finite; its last finite weights are returned.

    >>> import manynets as mn
    >>> recipe = mn.Recipe(optimizer=mn.SGD(lr=1e30), epochs=5)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     model = mn.train([[float(i)] for i in range(20)], [0.5 * i for i in range(20)], mn.MLP(hidden=()), recipe, progress=False)
    >>> [one.category.__name__ for one in caught], model.info["stopped"]
    (['DivergenceWarning'], ['diverged'])
    """


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, was damaged and skipped, or is resumed with other versions or threads.

    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", CheckpointWarning)  # stop where a checkpoint cannot be written
    ...     pass  # train here
    """


class InterruptedWarning(UserWarning):
    """Training was interrupted; the best weights so far are returned.

    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", InterruptedWarning)  # end the script at Ctrl-C
    ...     pass  # train here
    """


ALSO_CALLED = {"linear": "identity", "logistic": "sigmoid", "swish": "silu"}
"""What others call some names, which are spelled otherwise here."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is spelled most alike, whether in capitals or not; None if there is none.

    >>> nearest("Relu", ["elu", "relu"]), nearest("tanh", ["elu", "relu"])
    ('relu', None)
    >>> nearest("swish", ["mish", "silu"])
    'silu'
    """
    names = {other.casefold(): other for other in known}
    if (also := ALSO_CALLED.get(name.casefold())) in names:
        return names[also]
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    return names[near[0]] if near else None


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
    near = nearest(str(value), names)
    hint = f"; did you mean {near!r}?" if near else ""
    raise OptionError(f"{what} is {value!r}, but must be one of {', '.join(names)}{hint}")


def check_count(value: object, *, what: str, least: int = 1, most: int | None = None) -> None:
    """Raise OptionError unless the value is a whole number from `least` to `most`; None: without an upper limit.

    >>> check_count(0, what="n_rows")
    Traceback (most recent call last):
        ...
    manynets.errors.OptionError: n_rows is 0, but must be a whole number of at least 1
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        limit = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise OptionError(f"{what} is {value!r}, but must be a whole number {limit}")


def check_rows(rows: int, targets: int) -> None:
    """Raise DataError where X and y do not have the same number of rows."""
    if rows != targets:
        raise DataError(f"X has {rows} rows and y has {targets}; they must have the same number")


def missing_file(path: str | os.PathLike[str]) -> DataError:
    """Return the error for a file that does not exist, with the file in the same folder whose name is the nearest.

    >>> print(missing_file("nowhere/houses.csv"))
    the file nowhere/houses.csv does not exist
    """
    if os.path.islink(path):
        return DataError(
            f"{os.fspath(path)} is a symbolic link to {os.readlink(path)}, which does not exist or leads back to it; name a file"
        )
    folder, name = os.path.split(os.fspath(path))
    near = None
    with contextlib.suppress(OSError):
        near = nearest(name, os.listdir(folder or "."))
    if near is not None and nearest(name.partition(".")[0], [near.partition(".")[0]]) is None:
        near = None  # alike in the ending only
    hint = f"; did you mean {os.path.join(folder, near)}?" if near else ""
    return DataError(f"the file {os.fspath(path)} does not exist{hint}")


_OURS = ("manynets", "sklearn", "joblib")
_NUMBER = re.compile(r"(?<!column )(?<!\w)\d[\d.,]*(e[+-]?\d+)?")
_Warned: TypeAlias = set[tuple[type[Warning], str]]
_within: ContextVar[_Warned | None] = ContextVar("within", default=None)
_by_call: WeakKeyDictionary[Any, _Warned] = WeakKeyDictionary()
"""What was warned of in each call of a joblib.Parallel that has not ended, such as a cross-validation."""


def warn_user(message: str, category: type[Warning] = UserWarning, *, same: str | None = None) -> None:
    """Warn, at the line of the user's code that called manynets, so that the same warning shows once there.

    Frames of scikit-learn and joblib in between, which fit an estimator for each fold, are passed over. Where they do so in this
    process, and in `warned_once`, warnings that differ only in their numbers are given once, or those of the same `same`.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_user("2 rows are missing", LeakWarning)
    >>> [(str(one.message), one.category.__name__) for one in caught]
    [('2 rows are missing', 'LeakWarning')]
    """
    level, frame, call = 1, sys._getframe(1), None
    while (name := frame.f_globals.get("__name__", "")).partition(".")[0] in _OURS and frame.f_back is not None:
        if name == "joblib.parallel":
            call = frame.f_locals.get("self", call)
        level, frame = level + 1, frame.f_back
    warned = _within.get() if call is None or _within.get() is not None else _by_call.setdefault(call, set())
    kind = (category, same or _NUMBER.sub("#", message))
    if warned is not None and kind in warned:
        return
    if warned is not None:
        warned.add(kind)
    warnings.warn(message, category, stacklevel=level + 1)


@contextlib.contextmanager
def warned_once() -> Iterator[None]:
    """Within it `warn_user` gives each warning once, such as for all folds of a search, even where its numbers differ.

    >>> with warnings.catch_warnings(record=True) as caught, warned_once():
    ...     warnings.simplefilter("always")
    ...     for fold in range(3):
    ...         warn_user(f"{fold} rows are missing")
    >>> [str(warning.message) for warning in caught]
    ['0 rows are missing']
    """
    outer = _within.get()
    token = _within.set(set() if outer is None else outer)
    try:
        yield
    finally:
        _within.reset(token)
