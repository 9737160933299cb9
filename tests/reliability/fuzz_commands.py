"""Fuzz the command line: python -m tests.reliability.fuzz_commands --seconds 60, or --lines 100000 for random command lines only.
Prints figures as JSON; `make fuzz` runs it.

Four kinds of input, in one process and a folder of its own: command lines, the JSON of run folders, the bytes of CSV files, and the types
of Parquet columns. Whatever comes, a command ends with 0, 2 or 3 and no traceback; hypothesis makes the input smaller when one does not, and
stores it under .hypothesis, so that it is tried first the next time.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import decimal
import functools
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from manynets.cli import command_line, main
from manynets.cli.options import SWEEP, TRAIN
from manynets.plots import canvas
from tests.reliability.fuzz import changed

__all__ = ["fuzz", "lines"]

WORDS = [
    "t.csv",
    "run",
    "y",
    "u",
    "moons",
    "digits",
    "nothing",
    "~",
    "-",
    "..",
    "é",
    "e\u0301",
    "\x00",
    "a" * 300,
    "=",
    "--",
    "💥",
    "",
]
NUMBERS = ["0", "1", "2", "-1", "0.5", "1e-3", "1e400", "nan", "inf", "9" * 40, "0x10", "1_0", "1,2", "64-32", "lr=0.1,0.2", "a=b"]
COMMANDS = [
    "train",
    "sweep",
    "rerun",
    "evaluate",
    "compare",
    "explain",
    "report",
    "predict",
    "export",
    "inspect",
    "show",
    "plot",
    "datasets",
    "study",
    "nothing",
]
OPTIONS = sorted(
    {"--" + name.replace("_", "-") for name in (*TRAIN, *SWEEP)}
    | {"-q", "-h", "-o", "--columns", "--kind", "--json", "--plot", "--to", "--column", "--row", "--rows", "--repeats"}
)
QUICK = ["--epochs", "1", "--hidden", "2", "--n-networks", "1"]


def ended(arguments: Sequence[str]) -> tuple[int, str]:
    """Run a command line in this process; return its exit code and what it wrote to stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            main(arguments)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1, err.getvalue()
    return 1, err.getvalue()


def check(arguments: Sequence[str]) -> int:
    """Run a command line, and return its exit code, which must be one that commands have."""
    code, err = ended(arguments)
    assert code in (0, 2, 3), (arguments, code, err)
    assert "Traceback" not in err, (arguments, err)
    if code == 2:
        assert "error: " in err or "Usage" in err or not err, (arguments, err)
    return code


# ---------------------------------------------------------------------------------------------------------------------- inputs


def command_lines() -> st.SearchStrategy[list[str]]:
    word = st.sampled_from(WORDS) | st.sampled_from(NUMBERS) | st.text(max_size=8)
    option = st.tuples(st.sampled_from(OPTIONS), word).flatmap(
        lambda pair: st.sampled_from([[pair[0]], list(pair), [f"{pair[0]}={pair[1]}"]])
    )
    parts = st.lists(option | word.map(lambda text: [text]), max_size=5)
    free = st.tuples(st.sampled_from(COMMANDS), parts).map(lambda line: [line[0], *(word for part in line[1] for word in part)])
    trained = parts.map(
        lambda some: ["train", "t.csv", "--target", "y", *QUICK, "--out", "new", *(word for part in some for word in part)]
    )
    return free | trained


def takes_long(line: Sequence[str]) -> bool:
    """Return whether a command line may take minutes, or reads standard input, which is that of the fuzzer."""
    if "digits" in line or ("study" in line and "--all" in line):
        return True
    if any(word.startswith(("--epochs=9", "--points")) for word in line):
        return True
    return any(len(word) > 30 and word.strip("9") == "" for word in line) or "-" in line


def run_command(line: list[str]) -> None:
    if takes_long(line):
        return
    try:
        check(line)
    finally:
        fresh()


def drawn_line(draw: random.Random) -> list[str]:
    """Return a random command line; half of those that train have a table and a target, so that more of their options matter."""

    def word() -> str:
        if draw.random() < 0.2:
            return "".join(chr(draw.choice((draw.randrange(32, 127), draw.randrange(0x250)))) for _ in range(draw.randrange(9)))
        return draw.choice(draw.choice((WORDS, NUMBERS)))

    line = [draw.choice(COMMANDS)]
    if line[0] in ("train", "sweep"):
        line += [*QUICK[: 6 if line[0] == "train" else 4], "--out", "new"]
        if draw.random() < 0.5:
            line += ["t.csv", "--target", "y"]
    for _ in range(draw.randrange(6)):
        option = draw.choice(OPTIONS)
        line += draw.choice(([option], [option, word()], [f"{option}={word()}"], [word()]))
    return line


def lines(count: int, seed: int) -> dict[str, Any]:
    """Run so many random command lines in this process; return figures. An AssertionError has the one that failed.

    The parser is made once, and pictures are not drawn: that takes most of the time.
    """
    draw, home, tried, codes, began = random.Random(seed), Path.cwd(), 0, dict.fromkeys((0, 2, 3), 0), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.chdir(folder)
        try:
            table_and_run()
            before = _state()
            stack.enter_context(mock.patch("manynets.cli.command_line", functools.cache(command_line)))
            stack.enter_context(mock.patch("manynets.plots.save", _closed))
            while tried < count:
                line = drawn_line(draw)
                if takes_long(line):
                    continue
                codes[check(line)] += 1
                tried += 1
                if tried % 1000 == 0:
                    print(tried, codes, file=sys.stderr, flush=True)
                if _state() != before:
                    fresh()
                    before = _state()
        finally:
            os.chdir(home)
    return {"lines": tried, "seed": seed, "exit codes": codes, "tracebacks": 0, "seconds": round(time.monotonic() - began)}


def _closed(picture: Any, path: str | os.PathLike[str], **more: Any) -> Path:
    """Take the place of `plots.save`: make the file, but do not draw."""
    canvas.close(canvas.figure_of(picture))
    Path(path).touch()
    return Path(path)


def _state() -> list[tuple[str, int]]:
    """Return the names in this folder and in the run's, and when they were changed."""
    return sorted(
        (entry.path, entry.stat(follow_symlinks=False).st_mtime_ns)
        for at in (".", "run")
        if os.path.isdir(at)
        for entry in os.scandir(at)
    )


def run_json(draw: tuple[str, int]) -> None:
    import numpy as np

    name, seed = draw
    path = Path("run") / name
    sound = path.read_bytes()
    value = changed(json.loads(sound), np.random.default_rng(seed))
    try:
        path.write_text(json.dumps(value), encoding="utf-8", errors="surrogatepass")
        for command in (
            ["show", "run"],
            ["evaluate", "run", "--json"],
            ["predict", "run", "t.csv"],
            ["plot", "run", "--kind", "history"],
        ):
            check(command)
    finally:
        path.write_bytes(sound)


def run_bytes(data: bytes) -> None:
    Path("x.csv").write_bytes(data)
    check(["inspect", "x.csv"])
    check(["train", "x.csv", "--target", "y", *QUICK, "--out", "new", "--overwrite", "-q"])
    check(["predict", "run", "x.csv"])


def csv_bytes() -> st.SearchStrategy[bytes]:
    cell = st.sampled_from(["1", "a", "", "NA", '"', '"x,y"', "1e400", "2024-01-31", "é", "\x00", "1,5", "-", " "]) | st.text(
        max_size=5
    )
    row = st.lists(cell, min_size=1, max_size=4).map(",".join)
    table = st.lists(row, max_size=12).map(lambda rows: "\n".join(["u,v,y", *rows]).encode("utf-8", "surrogatepass"))
    noise = st.tuples(table, st.binary(max_size=12), st.integers(0, 60)).map(lambda t: t[0][: t[2]] + t[1] + t[0][t[2] :])
    return table | noise | st.binary(max_size=80)


def parquet_types() -> st.SearchStrategy[Any]:
    import polars as pl

    samples: list[Any] = [
        pl.Series([1, 2, None] * 10).cast(kind)
        for kind in (pl.Int8, pl.Int64, pl.UInt64, pl.Int128, pl.Float32, pl.Float64, pl.Boolean)
    ]
    day, moment = datetime.date(2024, 1, 31), datetime.datetime(2024, 1, 31, 12)
    some: list[list[Any]] = [
        ["a", "b", None], [b"a", b"", None], [day, None, day], [moment, moment, None], [datetime.timedelta(1), None, datetime.timedelta(2)],
        [datetime.time(1), None, datetime.time(2)], [[1], [2, 3], None], [{"a": 1}, {"a": 2}, None], [decimal.Decimal("1.5"), None, decimal.Decimal(2)],
        [None, None, None], [float("nan"), float("inf"), 1e300],
    ]  # fmt: skip
    samples += [pl.Series(values * 10) for values in some]
    samples.append(pl.Series(["a", "b", "a"] * 10, dtype=pl.Categorical))
    samples.append(pl.Series(["a", "b", "a"] * 10, dtype=pl.Enum(["a", "b"])))
    one = st.sampled_from(range(len(samples)))
    return st.tuples(one, one, one).map(lambda at: pl.DataFrame({name: samples[k] for name, k in zip("uvy", at, strict=True)}))


def run_parquet(frame: Any) -> None:
    try:
        frame.write_parquet("x.parquet")
    except Exception:  # polars cannot store this type; nothing to read then
        return
    check(["inspect", "x.parquet"])
    check(["train", "x.parquet", "--target", "y", *QUICK, "--out", "new", "--overwrite", "-q"])
    check(["train", "x.parquet", "--target", "u", "--weight", "v", *QUICK, "--out", "new", "--overwrite", "-q"])


# --------------------------------------------------------------------------------------------------------------------- running


def table_and_run() -> None:
    rows = [f"{i % 17},{i % 5},{'ab'[i % 17 > 8]}" for i in range(40)]
    Path("t.csv").write_text("u,v,y\n" + "\n".join(rows) + "\n", encoding="utf-8")
    check(["train", "t.csv", "--target", "y", *QUICK, "--out", "run", "-q"])
    shutil.copytree("run", ".sound")
    assert Path("run/config.json").is_file()


def fresh() -> None:
    """Remove all that a command has written."""
    for entry in Path().iterdir():
        if entry.name not in ("t.csv", ".sound", "run"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.rmtree("run", ignore_errors=True)
    shutil.copytree(".sound", "run")


def _some(strategy: st.SearchStrategy[Any], run: Callable[[Any], None], database: Any, seed: int, end: float) -> int:
    """Try some inputs, until the time is up; return how many."""
    tried = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=25, deadline=None, database=database, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(strategy)
    def one(value: Any) -> None:
        nonlocal tried
        if time.monotonic() < end:
            tried += 1
            run(value)

    one()
    return tried


def fuzz(seconds: float, seed: int, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Fuzz each kind of input for its share of the time; return how many were tried. An AssertionError has the one that failed."""
    targets: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
        "command lines": (command_lines(), run_command),
        "JSON": (st.tuples(st.sampled_from(["config.json", "metrics.json"]), st.integers(0, 2**32)), run_json),
        "CSV bytes": (csv_bytes(), run_bytes),
        "Parquet types": (parquet_types(), run_parquet),
    }
    targets = {name: target for name, target in targets.items() if not kinds or name in kinds}
    store, home, done = Path(".hypothesis/fuzz").resolve(), Path.cwd(), dict.fromkeys(targets, 0)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            table_and_run()
            draw = random.Random(seed)
            for name, (strategy, run) in targets.items():
                database = DirectoryBasedExampleDatabase(store / name.replace(" ", "-"))
                end = time.monotonic() + seconds / len(targets)
                while time.monotonic() < end:
                    done[name] += _some(strategy, run, database, draw.getrandbits(32), end)
        finally:
            os.chdir(home)
    return {"seconds": seconds, "seed": seed, "tried": done, "tracebacks": 0}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--kind", action="append", default=[])
    parser.add_argument("--lines", type=int)
    given = parser.parse_args()
    found = fuzz(given.seconds, given.seed, given.kind) if given.lines is None else lines(given.lines, given.seed)
    print(json.dumps(found), file=sys.stdout)
