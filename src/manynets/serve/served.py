"""One model that is served: its answers, and its replacement when the file changes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError, ManynetsError
from manynets.model import Model, load
from manynets.nn.shape import Shape
from manynets.saved_model import in_run_folder
from manynets.serve.rows import BadRequest, RequestRows, RowReader, reading_of
from manynets.tables.columns import DateColumn

LOG = logging.getLogger("manynets.serve")
Identity = tuple[int, int, int]

TOO_FAR = "a prediction is not finite, because the cells are too far from the values seen in training"
UNREADABLE = (ManynetsError, ArithmeticError)
"""The errors of rows that cannot be predicted; any other is one of this server."""
QUICK_ROWS = 512
QUICK_MULTIPLICATIONS = 5e7
"""The most that is predicted in the event loop: some milliseconds, by which it may delay all other requests."""


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """A model as it was loaded. version: the beginning of a hash of its file."""

    model: Model
    version: str

    @functools.cached_property
    def reader(self) -> RowReader:
        """The reader of the rows of requests."""
        names = array_columns(self.model)
        if self.model.encoder is not None:
            return RowReader(self.model.encoder, names)
        return RowReader(None, names, largest=float(np.finfo(self.model.recipe.dtype).max))

    @functools.cached_property
    def multiplications(self) -> float:
        """Multiplications of a row; infinite for a module of the user's own."""
        spec = self.model.spec
        if spec is None:
            return math.inf
        return float(self.model.size * Shape.of(spec, self.model.in_features, self.model.task.outputs).multiplications)


def array_columns(model: Model) -> tuple[str, ...]:
    """Return the names of the columns of an array for a model."""
    return model.column_names if model.encoder is None else tuple(f"x{j}" for j in range(model.encoder.array_width))


@dataclasses.dataclass(frozen=True)
class Question:
    """The rows of a request, and the model that they were read for, which answers them even if another one is loaded meanwhile."""

    rows: RequestRows
    loaded: Loaded

    @property
    def count(self) -> int:
        """How many rows."""
        return self.rows.count


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """Predictions of the rows of one request; probabilities: (N, C) of classes, else None. logits: (K, N, O)."""

    predictions: list[Any]
    probabilities: list[Any] | None
    logits: NDArray[Any]


Reply = Answer | Exception
"""What a request gets; BadRequest where the request itself is wrong."""


class ServedModel:
    """A model with its name and the file that it is loaded from."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path
        self._identity = self._file_identity()
        self._warned = ""
        self.loaded = self._load()

    def _load(self) -> Loaded:
        """Load the model and predict a row, so that the first request need not wait for imports."""
        loaded = Loaded(load(self._path), self._digest())
        _together([Question(loaded.reader.empty_row(), loaded)])
        return loaded

    def _file_identity(self) -> Identity:
        found = os.stat(in_run_folder(self._path))
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _digest(self) -> str:
        return hashlib.sha256(Path(in_run_folder(self._path)).read_bytes()).hexdigest()[:12]

    def reload(self) -> bool:
        """Load the model again if its file has changed, all or nothing; return whether another model is served now."""
        try:
            identity = self._file_identity()
            if identity == self._identity:
                return False
            loaded = self._load()
            if self._file_identity() != identity:  # it was replaced meanwhile
                return False
        except (ManynetsError, OSError) as error:
            self._warn(type(error).__name__)
            return False
        self.loaded, self._identity, self._warned = loaded, identity, ""
        LOG.info("%s: now serving version %s", self.name, loaded.version)
        return True

    def _warn(self, error: str) -> None:
        """Say once that the file cannot be read, although it is tried again every second."""
        if error != self._warned:
            LOG.warning("%s: the changed file cannot be read, so the old model stays: %s", self.name, error)
        self._warned = error

    def question(self, body: bytes, kind: str, *, most: int) -> Question:
        """Return the body of a request, of a content type, as rows for the model. Errors: BadRequest."""
        loaded = self.loaded
        return Question(loaded.reader.read(body, kind, most=most), loaded)


def quick_answers(questions: Sequence[Question]) -> list[Answer] | None:
    """Return the answers to several requests, computed together in a few milliseconds at most.

    None where that would take longer, and where it fails: `answers` finds out why.
    """
    if sum(question.count for question in questions) > QUICK_ROWS:
        return None
    if sum(question.count * question.loaded.multiplications for question in questions) > QUICK_MULTIPLICATIONS:
        return None
    try:
        return _together(questions)
    except Exception:
        return None


def answers(questions: Sequence[Question]) -> list[Reply]:
    """Return the answers to several requests, computed together except for those that fail, which get their errors."""
    try:
        return list(_together(questions))
    except Exception as error:
        if len(questions) == 1:
            return [_located(questions[0], error) if isinstance(error, UNREADABLE) else error]
    half = len(questions) // 2
    return answers(questions[:half]) + answers(questions[half:])


def _together(questions: Sequence[Question]) -> list[Answer]:
    out: list[Answer] = []
    for loaded, group in itertools.groupby(questions, key=lambda question: question.loaded):
        out += _answers(loaded.model, [question.rows for question in group])
    return out


def _answers(model: Model, requests: Sequence[RequestRows]) -> list[Answer]:
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        logits = model.logits(rows_as_frame(model, requests))
        try:
            found = model.predicted(logits)
            chances = None if model.task.name == "regression" else model.probabilities(logits)
        except DataError:  # of scores that have overflowed, which speaks of X
            raise DataError(TOO_FAR) from None
    if any(values is not None and values.dtype.kind == "f" and not np.isfinite(values).all() for values in (found, chances)):
        raise DataError(TOO_FAR)
    out, at = [], 0
    for rows in requests:
        part = slice(at, at + rows.count)
        out.append(Answer(found[part].tolist(), None if chances is None else chances[part].tolist(), logits[:, part]))
        at += rows.count
    return out


def rows_as_frame(model: Model, requests: Sequence[RequestRows]) -> Any:
    """Return the rows of all requests as a frame, or as an array for a model without named columns."""
    encoder = model.encoder
    names = list(requests[0].columns)
    cells = {name: [cell for rows in requests for cell in rows.columns[name]] for name in names}
    if encoder is None or encoder.positional:
        return np.array([cells[name] for name in names]).T
    import polars

    columns = {column.name: column for column in encoder.columns}
    series = {}
    for name in names:
        series[name] = polars.Series(cells[name], dtype=polars.String if reading_of(columns[name]) is None else polars.Float64)
    return polars.DataFrame(series)  # of a list, polars would rename a column without a name


def _located(question: Question, error: Exception) -> BadRequest:
    """Return the error with the first row that cannot be read, found by trying halves of the rows, and its column."""
    model, rows = question.loaded.model, question.rows
    low, high = 0, rows.count
    while high - low > 1:
        middle = (low + high) // 2
        found = _error_of(model, rows.part(low, middle))
        low, high, error = (middle, high, error) if found is None else (low, middle, found)
    one = rows.part(low, high)
    error = _error_of(model, one) or error
    column = next((name for name in rows.columns if repr(name) in str(error)), None)
    if column is None:
        return BadRequest(422, str(error)[:300], row=low)
    kind = next((one for one in getattr(model.encoder, "columns", ()) if one.name == column), None)
    wanted = f"; send one such as {date_example(kind)}, or null" if isinstance(kind, DateColumn) else ""
    return BadRequest(422, f"{str(one.columns[column][0])[:40]!r} cannot be read as in training{wanted}", column=column, row=low)


def date_example(column: DateColumn) -> str | int:
    """Return a cell of a column of dates."""
    examples: dict[str, str | int] = {
        "time": "13:45:00", "compact": 20241231, "seconds": 1735603200, "milliseconds": 1735603200000,
    }  # fmt: skip
    return examples.get(column.form.order, "2024-12-31")


def _error_of(model: Model, rows: RequestRows) -> Exception | None:
    try:
        _answers(model, [rows])
    except UNREADABLE as error:
        return error
    return None
