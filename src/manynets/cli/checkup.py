"""What `manynets doctor` finds out: versions, processor, compiled core, GPU, extras and folders, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

_MUCH_DISK = 1 << 30  # bytes below which a folder is short of space


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Something that is wrong, and how to fix it."""

    what: str
    remedy: str


def examine() -> dict[str, Any]:
    """Return what there is, as JSON types, in the sections of the report."""
    versions, broken = _versions()
    return {
        "versions": versions,
        "broken": broken,
        "processor": _processor(),
        "core": _core(),
        "gpu": _gpu(),
        "extras": _extras(),
        "folders": _folders(),
    }


def troubles_of(found: dict[str, Any]) -> list[Trouble]:
    """Return what is wrong in what `examine` found."""
    return [*_of_versions(found), *_of_processor(found), *_of_folders(found)]


# ---------------------------------------------------------------------------------------------------------------- versions


@functools.cache
def _requirements() -> list[tuple[str, str, str]]:
    """Return package, allowed versions and extra ("" for none) of each dependency; [] where manynets is not installed."""
    try:
        lines = metadata.requires("manynets") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in lines:
        parsed = re.match(r"(?P<name>[\w.-]+)(?:\[.*?\])?\s*(?P<allowed>[^;]*)(?:;.*extra == ['\"](?P<extra>[\w-]+)['\"])?", line)
        if parsed and parsed["name"] != "manynets":
            found.append((parsed["name"], parsed["allowed"].strip(" ()"), parsed["extra"] or ""))
    return found


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the versions of Python, the system, manynets and what it always needs; and what of it cannot be imported, and why."""
    from manynets import __version__

    versions: dict[str, str | None] = {
        "manynets": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }
    broken = {}
    for name, _, extra in _requirements():
        if extra:
            continue
        versions[name] = _version_of(name)
        try:
            importlib.import_module({"scikit-learn": "sklearn"}.get(name, name))
        except Exception as error:  # whatever a half-installed package raises
            broken[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return versions, broken


def _of_versions(found: dict[str, Any]) -> Iterator[Trouble]:
    from packaging.specifiers import SpecifierSet  # matplotlib brings it

    for name, why in found["broken"].items():
        yield Trouble(f"{name} cannot be imported: {why}", f"pip install --force-reinstall {name}")
    installed = _version_of("manynets")
    ours = found["versions"]["manynets"]
    if installed is not None and installed != ours:
        yield Trouble(
            f"the code is manynets {ours}, but {installed} is what was installed",
            "pip install --editable . in its checkout, or pip install --upgrade manynets",
        )
    for name, allowed, _ in _requirements():
        version = _version_of(name)
        if version is not None and not SpecifierSet(allowed).contains(version, prereleases=True):
            yield Trouble(f"{name} {version} is installed, but manynets needs {allowed}", f"pip install '{name}{allowed}'")


# --------------------------------------------------------------------------------------------------- processor, core and GPU


def _processor() -> dict[str, Any]:
    """Return the cores of the machine, those that this process may use, and how many threads training takes at most."""
    from manynets.core import usable_threads

    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    usable = usable_threads()
    found: dict[str, Any] = {"cores": os.cpu_count(), "affinity": affinity, "usable": usable}
    found["quota"] = usable if usable < (affinity or os.cpu_count() or 1) else None
    found["omp_num_threads"] = os.environ.get("OMP_NUM_THREADS")
    try:
        import torch

        found["torch_threads"] = torch.get_num_threads()
    except Exception:  # reported with the versions
        found["torch_threads"] = None
    return found


def _core() -> dict[str, Any]:
    from manynets import core

    return {
        "loaded": core.load() is not None,
        "description": core.description(),
        "switched_off": os.environ.get("MANYNETS_NO_CORE") == "1",
        "compiler": next((name for name in ("c++", "g++", "clang++", "clang-cl") if shutil.which(name)), None),
    }


def _gpu() -> dict[str, Any]:
    """Return the GPUs that torch sees, the CUDA that it was built with, and whether the system has a device of NVIDIA."""
    found: dict[str, Any] = {
        "devices": [],
        "cuda": None,
        "hardware": Path("/dev/nvidia0").exists() or bool(shutil.which("nvidia-smi")),
    }
    try:
        import torch
    except Exception:  # reported with the versions
        return found
    found["cuda"] = torch.version.cuda
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            found["devices"].append({"name": about.name, "gigabytes": round(about.total_memory / 2**30, 1)})
    return found


def _of_processor(found: dict[str, Any]) -> Iterator[Trouble]:
    core, processor, gpu = found["core"], found["processor"], found["gpu"]
    if core["switched_off"]:
        yield Trouble(
            "the compiled core is switched off by MANYNETS_NO_CORE=1: small networks train slowly", "unset MANYNETS_NO_CORE"
        )
    elif not core["loaded"]:
        compiler = "" if core["compiler"] else "install a C++ compiler (such as g++), then "
        yield Trouble(
            "there is no compiled core that fits: small networks train slowly",
            f"{compiler}pip install --force-reinstall --no-deps manynets, or python hatch_build.py in a checkout",
        )
    wanted = processor["omp_num_threads"]
    if wanted is not None and not (wanted.isdigit() and int(wanted) >= 1):
        yield Trouble(f"OMP_NUM_THREADS is {wanted!r}, which is no number of threads", "unset OMP_NUM_THREADS, or give a number")
    elif wanted is not None and int(wanted) > processor["usable"]:
        yield Trouble(
            f"OMP_NUM_THREADS is {wanted}, but this process may use {processor['usable']} of the cores",
            f"export OMP_NUM_THREADS={processor['usable']}",
        )
    if gpu["hardware"] and not gpu["devices"]:
        if gpu["cuda"] is None:
            yield Trouble(
                "there is a GPU of NVIDIA, but the installed torch was built without CUDA",
                "pip install --force-reinstall torch, from the default index",
            )
        else:
            yield Trouble(
                f"there is a GPU of NVIDIA, but torch, built for CUDA {gpu['cuda']}, cannot use it",
                "see whether nvidia-smi works; update the driver, or start the container with its GPU",
            )


# ------------------------------------------------------------------------------------------------------- extras and folders


def _extras() -> dict[str, dict[str, str | None]]:
    """Return the packages of each extra, with their versions, None where one is not installed."""
    found: dict[str, dict[str, str | None]] = {}
    for name, _, extra in _requirements():
        if extra not in ("", "all"):
            found.setdefault(extra, {})[name] = _version_of(name)
    return dict(sorted(found.items()))


def _folders() -> list[dict[str, Any]]:
    """Return the folders that manynets reads from and writes to, whether it can, and the space that is left."""
    folders = {"runs (the current folder)": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    data = os.environ.get("MANYNETS_DATA")
    if data:
        folders["data sets (MANYNETS_DATA)"] = Path(data)
    found = []
    for purpose, path in folders.items():
        there = path.is_dir()
        found.append(
            {
                "purpose": purpose,
                "path": str(path),
                "there": there,
                "writable": there and _is_writable(path),
                "free": shutil.disk_usage(path).free if there else None,
            }
        )
    return found


def _is_writable(folder: Path) -> bool:
    """Return whether a file can be written there, by doing so: permissions alone do not say it of a read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"manynets")
    except OSError:
        return False
    return True


def _of_folders(found: dict[str, Any]) -> Iterator[Trouble]:
    for folder in found["folders"]:
        path, is_data = folder["path"], "MANYNETS_DATA" in folder["purpose"]
        if not folder["there"]:
            yield Trouble(f"MANYNETS_DATA is {path}, which is no folder", "make that folder, or unset MANYNETS_DATA")
        elif not folder["writable"] and not is_data:  # that of the data sets is often shared and only read
            remedy = (
                "change to another folder, or give --out" if "current" in folder["purpose"] else "set TMPDIR to a folder of yours"
            )
            yield Trouble(f"no file can be written to {path} ({folder['purpose']})", remedy)
        elif folder["writable"] and folder["free"] < _MUCH_DISK:
            yield Trouble(
                f"{path} has {folder['free'] / 2**20:,.0f} MB left, which checkpoints and models may fill",
                "free some space, or use another disk",
            )
