"""Coverage and width of prediction intervals on eight real tables: python -m bench.intervals [--json FILE] [--only NAME ...].

A seed draws the split, as in `bench.tables`; at most --rows training rows and 4,000 test rows are used. Widths are means over the test rows, by the
standard deviation of y. With --json the runs add up, and those that the file holds are not made again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.machine import machine, versions
from bench.table_run import TABLES, Table, split
from bench.table_systems import Split, missing
from bench.tables import write_docs

__all__ = ["SYSTEMS", "main", "markdown", "measures"]

Array: TypeAlias = NDArray[Any]
DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- intervals: begin (python -m bench.intervals --write-docs) -->", "<!-- intervals: end -->"
COVERAGES = (0.8, 0.9, 0.95)
TEST_ROWS = 4000
_MORE = (
    Table(name="abalone", file="abalone/abalone.csv.gz", target="Rings", task="regression"),
    Table(name="elevators", file="reg_elevators/elevators.csv.gz", target="y"),
    Table(name="pumadyn32nm", file="reg_pumadyn32nm/pumadyn32nm.csv.gz", target="y"),
)
NUMBERS = {table.name: table for table in _MORE} | {
    name: TABLES[name] for name in ("california_housing", "diamonds", "ames_housing", "wine_quality", "bike_sharing_hour")
}

Limits: TypeAlias = list[Array]
"""Lower and upper limits (N, 2) for each of COVERAGES."""


def manynets(data: Split, rows: Array) -> Limits:
    """`mn.TabularRegressor` with its defaults."""
    import manynets as mn

    model = mn.TabularRegressor(random_state=data.seed).fit(data.raw[0], data.y)
    return [model.predict_interval(data.raw[1][rows], coverage) for coverage in COVERAGES]


def catboost(data: Split, rows: Array) -> Limits:
    """CatBoost's loss for several quantiles, with its other defaults."""
    from catboost import CatBoostRegressor

    levels = [level for coverage in COVERAGES for level in ((1 - coverage) / 2, (1 + coverage) / 2)]
    loss = "MultiQuantile:alpha=" + ",".join(f"{level:.4g}" for level in levels)
    model = CatBoostRegressor(
        loss_function=loss, random_seed=data.seed, thread_count=data.threads, verbose=False, allow_writing_files=False
    )
    train, test = (_words(frame, data) for frame in (data.train, data.test[rows]))
    model.fit(train, data.y, cat_features=data.words)
    found = np.sort(model.predict(test).reshape(len(rows), len(COVERAGES), 2), axis=2)
    return [found[:, j] for j in range(len(COVERAGES))]


def mapie(data: Split, rows: Array) -> Limits:
    """MAPIE's cross-conformal intervals (CV+, five folds) around scikit-learn's gradient-boosted trees."""
    from mapie.regression import CrossConformalRegressor
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((codes, data.words), remainder="passthrough")
    trees = make_pipeline(columns, HistGradientBoostingRegressor(random_state=data.seed))
    model = CrossConformalRegressor(trees, confidence_level=list(COVERAGES), random_state=data.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that a later step does not see
        model.fit_conformalize(_words(data.train, data), data.y)
        _, found = model.predict_interval(_words(data.test[rows], data))
    return [found[:, :, j] for j in range(len(COVERAGES))]


SYSTEMS: dict[str, Callable[[Split, Array], Limits]] = {"manynets": manynets, "catboost": catboost, "mapie": mapie}


def _words(frame: Any, data: Split) -> Any:
    """Return a pandas frame whose words have no gaps."""
    import polars

    return frame.with_columns(polars.col(data.words).fill_null("missing")).to_pandas()


def measures(limits: Array, y: Array, unit: float) -> dict[str, float]:
    """Return the share of y (N,) within the limits (N, 2), and their mean width in this unit.

    >>> measures(np.array([[0.0, 2.0], [0.0, 4.0]]), np.array([1.0, 5.0]), 2.0)
    {'coverage': 0.5, 'width': 1.5}
    """
    inside = (limits[:, 0] <= y) & (y <= limits[:, 1])
    return {"coverage": float(inside.mean()), "width": float(np.diff(limits).mean() / unit)}


def run(table: str, system: str, seed: int, rows: int) -> dict[str, Any]:
    """Return what was measured of a system on the split of a seed."""
    data = split(NUMBERS[table], seed, rows=rows)
    some = np.sort(np.random.default_rng(seed).permutation(len(data.y_test))[:TEST_ROWS])
    found = SYSTEMS[system](data, some)
    out: dict[str, Any] = {"table": table, "system": system, "seed": seed, "rows": rows, "test_rows": len(some)}
    each = {f"{level:g}": measures(one, data.y_test[some], data.y.std()) for level, one in zip(COVERAGES, found, strict=True)}
    return out | {"at": each}


def markdown(results: dict[str, Any]) -> str:
    """Return the page: coverage and width of each system on each table, means over the seeds, and how many are beyond chance."""
    from scipy import stats

    runs, lines = results["runs"], []
    systems = [name for name in SYSTEMS if any(run["system"] == name for run in runs)]
    of = {name: {(run["table"], run["seed"]) for run in runs if run["system"] == name} for name in systems}
    shared = set.intersection(*of.values())  # what all systems were measured on
    runs = [run for run in runs if (run["table"], run["seed"]) in shared]
    heads = [f"{name}, {100 * level:g} %" for name in systems for level in COVERAGES]
    lines += [f"| table | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    tables = [name for name in NUMBERS if any(run["table"] == name for run in runs)]

    def values(system: str, level: float, what: str, table: str | None = None) -> list[float]:
        chosen = [run for run in runs if run["system"] == system and table in (None, run["table"])]
        return [run["at"][f"{level:g}"][what] for run in chosen]

    def cell(system: str, level: float, table: str | None = None) -> str:
        share, width = (values(system, level, what, table) for what in ("coverage", "width"))
        return f"{100 * np.mean(share):.1f} ({np.mean(width):.2f})" if share else ""

    for table in tables:
        lines.append(f"| {table} | {' | '.join(cell(name, level, table) for name in systems for level in COVERAGES)} |")
    lines.append(f"| **mean** | {' | '.join(f'**{cell(name, level)}**' for name in systems for level in COVERAGES)} |")
    beyond = []
    for name in systems:
        own = [run for run in runs if run["system"] == name]
        outside = 0
        for one in own:
            for level in COVERAGES:
                low, high = stats.binom.interval(0.99, one["test_rows"], level)
                outside += not low <= one["at"][f"{level:g}"]["coverage"] * one["test_rows"] <= high
        beyond.append(f"{name} {outside} of {len(own) * len(COVERAGES)}")
    first = "Share of the test rows within the limits in percent, and in brackets the mean width by the standard deviation of y."
    last = f"{len(shared)} splits. Coverages beyond the 99 % limits of the binomial distribution: {', '.join(beyond)}."
    known = {name: version for name, version in results["versions"].items() if name in (*SYSTEMS, "MAPIE", "scikit-learn")}
    where = f"{results['machine']['processor']}, {results['machine']['date']}; {', '.join(map(' '.join, known.items()))}."
    return "\n".join([first, "", *lines, "", last, "", where])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.intervals", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(NUMBERS), metavar="NAME", help=f"some of {', '.join(NUMBERS)}")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), metavar="NAME", help=f"some of {', '.join(SYSTEMS)}")
    parser.add_argument("--rows", type=int, default=4000, metavar="N", help="training rows at most (4000)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the runs to this file, and make none that it holds")
    parser.add_argument("--show", action="store_true", help="measure nothing: print what the file holds")
    parser.add_argument("--write-docs", action="store_true", help="measure nothing: put what the file holds into docs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print the page."""
    options = _parser().parse_args(arguments)
    results: dict[str, Any] = {"machine": machine(), "versions": versions(), "runs": []}
    if options.json is not None and options.json.exists():
        results["runs"] = json.loads(options.json.read_text(encoding="utf-8"))["runs"]
    done = {(one["table"], one["system"], one["seed"], one["rows"]) for one in results["runs"]}
    systems = [name for name in options.systems or SYSTEMS if missing(name) is None]
    wanted = [(table, system, seed) for seed in range(options.seeds) for table in options.only or NUMBERS for system in systems]
    for table, system, seed in [] if options.show or options.write_docs else wanted:
        if (table, system, seed, options.rows) in done:
            continue
        results["runs"].append(run(table, system, seed, options.rows))
        print(table, system, seed, results["runs"][-1]["at"], flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = markdown(results)
    if options.write_docs:
        write_docs(text, DOCS, begin=BEGIN, end=END)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
