"""`manynets datasets`: the built-in data sets."""

from __future__ import annotations

from manynets.cli.arguments import DataFolder
from manynets.cli.report import console_for, print_table


def datasets(data_dir: DataFolder = None) -> None:
    """List the built-in data sets.

    \b
    manynets datasets
    """
    from manynets.datasets import describe

    rows = [
        (one.name, one.about, one.rows, one.test_rows, one.features, one.task, one.where) for one in describe(data_dir=data_dir)
    ]
    names = ["name", "what", "rows", "test rows", "features", "task", "where from"]
    print_table(console_for(), names, rows)
