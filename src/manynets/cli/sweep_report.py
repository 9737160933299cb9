"""Pictures and tables of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manynets import plots
from manynets.cli.report import note, table_of
from manynets.cli.sweep_results import CURVES_PICTURE, PARALLEL_PICTURE, RESULTS, SweepResults, picture_of, ranking

__all__ = ["draw", "print_ranking"]

Points = Sequence[Mapping[str, Any]]
"""The options of each candidate that the grid sets."""


def draw(results: SweepResults, points: Points, metric: str) -> None:
    """Draw the score over each option, all options as parallel coordinates, and the curves of all networks."""
    folder, grid = results.folder, results.config["grid"]
    scores = {key: row["score"] for key, row in results.rows.items()}
    if not any(map(math.isfinite, scores.values())):
        return
    for name, values in grid.items():
        log = all(isinstance(value, float) and value > 0 for value in values) and max(values) >= 10 * min(values)
        axes = plots.score_over([points[key[0]][name] for key in scores], [*scores.values()], name=name, score=metric, log=log)
        plots.save(axes, folder / picture_of(name))
    if grid:
        table = [{name: points[key[0]][name] for name in grid} | {metric: score} for key, score in scores.items()]
        plots.save(plots.parallel_coordinates(table, score=metric), folder / PARALLEL_PICTURE)
    curves = {key: curve for key, curve in results.curves.items() if any(map(math.isfinite, curve))}
    last = max(key[3] for key in scores)
    final = [k for k, key in enumerate(curves) if key[3] == last and math.isfinite(scores[key])]
    if curves:
        keys = list(curves)
        best = next(iter(ranking({k: scores[keys[k]] for k in final}, metric)), None)
        axes = plots.learning_curves([*curves.values()], best=best, ylabel="training loss", log=True)
        plots.save(axes, folder / CURVES_PICTURE)


def print_ranking(console: Any, results: SweepResults, points: Points, *, best: int, metric: str) -> None:
    """Print the ten best candidates, `best` first, how many networks failed, and the files."""
    last, grid = max(key[3] for key in results.rows), results.config["grid"]
    scores: dict[int, list[float]] = {}
    for key, row in results.rows.items():
        if key[3] == last and math.isfinite(row["score"]):
            scores.setdefault(key[0], []).append(row["score"])
    others = ranking({c: float(np.mean(found)) for c, found in scores.items() if c != best}, metric)
    ranked = [*([best] if best in scores else []), *others]
    lines = [
        (*(str(points[c][name]) for name in grid), float(np.mean(scores[c])), float(np.std(scores[c])), len(scores[c]))
        for c in ranked[:10]
    ]
    title = f"Best {len(lines)} of {len(points)} candidates" if len(lines) < len(points) else "Candidates, best first"
    console.print(table_of([*grid, metric, "std", "networks"], lines, title=title))
    failed = sum(row["stopped"] in ("failed", "diverged") for row in results.rows.values())
    if failed:
        note(console, f"{failed} of {len(results.rows)} networks failed or diverged; {RESULTS} says why")
    files = ", ".join(sorted(entry.name for entry in results.folder.iterdir()))
    console.print(f"Written to {results.folder}: {files}", markup=False, soft_wrap=True)
