"""Real tables from their raw files, manynets beside scikit-learn: python -m bench.tables [--json FILE] [--only NAME ...].

Ours is the command `manynets train FILE --target T ... --seed S --json` in a process of its own, all else as it comes. The rivals
get the rows that the command trained and tested on, as the library reads and splits them, and the usual pipeline of scikit-learn.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import machine, versions

__all__ = ["TABLES", "Table", "main", "markdown", "measure"]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables: begin (python -m bench.tables --write-docs) -->", "<!-- tables: end -->"
SEEDS, MORE_SEEDS = 3, 10
FEW_ROWS = 3000
"""Below so many rows a table gets MORE_SEEDS: a split's figure moves by more than the systems differ."""
LONG = 60.0
"""Seconds: where a run takes longer, the other seeds are left out."""
RIVALS = ("mlp", "linear")
LEAST_COUNT = 10
"""Rows that a category needs for a column of its own in the rivals' pipeline."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A file below MANYNETS_DATA, its target, and what the command is told besides."""

    name: str
    file: str
    target: str
    drop: tuple[str, ...] = ()
    test: str | None = None
    task: str | None = None

    def arguments(self, data: Path, seed: int) -> list[str]:
        """Return what follows `manynets train`, but for the output."""
        out = [str(data / self.file), "--target", self.target]
        out += [word for name in self.drop for word in ("--drop", name)]
        out += [] if self.task is None else ["--task", self.task]
        out += ["--test-fraction", "0.2"] if self.test is None else ["--test", str(data / self.test)]
        return [*out, "--seed", str(seed)]

    def origin(self, data: Path, seed: int) -> dict[str, Any]:
        """Return what the command makes of these arguments, for `load_source`."""
        out: dict[str, Any] = {"kind": "table", "path": str(data / self.file), "task": self.task, "seed": seed}
        out |= {"target": [self.target], "drop": list(self.drop), "test_fraction": 0.2 if self.test is None else 0.0}
        return out if self.test is None else out | {"test": str(data / self.test)}


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
        Table(name="wine_quality", file="wine_quality/winequality_red.csv.gz", target="quality", task="regression"),
        Table(
            name="bike_sharing_hour",
            file="bike_sharing_hour/hour.csv.gz",
            target="cnt",
            drop=("casual", "registered", "instant"),
        ),
        Table(name="letter", file="letter/LetterRecognition.csv.gz", target="lettr"),
        Table(name="covertype", file="covertype/covertype.csv.gz", target="Cover_Type"),
    )
}


def _ours(table: Table, data: Path, seed: int) -> dict[str, Any]:
    """Return score, seconds and what else the command's JSON tells; the seconds of processor time are of all that it does."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = ["--json", "-q", "--out", f"{folder}/run"]
        command = [sys.executable, "-m", "manynets", "train", *table.arguments(data, seed), *output]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    result = json.loads(done.stdout)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    score = result["test"]["r2" if result["task"] == "regression" else "accuracy"]
    return {"score": score, "seconds": seconds, "task": result["task"], "epochs": result["epochs"], "rows": result["test"]["rows"]}


def _pipeline(frame: Any, model: Any) -> Any:
    """Return the usual pipeline: gaps filled, numbers scaled, words one column a category."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name, kind in frame.schema.items() if kind.is_numeric()]
    words = [name for name in frame.columns if name not in numbers]
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=LEAST_COUNT)
    return make_pipeline(ColumnTransformer([("numbers", numeric, numbers), ("words", one_hot, words)]), model)


def _model(rival: str, regression: bool, seed: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    if rival == "linear":
        return Ridge() if regression else LogisticRegression(max_iter=1000)
    if not regression:
        return MLPClassifier(random_state=seed)
    return TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())


def _theirs(rival: str, source: Any, regression: bool, seed: int) -> dict[str, Any]:
    """Return score, seconds of processor time of the fit, and how many warnings of convergence there were."""
    import polars
    from sklearn.exceptions import ConvergenceWarning

    dropped = [column.name for column in source.schema if column.kind in ("dropped", "date")]  # a column a day overfits
    text = polars.col(polars.String).fill_null("missing")
    names = [name for name in source.train.X.names if name not in dropped]
    train, test = (
        polars.DataFrame({name: part.X.series(name).to_native() for name in names}).with_columns(text)
        for part in (source.train, source.test)
    )
    pipeline = _pipeline(train, _model(rival, regression, seed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.process_time()
        pipeline.fit(train, source.train.y)
        seconds = time.process_time() - began
        score = pipeline.score(test, source.test.y)
    unfinished = sum(issubclass(entry.category, ConvergenceWarning) for entry in caught)
    return {"score": float(score), "seconds": seconds, "unfinished": unfinished, "rows": len(source.test.y)}


def measure(table: Table, data: Path, *, seeds: int | None = None) -> dict[str, Any]:
    """Return the figures of all systems on a table, a list over the seeds 0, 1, ... each; the seed draws the split, too.

    seeds: how many; None: 3, and 10 for a table of fewer than 3,000 rows.
    """
    from manynets.cli.data import load_source

    out: dict[str, Any] = {"name": table.name, "ours": [], **{rival: [] for rival in RIVALS}}
    while True:
        seed = len(out["ours"])
        out["ours"].append(_ours(table, data, seed))
        regression = out["ours"][-1]["task"] == "regression"
        source = load_source(table.origin(data, seed))
        for rival in RIVALS:
            out[rival].append(_theirs(rival, source, regression, seed))
            if out[rival][-1]["rows"] != out["ours"][-1]["rows"]:
                raise RuntimeError(f"{table.name}: the test rows are not the same")
        out["regression"], out["rows"] = regression, source.train.rows + out["ours"][-1]["rows"]
        wanted = seeds or (MORE_SEEDS if out["rows"] < FEW_ROWS else SEEDS)
        if len(out["ours"]) >= wanted or max(out["ours"][-1]["seconds"], out["mlp"][-1]["seconds"]) > LONG:
            return out


def _mean(runs: Sequence[dict[str, Any]], what: str = "score") -> float:
    return statistics.fmean(run[what] for run in runs)


def _ahead(case: dict[str, Any]) -> bool:
    return _mean(case["ours"]) > _mean(case["mlp"])


def _line(case: dict[str, Any]) -> list[str]:
    scores = [f"{_mean(case[name]):.4f}" for name in ("ours", *RIVALS)]
    pairs = [(a["score"], b["score"]) for a, b in zip(case["ours"], case["mlp"], strict=True)]
    seconds = [f"{_mean(case[name], 'seconds'):.1f}" for name in ("ours", *RIVALS)]
    even = sum(a == b for a, b in pairs)
    return [
        f"{case['name']}",
        f"{case['rows']:,}",
        "R2" if case["regression"] else "accuracy",
        f"**{scores[0]}**" if _ahead(case) else scores[0],
        scores[1],
        scores[2],
        f"{sum(a > b for a, b in pairs)} of {len(pairs)}" + (f", {even} even" if even else ""),
        *seconds,
        f"{sum(run['unfinished'] for run in case['mlp'])} of {len(pairs)}",
    ]


HEAD = (
    "table", "rows", "figure", "ours", "MLP", "linear", "ahead in", "ours, s", "MLP, s", "linear, s", "MLP unfinished",
)  # fmt: skip


def markdown(results: dict[str, Any]) -> str:
    """Return the tables of the section."""
    on, cases = results["machine"], results["tables"]
    behind = [case["name"] for case in cases if not _ahead(case)]
    lines = [f"| {' | '.join(HEAD)} |", f"|---|--:|---|{'--:|' * (len(HEAD) - 3)}"]
    lines += [f"| {' | '.join(_line(case))} |" for case in cases]
    return "\n".join(
        [
            f"Measured on {on['date']}: {on['processor']}, one thread, Python {on['python']}; "
            + ", ".join(f"{name} {results['versions'][name]}" for name in ("manynets", "torch", "scikit-learn"))
            + ".",
            "",
            *lines,
            "",
            f"Ahead of scikit-learn's MLP, in the mean, on {len(cases) - len(behind)} of {len(cases)}"
            + (f"; behind on {', '.join(behind)}." if behind else "."),
            "",
            "The commands, each followed by `--seed S`:",
            "",
            *(f"    manynets train {' '.join(TABLES[case['name']].arguments(Path(), 0)[:-2])}" for case in cases),
        ]
    )


def write_docs(results: dict[str, Any], path: Path) -> None:
    """Put the tables between the marks of the file; a file without them is a ValueError."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path} must have the lines {BEGIN!r} and {END!r}, once each and in this order")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the tables and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), metavar="NAME", help=f"some of {', '.join(TABLES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file, after each table; go on with it")
    parser.add_argument("--write-docs", type=Path, metavar="FILE", help="measure nothing: put the results of this file into docs")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N - 1, each a split of its own (3; 10 for few rows)")
    options = parser.parse_args(arguments)
    if options.write_docs is not None:
        write_docs(json.loads(options.write_docs.read_text(encoding="utf-8")), DOCS)
        return 0
    data = Path(os.environ.get("MANYNETS_DATA") or DOCS.parents[2] / "shared" / "data")
    cases: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        cases = {case["name"]: case for case in json.loads(options.json.read_text(encoding="utf-8"))["tables"]}
    for name in options.only or TABLES:
        cases[name] = measure(TABLES[name], data, seeds=options.seeds)
        print(" | ".join(_line(cases[name])), flush=True)
        results = {"machine": machine(), "versions": versions(), "tables": [cases[name] for name in TABLES if name in cases]}
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
