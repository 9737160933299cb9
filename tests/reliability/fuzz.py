"""Fuzz model files and checkpoints: python -m tests.reliability.fuzz FILES SEED. Prints figures as JSON; run by test_files.py.

Every file is a mutation of a sound one: bytes, lengths, header, offsets, names, JSON; four of five get a right hash again, so that
they pass the first check. Watched: that nothing but ModelFileError comes out, that what loads is a whole model, that no code is
run and no other file opened (audit hook), that memory stays below the file + 64 MiB (RLIMIT_AS), that no file takes 5 s (alarm).
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import manynets as mn
from manynets.training.checkpoint import Checkpoint, checkpoint_files, read_checkpoint
from manynets.training.state import restore

__all__ = ["fuzz", "sound_files"]

FIELD = b'"sha256":"'
HUGE = [
    0,
    1,
    -1,
    2,
    7,
    2**31,
    2**63 - 1,
    2**64,
    10**18,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    -0.0,
    1e308,
    True,
    None,
    "",
    "x",
    [],
    {},
]
NAMES = [
    "eval",
    "os.system",
    "__reduce__",
    "builtins.exec",
    "../../../etc/passwd",
    "/dev/zero",
    "MLP",
    "Recipe",
    "Adam",
    "relu",
    "\x00",
    "💥",
    "a" * 5000,
]
SMALL = 64 << 20


def sound_files(folder: Path) -> list[Path]:
    """Write sound files of several kinds, small ones, and return their paths: models, and a checkpoint last."""
    random = np.random.default_rng(0)
    X = random.standard_normal((40, 3))
    recipe, paths = mn.Recipe(epochs=2, batch_size=8), []
    for number, (y, spec) in enumerate(
        [
            (X[:, 0] * 2 + 1, mn.MLP(hidden=(4,), batch_norm=True)),
            ((X[:, 0] > 0).astype(int), mn.MLP(hidden=())),
            (np.array(["a", "b", "c"])[np.arange(40) % 3], mn.MLP(hidden=(3, 3), dropout=0.1)),
        ]
    ):
        model = mn.train(X, y, spec, recipe, scaling=False, progress=False, validation=0.25)
        paths.append(folder / f"model{number}")
        model.save(paths[-1])
    import polars as pl

    numbers = pl.int_range(1, 41)
    frame = pl.DataFrame({"size": X[:, 0], "town": ["x", "y"] * 20, "day": ["2024-01-02"] * 39 + ["2025-03-04"]})
    frame = frame.with_columns(
        load=pl.format("{},200 kg", numbers), note=pl.format("box {} of town {}, sent by train {}", *[numbers] * 3)
    )
    model = mn.train(frame, X[:, 1], mn.MLP(hidden=(3,), embedding=mn.PiecewiseLinear(bins=3)), recipe, progress=False)
    assert {column.kind for column in model.encoder.columns} == {"numeric", "categorical", "date", "text"}
    paths.append(folder / "table")
    model.save(paths[-1])
    mn.train(
        X,
        X[:, 0],
        mn.MLP(hidden=(3,), dropout=0.2),
        recipe,
        scaling=False,
        progress=False,
        checkpoint=Checkpoint(folder=folder / "run", every_steps=3, keep=9),
    )
    return [*paths, checkpoint_files(folder / "run")[1]]


def parts(whole: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the outer header and the tensors' bytes."""
    length = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def packed(outer: dict[str, Any] | str, body: bytes, *, length: int | None = None) -> bytes:
    """Return a file of a header and bytes."""
    head = (outer if isinstance(outer, str) else json.dumps(outer, separators=(",", ":"))).encode("utf-8", "surrogatepass")
    return (len(head) if length is None else length % 2**64).to_bytes(8, "little") + head + body


def hashed(whole: bytes) -> bytes:
    """Return the file with the right hash, if it has a place for one."""
    at = whole.rfind(FIELD)
    if at < 0:
        return whole
    at += len(FIELD)
    blank = whole[:at] + b"0" * 64 + whole[at + 64 :]
    return blank[:at] + hashlib.sha256(blank).hexdigest().encode() + blank[at + 64 :]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


def changed(value: Any, random: np.random.Generator) -> Any:
    """Return a JSON value with one thing in it changed."""
    value = json.loads(json.dumps(value))
    path = places(value)[1:]
    if not path:
        return value
    *before, last = path[int(random.integers(len(path)))]
    inside = value
    for key in before:
        inside = inside[key]
    kind = int(random.integers(6))
    if kind == 0:
        inside[last] = HUGE[int(random.integers(len(HUGE)))]
    elif kind == 1:
        inside[last] = NAMES[int(random.integers(len(NAMES)))]
    elif kind == 2:
        del inside[last]
    elif kind == 3 and isinstance(inside, dict):
        inside[NAMES[int(random.integers(len(NAMES)))]] = inside.pop(last)
    elif kind == 4 and isinstance(inside[last], int | float) and not isinstance(inside[last], bool):
        inside[last] = inside[last] * int(random.integers(-2, 4)) + int(random.integers(-2, 3))
    else:
        deep: Any = inside[last]
        for _ in range(int(random.choice([1, 5, 200]))):
            deep = [deep]
        inside[last] = deep
    return value


def mutated(whole: bytes, random: np.random.Generator) -> tuple[bytes, bool]:
    """Return a mutation of a sound file, and whether it got a right hash again."""
    outer, body = parts(whole)
    kind = int(random.integers(10))
    if kind == 0:  # bytes
        data = bytearray(whole)
        for _ in range(int(random.integers(1, 5))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
        out = bytes(data)
    elif kind == 1:  # a cut, a repeat, an insertion
        a, b = sorted(random.integers(0, len(whole), 2).tolist())
        out = [
            whole[:a],
            whole[:a] + whole[b:],
            whole[:b] + whole[a:],
            whole[:a] + bytes(random.integers(0, 256, 9, np.uint8)) + whole[a:],
        ][int(random.integers(4))]
    elif kind == 2:  # the header's length
        out = packed(
            outer, body, length=[0, 1, 2**20, 2**26, 2**32, 2**63, 2**64 - 1, len(whole), len(whole) - 8][int(random.integers(9))]
        )
    elif kind == 3:  # the bodies' numbers
        numbers = bytearray(body)
        at = int(random.integers(max(1, len(numbers) // 8))) * 8
        numbers[at : at + 8] = np.array([[np.nan, np.inf, -1e308, 1e38, -1.0][int(random.integers(5))]]).tobytes()
        out = packed(outer, bytes(numbers[: len(body)]))
    elif kind in (4, 5):  # entries of tensors: dtype, shape, offsets, names
        meta = outer.pop("__metadata__")
        out = packed({"__metadata__": meta} | changed(outer, random), body)
    elif kind == 6:  # text that is no such JSON
        text = json.dumps(outer)
        texts = [
            "[" * 100_000,
            '{"a":' * 50_000,
            text.replace("{", "{" + '"sha256":"x",', 1),
            "9" * 5000,
            text[:-1] + ',"x":NaN}',
            "[1," * 9,
            text.replace(":", ",", 3),
        ]
        out = packed(texts[int(random.integers(len(texts)))], body)
    else:  # the JSON header
        meta = outer["__metadata__"]
        inner = changed(json.loads(meta["manynets"]), random)
        if random.integers(4) == 0:
            inner = changed(inner, random)
        meta["manynets"] = json.dumps(inner)
        out = packed(outer, body)
    again = bool(random.integers(5))
    return (hashed(out), True) if again else (out, False)


class Watch:
    """Counts what must not happen while a file is read."""

    def __init__(self) -> None:
        self.on, self.path, self.events = False, "", []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or threading.current_thread() is not threading.main_thread():
            return
        mine = event == "open" and str(arguments[0]) == self.path
        if not mine and event.split(".")[0] in (
            "exec",
            "compile",
            "import",
            "open",
            "subprocess",
            "os",
            "pickle",
            "socket",
            "ctypes",
            "marshal",
        ):
            self.events.append(f"{event} {arguments!r}"[:200])


def load_model(path: Path) -> None:
    """Load a model and use it: whatever loads must predict a row of finite or at least well-shaped scores."""
    model = mn.load(path)
    if model.in_features <= 10_000:
        scores = model.logits(np.zeros((2, model.in_features)))
        assert scores.shape == (model.size, 2, model.task.outputs)


def load_checkpoint(path: Path) -> None:
    """Read a checkpoint and put a run into its state."""
    from manynets.training.loop import TrainingRun

    state, _ = read_checkpoint(path)
    restore(TrainingRun(PROBLEM[0], PROBLEM[1]()), state)


PROBLEM: list[Any] = []


def fuzz(files: int, seed: int) -> dict[str, Any]:
    """Read so many mutated files; return figures."""
    import torch

    torch.set_num_threads(1)
    figures: dict[str, Any] = {
        "files": files,
        "seed": seed,
        "refused": 0,
        "sound": 0,
        "wrong": 0,
        "crashes": [],
        "code": [],
        "hangs": 0,
        "memory": 0,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = sound_files(folder)
        from manynets.prepare import prepare
        from manynets.training.trial import Member

        X = np.random.default_rng(0).standard_normal((40, 3))
        recipe = mn.Recipe(epochs=2, batch_size=8)
        prepared = prepare(X, X[:, 0], recipe)
        spec = mn.MLP(hidden=(3,), dropout=0.2)
        initial = mn.train(X, X[:, 0], spec, recipe, scaling=False, progress=False).members[0]
        PROBLEM[:] = [prepared.problem, lambda: [Member(0, spec, recipe, initial)]]
        readers: list[Callable[[Path], None]] = [load_model] * (len(sound) - 1) + [load_checkpoint]
        for path, read in zip(sound, readers, strict=True):
            read(path)
        originals = [path.read_bytes() for path in sound]
        target, watch, random = folder / "fuzzed", Watch(), np.random.default_rng(seed)
        watch.path = str(target)
        sys.addaudithook(watch)

        def late(number: int, frame: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, late)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (pages + max(map(len, originals)) + SMALL, resource.RLIM_INFINITY))
        for _ in range(files):
            which = int(random.integers(len(sound)))
            data, right = mutated(originals[which], random)
            target.write_bytes(data)
            signal.setitimer(signal.ITIMER_REAL, 5)
            watch.on = True
            try:
                readers[which](target)
                figures["sound"] += 1
                figures["wrong"] += not right and data != originals[which]
            except mn.ModelFileError as error:
                figures["refused"] += 1
                if not str(error).startswith(("the checkpoint", str(target))):
                    figures["crashes"].append(f"no path: {error}"[:300])
            except TimeoutError:
                figures["hangs"] += 1
            except MemoryError:
                figures["memory"] += 1
                (Path(tempfile.gettempdir()) / "fuzz-memory").write_bytes(data)
            except BaseException as error:
                figures["crashes"].append(f"{type(error).__name__}: {error}"[:300])
            finally:
                watch.on = False
                signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        figures["code"] = sorted(set(watch.events))[:20]
    figures["crashes"] = sorted(set(figures["crashes"]))[:20]
    return figures


if __name__ == "__main__":
    print(json.dumps(fuzz(int(sys.argv[1]), int(sys.argv[2])), indent=1))
