"""Training on a stream of rows against training in memory: python -m bench.streaming speed | quality | mixing [--json FILE].

speed: a Parquet file of N x 50 float32 and a 50-128-128-1 network; the streamed run must stay within 1.5 GB, and make 70% of the
steps per second of a run in memory (of at most 1,000,000 rows). Seconds of the processor are given too, for a busy machine.
quality: california, adult and covertype, with small row groups and a limit that asks for several windows, against the same rows in memory.
mixing: the loss of windows against that of one order over all rows, also where the file is sorted by the target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["generate", "main", "mixing", "quality", "speed"]

COLUMNS, PART = 50, 250_000
MOST_IN_MEMORY = 1_000_000

_CHILD = """
import sys, time, json
import manynets as mn
from manynets.streaming import Columns, open_stream, train_stream
from manynets.tables.rowgroups import BlockFiles
import manynets.training.groups as groups
path, limit, epochs, most = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
spec, recipe = mn.MLP(hidden=(128, 128)), mn.Recipe(epochs=epochs, batch_size=256)
began, used = time.perf_counter(), time.process_time()
if limit == "none":
    import polars
    from manynets.data.stream.parts import HashSplit, TRAIN
    frame = polars.scan_parquet(path).head(most).collect()
    X, y = frame.drop("y"), frame["y"].to_numpy()
    from manynets.prepare import prepare
    from manynets.plan import ensemble
    data = prepare(X, y, recipe)
    del frame, X
    members = ensemble(spec, recipe, data, 1)
    rows = len(y)
    opened, opening = time.perf_counter() - began, time.process_time() - used
    began, used = time.perf_counter(), time.process_time()
    found = groups.train_members(data.problem, members)[0].history
else:
    stream = open_stream(BlockFiles(path), Columns(target="y"), recipe, memory_limit=limit, spec=spec, validation=0.0)
    rows = len(stream.rows)
    opened, opening = time.perf_counter() - began, time.process_time() - used
    began, used = time.perf_counter(), time.process_time()
    found = train_stream(stream, spec, recipe).history
seconds, busy = time.perf_counter() - began, time.process_time() - used
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e6
print(json.dumps({"rows": rows, "opening": opened, "opening_processor": opening, "microseconds": 1e6 * seconds / rows / epochs,
                  "processor_microseconds": 1e6 * busy / rows / epochs, "peak_gb": peak, "loss": found["loss"][-1]}))
"""


def generate(path: Path, rows: int, *, seed: int = 0, group_rows: int = 1 << 16) -> None:
    """Write a Parquet file of rows x 50 standard normal numbers, and a target that is no linear function of them."""
    import pyarrow
    import pyarrow.parquet

    random, names = np.random.default_rng(seed), [f"x{j}" for j in range(COLUMNS)]
    writer: Any = None
    for start in range(0, rows, PART):
        x = random.standard_normal((min(PART, rows - start), COLUMNS), dtype=np.float32)
        y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * x[:, 3] ** 2 + 0.2 * random.standard_normal(len(x), dtype=np.float32)
        table = pyarrow.table({**dict(zip(names, x.T.copy(), strict=True)), "y": y.astype(np.float32)})
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table, row_group_size=group_rows)
    writer.close()


def speed(rows: int, limit: str, *, epochs: int = 1) -> dict[str, Any]:
    """Return what a streamed run and one in memory take per row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        generate(path, rows)
        out: dict[str, Any] = {"rows": rows, "bytes": path.stat().st_size, "limit": limit}
        for name, one in (("in memory", "none"), ("streamed", limit)):
            args = [sys.executable, "-c", _CHILD, str(path), one, str(epochs), str(MOST_IN_MEMORY)]
            done = subprocess.run(args, check=True, capture_output=True, text=True)
            out[name] = json.loads(done.stdout.splitlines()[-1])
    for kind in ("microseconds", "processor_microseconds"):
        out[f"speed by {kind}"] = out["in memory"][kind] / out["streamed"][kind]
    return out


def _both(path: Path, target: str, limit: int, recipe: Any, spec: Any) -> tuple[dict[str, float], dict[str, float], int]:
    """Return the metrics on the test rows of a streamed run and of one on the same rows in memory, and the windows of an epoch."""
    import polars

    import manynets as mn
    from manynets.data.stream.parts import TEST, TRAIN
    from manynets.data.stream.table import blocks_of_part
    from manynets.streaming import Columns, open_stream, train_stream
    from manynets.tables.rowgroups import BlockFiles

    stream = open_stream(BlockFiles(path), Columns(target=target), recipe, memory_limit=limit, spec=spec, validation=0.0, test=0.2)
    table, counts = stream.table, stream.description.counts
    streamed = stream.evaluate(train_stream(stream, spec, recipe))
    frames = [polars.concat(list(blocks_of_part(table, counts, part))) for part in (TRAIN, TEST)]
    (X, y), (X_test, y_test) = ((frame[list(table.features)], table.target_of(frame)) for frame in frames)
    model = mn.train(X, y, spec, recipe, task=stream.data.problem.task, progress=False)
    assert streamed is not None
    return streamed, model.evaluate(X_test, y_test), stream.rows.layout.windows


def quality(*, seeds: int = 3) -> dict[str, Any]:
    """Return the metrics of streamed runs and of runs in memory on the test rows of three tables, for each seed."""
    import polars

    import manynets as mn
    from manynets.tables import read_table

    data = Path(__import__("os").environ["MANYNETS_DATA"])
    tables = {
        "california": (data / "california_housing/housing.csv.gz", "median_house_value", 1_000_000, 30),
        "adult": (data / "adult/adult_train.csv.gz", "income", 5_000_000, 10),
        "covertype": (data / "covertype/covertype.csv.gz", "Cover_Type", 6_000_000, 10),
    }
    out: dict[str, Any] = {}
    for name, (source, target, limit, epochs) in tables.items():
        frame = read_table(source)
        frame = frame if target in frame.columns else frame.rename({frame.columns[-1]: target})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.parquet"
            frame.write_parquet(path, row_group_size=max(256, frame.height // 100))
            metric = "rmse" if frame[target].dtype == polars.Float64 else "log_loss"
            found: dict[str, list[float]] = {"streamed": [], "in memory": []}
            for seed in range(seeds):
                recipe = mn.Recipe(epochs=epochs, batch_size=128, seed=seed, optimizer=mn.AdamW(lr=0.002), schedule=mn.OneCycle())
                one, other, windows = _both(path, target, limit, recipe, mn.MLP(hidden=(128, 128)))
                found["streamed"].append(one[metric])
                found["in memory"].append(other[metric])
        out[name] = {"metric": metric, "windows": windows, **found} | {
            f"mean {kind}": statistics.mean(values) for kind, values in list(found.items())
        }
        print(json.dumps({name: out[name]}), flush=True)
    return out


def mixing(*, rows: int = 500_000, seeds: int = 3) -> dict[str, Any]:
    """Return the validation loss where an epoch has one window, as in memory, and where it has many; also for a file sorted by y."""
    import polars

    import manynets as mn
    from manynets.streaming import Columns, open_stream, train_stream
    from manynets.tables.rowgroups import BlockFiles

    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, by_target = Path(folder) / "rows.parquet", Path(folder) / "sorted.parquet"
        generate(path, rows, group_rows=4096)
        polars.read_parquet(path).sort("y").write_parquet(by_target, row_group_size=4096)
        for name, file, limit in (
            ("one window", path, "1GB"),
            ("windows", path, "40MB"),
            ("windows, sorted file", by_target, "40MB"),
        ):
            losses, windows = [], 0
            for seed in range(seeds):
                recipe = mn.Recipe(epochs=3, batch_size=256, seed=seed, schedule=mn.OneCycle())
                spec = mn.MLP(hidden=(128, 128))
                stream = open_stream(BlockFiles(file), Columns(target="y"), recipe, memory_limit=limit, spec=spec, validation=0.01)
                losses.append(train_stream(stream, spec, recipe).history["val_loss"][-1])
                windows = stream.rows.layout.windows
            out[name] = {"windows": windows, "val_loss": losses, "mean": statistics.mean(losses)}
            print(json.dumps({name: out[name]}), flush=True)
    return out


def main(args: Sequence[str] | None = None) -> None:
    """Measure, and print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "quality", "mixing"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--limit", default="800MB")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(args)
    if given.what == "speed":
        found = speed(given.rows, given.limit, epochs=given.epochs)
    else:
        found = quality(seeds=given.seeds) if given.what == "quality" else mixing(seeds=given.seeds)
    print(json.dumps(found, indent=2))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
