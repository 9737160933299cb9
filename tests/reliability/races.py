"""Start pairs of commands together on the same names: python -m tests.reliability.races PAIRS SEED. Prints figures as JSON; run by
test_races.py.

Each pair runs in a folder of its own, in two forked processes that start together or up to 0.3 s apart. Each command must finish, or say
in one line why not; what it says it wrote must be there, whole and its own; and nothing else may be left.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manynets.cli import main
from manynets.runs import read_run

__all__ = ["race"]

SMALL = ("--epochs", "2", "--hidden", "4", "--n-networks", "1", "--target", "y", "-q")
SWEEP = ("--epochs", "2", "--hidden", "4", "--target", "y", "-q", "--grid", "lr=0.01,0.02")
KINDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "train without a name": (["train", "t.csv", *SMALL, "--json"],) * 2,
    "train into one folder": (["train", "t.csv", *SMALL, "--json", "--out", "new/run"],) * 2,
    "train over a run": (["train", "t.csv", *SMALL, "--json", "--out", "run", "--overwrite"],) * 2,
    "train over a run that is plotted": (["train", "t.csv", *SMALL, "--json", "--out", "run", "--overwrite"], ["plot", "run"]),
    "train over a run that predicts": (
        ["train", "t.csv", *SMALL, "--json", "--out", "run", "--overwrite"],
        ["predict", "run", "t.csv", "-o", "p.csv", "-q"],
    ),
    "train over a run that is repeated": (
        ["train", "t.csv", *SMALL, "--json", "--out", "run", "--overwrite"],
        ["rerun", "run", "--out", "again"],
    ),
    "resume one run": (["train", "--resume", "half", "-q", "--json"],) * 2,
    "resume and start anew": (
        ["train", "--resume", "half", "-q", "--json"],
        ["train", "t.csv", *SMALL, "--json", "--out", "half", "--overwrite"],
    ),
    "rerun into one folder": (["rerun", "run", "--out", "again"],) * 2,
    "sweep without a name": (["sweep", "t.csv", *SWEEP, "--json"],) * 2,
    "sweep into one folder": (["sweep", "t.csv", *SWEEP, "--json", "--out", "swept"],) * 2,
    "predict into one file": (["predict", "run", "t.csv", "-o", "p.csv", "-q"],) * 2,
    "plot into one folder": (["plot", "run", "--kind", "history", "--out", "pictures"],) * 2,
}

LOADED = (
    "manynets.cli.fit",
    "manynets.fitting",
    "manynets.plots",
    "manynets.tables",
    "manynets.tabular",
    "matplotlib.figure",
    "narwhals",
    "polars",
    "pydantic",
    "sklearn.linear_model",
    "sklearn.metrics",
)
"""What most commands import, loaded once before the forks."""


def child(command: Sequence[str], folder: Path, number: int, start: float) -> int:
    """Run a command in a forked process from a moment on; return its process number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.chdir(folder)
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{folder}.{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        while time.monotonic() < start:
            time.sleep(0.001)
        try:
            main(list(command))
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(99)


def call(command: Sequence[str], folder: Path) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child(command, folder, 9, 0.0), 0)[1])


def template(folder: Path) -> None:
    """Write a table, a run, and a run whose training was killed after a checkpoint."""
    rows = [f"{i % 17},{i % 5},{'ab'[i % 17 > 8]}" for i in range(60)]
    folder.mkdir()
    (folder / "t.csv").write_text("u,v,y\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert call(["train", "t.csv", *SMALL, "--out", "run", "--seed", "5"], folder) == 0
    long = ["train", "t.csv", *SMALL, "--out", "half", "--checkpoint-every", "1 step", "--seed", "6", "--epochs", "40"]
    pid = child(long, folder, 9, 0.0)
    while not any((folder / "half.part").glob("checkpoints/*.checkpoint")):
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for entry in folder.glob(".half*"):  # the claim of the killed process, which the next one would take over
        assert entry.name == ".half.lock", entry


def told(folder: Path, number: int, code: int) -> dict[str, Any]:
    """Return what a command said: its result where it gave one, and its error; it must be one or the other."""
    out, err = (Path(f"{folder}.{number}.{name}").read_text(encoding="utf-8") for name in ("out", "err"))
    assert "Traceback" not in err, err
    assert code in (0, 2), (code, err)
    if code:
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, err
        return {"error": lines[0]}
    last = (out.strip().splitlines() or [""])[-1]
    return json.loads(last) if last.startswith("{") else {}


def check(kind: str, folder: Path, seeds: Sequence[int], codes: Sequence[int]) -> None:
    """Check that nothing was lost or mixed."""
    said = [told(folder, k, code) for k, code in enumerate(codes)]
    assert 0 in codes, said
    if "without a name" in kind:
        assert list(codes) == [0, 0], said
    elif "one" in kind:
        assert sorted(codes) == [0, 2], said
    written: dict[str, list[int]] = {}
    for seed, code, result in zip(seeds, codes, said, strict=True):
        name = result.get("run_dir") or (f"{result['sweep_dir']}/best" if "sweep_dir" in result else None)
        if code == 0 and name is not None:
            written.setdefault(name, []).append(seed)
    for name, own in written.items():
        run = read_run(folder / name)
        assert run.config["options"]["seed"] == run.model.recipe.seed, (name, "mixed")
        if "resume" not in kind and "plotted" not in kind:
            assert run.model.recipe.seed in own, (name, own, run.model.recipe.seed)
    if "without a name" in kind:
        assert len(written) == 2, written
    if "predict" in kind and codes[-1] == 0:
        assert len((folder / "p.csv").read_text(encoding="utf-8").splitlines()) == 61
    if "rerun" in kind or "repeated" in kind:
        assert not (folder / "again").exists() or read_run(folder / "again").model.size == 1
    left = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
    left += [str(path.relative_to(folder)) for path in folder.rglob("*.part") if path.name != "half.part" or "resume" in kind]
    assert not [name for name in left if not name.startswith((".half", "half.part/")) or "resume" in kind], left


def race(pairs: int, seed: int) -> dict[str, Any]:
    """Run so many pairs; return figures. AssertionError for what was lost, with the kind of the pair."""
    for name in LOADED:
        importlib.import_module(name)

    draw, names, refused = random.Random(seed), list(KINDS), 0
    with tempfile.TemporaryDirectory() as place:
        start = Path(place).resolve() / "template"
        template(start)
        for number in range(pairs):
            kind = names[number % len(names)]
            folder = start.parent / f"pair{number}"
            shutil.copytree(start, folder)
            seeds = [100 + 2 * number, 101 + 2 * number]
            began = time.monotonic() + 0.05
            late = [0.0, 0.0 if number // len(names) % 2 == 0 else draw.uniform(0, 0.3)]
            draw.shuffle(late)
            pids = []
            for k, command in enumerate(KINDS[kind]):
                own = ["--seed", str(seeds[k])] if command[0] in ("train", "sweep") and "--resume" not in command else []
                pids.append(child([*command, *own], folder, k, began + late[k]))
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            refused += sum(code == 2 for code in codes)
            try:
                check(kind, folder, seeds, codes)
            except AssertionError as error:
                raise AssertionError(f"pair {number}, {kind}: {error}") from error
            shutil.rmtree(folder)
    return {"pairs": pairs, "seed": seed, "refused": refused, "lost": 0}


if __name__ == "__main__":
    print(json.dumps(race(int(sys.argv[1]), int(sys.argv[2]))))
