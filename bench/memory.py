"""Memory of training on 1,000,000 x 50 numbers, and the time to read text tables: python -m bench.memory [--json FILE]."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main", "peaks", "reading"]

ROWS, COLUMNS = 1_000_000, 50
MATRIX = ROWS * COLUMNS * 4 / 2**20
"""MiB of the float32 matrix."""

# Each child first trains on a few rows, so that all is imported; the peak is what the process has ever held above that.
_WARM = """
import resource, sys
import numpy as np, torch
import manynets as mn
from manynets.cli import main
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def now():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
spec, recipe = mn.MLP(hidden=(64,)), mn.Recipe(epochs=1, batch_size=1024)
command = "--target y --hidden 64 --epochs 1 --batch-size 1024 -q --overwrite --out".split()
small = np.random.default_rng(0).standard_normal((2000, 50))
mn.train(small, small[:, 0], spec, recipe, progress=False)
"""
_ARRAY = """
before = now()
X = np.random.default_rng(0).standard_normal(({rows}, {columns}), dtype="{dtype}")
y = X[:, 0].copy()
given = now() - before
mn.train(X, y, spec, recipe, progress=False)
print(peak() - before, given)
"""
_COMMAND = """
folder = sys.argv[1]
for file in ("small", "{dtype}"):
    sys.argv = ["manynets", "train", folder + "/" + file + ".parquet", *command, folder + "/run"]
    before = now()
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
print(peak() - before, 0)
"""


def _child(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", _WARM + code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    peak, given = map(float, done.stdout.split()[-2:])
    return {"mib": peak, "given_mib": given, "ratio": peak / MATRIX}


def peaks() -> dict[str, dict[str, float]]:
    """Return the peak memory of one epoch above the imports, in MiB and as a ratio to the float32 matrix, for each way in."""
    import polars

    out = {}
    for dtype in ("float32", "float64"):
        out[f"mn.train, {dtype} array"] = _child(_ARRAY.format(rows=ROWS, columns=COLUMNS, dtype=dtype))
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("small", 2000), ("float32", ROWS), ("float64", ROWS)):
            random = np.random.default_rng(0)
            kind = np.float32 if name == "float32" else np.float64
            columns = {f"x{j}": random.standard_normal(rows).astype(kind) for j in range(COLUMNS)}
            polars.DataFrame(columns | {"y": columns["x0"]}).write_parquet(f"{folder}/{name}.parquet")
            del columns
        for dtype in ("float32", "float64"):
            out[f"manynets train, {dtype} Parquet"] = _child(_COMMAND.format(dtype=dtype), folder)
    return out


def _median_of(call: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the median seconds of both, called in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for one, into in ((call, times[0]), (other, times[1])):
            began = time.perf_counter()
            one()
            if number:
                into.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def reading(*, rows: int = 200_000, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Return the seconds that read_table and polars.read_csv take for a table of numbers, of words, and of both with gaps."""
    import polars

    from manynets.tables import read_table

    random = np.random.default_rng(0)
    levels = np.array([f"level number {k}" for k in range(1000)])
    numbers = {f"x{j}": random.standard_normal(rows) for j in range(50)}
    words = {f"w{j}": levels[random.integers(0, 1000 if j else 20, rows)] for j in range(20)}
    gaps = [polars.when(polars.int_range(rows) % 7 > 0).then(polars.col(f"x{j}")).alias(f"x{j}") for j in range(0, 50, 2)]
    frames = {
        "50 columns of numbers": polars.DataFrame(numbers),
        "20 columns of words": polars.DataFrame(words),
        "50 of numbers with gaps, 20 of words": polars.DataFrame(numbers | words).with_columns(gaps),
    }
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        for name, frame in frames.items():
            frame.write_csv(file)
            ours, theirs = _median_of(lambda: read_table(file), lambda: polars.read_csv(file), rounds)
            out[name] = {"ours": ours, "polars": theirs, "ratio": ours / theirs}
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--only", choices=("peaks", "reading"), help="one of the two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    if options.only != "reading":
        results["peaks"] = peaks()
    if options.only != "peaks":
        results["reading"] = reading()
    print(json.dumps(results, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
