"""Turn checked arrays into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.data.check import is_finite, refuse_overflow
from manynets.errors import DataScaleWarning, warn_user

SEEN = 1024  # rows in which most columns differ
VARIED = 1 << 18  # numbers whose variances are computed at a time


def to_tensor(x: NDArray[Any] | Tensor, *, device: torch.device, dtype: torch.dtype, what: str = "X") -> Tensor:
    """Return the array as a contiguous tensor, which shares its memory if dtype and device are the same.

    Values too large for the dtype are a DataError.
    """
    if isinstance(x, np.ndarray):
        if not x.flags.writeable or not x.flags.c_contiguous or not x.dtype.isnative:
            x = np.array(x, dtype=x.dtype.newbyteorder("="), order="C")
        x = torch.from_numpy(x)
    else:
        x = x.detach().contiguous()  # the compiled core reads its memory
    if x.dtype == dtype and x.device == device:
        return x
    out = x.to(device, dtype)
    if out.dtype.itemsize < x.dtype.itemsize and out.dtype.is_floating_point and not is_finite(out):
        column = int(torch.nonzero(~torch.isfinite(out).reshape(len(out), -1).all(0))[0])
        most = float(x.reshape(len(out), -1)[:, column].abs().max())
        refuse_overflow(what, column, most, str(dtype)[6:], torch.finfo(dtype).max)
    return out


def warn_of_lost_digits(x: NDArray[Any] | Tensor, cast: Tensor, *, what: str = "X", columns: Sequence[int] | None = None) -> None:
    """Warn with DataScaleWarning of columns that differ from row to row in float64 (N, D), but no longer once cast to float32.

    columns: their numbers, where these are not all.
    """
    wide = x.dtype in (np.float64, torch.float64)
    if not wide or cast.dtype == torch.float64 or len(cast) < 2:
        return
    cast = cast.reshape(len(cast), -1)
    original = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x.detach()).reshape(len(x), -1)
    likely = torch.nonzero((cast[:SEEN] == cast[0]).all(0)).flatten().tolist()  # few, so that the rest is quick
    lost = [j for j in likely if bool((cast[:, j] == cast[0, j]).all()) and not bool((original[:, j] == original[0, j]).all())]
    if lost:
        number = lost[0] if columns is None else columns[lost[0]]
        first, more = original[:, lost[0]], f", and so it is in {len(lost) - 1} more columns" if len(lost) > 1 else ""
        warn_user(
            f"{what} column {number} holds numbers from {float(first.min())!r} to {float(first.max())!r}, which are all the same in"
            f" float32{more}; scale them, or use dtype='float64'",
            DataScaleWarning,
        )


def column_variances(x: Tensor, rows: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Return the variances (D,) of the columns of x (N, D) over these rows (None: all).

    On the CPU, where the order in which a column is added up does not depend on the others, a few are copied to float64 at a time; at least
    two, as a single one is added up in another order. NumPy makes the copies: torch's, which are aligned, do not reuse each other's memory.
    """
    if x.device.type != "cpu":
        return (x if rows is None else x[rows]).double().var(0, unbiased=False).cpu().numpy()
    count, width = len(x) if rows is None else len(rows), x.shape[1]
    blocks = max(1, min(count * width // VARIED, width // 2))
    parts = (part if rows is None else part[rows] for part in np.array_split(x.numpy(), blocks, axis=1))
    return np.concatenate([torch.from_numpy(part.astype(np.float64, order="C")).var(0, unbiased=False).numpy() for part in parts])
