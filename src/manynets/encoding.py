"""Which encoder the columns of a network's data get, and what an embedding asks of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.check import as_matrix, as_numpy, as_weights, check_container, is_frame
from manynets.data.tensors import SEEN, warn_of_lost_digits
from manynets.display import listed
from manynets.errors import DataError, OptionError, warn_user
from manynets.recorded import Recorded
from manynets.spec import MLP, Embedding, Periodic, PiecewiseLinear
from manynets.tables import TableEncoder
from manynets.tables.scaling import Scaling
from manynets.tasks import Task


def warn_of_encoded(x: NDArray[Any], matrix: Any, encoder: TableEncoder) -> None:
    """Warn of columns of an array (N, D) that differ no longer once they are encoded."""
    if x.dtype != np.float64:
        return  # nothing is lost
    starts = np.array([block.start for block in encoder.blocks])
    head = matrix[:SEEN, starts]
    likely = np.flatnonzero((head == head[:1]).all(axis=0))  # few, and no others are copied
    whole = [j for j in likely.tolist() if np.isfinite(x[:, j]).all()]
    if whole:
        warn_of_lost_digits(x[:, whole], torch.from_numpy(matrix[:, starts[whole]]), columns=whole)


def encoded_array(X: Any, encoder: TableEncoder | None) -> Any:
    """Return X (N, D) checked; with an encoder these are its columns already, or it is a DataError."""
    matrix = as_matrix(X)
    if encoder is not None and matrix.shape[1] != encoder.width:
        raise DataError(
            f"X is an array with {matrix.shape[1]} columns, but the encoder or Model that was given is for a table with"
            f" {len(encoder.columns)} columns, encoded as {encoder.width} numbers; give a frame"
        )
    return matrix


@contextlib.contextmanager
def _reading_validation_set() -> Iterator[None]:
    """Within: a DataError says that it is about the validation set."""
    try:
        yield
    except DataError as error:
        raise DataError(f"the validation set cannot be used: {error}") from None


def validation_matrix(X: Any, encoder: TableEncoder | None, *, columns: int, of_frame: bool) -> Any:
    """Return X (N, D) of a validation set, encoded as the rows that are trained on.

    columns: of these rows, once encoded. of_frame: whether they were given as a frame.
    Errors: DataError for other columns than these rows have.
    """
    with _reading_validation_set():
        check_container(X)
    if of_frame and not is_frame(X):
        assert encoder is not None
        shown = listed(encoder.column_names, 8)
        raise DataError(f"the validation set is an array, but X is a table; give a frame with the columns {shown}")
    with _reading_validation_set():
        if encoder is not None and encoder.positional:
            matrix, columns = X if is_frame(X) else as_numpy(X), encoder.array_width
        elif encoder is not None and is_frame(X):
            return encoder.transform(X)
        else:
            matrix, encoder = as_matrix(X), None  # which is encoded already
        if matrix.shape[1] == columns:
            return matrix if encoder is None else encoder.transform(matrix)
    raise DataError(f"the validation set has {matrix.shape[1]} columns, but X has {columns}; give both the same columns")


def read_validation_set(
    own: tuple[Any, ...], task: Task, encoder: TableEncoder | None, *, columns: int, of_frame: bool
) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
    """Return X, encoded as the rows that are trained on, the encoded y and the weights of a validation set. Arguments: of `validation_matrix`."""
    matrix = validation_matrix(own[0], encoder, columns=columns, of_frame=of_frame)
    with _reading_validation_set():
        encoded = task.encode(own[1])
    if len(encoded) != matrix.shape[0]:
        raise DataError(
            f"the validation set has {matrix.shape[0]} rows of X and {len(encoded)} of y; they must have the same number"
        )
    return matrix, encoded, as_weights(own[2], len(encoded), what="validation weights") if len(own) == 3 else None


def array_scaling(X: Any, scaling: Scaling | Literal[False] | None, recorded: Recorded) -> Scaling | None:
    """Return how the numeric columns of X are scaled: "standard" where `scaling` is left out; False leaves them as they are.

    recorded: by checkpoints to go on from; an array that they have unscaled stays so.
    """
    if is_frame(X):
        return "none" if scaling is False else scaling
    if scaling is not None:
        return scaling or None
    return None if recorded.has_array(X) else "standard"


def needs_encoder(X: Any, encoder: TableEncoder | None, embedding: Embedding | None, *, scaling: Scaling | None = None) -> bool:
    """Return whether an encoder is fitted to X: to every table, and to an array that is scaled or gets piecewise-linear columns."""
    if encoder is not None:
        if scaling is not None:
            raise OptionError(f"scaling is {scaling!r}, but the encoder that was given has its own; leave out one of the two")
        if isinstance(embedding, PiecewiseLinear) and not encoder.piecewise.any():
            warn_user(f"embedding is {embedding!r}, but no column of the encoder that was given is piecewise linear", UserWarning)
        return False
    return is_frame(X) or scaling is not None or isinstance(embedding, PiecewiseLinear)


def column_options(
    X: Any, embedding: Embedding | None, *, scaling: Scaling | None = None, category_means: bool = False
) -> dict[str, Any]:
    """Return the options of `manynets.tables.fit_encoder` for a network's embedding; an array is scaled only if `scaling` says how."""
    return {
        "scaling": scaling or ("standard" if is_frame(X) else "none"),
        "embedding": embedding if isinstance(embedding, PiecewiseLinear) else None,
        "category_means": category_means,
    }


def embedded_columns(spec: MLP, encoder: TableEncoder | None) -> MLP:
    """Return the specification with the columns that `Periodic` embeds: the numeric ones of a table; without any, no embedding."""
    embedding = spec.embedding
    if not isinstance(embedding, Periodic) or embedding.columns is not None or encoder is None:
        return spec
    columns = tuple(np.flatnonzero(encoder.numeric).tolist())
    return dataclasses.replace(spec, embedding=dataclasses.replace(embedding, columns=columns) if columns else None)
