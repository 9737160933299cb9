"""One system on one table in a process of its own: python -m bench.table_run TABLE SYSTEM SEED ROWS THREADS -> a line of JSON.

ROWS: how many of the training rows are used, 0 for all. The test rows are all there are.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import real_data
from bench.table_systems import SYSTEMS, Split, imported

__all__ = ["TABLES", "Table", "calibration_error", "main", "measures", "split"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A file below MANYNETS_DATA, its target, and the columns to leave out."""

    name: str
    file: str
    target: str
    drop: tuple[str, ...] = ()
    test: str | None = None
    task: str | None = None

    def origin(self, data: Path, seed: int) -> dict[str, Any]:
        """Return what the command makes of the table and a fifth of its rows for the test, for `load_source`."""
        out: dict[str, Any] = {"kind": "table", "path": str(data / self.file), "task": self.task, "seed": seed}
        out |= {"target": [self.target], "drop": list(self.drop), "test_fraction": 0.2 if self.test is None else 0.0}
        return out if self.test is None else out | {"test": str(data / self.test)}


_BIKE = ("casual", "registered", "instant")
_WINE = {"target": "quality", "task": "regression"}
TABLES = {
    table.name: table
    for table in (
        Table(name="adult", file="adult/adult_train.csv.gz", target="income", test="adult/adult_test.csv.gz"),
        Table(name="california_housing", file="california_housing/housing.csv.gz", target="median_house_value"),
        Table(name="bank_marketing", file="bank_marketing/bank_full.csv.gz", target="y", drop=("duration",)),
        Table(name="diamonds", file="diamonds/diamonds.csv.gz", target="price"),
        Table(name="titanic", file="titanic/titanic.csv.gz", target="Survived", drop=("PassengerId",)),
        Table(name="telco_churn", file="telco_churn/Telco-Customer-Churn.csv.gz", target="Churn", drop=("customerID",)),
        Table(name="ames_housing", file="ames_housing/AmesHousing.csv.gz", target="SalePrice", drop=("Order", "PID")),
        Table(name="penguins", file="penguins/penguins.csv.gz", target="species"),
        Table(name="german_credit", file="german_credit/german.csv.gz", target="class"),
        Table(name="wine_quality", file="wine_quality/winequality_red.csv.gz", **_WINE),
        Table(name="bike_sharing_hour", file="bike_sharing_hour/hour.csv.gz", target="cnt", drop=_BIKE),
        Table(name="letter", file="letter/LetterRecognition.csv.gz", target="lettr"),
        Table(name="covertype", file="covertype/covertype.csv.gz", target="Cover_Type"),
    )
}


def split(
    table: Table, seed: int, *, rows: int = 0, threads: int = 1, arguments: Sequence[str] = (), data: Path | None = None
) -> Split:
    """Return the split that the seed draws, with at most so many training rows (0: all). data: the folder of the table; None: MANYNETS_DATA."""
    import polars

    from manynets.cli.data import load_source

    data = real_data() if data is None else data
    if data is None:
        raise SystemExit("no tables: set MANYNETS_DATA to the folder that holds them")
    source = load_source(table.origin(data, seed))
    kinds = {column.name: column.kind for column in source.schema or ()}
    raw = [
        polars.DataFrame({name: part.X.series(name).to_native() for name in part.X.names if name not in table.drop})
        for part in (source.train, source.test)
    ]
    y, y_test = np.asarray(source.train.y), np.asarray(source.test.y)
    if rows and rows < len(y):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(y))[:rows])
        raw[0], y = raw[0][chosen], y[chosen]
    task, labels = "regression", ()
    if type(source.task).__name__ == "Regression":
        y, y_test = y.astype(float).ravel(), y_test.astype(float).ravel()
    else:
        labels = tuple(np.unique(y).tolist())
        task = "binary" if len(labels) == 2 else "multiclass"
        y, y_test = np.searchsorted(labels, y), np.searchsorted(labels, y_test)
    train, test = (_plain(frame, kinds) for frame in raw)
    return Split(
        task=task, raw=(raw[0], raw[1]), train=train, test=test, y=y, y_test=y_test, labels=labels,
        seed=seed, threads=threads, arguments=tuple(arguments),
    )  # fmt: skip


def _dates(texts: Any) -> Any:
    """Return texts as dates, of the form that suits the most: 24/12/26, or 2026-12-24 with or without a time after it."""
    forms = (texts.str.to_date("%d/%m/%y", strict=False), texts.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False))
    return min(forms, key=lambda dates: dates.null_count())


def _plain(frame: Any, kinds: dict[str, str]) -> Any:
    """Return the frame as float64 and text: dates as days, categories written as numbers and numbers with marks as text, nothing that is an id."""
    import polars

    out = {}
    for column in frame:
        kind = kinds[column.name]
        if kind == "date":
            dates = _dates(column) if column.dtype == polars.String else column
            out[column.name] = dates.cast(polars.Date).cast(polars.Int32).cast(polars.Float64)
        elif kind == "numeric":
            numbers = column.cast(polars.Float64, strict=False).fill_nan(None)
            plain = numbers.null_count() == column.null_count() or column.dtype != polars.String
            out[column.name] = numbers if plain else column  # such as "10+": categories to others
        elif kind != "dropped":
            out[column.name] = column.cast(polars.String)
    return polars.DataFrame(out)


# ------------------------------------------------------------------------------------------------------------ measures


def calibration_error(p: NDArray[Any], y: NDArray[Any], bins: int = 15) -> float:
    """Return the expected calibration error: |mean confidence - accuracy|, weighted, over bins of equal width of the top class.

    >>> calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))
    0.4
    """
    sure, right = p.max(1), p.argmax(1) == y
    which = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum(abs(sure[which == i].sum() - right[which == i].sum()) for i in range(bins)) / len(y))


def measures(predicted: NDArray[Any], y: NDArray[Any], task: str) -> dict[str, float]:
    """Return the error: 1 - accuracy, or RMSE by the standard deviation of y; of classes log loss and calibration error, too."""
    if task == "regression":
        return {"error": float(np.sqrt(np.mean((predicted.ravel() - y) ** 2)) / y.std())}
    predicted = np.asarray(predicted, dtype=float)
    chosen = predicted[np.arange(len(y)), y].clip(1e-15)
    return {
        "error": float(np.mean(predicted.argmax(1) != y)),
        "log_loss": float(-np.log(chosen).mean()),
        "ece": calibration_error(predicted, y),
    }


def _used() -> tuple[float, float]:
    """Return seconds of processor time and the most MiB held, of this process and of those that it started."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1 if sys.platform == "darwin" else 1024
    return sum(p.ru_utime + p.ru_stime for p in parts), max(p.ru_maxrss for p in parts) * unit / 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name, system, (seed, rows, threads) = words[0], words[1], map(int, words[2:5])
    import torch

    torch.set_num_threads(threads)
    data = split(TABLES[name], seed, rows=rows, threads=threads, arguments=words[5:])
    imported(system)
    began, before = time.perf_counter(), _used()
    predict = SYSTEMS[system](data)
    seconds, after = time.perf_counter() - began, _used()
    out = {"table": name, "system": system, "seed": seed, "rows": rows, "threads": threads, "task": data.task}
    out |= {"train_rows": len(data.y), "test_rows": len(data.y_test)}
    out |= measures(np.asarray(predict()), data.y_test, data.task)
    out |= {"seconds": seconds, "processor_seconds": after[0] - before[0], "memory_mib": after[1], "cores": os.cpu_count()}
    print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
