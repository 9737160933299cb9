"""What reading a model file or a checkpoint takes: python -m tests.reliability.reading MEGABYTES. Prints figures as JSON; run by
test_reading.py.

Each file is read in a forked process of its own, whose largest resident set is compared with the one it started with. Reading takes
at most as much memory as the file says that it holds (its header and the tensors in it) and 64 MiB, or it fails within 0.5 s.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import manynets as mn
from manynets.modelfile import write_model_file
from manynets.training.checkpoint import read_checkpoint
from tests.reliability.fuzz import hashed, packed, parts

__all__ = ["CASES", "SPARE", "Read", "measured", "sound"]

SPARE = 64 << 20
SECONDS = 0.5
Read = dict[str, Any]


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def measured(read: Callable[[Path], object], path: Path) -> Read:
    """Read a file in a forked process; return seconds, bytes beyond those at the start, and the error in words (None for none)."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        words, start, began = None, resident(), time.perf_counter()
        try:
            read(path)
        except mn.ModelFileError as error:
            words = str(error)
        except BaseException as error:
            words = f"wrong: {type(error).__name__}: {error}"
        seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        with os.fdopen(there, "w", encoding="utf-8") as out:
            json.dump({"seconds": seconds, "memory": peak - start, "error": words}, out)
        os._exit(0)
    os.close(there)
    with os.fdopen(here, encoding="utf-8") as file:
        text = file.read()
    status = os.waitpid(child, 0)[1]
    return json.loads(text) if text else {"seconds": 0.0, "memory": 0, "error": f"wrong: ended with status {status}"}


def sound(folder: Path, megabytes: float) -> tuple[Path, Path]:
    """Write a model and a checkpoint of about this size, and return their paths."""
    units = int((megabytes * 2**20 / 4 / 2) ** 0.5)
    X = np.zeros((4, units))
    model = mn.train(
        X, np.arange(4.0), mn.MLP(hidden=(2 * units,)), mn.Recipe(epochs=1), scaling=False, progress=False, validation=None
    )
    model.save(folder / "model")
    header = {"step": 1, "identity": {}, "values": {}, "system": {}}
    weights = {f"part{i}": np.ones(int(megabytes * 2**20 / 16), dtype=np.float32) for i in range(4)}
    write_model_file(folder / "checkpoint", header, weights, kind="checkpoint")
    return folder / "model", folder / "checkpoint"


def small(folder: Path) -> bytes:
    """Return the bytes of a small model's file."""
    X = np.zeros((8, 2))
    mn.train(X, np.arange(8.0), mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), scaling=False, progress=False, validation=None).save(
        folder / "small"
    )
    return (folder / "small").read_bytes()


def with_text(data: bytes, megabytes: int, fill: str) -> bytes:
    """Return a file whose header has a long text in the JSON within its JSON."""
    outer, body = parts(data)
    inner = json.loads(outer["__metadata__"]["manynets"])
    inner["info"] = json.loads("[" + fill * (megabytes * 2**20 // len(fill)) + "0]")
    outer["__metadata__"]["manynets"] = json.dumps(inner, separators=(",", ":"))
    return hashed(packed(outer, body))


def with_outer(data: bytes, megabytes: int, fill: str) -> bytes:
    """Return a file with a long field beside the tensors in its header."""
    outer, body = parts(data)
    text = json.dumps(outer, separators=(",", ":"))
    return hashed(packed('{"a":[' + fill * (megabytes * 2**20 // len(fill)) + "0]," + text[1:], body))


def with_length(data: bytes, length: int) -> bytes:
    return (length % 2**64).to_bytes(8, "little") + data[8:]


CASES: dict[str, Callable[[bytes], bytes]] = {
    "a header of 2^63 bytes": lambda data: with_length(data, 2**63),
    "a header of 2^64 - 1 bytes": lambda data: with_length(data, -1),
    "a header of 64 MiB that is not there": lambda data: with_length(data, 64 << 20),
    "a header without bytes": lambda data: with_length(data, 0),
    "a header of zeros": lambda data: data[:8] + bytes(len(data) - 8),
    "60 MiB of zeros for a header": lambda data: with_length(data, 60 << 20) + bytes(60 << 20),
    "60 MiB of brackets": lambda data: packed('{"a":' + "[" * (60 << 20), b""),
    "60 MiB of digits": lambda data: packed('{"a":' + "9" * (60 << 20), b""),
    "60 MiB of one text": lambda data: packed('{"a":"' + "x" * (60 << 20) + '"}', b""),
    "lists in the header": lambda data: with_outer(data, 30, "[],"),
    "objects in the header": lambda data: with_outer(data, 30, "{},"),
    "numbers in the header": lambda data: with_outer(data, 30, "0.125,"),
    "texts in the header": lambda data: with_outer(data, 30, '"é",'),
    "lists in the header's text": lambda data: with_text(data, 20, "[],"),
    "numbers in the header's text": lambda data: with_text(data, 20, "0.125,"),
    "texts in the header's text": lambda data: with_text(data, 20, '"é",'),
    "a long text in the header's text": lambda data: with_text(data, 20, '"' + "x" * 2**20 + '",'),
}


def figures(megabytes: int) -> dict[str, Read]:
    """Return what reading takes, by case."""
    found: dict[str, Read] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = small(folder)
        mn.load(folder / "small")

        def tell(case: str, path: Path, read: Callable[[Path], object] = mn.load) -> None:
            one = measured(read, path)
            declared = path.stat().st_size if one["error"] is None else 0
            one["file"] = path.stat().st_size
            one["over"] = one["memory"] - max(declared, one["file"])
            found[case] = one

        for case, change in CASES.items():
            (folder / "file").write_bytes(change(data))
            tell(case, folder / "file")
        for read, path in zip((mn.load, read_checkpoint), sound(folder, megabytes), strict=True):
            tell(f"{path.name} of {megabytes} MiB", path, read)
            size = path.stat().st_size
            with path.open("ab") as file:
                file.truncate(10 << 30)
            tell(f"{path.name} with a hole of 10 GiB behind it", path, read)
            os.truncate(path, size - 1)
            tell(f"{path.name} without its last byte", path, read)
        (folder / "hole").touch()
        os.truncate(folder / "hole", 10 << 30)
        tell("a hole of 10 GiB", folder / "hole")
        os.mkfifo(folder / "pipe")
        tell("a pipe", folder / "pipe")
    return found


if __name__ == "__main__":
    for case, one in figures(int(sys.argv[1])).items():
        print(
            f"{case:45} {one['file'] / 2**20:8.0f} MiB {one['memory'] / 2**20:8.1f} MiB {one['seconds']:7.3f} s {(one['error'] or '')[-110:]}"
        )
