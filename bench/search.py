"""Searches and ensembles against scikit-learn's, in turn in this process: python -m bench.search [--quick] [--case NAME].

A case has the same data, folds, candidates and epochs for all systems; scikit-learn searches with its own MLPClassifier and
n_jobs=2, ours too. Each system runs once to warm up and then `rounds` times in turn, after a pause,
round r with random_state r: medians of the seconds, means of the best scores. The floor is the time of the matrix
products of all candidates' steps, with as many networks at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

import manynets as mn
from bench.data import real_data
from bench.machine import machine, versions
from bench.saved import save, write_docs

__all__ = ["CASES", "SearchCase", "main", "markdown", "run_search_case"]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- searches: begin (python -m bench.search --write-docs) -->", "<!-- searches: end -->"

GRID = {"learning_rate_init": [0.0005, 0.001, 0.003, 0.01, 0.03, 0.1], "alpha": [0.0, 1e-4, 1e-2, 1.0]}
FOLDS, JOBS, NETWORKS = 5, 2, 16
NEVER = 1_000_000_000
PAUSE = 0.5  # seconds: threads of the system before spin for a while, and would take a core from the next one


@dataclasses.dataclass(frozen=True)
class SearchCase:
    """A search of 24 candidates x 5 folds, or an ensemble of 16.

    goals: how many times as fast as scikit-learn, by system; of the floor the most that ours may take as a multiple of it.
    """

    name: str
    data: str
    hidden: tuple[int, ...]
    epochs: int
    goals: dict[str, float]
    rows: int | None = None
    ensemble: bool = False


_SEARCH = (
    ("16", (16,), {"ours": 30.0}),
    ("64-64", (64, 64), {"ours": 8.0}),
)
CASES: dict[str, SearchCase] = {
    case.name: case
    for case in (
        *(SearchCase(f"breast_cancer-{name}", "breast_cancer", hidden, 100, goals) for name, hidden, goals in _SEARCH),
        *(SearchCase(f"adult-{name}", "adult", hidden, 20, goals, rows=8_000) for name, hidden, goals in _SEARCH),
        SearchCase("ensemble-digits", "digits", (64,), 30, {"ours": 12.0, "ours, one by one": 1.0}, ensemble=True),
    )
}


def load(case: SearchCase) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return X (N, D), standardised or one-hot, as float32, and class codes y (N,)."""
    if case.data == "adult":
        from manynets.tables import fit_encoder, read_table, split_target

        folder = real_data()
        if folder is None:
            raise FileNotFoundError("there is no adult: set MANYNETS_DATA")
        frame = read_table(folder / "adult" / "adult_train.csv.gz").head(case.rows or NEVER)
        X, y, _ = split_target(frame, "income")
        return fit_encoder(X).transform(X).astype(np.float32), np.unique(np.asarray(y), return_inverse=True)[1]
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{case.data}")(return_X_y=True)
    X = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)
    return X[: case.rows].astype(np.float32), y[: case.rows]


def systems(case: SearchCase, X: NDArray[np.float32], y: NDArray[np.int64]) -> dict[str, Callable[[int], float]]:
    """Return what each system does with a random_state, by name: it fits, and returns its best score (the floor: NaN)."""
    from sklearn.model_selection import GridSearchCV

    def same(seed: int) -> dict[str, Any]:
        return {
            "hidden_layer_sizes": case.hidden, "max_iter": case.epochs, "tol": 0.0, "n_iter_no_change": NEVER, "random_state": seed,
        }  # fmt: skip

    if case.ensemble:
        train, test = np.arange(0, len(X), 2), np.arange(1, len(X), 2)

        def mean_of(kind: Any, seed: int) -> float:
            networks = [kind(**same(100 * seed + k)).fit(X[train], y[train]) for k in range(NETWORKS)]
            return float((np.mean([one.predict_proba(X[test]) for one in networks], axis=0).argmax(1) == y[test]).mean())

        def at_once(seed: int) -> float:
            return float(mn.MLPClassifier(**same(seed), n_networks=NETWORKS).fit(X[train], y[train]).score(X[test], y[test]))

        return {
            "scikit-learn": lambda seed: mean_of(MLPClassifier, seed),
            "ours": at_once,
            "ours, one by one": lambda seed: mean_of(mn.MLPClassifier, seed),
            "floor": lambda seed: products(case, NETWORKS, len(train), X.shape[1], int(y.max()) + 1),
        }

    def search(seed: int, **more: Any) -> float:
        net = mn.MLPClassifier(**same(seed))
        return float(mn.MLPSearchCV(net, GRID, cv=FOLDS, refit=False, **more).fit(X, y).best_score_)

    def theirs(seed: int) -> float:
        return float(GridSearchCV(MLPClassifier(**same(seed)), GRID, cv=FOLDS, n_jobs=JOBS, refit=False).fit(X, y).best_score_)

    networks, rows = FOLDS * int(np.prod([len(values) for values in GRID.values()])), len(X) * (FOLDS - 1) // FOLDS
    return {
        "scikit-learn": theirs,
        "ours": lambda seed: search(seed, n_jobs=JOBS),
        "ours, halving": lambda seed: search(seed, strategy="halving", n_jobs=JOBS),
        "floor": lambda seed: products(case, networks, rows, X.shape[1], 1),
    }


def products(case: SearchCase, networks: int, rows: int, columns: int, outputs: int) -> float:
    """Make the matrix products of a training of this many networks with batches of 200 rows, and nothing else."""
    layers = (columns, *case.hidden, outputs)
    weights = [torch.randn(networks, d_out, d_in) for d_in, d_out in itertools.pairwise(layers)]
    gradients = [torch.empty_like(weight) for weight in weights]
    batches = [min(200, rows - start) for start in range(0, rows, 200)]
    buffers = {b: [torch.rand(networks, b, width) for width in layers] for b in batches}
    with torch.inference_mode():
        for b in batches * case.epochs:
            h = buffers[b]
            for i, weight in enumerate(weights):
                torch.bmm(h[i], weight.mT, out=h[i + 1])
            for i in range(len(weights) - 1, -1, -1):
                torch.bmm(h[i + 1].mT, h[i], out=gradients[i])
                if i:
                    torch.bmm(h[i + 1], weights[i], out=h[i])
    return math.nan


def run_search_case(case: SearchCase, *, rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return seconds and best score of each system, and how many times as fast as scikit-learn they are."""
    X, y = load(case)
    run = systems(case, X, y)
    seconds: dict[str, list[float]] = {name: [] for name in run}
    best: dict[str, list[float]] = {name: [] for name in run}
    for number in range(rounds + 1):
        for name, fit in run.items():
            time.sleep(PAUSE)
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                score = fit(number)
            spent = time.perf_counter() - began
            if name == "floor":  # the faster of one thread and several: a thread that waits for a busy core stalls small products
                spent = min(spent, _alone(fit, number))
            if number:
                seconds[name].append(spent)
                best[name].append(score)
                tell(f"{case.name}  {name}  {seconds[name][-1]:.2f} s  best {score:.4f}")
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    scores = {name: statistics.fmean(each) for name, each in best.items() if name != "floor"}
    ratios = {name: _ratio(seconds["scikit-learn"], each) for name, each in seconds.items()}
    more = {"to_floor": _ratio(seconds["ours"], seconds["floor"])}
    if case.ensemble:
        more["to_one_by_one"] = _ratio(seconds["ours, one by one"], seconds["ours"])
    missed = _missed(case, ratios, more, scores)
    about = {"case": case.name, "rows": len(X), "columns": X.shape[1], "epochs": case.epochs, "rounds": rounds}
    return about | more | {"seconds": middle, "scores": scores, "ratios": ratios, "missed": missed}


def _missed(case: SearchCase, ratios: dict[str, float], more: dict[str, float], scores: dict[str, float]) -> list[str]:
    """Return which goals of a case were not reached, in words."""
    reached = ratios | {"ours, one by one": more.get("to_one_by_one", 0.0)}
    missed = [
        f"{n}: {reached[n]:.1f} times as fast, goal {goal:g}"
        for n, goal in case.goals.items()
        if n != "floor" and reached[n] < goal
    ]
    if more["to_floor"] > case.goals.get("floor", math.inf):
        missed.append(f"{more['to_floor']:.2f} times the floor, goal {case.goals['floor']:g}")
    if scores["ours"] < scores["scikit-learn"] - 1e-6:
        missed.append(f"best score {scores['ours']:.4f}, scikit-learn's {scores['scikit-learn']:.4f}")
    return missed


def _alone(fit: Callable[[int], float], number: int) -> float:
    """Return the seconds that this takes with one thread of torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    began = time.perf_counter()
    fit(number)
    spent = time.perf_counter() - began
    torch.set_num_threads(threads)
    return spent


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the quotients by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def markdown(results: dict[str, Any]) -> str:
    """Return the results as the section that docs/benchmarks.md has between its marks."""
    of, known = results["machine"], results["versions"]
    about = f"Measured on {of['date']}: {of['processor']}, {of['cores']} cores; manynets {known['manynets']}, "
    head = "| case | system | seconds | times as fast as scikit-learn | by floor | best score |"
    lines = [about + f"torch {known['torch']}, scikit-learn {known['scikit-learn']}.", "", head, "|---|---|--:|--:|--:|--:|"]
    for one in results["searches"]:
        for name, seconds in one["seconds"].items():
            by_floor = f"{one['to_floor']:.2f}" if name == "ours" else ""
            score = f"{one['scores'][name]:.4f}" if name in one["scores"] else ""
            lines.append(f"| {one['case']} | {name} | {seconds:.2f} | {one['ratios'][name]:.1f} | {by_floor} | {score} |")
    missed = [f"- {one['case']}: {line}" for one in results["searches"] for line in one["missed"]]
    return "\n".join([*lines, *(["", "What was aimed at and not reached:", "", *missed] if missed else [])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; return 1 where a goal was missed (never with --quick)."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="9 epochs and 300 rows, once: to try it, not to measure")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    parser.add_argument(
        "--write-docs", type=Path, metavar="FILE", help="measure nothing: put the results of this file into docs/benchmarks.md"
    )
    options = parser.parse_args(arguments)
    if options.write_docs is not None:
        write_docs(markdown(json.loads(options.write_docs.read_text(encoding="utf-8"))), DOCS, begin=BEGIN, end=END)
        return 0
    found = []
    for name in options.case or list(CASES):
        case = CASES[name]
        if options.quick:
            case = dataclasses.replace(case, epochs=9, rows=300)
        found.append(
            run_search_case(case, rounds=1 if options.quick else options.rounds, tell=lambda line: print(line, file=sys.stderr))
        )
        print(json.dumps(found[-1]))
        save({"machine": machine(), "versions": versions(), "searches": found}, options.json)
    return int(any(one["missed"] for one in found) and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
