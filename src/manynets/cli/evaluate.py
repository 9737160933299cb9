"""`manynets evaluate`: the figures of a run, on its own test rows or on other data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder that manynets train wrote.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A table with the same columns and the target (- for standard input), a .npz file with X and y, or a data set by name. Left out: "
            "the test rows of the run.",
            show_default=False,
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line of a CSV file or sheet holds the names; left out: as in training.",
            show_default=False,
        ),
    ] = None,
    json_line: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with the figures on stdout, and all else on stderr.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and the JSON line).")] = False,
) -> None:
    """Measure a trained network on its test rows, or on other data."""
    import json
    import sys

    from manynets import runs
    from manynets.cli.fit import figures_of
    from manynets.cli.report import console_for, note, print_classes, print_figures
    from manynets.cli.reuse import rows_to_judge

    console = console_for(quiet=quiet, to_stderr=json_line)
    found = runs.read_run(run)
    part, name, notes = rows_to_judge(found, data, header=header)
    for text in notes:
        note(console, text)
    figures: dict[str, Any] = figures_of(found.model, part)
    print_figures(console, {name: figures})
    print_classes(console, figures, names=found.config.get("class_names"), part=name)
    if json_line:
        result = {"run_dir": str(found.folder), "data": name, **figures}
        sys.stdout.write(json.dumps(runs.plain_json(result), allow_nan=False) + "\n")
