"""`manynets report`: one HTML file on a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Overwrite, Quiet, RunFolder, argument, option
from manynets.cli.bounded import metrics_of
from manynets.cli.report import console_for, note
from manynets.cli.saved_runs import held_out_words, open_run, validation_words
from manynets.display import counted
from manynets.errors import DataError, OptionError

if TYPE_CHECKING:
    from manynets.runs import SavedRun

MOST_NAMED = 3
"""Targets that the title names."""


def report(
    run: RunFolder,
    data: Annotated[str | None, argument("DATA", help="Rows with the target, as for evaluate. [the test rows of the run]")] = None,
    out: Annotated[
        str | None, option("--output", "-o", metavar="FILE", help="HTML file to write. [report.html in the run folder]")
    ] = None,
    overwrite: Overwrite = False,
    show: Annotated[bool, option("--open", help="Open it in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML file that says what a model is, how good it is, what it relies on, and where it fails.

    \b
    manynets report runs/houses-1 --open
    """
    import webbrowser

    from manynets.claims import claim
    from manynets.cli.outputs import claimed_output
    from manynets.report import require_report
    from manynets.runs import REPORT, remove_leftovers

    console = console_for(quiet=quiet)
    require_report()
    found = open_run(run)
    folder = found.folder if found.folder.is_dir() else found.folder.parent
    path = folder / REPORT if out is None else Path(out)
    if path.exists() and not overwrite:
        raise OptionError(f"the file {path} exists; give another one with -o, or --overwrite to replace it")
    own = found.folder.is_dir() and path.parent.is_dir() and path.parent.samefile(found.folder)
    claimed = claimed_output(str(path), overwrite=overwrite, option="-o", example=REPORT)
    with claim(found.folder, remedy="give another file with -o") if own else claimed:
        if own:
            remove_leftovers(path)
            found = open_run(run)  # again, as another process may have replaced it
        write_report_of(found, data, path, console, overwrite=overwrite)
    console.print(f"Written to {path}")
    if show:
        webbrowser.open(Path(os.path.abspath(path)).as_uri())


def write_report_of(
    run: SavedRun, data: str | None, path: Path, console: Any, *, overwrite: bool = True, after_training: bool = False
) -> None:
    """Write the report on a run: on rows of its own that were held out, or on labelled rows of other data.

    Where a run has no test rows, or they cannot be read again, the report has the metrics of the training only, and says why: those of the
    test rows, or where there were none of the validation rows.
    after_training: whether the notes on these rows have been printed already.
    """
    from manynets.cli.new_data import evaluation_rows, parts_by_seen, seen_words
    from manynets.report import ReportInput, write_report

    part, name, why = None, "test", ""
    try:
        part, name, notes = evaluation_rows(run, data, encode=False)
    except DataError as error:
        if data is not None:
            raise
        notes, why = (), str(error)
        note(console, f"the report is without rows: {why}")
    if not after_training:
        note(console, *notes)
    parts = {key: values for key, values in run.metrics.items() if key != "baselines" and values}
    if part is None and name not in parts and "validation" in parts:
        name = "validation"
    split = _split(run)
    if part is not None and name not in parts:
        parts[name] = metrics_of(run.model, part)
        seen = parts_by_seen(run, part)[1]
        if seen is not None:
            split["Seen in training"] = (
                f"{seen.rows:,} of the {part.rows:,} rows of {name}, whose metrics say nothing about new rows"
            )
            note(console, seen_words(seen.rows, part.rows, name))
    targets = run.model.target_names or run.config["data"].get("target") or ["the label"]
    target = ", ".join(targets)
    title = f"{run.folder.name}: {target if len(targets) <= MOST_NAMED else counted(len(targets), 'target')}"
    given = ReportInput(
        model=run.model, title=title, part=name, part_words=held_out_words(run) if name == "validation" else "",
        X=None if part is None else part.X, y=None if part is None else part.y,
        weight=None if part is None else part.weight, metrics=parts, baselines=run.metrics.get("baselines", {}), target=target,
        data=_data(run), split=split, versions=_versions(run), repeat=f"manynets rerun {run.folder}", without_rows=why,
        class_names=run.config.get("class_names"), image_shape=run.config.get("image_shape"),
    )  # fmt: skip
    write_report(given, path, overwrite=overwrite)


def _data(run: SavedRun) -> dict[str, str]:
    data: dict[str, Any] = run.config.get("data", {})
    facts = {"Data": str(data.get("path") or data.get("name"))}
    for name, found in run.config.get("fingerprint", {}).items():
        size = f"{counted(found['rows'], 'row')}; " if "rows" in found else ""
        facts[f"File {name}"] = f"{size}SHA-256 {found['sha256']}"
    if run.config.get("target_unit"):
        facts["Unit of the target"] = str(run.config["target_unit"])
    if data.get("weight"):
        facts["Weights of the rows"] = str(data["weight"])
    return facts


def _split(run: SavedRun) -> dict[str, str]:
    """Return how the rows were split, in words."""
    data, options = run.config.get("data", {}), run.config.get("options", {})
    facts = {}
    for part, values in run.metrics.items():
        if part != "baselines" and values and "rows" in values:
            facts[f"Rows, {part}"] = f"{values['rows']:,}"
    if data.get("test"):
        facts["Test rows"] = f"all of {data['test']}"
    elif data.get("test_fraction") is not None:
        facts["Test rows"] = f"{data['test_fraction']:.0%} of the table, held out"
    facts["Validation rows"] = validation_words(run)
    for name, words in (("group", "Kept together by"), ("time_column", "The latest rows by"), ("stratify", "The same shares of")):
        if options.get(name):
            facts[words] = str(options[name])
    facts["Seed"] = str(options.get("seed", run.model.recipe.seed))
    return facts


def _versions(run: SavedRun) -> dict[str, str]:
    import datetime

    from manynets import __version__

    info = run.model.info
    facts = dict(info.get("versions", {}))
    for name, label in (("core", "compiled core"), ("device", "device"), ("threads", "threads")):
        if info.get(name) is not None:
            facts[label] = str(info[name])
    facts["report written by"] = f"manynets {__version__}, {datetime.date.today().isoformat()}"
    return facts
