"""The binding to the compiled training core (core.cpp, where every field of `Job` is explained)."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Job", "Pointers", "description", "evaluate", "has_wide_vectors", "load", "mkl_is_narrow", "permutations", "train", "usable_threads",
]  # fmt: skip

VERSION = 11  # as in core.cpp
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
CGROUP = Path("/sys/fs/cgroup")

_number, _pointer, _real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
Pointers = _pointer * 2


class Job(ctypes.Structure):
    """What one call trains or evaluates. All memory belongs to the caller, and must be alive and contiguous during the call."""

    _fields_ = (
        ("type", _number),
        ("threads", _number),
        ("networks", _number),
        ("layers", _number),
        ("widths", _pointer),
        ("activation", _number),
        ("bias", _number),
        ("batch_norm", _number),
        ("input_scale", _number),
        ("loss", _number),
        ("total", _number),
        ("parameter", _real),
        ("unit", _pointer),
        ("x", _pointer),
        ("sums", _number),
        ("terms", _pointer),
        ("terms_stride", _number),
        ("old_terms", _pointer),
        ("new_terms", _pointer),
        ("target", _pointer),
        ("order", _pointer),
        ("order_stride", _number),
        ("epoch_stride", _number),
        ("counts", _pointer),
        ("which", _pointer),
        ("weights", _pointer),
        ("weight_stride", _number),
        ("batch_size", _number),
        ("steps_per_epoch", _number),
        ("first", _number),
        ("count", _number),
        ("step", _number),
        ("active", _pointer),
        ("flat", _pointer),
        ("parameters", _number),
        ("statistics", _pointer),
        ("statistics_size", _number),
        ("state", Pointers),
        ("optimizer", _number),
        ("nesterov", _number),
        ("lr_in_velocity", _number),
        ("parts", _number),
        ("part_ends", _pointer),
        ("hyper", _pointer),
        ("coefficients", _pointer),
        ("l1", _pointer),
        ("l2", _pointer),
        ("clip", _pointer),
        ("penalty_scale", _pointer),
        ("smoothing", _pointer),
        ("keys", _pointer),
        ("dropout", _pointer),
        ("log", _pointer),
        ("scores", _pointer),
        ("scores_stride", _number),
        ("blocks", _pointer),
        ("block_size", _number),
    )
    memory: NDArray[np.uint8] | None = None
    """The blocks of the threads, which the next call with this job uses again."""


@functools.cache
def _open() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(Path(__file__).with_name(f"libcore{SUFFIX}")))
        library.manynets_abi.restype = _number
        if library.manynets_abi() != ctypes.sizeof(Job) * 1000 + VERSION:
            return None
        library.manynets_isa.restype = ctypes.c_char_p
        library.manynets_narrow_mkl.restype = _number
        library.manynets_run.argtypes = [ctypes.POINTER(Job), _number]
        library.manynets_run.restype = None
        library.manynets_block_size.argtypes = [ctypes.POINTER(Job), _number]
        library.manynets_block_size.restype = _number
        library.manynets_permutations.argtypes = [_pointer, _number, _number, _pointer, _number, _number]
        library.manynets_permutations.restype = None
    except (OSError, AttributeError):  # there is none, or one of another version or platform
        return None
    return library


def load() -> ctypes.CDLL | None:
    """Return the compiled core, or None where there is none that fits, or with MANYNETS_NO_CORE=1."""
    return None if os.environ.get("MANYNETS_NO_CORE") == "1" else _open()


def _loaded() -> ctypes.CDLL:
    library = load()
    if library is None:
        raise RuntimeError("there is no compiled core; ask load() first")
    return library


def train(job: Job) -> None:
    """Make the steps of a job, in place. Without enough memory for its buffers it is a MemoryError, and nothing is changed."""
    _run(job, 1, "there is too little memory for the buffers of a training step; use smaller batches or layers")


def evaluate(job: Job) -> None:
    """Add to one line of the log per network its sums over `count` rows of its order, or write their scores. It may be a MemoryError."""
    _run(job, 0, "there is too little memory for the buffers of an evaluation; use smaller layers")


def _run(job: Job, training: int, too_little: str) -> None:
    library = _loaded()
    size = library.manynets_block_size(ctypes.byref(job), training)
    while job.memory is None or job.memory.size != size * job.threads:
        try:
            job.memory = np.zeros(size * job.threads, dtype=np.uint8)
        except MemoryError:
            if job.threads == 1:
                raise MemoryError(too_little) from None
            job.threads //= 2
            continue
        job.blocks, job.block_size = job.memory.ctypes.data, size
    library.manynets_run(ctypes.byref(job), training)


def permutations(keys: NDArray[np.uint64], rows: int, out: NDArray[np.int64], *, threads: int = 1) -> None:
    """Write the order of `rows` rows that belongs to each key (U,) to out[:, :rows], as `manynets.rng.permutation` does.

    out (U, at least rows): the rows of each line must be side by side.
    """
    if out.shape[0] != len(keys) or out.shape[1] < rows or out.strides[1] != out.itemsize or out.dtype != np.int64:
        raise ValueError(f"out is {out.dtype} {out.shape}, but must hold {len(keys)} orders of {rows} rows in contiguous lines")
    keys = np.ascontiguousarray(keys, dtype=np.uint64)
    stride = out.strides[0] // out.itemsize
    _loaded().manynets_permutations(keys.ctypes.data, len(keys), rows, out.ctypes.data, stride, threads)


def description() -> str:
    """Return a description of the core, such as "compiled core (AVX-512)"."""
    library = load()
    return "no compiled core" if library is None else f"compiled core ({library.manynets_isa().decode()})"


def mkl_is_narrow() -> bool:
    """Return whether MKL, by which torch multiplies, uses half of the width of this processor's vectors, and so takes twice the time."""
    library = load()
    return library is not None and bool(library.manynets_narrow_mkl())


def has_wide_vectors() -> bool:
    """Return whether the core computes with vectors of 256 bits or more, so that torch's products of small matrices are not faster."""
    library = load()
    return library is not None and library.manynets_isa().startswith(b"AVX")


def usable_threads(most: float = math.inf) -> int:
    """Return how many threads this process may keep busy: its CPU affinity, within the quota of its cgroup and `most`; at least 1."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.ceil(min(count, _quota(CGROUP), most)))


@functools.cache
def _quota(root: Path) -> float:
    """Return how many CPUs the cgroup of this process may use; infinity without a limit. root: where cgroups are mounted."""
    quotas = [math.inf]
    for folder in (root, *_groups()):
        v2, v1 = _read(folder / "cpu.max").split(), _read(folder / "cpu.cfs_quota_us")
        pair: tuple[Any, Any] = (v2[0], v2[1]) if len(v2) == 2 else (v1, _read(folder / "cpu.cfs_period_us"))
        try:
            quota, period = float(pair[0]), float(pair[1])
        except ValueError:  # no such file, or "max"
            continue
        if quota > 0 and period > 0:
            quotas.append(quota / period)
    return min(quotas)


def _groups() -> list[Path]:
    """Return the folders of this process's cgroups and of those above them, v2 or v1."""
    folders = [CGROUP / "cpu", CGROUP / "cpu,cpuacct"]
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = CGROUP / controllers / path.strip("/")
        folders += [group, *(above for above in group.parents if above.is_relative_to(CGROUP))]
    return folders


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
