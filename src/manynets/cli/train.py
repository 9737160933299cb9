"""`manynets train`. What it does is in `manynets.cli.fit`."""

from __future__ import annotations

from typing import Any

from manynets.cli.options import TRAIN, data_argument, takes

_DATA = data_argument(
    str | None,
    help="A data set by name (see: manynets datasets), a table with --target, or a .npz file with the arrays X and y. A table is CSV, "
    "TSV, Excel, OpenDocument, JSON lines, Parquet or Arrow (text also as .gz, .bz2, .xz or .zst), a .zip with one of these, a folder "
    "of Parquet files, a pattern such as '2024-*.parquet', or - for standard input.",
)


@takes(TRAIN, data=_DATA, first=("target", "preset", "hidden", "epochs", "out"))
def train(**options: Any) -> None:
    """Train on a table, images or arrays, and write a run folder: model, history, metrics and pictures.

    \b
    manynets train houses.csv --target price
    manynets train digits
    manynets train mnist --hidden 256 --epochs 10 --json

    Defaults, in brackets, are those of a plain network. The presets for tables have others, which manynets show prints.
    """
    from manynets.cli.diverged import refuse_diverged
    from manynets.distributed.environment import launched

    if launched() > 1:
        from manynets.cli.together import fit_together

        fit_together(options)
        return
    from manynets.cli.fit import fit

    refuse_diverged(fit(options))
