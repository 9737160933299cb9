"""Memory of training on 1,000,000 x 50 numbers, and the time to read text tables: python -m bench.memory [--json FILE].

Times are of the processor, so that other work on the machine counts little; POLARS_MAX_THREADS=1 in the environment keeps them to
one thread.
"""

from __future__ import annotations

import argparse
import gzip
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

from bench.saved import save

__all__ = ["main", "peaks", "reading"]

ROWS, COLUMNS = 1_000_000, 50
MIB_A_ROW = COLUMNS * 4 / 2**20
"""MiB of the float32 matrix, a row."""

WAYS = ("float32 array", "float64 array", "float32 parquet", "float64 parquet", "float32 csv", "float64 csv")
"""What `peaks` trains on: arrays by `mn.train(scaling=False)`, files by `manynets train`."""

# Each child first trains on a few rows, so that all is imported; the peak is what the process has ever held above that.
_WARM = """
import sys
import numpy as np, torch
import manynets as mn
from manynets.cli import main
def held(name):  # ru_maxrss would also count the parent's memory at the fork
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024
def now():
    return held("VmRSS")
def peak():
    return held("VmHWM")
spec, recipe = mn.MLP(hidden=(64,)), mn.Recipe(epochs=1, batch_size=1024)
command = "--target y --hidden 64 --epochs 1 --batch-size 1024 -q --overwrite --out".split()
small = np.random.default_rng(0).standard_normal((2000, 50))
mn.train(small, small[:, 0], spec, recipe, scaling=False, progress=False)
"""
_ARRAY = """
before = now()
X = np.random.default_rng(0).standard_normal(({rows}, {columns}), dtype="{dtype}")
y = X[:, 0].copy()
given = now() - before
mn.train(X, y, spec, recipe, scaling=False, progress=False)
print(peak() - before, given)
"""
_COMMAND = """
folder = sys.argv[1]
for file in ("small", "large"):
    sys.argv = ["manynets", "train", folder + "/" + file + ".{ending}", *command, folder + "/run"]
    before = now()
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
print(peak() - before, 0)
"""


def _child(code: str, *arguments: str, rows: int) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", _WARM + code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    peak, given = map(float, done.stdout.split()[-2:])
    return {"mib": peak, "given_mib": given, "ratio": peak / (rows * MIB_A_ROW)}


def peaks(*, rows: int = ROWS, ways: Sequence[str] = WAYS) -> dict[str, dict[str, float]]:
    """Return the peak memory of one epoch above the imports, in MiB and as a ratio to the float32 matrix, for each way in."""
    out = {}
    for way in ways:
        dtype, ending = way.split()
        if ending == "array":
            out[way] = _child(_ARRAY.format(rows=rows, columns=COLUMNS, dtype=dtype), rows=rows)
            continue
        with tempfile.TemporaryDirectory() as folder:
            for name, count in (("small", 2000), ("large", rows)):
                _write(Path(folder) / f"{name}.{ending}", count, np.dtype(dtype))
            out[way] = _child(_COMMAND.format(ending=ending), folder, rows=rows)
    return out


def _write(file: Path, rows: int, dtype: np.dtype[Any]) -> None:
    import polars

    random = np.random.default_rng(0)
    columns = {f"x{j}": random.standard_normal(rows).astype(dtype) for j in range(COLUMNS)}
    frame = polars.DataFrame(columns | {"y": columns["x0"]})
    if file.suffix == ".parquet":
        frame.write_parquet(file)
    else:
        frame.write_csv(file)


def _compared(call: Callable[[], Any], other: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Return the median processor seconds of both, called in turn, and the median of their ratios."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for one, into in ((call, times[0]), (other, times[1])):
            began = time.process_time()
            one()
            if number:
                into.append(time.process_time() - began)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*times, strict=True))
    return {"ours": statistics.median(times[0]), "polars": statistics.median(times[1]), "ratio": ratio}


def reading(*, rows: int = 200_000, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Return the seconds that read_table and polars.read_csv take for tables of numbers and of words, as they may be written."""
    import polars

    from manynets.tables import read_table

    random = np.random.default_rng(0)
    levels = np.array([f"level number {k}" for k in range(1000)])
    numbers = {f"x{j}": random.standard_normal(rows) for j in range(50)}
    words = {f"w{j}": levels[random.integers(0, 1000 if j else 20, rows)] for j in range(20)}
    gaps = [polars.when(polars.int_range(rows) % 7 > 0).then(polars.col(f"x{j}")).alias(f"x{j}") for j in range(0, 50, 2)]
    several = polars.DataFrame(words)
    missing = [polars.when(polars.int_range(rows) % 7 > 0).then(polars.col(name)).alias(name) for name in words]
    some = polars.int_range(rows) % 50 == 0

    def text(frame: Any, **options: Any) -> str:
        return str(frame.write_csv(**options))

    plain = text(several)
    texts = {
        "50 columns of numbers": lambda: text(polars.DataFrame(numbers)),
        "50 of numbers with gaps, 20 of words": lambda: text(polars.DataFrame(numbers | words).with_columns(gaps)),
        "20 columns of words": lambda: plain,
        "words, all in quotes": lambda: text(several, quote_style="always"),
        "words, some with a comma in quotes": lambda: text(
            several.with_columns(polars.when(some).then(polars.lit("Smith, Ann")).otherwise("w3").alias("w3"))
        ),
        "words in quotes, with gaps": lambda: text(several.with_columns(missing), quote_style="non_numeric"),
        "words beyond ASCII": lambda: plain.replace("level", "größe"),
        "words with a blank before each": lambda: plain.replace(",", ", "),
    }
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in texts.items():
            content = make().encode()
            zipped = {f"{name}, .gz": Path(folder) / "table.csv.gz"} if name not in _NOT_ZIPPED else {}
            for label, file in ({name: Path(folder) / "table.csv"} | zipped).items():
                file.write_bytes(gzip.compress(content, 6) if file.suffix == ".gz" else content)
                out[label] = _compared(lambda file=file: read_table(file), lambda file=file: polars.read_csv(file), rounds)  # type: ignore[misc]
    return out


_NOT_ZIPPED = ("50 of numbers with gaps, 20 of words", "words, some with a comma in quotes", "words beyond ASCII")


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
    save(results, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
