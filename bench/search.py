"""Searches and ensembles against scikit-learn's, in turn in this process: python -m bench.search [--quick] [--case NAME].

A case has the same data, folds, candidates and epochs for all systems; scikit-learn searches with its own MLPClassifier and
n_jobs=2. Each system runs once to warm up and then `rounds` times in turn; the median counts. A ratio only counts where our best
score is at least scikit-learn's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

import manynets as mn
from bench.machine import machine, versions

__all__ = ["CASES", "SearchCase", "main", "run_search_case"]

GRID = {"learning_rate_init": [0.0005, 0.001, 0.003, 0.01, 0.03, 0.1], "alpha": [0.0, 1e-4, 1e-2, 1.0]}
FOLDS, JOBS, NETWORKS = 5, 2, 16
NEVER = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class SearchCase:
    """A search of 24 candidates x 5 folds, or an ensemble of 16. goals: how many times as fast as scikit-learn, by system."""

    name: str
    data: str
    hidden: tuple[int, ...]
    epochs: int
    goals: dict[str, float]
    rows: int | None = None
    ensemble: bool = False


_SEARCH = (
    ("16", (16,), {"ours": 15.0, "ours, halving": 15.0}),
    ("64-64", (64, 64), {"ours": 4.0, "ours, halving": 15.0}),
)
CASES: dict[str, SearchCase] = {
    case.name: case
    for case in (
        *(SearchCase(f"breast_cancer-{name}", "breast_cancer", hidden, 100, goals) for name, hidden, goals in _SEARCH),
        *(SearchCase(f"adult-{name}", "adult", hidden, 20, goals, rows=8_000) for name, hidden, goals in _SEARCH),
        SearchCase("ensemble-digits", "digits", (64,), 30, {"ours": 6.0, "ours, one by one": 1.0}, ensemble=True),
    )
}


def load(case: SearchCase) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return X (N, D), standardised or one-hot, as float32, and class codes y (N,)."""
    if case.data == "adult":
        from manynets.datasets.images import find_folder
        from manynets.tables import fit_encoder, read_table, split_target

        folder = find_folder("mnist")
        if folder is None:
            raise FileNotFoundError("adult is beside mnist: set MANYNETS_DATA")
        frame = read_table(folder.parent / "adult" / "adult_train.csv.gz").head(case.rows or NEVER)
        X, y, _ = split_target(frame, "income")
        return fit_encoder(X).transform(X).astype(np.float32), np.unique(np.asarray(y), return_inverse=True)[1]
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{case.data}")(return_X_y=True)
    X = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)
    return X[: case.rows].astype(np.float32), y[: case.rows]


def systems(case: SearchCase, X: NDArray[np.float32], y: NDArray[np.int64]) -> dict[str, Callable[[], float]]:
    """Return what each system does, by name: it fits, and returns its best score."""
    from sklearn.model_selection import GridSearchCV

    same: dict[str, Any] = {
        "hidden_layer_sizes": case.hidden, "max_iter": case.epochs, "tol": 0.0, "n_iter_no_change": NEVER, "random_state": 0,
    }  # fmt: skip
    theirs, ours = MLPClassifier(**same), mn.MLPClassifier(**same)
    if case.ensemble:
        train, test = np.arange(0, len(X), 2), np.arange(1, len(X), 2)

        def mean_of(kind: Any) -> float:
            proba = [kind(**same | {"random_state": k}).fit(X[train], y[train]).predict_proba(X[test]) for k in range(NETWORKS)]
            return float((np.mean(proba, axis=0).argmax(1) == y[test]).mean())

        def at_once() -> float:
            return float(mn.MLPClassifier(**same, n_networks=NETWORKS).fit(X[train], y[train]).score(X[test], y[test]))

        one_by_one = lambda: mean_of(mn.MLPClassifier)  # noqa: E731
        return {"scikit-learn": lambda: mean_of(MLPClassifier), "ours": at_once, "ours, one by one": one_by_one}

    def search(**more: Any) -> float:
        return float(mn.MLPSearchCV(ours, GRID, cv=FOLDS, refit=False, **more).fit(X, y).best_score_)

    return {
        "scikit-learn": lambda: float(GridSearchCV(theirs, GRID, cv=FOLDS, n_jobs=JOBS, refit=False).fit(X, y).best_score_),
        "ours": search,
        "ours, halving": lambda: search(strategy="halving"),
    }


def run_search_case(case: SearchCase, *, rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return seconds and best score of each system, and how many times as fast as scikit-learn ours are."""
    X, y = load(case)
    run = systems(case, X, y)
    seconds: dict[str, list[float]] = {name: [] for name in run}
    scores: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, fit in run.items():
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scores[name] = fit()
            if number:
                seconds[name].append(time.perf_counter() - began)
                tell(f"{case.name}  {name}  {seconds[name][-1]:.2f} s  best {scores[name]:.4f}")
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    ratios = {name: middle["scikit-learn"] / value for name, value in middle.items()}
    missed = []
    for name, goal in case.goals.items():
        reached = middle["ours, one by one"] / middle["ours"] if name == "ours, one by one" else ratios[name]
        if reached < goal or (name == "ours" and scores[name] < scores["scikit-learn"] - 1e-6):
            missed.append(f"{name}: {reached:.2f} times as fast, goal {goal:g}, best {scores[name]:.4f}")
    return {
        "case": case.name, "rows": len(X), "columns": X.shape[1], "epochs": case.epochs, "seconds": middle, "scores": scores,
        "ratios": ratios, "missed": missed,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; return 1 where a goal was missed (never with --quick)."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="2 epochs and 300 rows, once: to try it, not to measure")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    options = parser.parse_args(arguments)
    found = []
    for name in options.case or list(CASES):
        case = CASES[name]
        if options.quick:
            case = dataclasses.replace(case, epochs=9, rows=300)
        found.append(
            run_search_case(case, rounds=1 if options.quick else options.rounds, tell=lambda line: print(line, file=sys.stderr))
        )
        print(json.dumps(found[-1]))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "versions": versions(), "searches": found}, indent=1) + "\n")
    return int(any(one["missed"] for one in found) and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
