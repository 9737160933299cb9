"""Thirteen real tables, manynets beside its rivals on the same rows: python -m bench.tables [--json FILE] [--only NAME ...].

A seed draws the split, a fifth of the rows for the test, and is the seed of every system. Each run has a process of its own; with
--json the runs add up, and those that the file holds are not made again. Errors are 1 - accuracy, or RMSE by the standard
deviation of y; over tables their mean is exp(mean(log(error + 0.01))) - 0.01. The networks of --slow are those of pytabkit, which is
in no group: pip install --constraint constraints.txt pytabkit
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.saved import opened, parser_of, save, write_docs
from bench.table_report import markdown
from bench.table_run import TABLES
from bench.table_systems import SLOW, SYSTEMS, missing

__all__ = ["main"]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables: begin (python -m bench.tables --write-docs) -->", "<!-- tables: end -->"
SEEDS, MORE_SEEDS, SLOW_SEEDS = 5, 10, 2
SMALL = ("titanic", "ames_housing", "penguins", "german_credit", "wine_quality")
"""Tables below 3,000 rows: they get MORE_SEEDS, as a split's error moves by more than the systems differ."""


def run_alone(words: Sequence[str], threads: int) -> dict[str, Any]:
    """Return what `bench.table_run` says of one run, made in a process of its own."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    command = [sys.executable, "-m", "bench.table_run", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | counts)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _seeds(table: str, system: str, wanted: int | None) -> range:
    usual = SLOW_SEEDS if system in SLOW else MORE_SEEDS if table in SMALL else SEEDS
    return range(usual if wanted is None else wanted)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("tables", __doc__, tables=TABLES, systems=SYSTEMS, rows=8000)
    parser.add_argument("--slow", action="store_true", help=f"{' and '.join(SLOW)}, too")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of every system (1)")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N - 1 (5; 10 below 3,000 rows; 2 for the slow ones)")
    parser.add_argument("--against", default="", metavar="NAME", help="count wins and losses against this one")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print the page."""
    options = _parser().parse_args(arguments)
    results = opened(options.json)
    systems = options.systems or [name for name in SYSTEMS if options.slow or name not in SLOW]
    if not (options.show or options.write_docs):
        lacking = {name: missing(name) for name in systems}
        for name in systems:
            if lacking[name] is not None:
                print(f"{name} is left out: {lacking[name]} is missing", file=sys.stderr)
        systems = [name for name in systems if lacking[name] is None]
        _measure(options, systems, results)
    text = markdown(results, rows=options.rows, threads=options.threads, systems=options.systems or (), against=options.against)
    if options.write_docs:
        write_docs(text, DOCS, begin=BEGIN, end=END)
    else:
        print(text)
    return 0


def _measure(options: argparse.Namespace, systems: Sequence[str], results: dict[str, Any]) -> None:
    """Make the runs that are not there yet, and write the file after each."""
    names = ("table", "system", "seed", "rows", "threads")
    made = {tuple(run[name] for name in names) for run in results["runs"]}
    tables = options.only or list(TABLES)
    for seed in range(max(MORE_SEEDS, options.seeds or 0)):
        for table in tables:
            for system in systems:
                key = (table, system, seed, options.rows, options.threads)
                if key in made or seed not in _seeds(table, system, options.seeds):
                    continue
                run = run_alone([str(word) for word in key], options.threads)
                results["runs"].append(run)
                print(f"{table} {system} seed {seed}: error {run['error']:.4f}, {run['seconds']:.1f} s", flush=True)
                save(results, options.json)


if __name__ == "__main__":
    sys.exit(main())
