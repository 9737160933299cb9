"""`manynets datasets`: the data sets by name."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["datasets"]


def datasets(
    data_dir: Annotated[
        str | None,
        typer.Option("--data-dir", metavar="FOLDER", help="Where mnist/ and fashion-mnist/ may be.", show_default=False),
    ] = None,
) -> None:
    """List the data sets that can be given by name."""
    from manynets.cli.report import console_for, table_of
    from manynets.datasets import describe

    rows = [
        (one.name, one.about, one.rows, one.test_rows, one.features, one.task, one.where) for one in describe(data_dir=data_dir)
    ]
    names = ["name", "what", "rows", "test rows", "features", "task", "where from"]
    console_for().print(table_of(names, rows))
