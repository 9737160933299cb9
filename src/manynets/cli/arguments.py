"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def option(*names: str, help: str, metavar: str = " ", **more: Any) -> Any:
    """Return an option for typer; without a metavar it is a flag. Text in brackets is printed as it is."""
    return typer.Option(*names, metavar=metavar, help=_plain(help), show_default=False, **more)


def argument(metavar: str, *, help: str) -> Any:
    """Return an argument for typer."""
    return typer.Argument(metavar=metavar, help=_plain(help), show_default=False)


def _plain(text: str) -> str:
    """Return a text without markup for rich."""
    return text.replace("[", "\\[")


RunFolder = Annotated[
    str, argument("RUN", help="A run folder that manynets train wrote, a model file, or the folder of a sweep (its best network).")
]
Target = Annotated[str | None, option(metavar="COLUMN", help="The target's column in DATA, for a model file. [as in training]")]
Threshold = Annotated[
    str | None,
    option(
        metavar="VALUE",
        help="Probability above which the second of two classes (that of --positive in training, or the last in the order of their names) is predicted, "
        "such as 0.3, or what a false alarm and a missed row cost, such as 1:5. Of more classes, what errors cost: TRUE:PREDICTED:COST,..., where "
        "all others cost 1, or a CSV file with a row for each true and a column for each predicted class. [the model's]",
    ),
]
DataFolder = Annotated[str | None, option(metavar="FOLDER", help="Folder with mnist/ and fashion-mnist/.")]
Header = Annotated[
    bool | None,
    option("--header/--no-header", help="Whether the first line of a CSV file or sheet has the column names. [as in training]"),
]
Sheet = Annotated[
    str | None,
    option(
        metavar="NAME",
        help="Sheet of a workbook. [that of training, where there is one of its name; else the first that holds a table]",
    ),
]
Overwrite = Annotated[bool, option("--overwrite", help="Replace the file if it exists.")]
JsonLine = Annotated[
    bool, option("--json", help="Print one JSON object with the results on stdout, and everything else on stderr.")
]
Quiet = Annotated[bool, option("--quiet", "-q", help="Print no report, notes or progress.")]
