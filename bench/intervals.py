"""Coverage and width of prediction intervals on eight real tables: python -m bench.intervals [--json FILE] [--only NAME ...].

A seed draws the split, as in `bench.tables`; at most --rows training rows and 4,000 test rows are used. Widths are means over the test rows, by the
standard deviation of y. With --json the runs add up, and those that the file holds are not made again.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.saved import opened, parser_of, save, write_docs
from bench.table_run import TABLES, Table, split
from bench.table_systems import Split, missing

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


def manynets_quantiles(data: Split, rows: Array) -> Limits:
    """The default ensemble, whose networks predict the quantiles 0.05, 0.5 and 0.95: `manynets train --loss quantile --quantile 0.05,0.5,0.95`."""
    from manynets.tabular import train_tabular

    changes = {"loss": "quantile", "quantile": (0.05, 0.5, 0.95)}
    fit = train_tabular(data.raw[0], data.y, task="regression", seed=data.seed, changes=changes, progress=False)
    return [fit.model.predict_interval(data.raw[1][rows], coverage) for coverage in COVERAGES]


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


SYSTEMS: dict[str, Callable[[Split, Array], Limits]] = {
    "manynets": manynets,
    "manynets-quantiles": manynets_quantiles,
    "catboost": catboost,
    "mapie": mapie,
}


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
    out: dict[str, Any] = {
        "table": table,
        "system": system,
        "seed": seed,
        "rows": rows,
        "train_rows": len(data.y),
        "test_rows": len(some),
    }
    each = {f"{level:g}": measures(one, data.y_test[some], data.y.std()) for level, one in zip(COVERAGES, found, strict=True)}
    return out | {"at": each}


def is_beyond(run: dict[str, Any], level: float, *, calibration: bool) -> bool:
    """Return whether the coverage of a run is beyond its 99% limits.

    calibration: whether to count that the limits of the interval are quantiles of n errors, as many as there are training rows, and not the true ones. If the
    errors are exchangeable, the number of N test rows within them is then beta-binomial, of N, level (n + 1) and (1 - level) (n + 1), and not binomial
    (Vovk 2012, "Conditional validity of inductive conformal predictors").

    >>> run = {"train_rows": 1000, "test_rows": 1000, "at": {"0.9": {"coverage": 0.93}}}
    >>> is_beyond(run, 0.9, calibration=False), is_beyond(run, 0.9, calibration=True)
    (True, False)
    """
    from scipy import stats

    rows, errors = run["test_rows"], run["train_rows"] + 1
    chance = stats.betabinom(rows, level * errors, (1 - level) * errors) if calibration else stats.binom(rows, level)
    low, high = chance.interval(0.99)
    return not low <= round(run["at"][f"{level:g}"]["coverage"] * rows) <= high


def _count(runs: Sequence[dict[str, Any]], *, calibration: bool) -> int:
    return sum(is_beyond(run, level, calibration=calibration) for run in runs for level in COVERAGES)


def _cell(runs: Sequence[dict[str, Any]], level: float) -> str:
    """Return the mean coverage in percent, and in brackets the mean width."""
    share, width = (np.mean([run["at"][f"{level:g}"][what] for run in runs]) for what in ("coverage", "width"))
    return f"{100 * share:.1f} ({width:.2f})"


def _own_table(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of the table of one system: coverage and width on each table, and how many coverages are beyond chance."""
    heads = [*(f"{100 * level:g}%" for level in COVERAGES), "beyond binomial", "beyond beta-binomial"]
    lines = [f"| table | seeds | {' | '.join(heads)} |", f"|---|{'---|' * (len(heads) + 1)}"]
    for name in [*NUMBERS, "**all**"]:
        own = [run for run in runs if name in (run["table"], "**all**")]
        if own:
            counts = [_count(own, calibration=calibration) for calibration in (False, True)]
            parts = [
                str(len(own)),
                *(_cell(own, level) for level in COVERAGES),
                *(f"{n} of {len(own) * len(COVERAGES)}" for n in counts),
            ]
            lines.append(f"| {name} | {' | '.join(parts)} |")
    return lines


def _comparison(runs: Sequence[dict[str, Any]], systems: Sequence[str]) -> list[str]:
    """Return the lines of the table of all systems."""
    lines = [f"| table | wanted | {' | '.join(systems)} |", f"|---|---|{'---|' * len(systems)}"]
    for table in [*NUMBERS, "**mean**"]:
        of = [[run for run in runs if run["system"] == name and table in (run["table"], "**mean**")] for name in systems]
        if all(of):
            lines += [f"| {table} | {100 * level:g}% | {' | '.join(_cell(own, level) for own in of)} |" for level in COVERAGES]
    return lines


def markdown(results: dict[str, Any]) -> str:
    """Return the page: each manynets system on all its splits, and all systems on the splits that they share."""
    runs = results["runs"]
    systems = [name for name in SYSTEMS if any(run["system"] == name for run in runs)]
    of = {name: [run for run in runs if run["system"] == name] for name in systems}
    lines = [
        "Share of the test rows within the limits in percent, and in brackets the mean width by the standard deviation of y.",
        "",
    ]
    for name in systems:
        if name.startswith("manynets"):
            lines += [f"{name}, all splits:", "", *_own_table(of[name]), ""]
    shared = set.intersection(*({(run["table"], run["seed"]) for run in own} for own in of.values()))
    if len(systems) > 1 and shared:
        common = [run for run in runs if (run["table"], run["seed"]) in shared]
        lines += [f"The {len(shared)} splits that all systems were measured on:", "", *_comparison(common, systems), ""]
        counts = [f"{name} {_count([run for run in common if run['system'] == name], calibration=False)}" for name in systems]
        total = len(shared) * len(COVERAGES)
        lines += [f"Coverages beyond the 99% limits of the binomial distribution, of {total}: {', '.join(counts)}.", ""]
    known = {name: version for name, version in results["versions"].items() if name in (*SYSTEMS, "MAPIE", "scikit-learn")}
    where = f"{results['machine']['processor']}, {results['machine']['date']}; {', '.join(map(' '.join, known.items()))}."
    return "\n".join([*lines, where])


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("intervals", __doc__, tables=NUMBERS, systems=SYSTEMS, rows=4000)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (5)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print the page."""
    options = _parser().parse_args(arguments)
    results = opened(options.json)
    done = {(one["table"], one["system"], one["seed"], one["rows"]) for one in results["runs"]}
    systems = [name for name in options.systems or SYSTEMS if missing(name) is None]
    wanted = [(table, system, seed) for seed in range(options.seeds) for table in options.only or NUMBERS for system in systems]
    for table, system, seed in [] if options.show or options.write_docs else wanted:
        if (table, system, seed, options.rows) in done:
            continue
        results["runs"].append(run(table, system, seed, options.rows))
        print(table, system, seed, results["runs"][-1]["at"], flush=True)
        save(results, options.json)
    text = markdown(results)
    if options.write_docs:
        write_docs(text, DOCS, begin=BEGIN, end=END)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
