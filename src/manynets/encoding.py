"""Which encoder the columns of a network's data get, and what an embedding asks of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.check import as_numpy, is_frame
from manynets.data.scales import SAMPLE, scale_problem
from manynets.data.tensors import warn_of_lost_digits
from manynets.errors import DataScaleWarning, OptionError, warn_user
from manynets.spec import MLP, Embedding, Periodic, PiecewiseLinear

if TYPE_CHECKING:
    from manynets.tables import TableEncoder
    from manynets.tables.scaling import Scaling

__all__ = ["array_scaling", "column_options", "embedded_columns", "needs_encoder", "warn_of_encoded"]


def warn_of_encoded(x: NDArray[Any], matrix: Any, encoder: TableEncoder) -> None:
    """Warn of columns of an array (N, D) that differ no longer once they are encoded."""
    whole = np.flatnonzero(np.isfinite(x).all(axis=0))
    starts = np.array([block.start for block in encoder.blocks])
    warn_of_lost_digits(x[:, whole], torch.from_numpy(matrix[:, starts[whole]]))


def array_scaling(X: Any, scaling: Scaling | Literal[False] | None) -> Scaling | None:
    """Return how the columns of X are scaled where `scaling` is left out: "standard" for an array whose columns ruin a network by their size.

    That is reported with a DataScaleWarning. False leaves the columns as they are, those of a frame too.
    """
    if is_frame(X):
        return "none" if scaling is False else scaling
    if scaling is not None:
        return scaling or None
    dense = isinstance(X, np.ndarray) or str(getattr(X, "layout", None)) == "torch.strided"
    rows = as_numpy(X[:: max(1, len(X) // SAMPLE)]) if dense and X.ndim == 2 else np.empty(0)
    if rows.dtype.kind not in "fiu" or not rows.size or not (np.abs(rows) <= np.finfo(np.float32).max).all():
        return None  # `prepare` says what is wrong with it
    problem = scale_problem(rows)
    if not problem:
        return None
    warn_user(
        f"a network learns badly from columns of very different size, or far from 1: {problem}. All are scaled to mean 0 and standard"
        " deviation 1, as those of a frame are (in Python, scaling='standard' does so without this warning, scaling=False leaves them)",
        DataScaleWarning,
    )
    return "standard"


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
