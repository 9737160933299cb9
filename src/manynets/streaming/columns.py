"""What the columns of a table are to a training, and whether the table fits the memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from manynets.data.stream.limit import memory_bytes
from manynets.display import bytes_text
from manynets.errors import OptionError, missing_file
from manynets.spec import MLP, PiecewiseLinear
from manynets.tables import fit_encoder, understand
from manynets.tables.converted import converted
from manynets.tables.means import MOST_OUTPUTS, is_large
from manynets.tables.piecewise import MOST_BINS
from manynets.tables.rowgroups import BlockFiles, in_blocks
from manynets.tables.scaling import Scaling
from manynets.tables.source import is_plain_text
from manynets.tabular import encoder_options

if TYPE_CHECKING:
    import polars

HEAD = 10_000
"""Rows from which the width of the encoded table is judged."""
ROW_BYTES = 32
"""Of a row in memory, besides its columns."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are to a training. split by `group`: rows with the same value are in one part.

    scaling, max_levels: of the encoder, None for "standard" and 64, and for those of the default ensemble where that is trained.
    category_means: whether large categories also get the mean of the target, which they always do in the default ensemble.
    """

    target: str
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    weight: str | None = None
    group: str | None = None
    drop_missing_target: bool = False
    scaling: Scaling | None = None
    max_levels: int | None = None
    category_means: bool = False

    @property
    def encoding(self) -> dict[str, Any]:
        """Options of `fit_encoder`."""
        return {"scaling": self.scaling or "standard", "max_levels": self.max_levels or 64}


def bytes_in_memory(files: BlockFiles, columns: Columns, *, embedding: PiecewiseLinear | None = None) -> int:
    """Return about how many bytes the encoded rows of all files would take, judged by the first rows. embedding: of the numeric columns."""
    features = [name for name in files.names if name not in {columns.target, columns.weight, columns.group, *columns.drop}]
    if not features:
        return files.rows * ROW_BYTES
    first = dataclasses.replace(files.blocks[0], rows=min(files.blocks[0].rows, HEAD))
    head, most = files.read(first, features), columns.encoding["max_levels"]
    named: dict[str, Any] = {
        name: [one for one in getattr(columns, name) if one in features] for name in ("categorical", "numeric")
    }
    schema = understand(head, **named)
    used = [column.kind != "dropped" for column in schema]
    width = fit_encoder(head, schema=schema, max_levels=most).width if any(used) else len(features)
    bins = 0 if embedding is None else embedding.bins or MOST_BINS
    width += bins * sum(column.kind == "numeric" for column in schema)
    large = sum(column.kind == "categorical" and is_large(column.distinct, most) for column in schema)
    if columns.category_means and large and columns.target in files.names:
        width += large * _outputs(files.read(first, [columns.target])[columns.target]) * (1 + bins)
    return files.rows * (8 * width + ROW_BYTES)


def _outputs(target: polars.Series) -> int:
    """Return about how many means of a target a large category gets, judged by some rows."""
    classes = target.n_unique()
    if classes <= 2 or target.dtype.is_float():
        return 1
    return classes if classes <= MOST_OUTPUTS else int(target.dtype.is_numeric())


def files_of(path: str, limit: int | str, *, what: str = "memory_limit", **text: Any) -> tuple[BlockFiles, str] | None:
    """Return a path as files that are read in blocks, and a note, "" for none; None for a table that is to be read at once.

    A text table with more bytes than the limit is converted; text: its delimiter and header. Errors: OptionError for other formats.
    """
    most = memory_bytes(limit, what=what)
    if in_blocks(path):
        return BlockFiles(path), ""
    if path != "-" and not Path(path).exists():
        raise missing_file(path)
    if not is_plain_text(path):
        raise OptionError(
            f"{what} is for Parquet, Arrow and plain text files, which can be read in parts, but {path} is none of them; convert it to Parquet,"
            f" or leave out {what}"
        )
    if Path(path).stat().st_size <= most:
        return None
    target, new = converted(path, group_bytes=most // 32, **text)
    return BlockFiles(target), f"{path} was converted to {target}" if new else f"{target} is read, which {path} was converted to"


def of_ensemble(columns: Columns, rows: int, features: int) -> tuple[Columns, PiecewiseLinear | None]:
    """Return the columns with what the default ensemble sets, but for what is set already, and the embedding of its numeric columns."""
    used = encoder_options(rows, features)
    scaling, levels = columns.scaling or used["scaling"], columns.max_levels or used["max_levels"]
    columns = dataclasses.replace(columns, scaling=scaling, max_levels=levels, category_means=used["category_means"])
    return columns, used["embedding"]


def too_large(
    files: BlockFiles, columns: Columns, limit: int | str, *, what: str = "memory_limit", ensemble: bool = False
) -> str | None:
    """Return the reason for streaming a table, None if it fits the limit. ensemble: whether it has the columns of the default ensemble.

    Errors: OptionError for a limit that is none; `what` names it.
    """
    embedding = None
    if ensemble:
        columns, embedding = of_ensemble(columns, files.rows, len(files.names))
    need, most = bytes_in_memory(files, columns, embedding=embedding), memory_bytes(limit, what=what)
    if need <= most:
        return None
    return f"{files.name} would take about {bytes_text(need)} in memory, more than {what} {bytes_text(most)}"


def files_to_stream(
    X: Any,
    limit: int | str,
    spec: Any,
    *,
    target: Any,
    sample_weight: Any,
    groups: Any,
    scaling: Scaling | Literal[False] | None,
    refused: Mapping[str, Any],
    ensemble: bool = False,
    **more: Any,
) -> tuple[BlockFiles, Columns] | None:
    """Return the files of `manynets.train` that are to be streamed, and their columns; None where they fit the limit.

    ensemble: whether the default ensemble is trained. refused: arguments that a stream does not take, None where they were not given.
    The other arguments are those of `manynets.train`.
    """
    weight, group = (value if isinstance(value, str) else None for value in (sample_weight, groups))
    refused = {**refused, "sample_weight": sample_weight if weight is None else None, "groups": groups if group is None else None}
    if not isinstance(X, str | os.PathLike):
        raise OptionError("memory_limit is for files; give the path of one as X, or leave it out")
    if not isinstance(target, str):
        raise OptionError(f"target is {target!r}, but with memory_limit it must be the name of one column")
    found = files_of(os.fspath(X), limit)
    if found is None:
        return None
    columns = Columns(target=target, weight=weight, group=group, scaling="none" if scaling is False else scaling, **more)
    why = too_large(found[0], columns, limit, ensemble=ensemble)
    if why is None:
        return None
    for name, value in refused.items():
        if value is not None:
            raise OptionError(f"{name} was given, but {why}, and a stream does not take it; leave it out, or raise the limit")
    if not isinstance(spec, MLP | None):
        raise OptionError(f"spec is a {type(spec).__name__}, but {why}, and only an MLP is trained on a stream; give an MLP")
    return found[0], columns


def share_of(validation: Any, columns: Columns) -> float:
    """Return the share of the rows to validate on, 0 for none; OptionError for anything else, and where none are split by the groups."""
    if validation is not None and (isinstance(validation, bool) or not isinstance(validation, int | float)):
        raise OptionError(f"validation is {validation!r}, but of a stream it is a fraction of the rows, such as 0.1")
    if columns.group is not None and not validation:
        raise OptionError(
            f"groups is {columns.group!r}, which says how to split the rows, but there are none to validate on; give validation=0.1"
        )
    return 0.0 if validation is None else float(validation)
