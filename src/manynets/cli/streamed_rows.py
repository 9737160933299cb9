"""Labelled rows of a run that are read in parts: its own test rows where it was trained on a stream, and large files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from manynets.cli.bounded import bounded, metrics_of_scores
from manynets.cli.data import Part
from manynets.cli.origin import name_of
from manynets.errors import DataError, OptionError
from manynets.runs import SavedRun

MOST_ROWS = 100_000
"""About so many test rows of a stream are in memory together at most."""
CHANGED = "changed since the run was trained, so its test rows are unknown; give data to evaluate it on"
NO_HEADER = "--header and --no-header are for text files and sheets; leave them out here"
NO_SHEET = "--sheet is for workbooks; leave it out here"
NO_TEST_ROWS = "the run has no test rows; give data to evaluate it on"


@contextlib.contextmanager
def rereading() -> Iterator[None]:
    """Say in a DataError of this context, which reads the data of a run once more, that others can be given instead."""
    try:
        yield
    except DataError as error:
        raise DataError(f"the data of the run cannot be read, so give data to evaluate it on: {error}") from None


def metrics_of_files(
    run: SavedRun,
    data: str | None,
    *,
    target: str | None,
    memory_limit: str | None,
    threshold: str | None = None,
    header: bool | None = None,
    sheet: str | None = None,
) -> tuple[dict[str, Any], str] | None:
    """Return the metrics of a run on the test rows of its stream, or on all rows of a larger file, and a name for them.

    None where the rows are to be read at once, as usual. Errors: DataError where the file of the run changed since, OptionError for
    options that do not go with files which are read in parts.
    """
    from manynets.cli.thresholds import with_threshold
    from manynets.data.stream.limit import memory_bytes
    from manynets.streaming import Columns, bytes_in_memory
    from manynets.tables.rowgroups import BlockFiles, in_blocks

    origin, stream, names = run.config.get("data") or {}, run.config.get("stream"), run.config.get("class_names")
    if data is None:
        if stream is None:
            return None
        _refuse_text_options(header, sheet)
        return _test_metrics(run, with_threshold(run.model, threshold, names=names), target), "test"
    if memory_limit is None:
        return None
    limit = memory_bytes(memory_limit, what="--memory-limit")
    if not in_blocks(data):
        raise OptionError(f"--memory-limit is for Parquet and Arrow files, which {data} is not; leave it out")
    _refuse_text_options(header, sheet)
    files, named = BlockFiles(data), [target] if target is not None else origin.get("target", [])
    if len(named) != 1 or bytes_in_memory(files, Columns(target=named[0])) <= limit:
        return None
    weight = origin.get("weight") if origin.get("weight") in files.names else None
    metrics = with_threshold(run.model, threshold, names=names).evaluate(data, named[0], sample_weight=weight)
    return bounded({"rows": files.rows, **metrics}), name_of(data)


def _refuse_text_options(header: bool | None, sheet: str | None) -> None:
    if header is not None:
        raise OptionError(NO_HEADER)
    if sheet is not None:
        raise OptionError(NO_SHEET)


def _test_table(run: SavedRun, target: str | None) -> Any:
    """Return the table of a run's stream, whose hash says which rows are for testing; DataError where it has none, or changed."""
    from manynets.data.stream.parts import HashSplit
    from manynets.data.stream.table import RowsTable
    from manynets.tables.rowgroups import BlockFiles

    origin, stream = run.config["data"], run.config["stream"]
    marks = run.config.get("fingerprint", {})
    with rereading():
        files = BlockFiles(origin["path"])
    if files.fingerprint not in {mark.get("sha256") for mark in marks.values()}:
        raise DataError(f"{', '.join(marks)} {CHANGED}")
    if not stream["test"]:
        raise DataError(NO_TEST_ROWS)
    split = HashSplit(seed=stream["seed"], validation=stream["validation"], test=stream["test"], group=stream["group"])
    assert run.model.encoder is not None
    more = {"weight": origin.get("weight"), "drop_missing_target": bool(origin.get("drop_missing_target"))}
    return RowsTable(files, split, target or origin["target"][0], files.stored(run.model.encoder.column_names), **more)


def _test_metrics(run: SavedRun, model: Any, target: str | None) -> dict[str, Any]:
    """Return the metrics of a model on the test rows."""
    from manynets.data.stream.parts import TEST

    table = _test_table(run, target)
    frames = (table.read_part(block, TEST) for block in table.files.blocks)
    found = table.scored(frames, model.encoder, lambda frame: model.mean_logits(model.logits(frame)))
    assert found is not None
    return metrics_of_scores(model, found.scores, Part(X=None, y=found.y, weight=found.weight))


def streamed_test_rows(run: SavedRun, target: str | None) -> tuple[Part, tuple[str, ...]]:
    """Return test rows of a run's stream, not encoded, and notes: all, or as many drawn at random as fit in memory.

    Errors: DataError where the run has no test rows, or its file changed since.
    """
    import numpy as np
    import polars

    from manynets.data.stream.limit import Budget, memory_bytes
    from manynets.data.stream.parts import TEST
    from manynets.tables import open_table

    table = _test_table(run, target)
    split, files, limit = table.split, table.files, run.config["stream"].get("memory_limit")
    most = MOST_ROWS if limit is None else Budget(memory_bytes(limit)).validation_rows(16 * len(files.names))
    share = min(1.0, min(most, MOST_ROWS) / max(split.test * files.rows, 1.0))
    random, kept, rows = np.random.default_rng(split.seed), [], 0
    for block in files.blocks:
        frame = table.read_part(block, TEST)
        rows += frame.height
        kept.append(frame if share == 1.0 else frame.filter(random.random(frame.height) < share))
    frame = polars.concat(kept, rechunk=True)
    if not frame.height:
        raise DataError(NO_TEST_ROWS)
    note = f"{frame.height:,} of {rows:,} test rows drawn at random, so that they fit in memory"
    part = Part(X=open_table(frame[list(table.features)]), y=table.target_of(frame), weight=table.weights_of(frame))
    return part, () if share == 1.0 else (note,)
