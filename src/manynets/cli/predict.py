"""`manynets predict`: predictions and probabilities as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Header, Quiet, RunFolder, argument, option

if TYPE_CHECKING:
    from manynets.runs import SavedRun

__all__ = ["predict"]


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
        option("--columns", metavar="NAME,...", help="Columns of the table to write beside the predictions, such as an id. [all]"),
    ] = None,
    header: Header = None,
    overwrite: Annotated[bool, option("--overwrite", help="Replace the file if it exists.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write predictions as CSV, beside the columns of each row; for classes with probabilities.

    \b
    manynets predict runs/houses-1 new_houses.csv -o predictions.csv
    manynets predict model.safetensors new_houses.csv --columns id
    """
    import sys

    from manynets.cli.outputs import claimed_output
    from manynets.cli.report import console_for
    from manynets.errors import OptionError

    if out is None and sys.__stdout__ is None:
        raise OptionError("standard output is closed; give a file with -o")
    console = console_for(quiet=quiet, to_stderr=True)
    with claimed_output(out, overwrite=overwrite, option="-o", example="predictions.csv"):
        rows = _predict(run, data, out, columns=columns, header=header, overwrite=overwrite, console=console)
    if out is not None:
        console.print(f"Written to {out}: {rows:,} rows", markup=False, soft_wrap=True)


def _predict(
    run: Any, data: str, out: str | None, *, columns: str | None, header: bool | None, overwrite: bool, console: Any
) -> int:
    """Write the predictions, and return the number of rows."""
    import io
    import sys

    from manynets.cli.new_data import prediction_rows
    from manynets.cli.report import note
    from manynets.cli.saved_runs import open_run
    from manynets.errors import OptionError, one_of
    from manynets.modelfile import replacing

    found = open_run(run)
    X, beside, notes = prediction_rows(found, data, header=header)
    for text in notes:
        note(console, text)
    if columns is not None:
        names = [columns] if columns in beside else [name.strip() for name in columns.split(",") if name.strip()]
        beside = {one_of(name, beside, what="--columns"): beside[name] for name in names}
    table = beside | _predictions(found, X, beside)
    written = io.StringIO()
    _write(written, table)
    if out is None:
        try:
            written.getvalue().encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError as error:
            lacking = error.object[error.start]
            raise OptionError(
                f"standard output is {sys.stdout.encoding}, which has no {lacking!a}; set PYTHONIOENCODING=utf-8, or give a file with -o"
            ) from error
        sys.stdout.write(written.getvalue())
        return len(X)
    with replacing(out, overwrite=overwrite) as file:
        file.write(written.getvalue().encode())
    return len(X)


def _predictions(run: SavedRun, X: Any, beside: dict[str, Any]) -> dict[str, Any]:
    """Return the columns to add, under names that no column of the rows has."""
    model = run.saved if run.saved.is_quick(len(X)) else run.model  # the latter loads torch
    classes: tuple[Any, ...] | None = getattr(model.task, "classes", None)
    names: Any = run.config.get("class_names") or classes
    predicted = model.predict(X)
    out: dict[str, Any] = {}
    if predicted.ndim == 2:
        targets = run.config["data"].get("target", [])
        if len(targets) != predicted.shape[1]:
            targets = [str(i) for i in range(predicted.shape[1])]
        out |= {f"prediction_{name}": predicted[:, i].tolist() for i, name in enumerate(targets)}
    elif classes is not None:
        label = dict(zip(classes, names, strict=True))
        out["prediction"] = [label[value] for value in predicted.tolist()]
    else:
        out["prediction"] = predicted.tolist()
    if model.task.name != "regression":
        shares = model.predict_proba(X)
        labels = names or [name.removeprefix("prediction_") for name in out]
        out |= {f"probability_{name}": [float(f"{p:.7g}") for p in shares[:, i].tolist()] for i, name in enumerate(labels)}
    return {_free(name, beside): column for name, column in out.items()}


def _free(name: str, taken: dict[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


def _write(file: Any, table: dict[str, Any]) -> None:
    import csv

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
