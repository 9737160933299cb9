"""What the columns of a table are to a training, and whether the table fits the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from manynets.data.stream.limit import memory_bytes, spoken_bytes
from manynets.tables import fit_encoder, understand
from manynets.tables.blocks import BlockFiles
from manynets.tables.scaling import Scaling

__all__ = ["Columns", "bytes_in_memory", "too_large"]

HEAD = 10_000
"""Rows from which the width of the encoded table is judged."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are to a training. split by `group`: rows with the same value are in one part."""

    target: str
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    weight: str | None = None
    group: str | None = None
    drop_missing_target: bool = False
    scaling: Scaling = "standard"
    max_levels: int = 64


def bytes_in_memory(files: BlockFiles, columns: Columns) -> int:
    """Return about how many bytes the encoded rows of all files would take, judged by the first rows."""
    features = [name for name in files.names if name not in {columns.target, columns.weight, columns.group, *columns.drop}]
    first = files.blocks[0]
    head = files.read(dataclasses.replace(first, rows=min(first.rows, HEAD)), features) if features else None
    width = 0
    if head is not None:
        named: dict[str, Any] = {
            name: [one for one in getattr(columns, name) if one in features] for name in ("categorical", "numeric")
        }
        schema = understand(head, **named)
        used = [column.kind != "dropped" for column in schema]
        width = fit_encoder(head, schema=schema, max_levels=columns.max_levels).width if any(used) else len(features)
    return files.rows * (8 * width + 32)


def too_large(files: BlockFiles, columns: Columns, limit: int | str, *, what: str = "memory_limit") -> str | None:
    """Return why a table is streamed, None for one that fits the limit.

    Errors: OptionError for a limit that is none; `what` names it.
    """
    need, most = bytes_in_memory(files, columns), memory_bytes(limit, what=what)
    if need <= most:
        return None
    return f"{files.name} would take about {spoken_bytes(need)} in memory, more than {what} {spoken_bytes(most)}"
