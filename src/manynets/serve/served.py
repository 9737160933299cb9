"""One model that is served: its answers, and its replacement when the file changes."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manynets.errors import DataError, ManynetsError
from manynets.model import Model, load
from manynets.serve.rows import BadRequest, RequestRows, read_rows
from manynets.tables.columns import DateColumn, NumericColumn

__all__ = ["Answer", "ServedModel"]

LOG = logging.getLogger("manynets.serve")
Identity = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Answer:
    """Predictions of the rows of one request; probabilities: (N, C) of classes, else None."""

    predictions: list[Any]
    probabilities: list[Any] | None


class ServedModel:
    """A model by its name. `version` is the beginning of a hash of the file."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = Path(path)
        self._identity = self._file_identity()
        self.model: Model = load(self._path)
        self.version = self._digest()

    def _file(self) -> Path:
        inside = (self._path / "model.safetensors", self._path / "best" / "model.safetensors")
        return next((file for file in inside if file.is_file()), self._path)

    def _file_identity(self) -> Identity:
        found = os.stat(self._file())
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _digest(self) -> str:
        return hashlib.sha256(self._file().read_bytes()).hexdigest()[:12]

    def reload(self) -> bool:
        """Load the model again if its file has changed, all or nothing; return whether another model is served now."""
        try:
            identity = self._file_identity()
            if identity == self._identity:
                return False
            model, version = load(self._path), self._digest()
            if self._file_identity() != identity:  # it is being replaced just now
                return False
        except (ManynetsError, OSError) as error:
            LOG.warning("%s: the changed file cannot be read, so the old model stays: %s", self.name, type(error).__name__)
            return False
        self.model, self.version, self._identity = model, version, identity
        LOG.info("%s: now serving version %s", self.name, version)
        return True

    def rows(self, body: bytes, kind: str, *, most: int) -> RequestRows:
        """Return the rows of a request."""
        return read_rows(body, kind, self.model.encoder, self.model.in_features, most=most)

    def predict(self, requests: Sequence[RequestRows]) -> list[Answer | BadRequest]:
        """Return the answer to each of several requests, computed together; one by one where a cell cannot be read."""
        model = self.model
        try:
            return list(_answers(model, requests))
        except (ManynetsError, ArithmeticError):
            return [self._alone(model, rows) for rows in requests]

    def _alone(self, model: Model, rows: RequestRows) -> Answer | BadRequest:
        try:
            return next(iter(_answers(model, [rows])))
        except (ManynetsError, ArithmeticError) as error:
            return _located(model, rows, error)


def _answers(model: Model, requests: Sequence[RequestRows]) -> list[Answer]:
    logits = model.logits(_matrix(model, requests))
    predictions = model.predicted(logits).tolist()
    shares = None if model.task.name == "regression" else model.probabilities(logits).tolist()
    out, at = [], 0
    for rows in requests:
        part = slice(at, at + rows.count)
        out.append(Answer(predictions[part], None if shares is None else shares[part]))
        at += rows.count
    return out


def _matrix(model: Model, requests: Sequence[RequestRows]) -> Any:
    """Return the rows of all requests as a frame, or as an array for a model without named columns."""
    encoder = model.encoder
    names = list(requests[0].columns)
    cells = {name: [cell for rows in requests for cell in rows.columns[name]] for name in names}
    if encoder is None or encoder.positional:
        return np.array([cells[name] for name in names]).T
    import polars

    columns = {column.name: column for column in encoder.columns}
    series = []
    for name in names:
        column = columns[name]
        numbers = isinstance(column, NumericColumn) or (isinstance(column, DateColumn) and not column.form.as_written)
        series.append(polars.Series(name, cells[name], dtype=polars.Float64 if numbers else polars.String))
    return polars.DataFrame(series)


def _located(model: Model, rows: RequestRows, error: Exception) -> BadRequest:
    """Return the error with the row and column that cannot be read, found by trying them."""
    message = str(error) if isinstance(error, DataError) else "a cell cannot be used"
    encoder = model.encoder
    for row in range(rows.count) if encoder is not None else ():
        one = RequestRows(1, {name: [cells[row]] for name, cells in rows.columns.items()}, [])
        try:
            _answers(model, [one])
        except (ManynetsError, ArithmeticError) as found:
            column = next((name for name in rows.columns if repr(name) in str(found)), None)
            cell = "" if column is None else f"{str(one.columns[column][0])[:40]!r} "
            return BadRequest(422, f"{cell}cannot be read as in training", column=column, row=row)
    return BadRequest(422, message)
