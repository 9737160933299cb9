"""`manynets export`: a model for other programs, as an ONNX graph or a Python module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import JsonLine, Overwrite, Quiet, RunFolder, option
from manynets.cli.origin import from_standard_input
from manynets.cli.report import console_for, note, print_json
from manynets.cli.saved_runs import ALONE, open_run
from manynets.errors import ManynetsError, OptionError, one_of

if TYPE_CHECKING:
    from manynets.runs import SavedRun

ENDINGS = {"onnx": ".onnx", "python": ".py"}


def export(
    run: RunFolder,
    out: Annotated[str, option("--output", "-o", metavar="FILE", help="File to write, .onnx or .py.")],
    to: Annotated[
        str | None,
        option(metavar="FORMAT", help="onnx (needs the extra onnx) or python (needs NumPy only). [by the name of the file]"),
    ] = None,
    interval: Annotated[
        float | None,
        option(
            metavar="COVERAGE",
            help="Share of the targets that the outputs lower and upper of an ONNX graph hold. [0.9, if the model has intervals]",
        ),
    ] = None,
    overwrite: Overwrite = False,
    json_line: JsonLine = False,
    quiet: Quiet = False,
) -> None:
    """Write a model for other programs: a file that takes the columns of the table as they are and gives the same predictions.

    \b
    manynets export runs/houses-1 -o houses.onnx
    manynets export runs/houses-1 -o houses.py

    The file is compared with the model on up to 1,000 rows of the run's data and on rows with missing, unseen and out-of-range values, and is not
    written if they differ.
    """
    from manynets.cli.outputs import claimed_output
    from manynets.export import to_onnx, to_python

    console = console_for(quiet=quiet, to_stderr=json_line)
    name = next((name for name, ending in ENDINGS.items() if out.lower().endswith(ending)), None) if to is None else to
    if name is None:
        raise OptionError(f"--output is {out!r}, but must end in .onnx or .py; or give --to onnx or --to python")
    one_of(name, ENDINGS, what="--to")
    if interval is not None and name != "onnx":
        raise OptionError("--interval is for ONNX; the function predict_interval of a Python module takes the coverage itself")
    with claimed_output(out, overwrite=overwrite, option="-o", example="model.onnx"):
        found = open_run(run)
        rows, why = _own_rows(found)
        if why:
            note(console, f"compared on rows made from what the model knows of its columns, as {why}")
        if name == "onnx":
            check = to_onnx(found.model, out, X=rows, coverage=interval, overwrite=overwrite)
        else:
            check = to_python(found.model, out, X=rows, overwrite=overwrite)
    console.print(f"Written to {out}: {check}")
    if json_line:
        print_json({"file": out, "format": name, "rows": check.rows, "largest_difference": check.largest})


def _own_rows(run: SavedRun) -> tuple[Any, str]:
    """Return training rows of a run, or None and why there are none."""
    from manynets.cli.data import load_source
    from manynets.tables import Table

    origin = run.config.get("data", {})
    if origin.get("kind") == ALONE:
        return None, "a model file does not name its data"
    if from_standard_input(origin):
        return None, "the run was trained on standard input"
    try:
        X = load_source(origin).train.X
    except (ManynetsError, OSError) as error:
        return None, f"its data cannot be read: {error}"
    if not isinstance(X, Table):
        return X, ""
    first = X.loaded(X.names).piece(0, 1000)
    return (first.frame if first.taken is None or first.frame is None else first.frame[first.taken]), ""
