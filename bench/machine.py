"""The machine that the benchmarks run on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import socket
from pathlib import Path

import manynets

__all__ = ["cores", "free_port", "machine", "versions"]

PACKAGES = ("torch", "numpy", "scikit-learn", "keras", "jax", "skorch", "lightning", "lightgbm", "catboost", "MAPIE", "pytabkit")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def machine() -> dict[str, str | int]:
    """Return processor, cores, memory, system and date."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    out: dict[str, str | int] = {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        out["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    return out


def versions() -> dict[str, str]:
    """Return the versions of the packages that are compared, without those that are not installed."""
    out = {"manynets": manynets.__version__}  # of the code that runs, not that of an installed package
    for package in PACKAGES:
        try:
            out[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out
