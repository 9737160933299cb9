"""What an exported model takes: the columns of a table as numbers and texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_matrix, is_frame
from manynets.errors import DataError
from manynets.export.network import float_type
from manynets.model import Model
from manynets.tables import Table, TableEncoder
from manynets.tables.cells import factorise, number_cells, text_cells, text_list
from manynets.tables.columns import CategoricalColumn, DateColumn, NumericColumn
from manynets.tables.dates import date_cells
from manynets.tables.hashed import TextColumn
from manynets.tables.labels import in_known_spelling

Array = NDArray[Any]


def model_inputs(model: Model, X: Any) -> dict[str, Array]:
    """Return the inputs of the ONNX graph of a model, by name, for rows as `Model.predict` takes them.

    Of a table each column (N, 1): float64, NaN where missing, for numbers; texts, "" where missing, for all others. Of an array "X" (N, D).

    >>> import manynets as mn
    >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=()), progress=False)
    >>> model_inputs(model, [[0.5]])["X"].shape
    (1, 1)
    """
    encoder = model.encoder
    if encoder is None:
        return {"X": np.asarray(as_matrix(X, columns=model.in_features), dtype=float_type(model))}
    if encoder.positional:
        return {"X": np.asarray(X.to_numpy() if is_frame(X) else X, dtype=np.float64)}
    if not is_frame(X) and not isinstance(X, Table):
        raise DataError("the model was trained on a table; give a frame with its columns")
    return _cells(encoder, X)


def _cells(encoder: TableEncoder, X: Any) -> dict[str, Array]:
    table = encoder.matched(X).loaded(encoder.column_names)
    found: dict[str, Array] = {}
    for column in encoder.columns:
        if isinstance(column, NumericColumn):
            cells: Array = number_cells(table, column.name, column.reading)
        elif isinstance(column, DateColumn):
            moments = date_cells(table, column.name, column.form)
            cells = np.datetime_as_string(moments).astype(object)
            cells[np.isnat(moments)] = ""
            if column.form.order == "time":
                cells = np.array([text[11:] for text in cells], dtype=object)
        elif isinstance(column, TextColumn):
            cells = np.array([text or "" for text in text_list(text_cells(table, column.name))], dtype=object)
        else:
            labels, codes = factorise(table, column.name)
            if isinstance(column, CategoricalColumn) and not column.part:
                labels = in_known_spelling(labels, column.known)
            cells = np.array([*labels, ""], dtype=object)[codes]
        found[column.name] = cells[:, None]
    return found
