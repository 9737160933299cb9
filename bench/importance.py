"""Permutation importance beside scikit-learn's, on one thread: python -m bench.importance [--rounds N] [--only NAME ...].

Both take the default for tables, trained on at most TRAINED rows, and shuffle the columns of at most JUDGED test rows five times, with the
same seed and metric. Printed are the medians of the rounds, in seconds of processor time, their ratio, and the largest difference.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.inspection import permutation_importance

import manynets as mn
from bench.table_run import TABLES, split

__all__ = ["main", "measured"]

NAMES = ("adult", "ames_housing", "california_housing", "telco_churn", "titanic", "wine_quality")
TRAINED, JUDGED = 8000, 2000


def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def measured(name: str, *, rounds: int, trained: int = TRAINED, judged: int = JUDGED) -> dict[str, float]:
    """Return the medians of the seconds of ours and of scikit-learn's, and the largest difference of an importance, of one table."""
    data = split(TABLES[name], 0, rows=trained)
    numbers = data.task == "regression"
    estimator = (mn.TabularRegressor if numbers else mn.TabularClassifier)(random_state=0).fit(data.raw[0], data.y)
    X, y = data.raw[1][:judged].to_pandas(), data.y_test[:judged]
    options: dict[str, Any] = {"metric": "r2" if numbers else "accuracy", "group_alike": False}
    ours, theirs, apart = [], [], 0.0
    for _ in range(rounds):
        taken, found = _seconds(lambda: mn.explain.permutation_importance(estimator.model_, X, y, **options))
        ours.append(taken)
        taken, expected = _seconds(lambda: permutation_importance(estimator, X, y, random_state=0))
        theirs.append(taken)
        rows = [X.columns.get_loc(column) for column in found.names]
        apart = float(np.abs(found.values - expected.importances[rows]).max())
    return {"ours": statistics.median(ours), "scikit-learn": statistics.median(theirs), "apart": apart}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of columns and categories, which the tables have
    for name in options.only:
        found = measured(name, rounds=options.rounds)
        ratio = found["scikit-learn"] / found["ours"]
        print(
            f"{name}: {found['ours']:.2f} s, scikit-learn {found['scikit-learn']:.2f} s, {ratio:.1f} times; {found['apart']:.0e} apart",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
