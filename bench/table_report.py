"""The page of `bench.tables`: means over seeds, shifted geometric means, ranks, wins and losses."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from bench.table_systems import SYSTEMS

__all__ = ["markdown", "ranks", "shared", "shifted_geometric_mean"]

Runs: TypeAlias = Sequence[Mapping[str, Any]]
SHIFT = 0.01
MANY_TEST_ROWS = 5_000
"""Calibration is averaged over the tables that have so many test rows; on fewer the bins are mostly noise."""


def shifted_geometric_mean(errors: Iterable[float]) -> float:
    """Return exp(mean(log(error + 0.01))) - 0.01.

    >>> round(shifted_geometric_mean([0.09, 0.39]), 6)
    0.19
    """
    return math.exp(statistics.fmean(math.log(error + SHIFT) for error in errors)) - SHIFT


def ranks(errors: Sequence[float]) -> list[float]:
    """Return the rank of each error from 1, equal ones sharing the mean of theirs.

    >>> ranks([0.2, 0.1, 0.2])
    [2.5, 1.0, 2.5]
    """
    return [1 + sum(b < a for b in errors) + (sum(b == a for b in errors) - 1) / 2 for a in errors]


def shared(runs: Runs, systems: Sequence[str]) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
    """Return by table and system the runs of the seeds that all systems have; a table without such seeds is left out."""
    found = {(run["table"], run["system"], run["seed"]): run for run in runs}
    out: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for table in dict.fromkeys(run["table"] for run in runs):
        seeds = sorted({seed for name, _, seed in found if name == table})
        seeds = [seed for seed in seeds if all((table, system, seed) in found for system in systems)]
        if seeds:
            out[table] = {system: [found[table, system, seed] for seed in seeds] for system in systems}
    return out


def _mean(runs: Runs, what: str) -> float:
    return statistics.fmean(run[what] for run in runs)


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _summary(cases: Mapping[str, Mapping[str, Runs]], systems: Sequence[str], against: str) -> list[str]:
    """Return a row for each system."""
    classes = [name for name, case in cases.items() if case[systems[0]][0]["task"] != "regression"]
    large = [name for name in classes if cases[name][systems[0]][0]["test_rows"] >= MANY_TEST_ROWS]
    order = {name: ranks([_mean(case[system], "error") for system in systems]) for name, case in cases.items()}
    lines = []
    for i, system in enumerate(systems):
        errors = [_mean(case[system], "error") for case in cases.values()]
        pairs = [(_mean(case[system], "error"), _mean(case[against], "error")) for case in cases.values()]
        mine = [order[name][i] for name in cases]
        cells = [
            f"{shifted_geometric_mean(errors):.4f}",
            f"{statistics.fmean(_mean(cases[name][system], 'log_loss') for name in classes):.4f}" if classes else "",
            f"{statistics.fmean(_mean(cases[name][system], 'ece') for name in large):.4f}" if large else "",
            f"{statistics.fmean(mine):.2f} ± {_spread(mine):.2f}",
            "" if system == against else f"{sum(a < b for a, b in pairs)} : {sum(a > b for a, b in pairs)}",
            f"{sum(_mean(case[system], 'seconds') for case in cases.values()):.0f}",
            f"{sum(_mean(case[system], 'processor_seconds') for case in cases.values()):.0f}",
            f"{max(run['memory_mib'] for case in cases.values() for run in case[system]):.0f}",
        ]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return lines


def _table(cases: Mapping[str, Mapping[str, Runs]], systems: Sequence[str], what: str) -> list[str]:
    """Return a row for each table: the mean of a measure, its standard error in the last digits, the best one bold."""
    lines = [f"| table | training rows | seeds | {' | '.join(systems)} |", f"|---|--:|--:|{'--:|' * len(systems)}"]
    for name, case in cases.items():
        first = case[systems[0]]
        if what not in first[0]:
            continue
        means = [_mean(case[system], what) for system in systems]
        cells = []
        for system, mean in zip(systems, means, strict=True):
            text = f"**{mean:.4f}**" if mean == min(means) else f"{mean:.4f}"
            error = _spread([run[what] for run in case[system]])
            cells.append(text if math.isnan(error) else f"{text} ± {error:.4f}")
        lines.append(f"| {name} | {first[0]['train_rows']:,} | {len(first)} | {' | '.join(cells)} |")
    return lines


def markdown(results: Mapping[str, Any], *, rows: int = 0, threads: int = 1, systems: Sequence[str] = (), against: str = "") -> str:
    """Return the section: a summary, then errors and log losses by table.

    systems: those to show; left out, all that have runs. against: whom wins and losses are counted against.
    """
    runs = [run for run in results["runs"] if run["rows"] == rows and run["threads"] == threads]
    present = {run["system"] for run in runs}
    shown = [system for system in systems or SYSTEMS if system in present]
    if not shown:
        return f"No runs with {rows} rows and {threads} threads."
    against = against or next(system for system in ("tabular", "prototype", shown[0]) if system in shown)
    cases, on = shared(runs, shown), results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    measured = f"Measured on {on['date']}: {on['processor']}, {threads} thread{'s' if threads > 1 else ''}, Python {on['python']}; {packages}."
    head = ("system", "error", "log loss", "ECE", "rank", f"better : worse than {against}", "seconds", "processor seconds", "MiB")
    return "\n".join(
        [
            textwrap.fill(measured, 150, break_on_hyphens=False),
            f"At most {rows:,} training rows." if rows else "All training rows.",
            "",
            f"| {' | '.join(head)} |",
            f"|---|{'--:|' * (len(head) - 1)}",
            *_summary(cases, shown, against),
            "",
            "Error:",
            "",
            *_table(cases, shown, "error"),
            "",
            "Log loss:",
            "",
            *_table(cases, shown, "log_loss"),
        ]
    )
