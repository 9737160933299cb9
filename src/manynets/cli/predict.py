"""`manynets predict`: predictions and probabilities as CSV."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Header, Overwrite, Quiet, RunFolder, Sheet, Threshold, argument, option
from manynets.cli.report import console_for, note
from manynets.cli.saved_runs import open_run
from manynets.display import counted
from manynets.errors import OptionError, one_of

if TYPE_CHECKING:
    from manynets.runs import SavedRun

BLOCK_ROWS = 1 << 16

OTHER_FORMATS = {
    ".xlsx", ".xlsm", ".xls", ".ods", ".parquet", ".pq", ".json", ".jsonl", ".feather", ".arrow", ".npy", ".npz", ".gz", ".bz2", ".xz", ".zst",
    ".zip",
}  # fmt: skip
"""Ends of file names that promise something else than CSV."""


def predict(
    run: RunFolder,
    data: Annotated[
        str,
        argument(
            "DATA",
            help="A table with the same columns (- for standard input), a .npy or .npz file with X, or a data set by name (its test "
            "rows).",
        ),
    ],
    out: Annotated[str | None, option("--output", "-o", metavar="FILE", help="CSV file to write. [stdout]")] = None,
    columns: Annotated[
        str | None,
        option(
            metavar="NAME,...",
            help="Columns of the table to write next to the predictions, such as an id. If columns of predictions are among them, "
            "only those that are named are written; NEW=NAME renames one. [all]",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        option(
            metavar="COVERAGE",
            help="For numbers, also write the limits lower and upper, which hold this share of the targets, such as 0.9.",
        ),
    ] = None,
    threshold: Threshold = None,
    header: Header = None,
    sheet: Sheet = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write predictions as CSV, next to the columns of each row: with probabilities for classes, and with limits for numbers if you ask.

    \b
    manynets predict runs/houses-1 new_houses.csv -o predictions.csv
    manynets predict runs/houses-1 new_houses.csv --interval 0.9
    manynets predict model.safetensors new_houses.csv --columns id
    manynets predict runs/houses-1 test.csv --columns id,price=prediction -o submission.csv
    """
    from manynets.cli.new_data import prediction_blocks
    from manynets.cli.outputs import claimed_output
    from manynets.cli.thresholds import with_threshold
    from manynets.intervals import check_coverage
    from manynets.modelfile import replacing

    if out is None and sys.__stdout__ is None:
        raise OptionError("standard output is closed; give a file with -o")
    if out is not None and os.path.splitext(out)[1].lower() in OTHER_FORMATS:
        raise OptionError(f"-o is {out!r}, but must end in .csv: predictions are written as CSV")
    console = console_for(quiet=quiet, to_stderr=True)
    with claimed_output(out, overwrite=overwrite, option="-o", example="predictions.csv"):
        if interval is not None:
            check_coverage(interval, what="--interval")
        found = open_run(run)
        source = prediction_blocks(found, data, header=header, sheet=sheet)
        if interval is not None and found.saved.task.name != "regression":
            raise OptionError(
                f"--interval is {interval:g}, but is for numbers, and this model predicts classes with probabilities; leave it out"
            )
        model: Any = found.saved if found.saved.is_quick(source.rows) else found.model  # the latter loads torch
        model = with_threshold(model, threshold, names=found.config.get("class_names"))
        size = model.rows_at_once * max(1, BLOCK_ROWS // model.rows_at_once)  # so that a block ends where a part of all rows would
        with contextlib.nullcontext() if out is None else replacing(out, overwrite=overwrite) as file:
            for number, (X, beside) in enumerate(source.blocks(size)):
                wanted = {name: name for name in beside} if columns is None else _named(columns, beside)
                shown = {new: beside[name] for new, name in wanted.items() if name in beside}
                alone = len(shown) < len(wanted)  # some are predictions: then these are all that is written
                made = _predictions(found, model, X, beside=beside if alone else shown, interval=interval)
                everything = {**made, **beside}
                chosen = {new: everything[one_of(name, everything, what="--columns")] for new, name in wanted.items()}
                table = chosen if alone else shown | made
                text = _text(table, header=number == 0)
                if file is None:
                    _write_out(text)
                else:
                    file.write(text.encode())
            note(console, *source.notes())
    if out is not None:
        console.print(f"Written to {out}: {counted(source.rows, 'row')}")


def _named(columns: str, beside: dict[str, Any]) -> dict[str, str]:
    """Return the columns of --columns, by the names that they get.

    >>> _named("Id, SalePrice=prediction, a=b", {"Id": [1], "a=b": [2]})
    {'Id': 'Id', 'SalePrice': 'prediction', 'a=b': 'a=b'}
    """
    names = [columns] if columns in beside else [name.strip() for name in columns.split(",") if name.strip()]
    found: dict[str, str] = {}
    for name in names:
        new, _, old = map(str.strip, name.partition("="))
        if not (new and old) or name in beside:
            new = old = name
        if new in found:
            raise OptionError(f"--columns is {columns!r}, but gives two columns the name {new!r}; give each another one")
        found[new] = old
    return found


def _write_out(text: str) -> None:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError as error:
        lacking = error.object[error.start]
        raise OptionError(
            f"standard output is {sys.stdout.encoding}, which has no {lacking!a}; set PYTHONIOENCODING=utf-8, or give a file with -o"
        ) from error
    sys.stdout.write(text)


def _predictions(run: SavedRun, model: Any, X: Any, *, beside: dict[str, Any], interval: float | None) -> dict[str, Any]:
    """Return the columns to add, under names that no column of the rows has."""
    classes: tuple[Any, ...] | None = getattr(model.task, "classes", None)
    names: Any = run.config.get("class_names") or classes
    logits = model.logits(X)
    predicted = model.predicted(logits)
    out: dict[str, Any] = {}
    if predicted.ndim == 2:
        targets = model.target_names or tuple(str(i) for i in range(predicted.shape[1]))
        out |= {f"prediction_{name}": predicted[:, i].tolist() for i, name in enumerate(targets)}
    elif classes is not None:
        label = dict(zip(classes, names, strict=True))
        out["prediction"] = [label[value] for value in predicted.tolist()]
    else:
        out["prediction"] = predicted.tolist()
    if model.task.name != "regression":
        shares = model.probabilities(logits)
        labels = names or [name.removeprefix("prediction_") for name in out]
        out |= {f"probability_{name}": [float(f"{p:.7g}") for p in shares[:, i].tolist()] for i, name in enumerate(labels)}
    ends = [name.removeprefix("prediction") for name in out]
    if levels := getattr(model.task, "quantiles", ()):
        found = model.quantiles(logits).reshape(len(predicted), -1, len(levels))
        for j, end in enumerate(ends):
            out |= {f"quantile_{level:g}{end}": found[:, j, i].tolist() for i, level in enumerate(levels)}
    if interval is not None:
        limits = model.interval(logits, interval)
        for j, end in enumerate(ends):
            both = limits if limits.ndim == 2 else limits[:, j]
            out |= {f"lower{end}": both[:, 0].tolist(), f"upper{end}": both[:, 1].tolist()}
    return {_free(name, beside): column for name, column in out.items()}


def _free(name: str, taken: dict[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


def _text(table: dict[str, Any], *, header: bool) -> str:
    import csv
    import io

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if header:
        writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return file.getvalue()
