"""`manynets evaluate`: the metrics of a run, on its own test rows or on other data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Header, JsonLine, Quiet, RunFolder, Sheet, Target, Threshold, argument, option
from manynets.cli.bounded import metrics_of
from manynets.cli.origin import kind_of, with_notes
from manynets.cli.report import console_for, note, print_details, print_json, print_metrics
from manynets.cli.saved_runs import open_run
from manynets.errors import OptionError

if TYPE_CHECKING:
    from manynets.runs import SavedRun


def evaluate(
    run: RunFolder,
    data: Annotated[
        str | None,
        argument(
            "DATA",
            help="A table with the same columns and the target (- for standard input), a .npz file with X and y, or a data set by name. "
            "[the test rows of the run]",
        ),
    ] = None,
    target: Target = None,
    threshold: Threshold = None,
    header: Header = None,
    sheet: Sheet = None,
    memory_limit: Annotated[
        str | None,
        option(
            metavar="SIZE",
            help="Read a larger Parquet or Arrow table in parts; unlike in train, text is not converted. [all rows at once]",
        ),
    ] = None,
    drop_missing_target: Annotated[
        bool, option("--drop-missing-target", help="Leave out rows of DATA without a target, instead of stopping at them.")
    ] = False,
    drop_unseen_classes: Annotated[
        bool,
        option(
            "--drop-unseen-classes",
            help="Leave out rows of DATA whose class training did not have, instead of stopping at them.",
        ),
    ] = False,
    json_line: JsonLine = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate a trained model on its test rows, or on other data.

    \b
    manynets evaluate runs/houses-1
    manynets evaluate runs/houses-1 sold_houses.csv --json

    Rows of other data that the run was trained or validated on are recognised and scored separately; the JSON has the metrics of the new
    rows, and those of the others under "seen".
    """
    from manynets.cli.new_data import evaluation_rows, parts_by_seen, seen_words
    from manynets.cli.streamed_rows import metrics_of_files
    from manynets.cli.thresholds import with_threshold

    console = console_for(quiet=quiet, to_stderr=json_line)
    found = open_run(run)
    names = found.config.get("class_names")
    more: dict[str, Any] = {}
    flags = {"drop_missing_target": drop_missing_target, "drop_unseen_classes": drop_unseen_classes}
    drop = [name for name, given in flags.items() if given]
    _check_drop(found, data, drop, in_parts=memory_limit is not None)
    how: dict[str, Any] = {"target": target, "header": header, "sheet": sheet}
    streamed, remarks = with_notes(lambda: metrics_of_files(found, data, memory_limit=memory_limit, threshold=threshold, **how))
    note(console, *remarks)
    if streamed is not None:
        metrics, name = streamed
        named, shown = {name: metrics}, name
    else:
        part, name, notes = evaluation_rows(found, data, drop=drop, **how)
        note(console, *notes)
        new, seen = (part, None) if data is None else parts_by_seen(found, part)
        model = with_threshold(found.model, threshold, names=names)
        metrics = metrics_of(model, part if new is None else new)
        named, shown = {name: metrics}, name if seen is None or new is None else "new"
        if data is not None and found.seen_rows is not None:
            more["seen_rows"] = 0 if seen is None else seen.rows
        if seen is not None:
            apart = "" if new is None else ", so they are scored apart"
            note(console, f"{seen_words(seen.rows, part.rows, name)}: its metrics on them say nothing about new rows{apart}")
            more["seen"] = metrics_of(model, seen)
            named = {} if new is None else {f"{name}: new rows": metrics}
            named[f"{name}: seen in training"] = more["seen"]
    print_metrics(console, named)
    weighted = "weight" in found.config.get("data", {})
    print_details(console, metrics, names=names or found.saved.target_names, part=shown, weighted=weighted)
    if json_line:
        print_json({"run_dir": str(found.folder), "data": name, **metrics, **more})


def _check_drop(run: SavedRun, data: str | None, drop: Sequence[str], *, in_parts: bool) -> None:
    """Raise OptionError where rows of these data cannot be left out. drop: as for `evaluation_rows`; in_parts: how the data are read."""
    if drop and (data is None or in_parts):
        raise OptionError(
            "--drop-missing-target and --drop-unseen-classes are for other data that are read at once; leave them out"
        )
    if "drop_missing_target" in drop and data is not None and kind_of(data) != "table":
        raise OptionError(f"--drop-missing-target is for a table, and {data} is none; leave it out")
    if "drop_unseen_classes" in drop and run.saved.task.name not in ("binary", "multiclass"):
        raise OptionError(f"--drop-unseen-classes is for classes, but the task of the run is {run.saved.task.name}; leave it out")
