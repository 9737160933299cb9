"""`manynets sweep`. What it does is in `manynets.cli.sweeping`."""

from __future__ import annotations

from typing import Any

from manynets.cli.options import SWEEP, data_argument, takes


@takes(SWEEP, data=data_argument(str, help="As for manynets train."), first=("target", "grid", "time_limit", "seeds", "out"))
def sweep(**options: Any) -> None:
    """Compare networks that differ in some options, and write the result of each, the best model, and pictures.

    \b
    manynets sweep houses.csv --target price
    manynets sweep houses.csv --target price --grid lr=0.02,0.04 --grid hidden=64-64,256-256
    manynets sweep digits --grid lr=1e-4:1e-1:log:12 --grid dropout=0,0.2,0.5

    For a table each candidate is the ensemble that train makes, and the default is one of them; without --grid the others are drawn at
    random. The folder has results.csv, best/ (a run folder as train writes it) and pictures. Every option of train can be given but
    --engine, --memory-limit, --threshold and --allow-world-size.
    """
    from manynets.cli.sweeping import run_sweep

    run_sweep(options)
