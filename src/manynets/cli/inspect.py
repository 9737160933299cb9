"""`manynets inspect`: what is in a table, and what would be made of it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import JsonLine, argument, option
from manynets.cli.options import of_train
from manynets.cli.origin import absolute, name_of, open_data
from manynets.cli.report import console_for, kind_text, note, print_columns, print_json
from manynets.cli.wording import in_flags
from manynets.display import counted, listed, value_text

if TYPE_CHECKING:
    from rich.console import Console

    from manynets.tables.inspection import InspectedTarget, Inspection

MOST_PANELS = 23
"""So many columns are drawn, those that say most about the target first."""
MOST_CLASSES = 10  # that are listed
MOST_NOTES = 30
"""So many notes are printed."""


def inspect(
    data: Annotated[str, argument("DATA", help="A table: a file, a folder or pattern of Parquet files, or - for standard input.")],
    target: Annotated[list[str] | None, of_train("target")] = None,
    drop: Annotated[list[str] | None, of_train("drop")] = None,
    categorical: Annotated[list[str] | None, of_train("categorical")] = None,
    numeric: Annotated[list[str] | None, of_train("numeric")] = None,
    plot: Annotated[
        str | None, option(metavar="FILE", help="Draw the distributions of the columns: a .png, .pdf or .svg file.")
    ] = None,
    overwrite: Annotated[bool, option("--overwrite", help="Replace the file of --plot if it exists.")] = False,
    all_columns: Annotated[bool, option("--all", help="List all columns, and all notes on them, however many there are.")] = False,
    json_line: JsonLine = False,
    delimiter: Annotated[str | None, of_train("delimiter")] = None,
    encoding: Annotated[str | None, of_train("encoding")] = None,
    sheet: Annotated[str | None, of_train("sheet")] = None,
    no_header: Annotated[bool, of_train("no_header")] = False,
) -> None:
    """Show what is in a table: its columns, how they were read, and what they say about the target.

    \b
    manynets inspect houses.csv --target price
    manynets inspect houses.csv --target price --plot houses.png
    """
    from manynets.cli.outputs import claimed_output
    from manynets.cli.table_columns import columns_named, possible_names
    from manynets.tables import inspect_table

    if plot is not None:
        from manynets.plots.canvas import picture_format

        picture_format(plot)
    names = {"drop": drop, "categorical": categorical, "numeric": numeric}
    with claimed_output(plot, overwrite=overwrite, option="--plot", example="columns.png"):
        console = console_for(to_stderr=json_line)
        path = absolute(data)
        origin = {"path": path, "delimiter": delimiter, "encoding": encoding, "sheet": sheet, "no_header": no_header}
        table, notes = open_data(path, origin, text=possible_names(categorical or []))
        note(console, *notes)
        kinds = {name: columns_named(given or [], table.names) for name, given in names.items()}
        targets = columns_named(target or [], table.names)
        found = inspect_table(table, targets or None, **kinds)
        _print(console, name_of(path), found, all_columns=all_columns)
        if plot is not None:
            _draw(table, found, targets, plot, overwrite=overwrite)
            console.print(f"Written to {plot}")
        if json_line:
            suggestions = [in_flags(text) for text in found.suggestions]
            print_json(found.to_json() | {"suggestions": suggestions} | ({"plot": plot} if plot else {}))


def _print(console: Console, name: str, found: Inspection, *, all_columns: bool) -> None:
    from manynets.tables.inspection import FEWEST_ROWS

    headings = ["column", "kind", "read as", "missing", "distinct", "example", "explains", "note"]
    rows: list[tuple[Any, ...]] = []
    for one in found.columns:
        column = one.column
        share = "" if one.association is None else f"{one.association:.0%}"
        remark = "" if column.note == one.read_as else in_flags(column.note.removeprefix(f"{one.read_as}; "))
        rows.append((column.name, kind_text(column), one.read_as, column.missing, column.distinct, column.example, share, remark))
    title = f"{name}: {counted(found.rows, 'row')}, {counted(len(rows), 'column')}" + (
        " besides the target" if found.targets else ""
    )
    print_columns(console, headings, rows, title=title, all_with="--all", most=len(rows) if all_columns else None)
    if found.targets:
        text = "explains: the share of the spread of the target that a column explains alone, in rows not used to measure it"
        if found.rows < FEWEST_ROWS:
            few = f"{counted(found.rows, 'row')} {'is' if found.rows == 1 else 'are'} too few"
            text = f"{few} to measure what a column explains of the target: at least {FEWEST_ROWS} are needed"
        console.print(text, style="dim")
    for target in found.targets:
        console.print(_described(target))
    console.print(f"duplicate rows: {found.duplicates:,}")
    most = len(found.suggestions) if all_columns else MOST_NOTES
    note(console, *found.suggestions[:most])
    if len(found.suggestions) > most:
        console.print(f"... and {len(found.suggestions) - most:,} more notes, which --all lists")


def _described(target: InspectedTarget) -> str:
    if target.classes is None:
        least, *_, largest = quartiles = target.quartiles or (0.0,)
        low, middle, high = map(value_text, (least, quartiles[len(quartiles) // 2], largest))
        return f"target {target.name}: numbers from {low} to {high}, median {middle}"
    shown = listed((f"{label} ({count:,})" for label, count in target.classes.items()), MOST_CLASSES)
    return f"target {target.name}: {counted(len(target.classes), 'class')}: {shown}"


def _draw(table: Any, found: Inspection, targets: list[str], path: str, *, overwrite: bool) -> None:
    """Draw the target and the columns that say most about it."""
    import numpy as np

    from manynets.plots import column_distributions, save
    from manynets.tables import split_target
    from manynets.tables.kinds import plain_values

    order = sorted(found.columns, key=lambda one: -(one.association or 0.0))
    shown = [one.column for one in order if one.column.kind not in ("dropped", "text")][:MOST_PANELS]
    values: dict[str, Any] = {}
    classes = names = None
    if targets:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the inspection has told them as notes
            table, y, _ = split_target(table, targets, drop_missing_target=True)
        values = dict(zip(targets, y.T, strict=True))
        if len(targets) == 1 and found.targets[0].classes is not None:
            labels, classes = np.unique(y[:, 0], return_inverse=True)
            names = labels.tolist()
            values = {targets[0]: y[:, 0].astype(str).astype(object)}
    values |= {column.name: plain_values(table, column) for column in shown}
    save(column_distributions(values, classes=classes, class_names=names), path, overwrite=overwrite)
