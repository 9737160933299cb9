"""Rows for a trained run: to evaluate it on, or to predict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.cli.data import Part, encoded_part, load_source, of_seen_classes, read_arrays, taken, test_part
from manynets.cli.fingerprint import row_hashes, same_data
from manynets.cli.origin import from_standard_input, kind_of, name_of, text_options_of, with_notes, without_other_sheet
from manynets.cli.saved_runs import ALONE
from manynets.cli.streamed_rows import CHANGED, NO_HEADER, NO_SHEET, NO_TEST_ROWS, rereading, streamed_test_rows
from manynets.display import listed
from manynets.errors import DataError, ModelFileError, OptionError
from manynets.runs import SavedRun
from manynets.tables import Table
from manynets.tables.blocks import Blocks, open_blocks
from manynets.tables.files import read_written, text_options
from manynets.tables.remarks import Remarks

Rows = tuple[Any, dict[str, Any]]
"""X, and the columns to write next to the predictions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionBlocks:
    """Rows to predict. rows: how many. blocks: yields them, of a large table so many at a time. notes: remarks on those that were yielded."""

    rows: int
    blocks: Callable[[int], Iterator[Rows]]
    notes: Callable[[], Sequence[str]]

    @classmethod
    def whole(cls, X: Any, beside: dict[str, Any], notes: Sequence[str] = ()) -> PredictionBlocks:
        """Return rows that are in memory."""
        return cls(rows=len(X), blocks=lambda size: iter([(X, beside)]), notes=lambda: notes)


def _origin(run: SavedRun, header: bool | None, sheet: str | None, data: str | None) -> Mapping[str, Any]:
    """Return the origin of a run; header: whether the file `data` has a header, None: as in training. sheet: of `data`, None: as in training."""
    origin: Any = run.config.get("data")
    if not isinstance(origin, dict) or not {"kind", "seed", "task"} <= set(origin):
        raise ModelFileError(f"{run.folder / 'config.json'} is damaged: it does not name the data of the run; train again")
    if sheet is not None:
        if data is None or "sheet" not in text_options(data):
            raise OptionError(NO_SHEET)
        origin = {**origin, "sheet": sheet}
    elif data is not None:
        origin = without_other_sheet(origin, data)
    if header is None:
        return origin
    if data is None or "header" not in text_options(data):
        raise OptionError(NO_HEADER)
    return {**origin, "no_header": not header}


def with_origin_of(run: SavedRun, other: SavedRun) -> SavedRun:
    """Return the run as if its data were those of another one."""
    data = {name: other.config[name] for name in ("data", "fingerprint", "stream") if name in other.config}
    own = {name: value for name, value in run.config.items() if name != "stream"}
    return dataclasses.replace(run, config=own | data)


def evaluation_rows(
    run: SavedRun,
    data: str | None,
    *,
    header: bool | None = None,
    sheet: str | None = None,
    target: str | None = None,
    drop: Sequence[str] = (),
    encode: bool = True,
) -> tuple[Part, str, tuple[str, ...]]:
    """Return labelled rows, a name for them, and notes: the test rows of the run, or those of other data.

    A table is encoded, unless `encode` is False. header: whether a text file or sheet has a header. sheet: of a workbook. target: its column.
    None: as in training.
    drop: which rows of other data to leave out, by "drop_missing_target" and "drop_unseen_classes".
    """
    origin = {**_origin(run, header, sheet, data), **dict.fromkeys(drop, True)}
    if target is not None:
        names = [part.strip() for part in target.split(",")]
        own = run.saved.target_names  # in whose order the columns are wanted
        origin = {**origin, "target": list(own) if sorted(names) == sorted(own) else [target]}
    if origin["kind"] == ALONE:
        _check_alone(run, origin, data)
    encoder, classes = _table_encoder(run.saved), getattr(run.saved.task, "classes", None)
    name = "test"
    if data is None and run.config.get("stream") is not None:
        part, notes = streamed_test_rows(run, target)
    elif data is None:
        if from_standard_input(origin):
            raise DataError("the run was trained on standard input, which cannot be read again; give data to evaluate it on")
        with rereading():
            source = load_source(origin)
        if not same_data(source.fingerprint, run.config.get("fingerprint", {})):
            raise DataError(f"{', '.join(source.fingerprint)} {CHANGED}")
        if source.test is None:
            raise DataError(NO_TEST_ROWS)
        part, notes = source.test, source.notes
    elif kind_of(data) == "named":
        same = dict(origin) if origin.get("name") == data else {}
        source = load_source({"kind": "named", "name": data, "task": None, "seed": origin["seed"]} | same)
        if source.test is None:
            raise DataError(f"{data} has no test rows")
        part, notes, name = source.test, (), f"{data} test"
    elif kind_of(data) == "arrays":
        arrays = read_arrays(data)
        if not {"X", "y"} <= set(arrays):
            raise DataError(f"{data} holds {', '.join(arrays)}, but evaluating needs a .npz file with the arrays X and y")
        X = arrays["X"].reshape(len(arrays["X"]), -1)
        part, notes, name = Part(X=X, y=arrays["y"], weight=arrays.get("sample_weight")), (), Path(data).name
        if classes is not None and origin.get("drop_unseen_classes"):
            part, notes = of_seen_classes(part, classes)
    else:
        if encoder is None:
            raise _no_arrays(run, "a .npz file with X and y")
        part, notes = test_part(data, origin, classes, text=encoder.forms, content=None)
        name = name_of(data)
    if encoder is None:
        return part, name, notes
    if not isinstance(part.X, Table):
        raise _no_table(encoder)
    notes = (*notes, *encoder.check(part.X))
    return (encoded_part(part, encoder) if encode else part), name, notes


def seen_words(seen: int, rows: int, name: str) -> str:
    """Say how many of so many rows of some data a run was trained or validated on."""
    return f"{seen:,} of the {rows:,} rows of {name} are rows that the run was trained or validated on"


def parts_by_seen(run: Any, part: Any) -> tuple[Any, Any]:
    """Return the rows of a part that are new to a run, and those it has seen; None for none."""
    known = seen_rows_of(run, part)
    if known is None or not known.any():
        return part, None
    return None if known.all() else taken(part, np.flatnonzero(~known)), taken(part, np.flatnonzero(known))


def seen_rows_of(run: Any, part: Any) -> NDArray[np.bool_] | None:
    """Return which rows (N,) of a part, encoded or not, a run was trained or validated on, None where that is not known."""
    seen = run.seen_rows
    if seen is None:
        return None
    if seen.dtype != np.uint64 or seen.ndim != 1:
        raise ModelFileError(f"{run.folder} is damaged: the hashes of its rows are not whole numbers; train again")
    if isinstance(part.X, Table):
        part = encoded_part(part, run.model.encoder)
    return np.isin(row_hashes(part.identity, run.model.task.encode(part.y)), seen)


def _table_encoder(model: Any) -> Any:
    """Return the encoder of a table's columns, None for a model that takes arrays: it encodes these by itself."""
    return None if model.encoder is None or model.encoder.positional else model.encoder


def _check_alone(run: SavedRun, origin: Mapping[str, Any], data: str | None) -> None:
    """Raise DataError where a model file, without its run, does not say enough."""
    if data is None:
        raise DataError(f"{run.folder} is a model file, which does not say what it was tested on; give data")
    if kind_of(data) == "table" and not origin["target"]:
        raise DataError(f"{run.folder} is a model file, which does not name the target; name its column with --target")


def _no_table(encoder: Any) -> DataError:
    return DataError(f"the run was trained on a table; give a table with the columns {listed(encoder.column_names, 20)}")


def _no_arrays(run: SavedRun, wanted: str) -> DataError:
    return DataError(f"the run was trained on arrays of {run.saved.in_features} columns, not on a table; give {wanted}")


def prediction_blocks(run: SavedRun, data: str, *, header: bool | None = None, sheet: str | None = None) -> PredictionBlocks:
    """Return the rows to predict, those of a large table in blocks; header, sheet: as for `evaluation_rows`."""
    origin, encoder = _origin(run, header, sheet, data), _table_encoder(run.saved)
    kind = kind_of(data)
    if kind == "table":
        if encoder is None:
            raise _no_arrays(run, "a .npy or .npz file")
        own = {*origin.get("target", []), *run.saved.target_names, origin.get("weight")}
        how = {**text_options_of(data, origin), "text": encoder.forms}
        blocks = open_blocks(data, used=(*encoder.column_names, *encoder.forms), **how)
        if blocks is not None:
            return _of_blocks(blocks, encoder, own)
        (frame, written), notes = with_notes(lambda: read_written(data, **how))
        features = [name for name in frame.columns if name not in own]
        notes += tuple(encoder.check(frame[features])) if features else ()
        return PredictionBlocks.whole(frame, _columns_of(written), notes)
    if encoder is not None:
        raise _no_table(encoder)
    if kind == "arrays":
        arrays = read_arrays(data)
        if "X" not in arrays:
            raise DataError(f"{data} holds {', '.join(arrays)}, but predicting needs the array X")
        X = arrays["X"]
        if X.ndim < 2:
            raise DataError(f"{data} has X of shape {X.shape}, but must be (rows, columns); one row is X.reshape(1, -1)")
        X = X.reshape(len(X), -1)
        return PredictionBlocks.whole(X, {"row": list(range(len(X)))})
    part, _, _ = evaluation_rows(run, data)
    names = run.config.get("class_names")
    truth = part.y.tolist()
    beside = {"row": list(range(part.rows)), "truth": [names[code] for code in truth] if names else truth}
    return PredictionBlocks.whole(part.X, beside)


def _columns_of(frame: Any) -> dict[str, Any]:
    return {name: frame[name].to_list() for name in frame.columns}


def _of_blocks(blocks: Blocks, encoder: Any, own: set[Any]) -> PredictionBlocks:
    remarks = Remarks(encoder)
    features = [name for name in blocks.names if name not in own]

    def frames(size: int) -> Iterator[Rows]:
        for frame, written in blocks.frames(size):
            if features:
                remarks.add(frame[features])
            yield frame, _columns_of(written)

    return PredictionBlocks(rows=blocks.rows, blocks=frames, notes=remarks.notes)
